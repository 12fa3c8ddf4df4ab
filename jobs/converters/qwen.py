"""Qwen's first generation as Qwen2ForCausalLM, by the code that came with Qwen-7B and vLLM's former qwen.py.

Both are the same decoder up to names: RMSNorm, rotary positions over whole heads with the halves rotated, biases on
query, key and value alone, and a gated MLP, in Qwen w1(x) * silu(w2(x)). `intermediate_size` counts both of its halves.
Two things act only on sequences longer than `seq_length`, the scaling of queries by log n and the dynamic NTK base, so
that is the length the result declares.
"""

import base64
import re
from pathlib import Path
from typing import Any

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers

from jobs.converters.bpe import find_merges
from jobs.converters.plan import Plan, Weight, need, need_fixed, need_room, read_json
from pipeline.errors import UsageError

FIRST_NAMES = {  # of Qwen-7B's first release
    "hidden_size": "n_embd",
    "intermediate_size": "ffn_hidden_size",
    "num_hidden_layers": "n_layer",
    "num_attention_heads": "n_head",
}
FIXED = {"no_bias": True, "rotary_pct": 1.0, "tie_word_embeddings": False, "use_cache_quantization": False}
COMPUTED = re.compile(r"transformer\.(h\.\d+\.attn\.)?(rotary_emb\.inv_freq|masked_bias|logn_tensor)")
PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
END = "<|endoftext|>"
SPECIAL = [END, "<|im_start|>", "<|im_end|>", *(f"<|extra_{i}|>" for i in range(205))]


def make_plan(folder: Path, config: dict[str, Any]) -> Plan:
    """The plan for the Qwen checkpoint in `folder`."""
    path = folder / "config.json"
    config = config | {new: config[old] for new, old in FIRST_NAMES.items() if old in config and new not in config}
    sizes = (*FIRST_NAMES, "vocab_size", "seq_length", "kv_channels", "layer_norm_epsilon", "rotary_emb_base")
    hidden, mlp, layers, heads, vocab, length, head, epsilon, base = need(path, config, sizes)
    need_fixed(path, config, FIXED)
    if heads * head != hidden or mlp % 2:
        raise UsageError(
            f"{path}: hidden_size {hidden} is not {heads} heads of kv_channels {head}, or intermediate_size is odd"
        )
    tokens = convert_tokenizer(folder / "qwen.tiktoken")
    need_room(folder / "qwen.tiktoken", tokens, vocab)
    end = tokens.token_to_id(END)
    generation = read_json(folder / "generation_config.json", missing={})
    return Plan(
        config={
            "architectures": ["Qwen2ForCausalLM"],
            "model_type": "qwen2",
            "vocab_size": vocab,
            "hidden_size": hidden,
            "intermediate_size": mlp // 2,
            "num_hidden_layers": layers,
            "num_attention_heads": heads,
            "num_key_value_heads": heads,
            "hidden_act": "silu",
            "rms_norm_eps": epsilon,
            "rope_theta": float(base),
            "max_position_embeddings": length,
            "use_sliding_window": False,
            "tie_word_embeddings": False,
            "bos_token_id": None,
            "eos_token_id": generation.get("eos_token_id", end),
            "pad_token_id": generation.get("pad_token_id", end),
        },
        weights=list_weights(hidden, mlp // 2, layers, vocab),
        ignored=COMPUTED,
        tokenizer=tokens,
        tokenizer_config={
            "tokenizer_class": "Qwen2Tokenizer",
            "model_max_length": length,
            "eos_token": END,
            "pad_token": END,
            "clean_up_tokenization_spaces": False,
        },
    )


def list_weights(hidden: int, mlp: int, layers: int, vocab: int) -> dict[str, Weight]:
    """Qwen's weights by name."""
    found = {
        "transformer.wte.weight": Weight((vocab, hidden), ("model.embed_tokens.weight",)),
        "transformer.ln_f.weight": Weight((hidden,), ("model.norm.weight",)),
        "lm_head.weight": Weight((vocab, hidden), ("lm_head.weight",)),
    }
    for i in range(layers):
        old, new = f"transformer.h.{i}.", f"model.layers.{i}."
        qkv = [f"{new}self_attn.{letter}_proj" for letter in "qkv"]
        found |= {
            f"{old}ln_1.weight": Weight((hidden,), (f"{new}input_layernorm.weight",)),
            f"{old}attn.c_attn.weight": Weight((3 * hidden, hidden), tuple(f"{name}.weight" for name in qkv)),
            f"{old}attn.c_attn.bias": Weight((3 * hidden,), tuple(f"{name}.bias" for name in qkv)),
            f"{old}attn.c_proj.weight": Weight((hidden, hidden), (f"{new}self_attn.o_proj.weight",)),
            f"{old}ln_2.weight": Weight((hidden,), (f"{new}post_attention_layernorm.weight",)),
            f"{old}mlp.w1.weight": Weight((mlp, hidden), (f"{new}mlp.up_proj.weight",)),
            f"{old}mlp.w2.weight": Weight((mlp, hidden), (f"{new}mlp.gate_proj.weight",)),
            f"{old}mlp.c_proj.weight": Weight((hidden, mlp), (f"{new}mlp.down_proj.weight",)),
        }
    return found


def convert_tokenizer(path: Path) -> Tokenizer:
    """tokenizers' form of a tiktoken rank file as Qwen's tokenizer used it: NFC, split by PATTERN, BPE by rank.

    tiktoken takes a piece that is a token as that token. transformers has no such setting for a Qwen2 (it
    builds the tokenizer again from vocabulary and merges), so each token must result from its merges. The special
    tokens follow.
    """
    try:
        lines = [line.split() for line in path.read_bytes().splitlines() if line]
        ranks = {base64.b64decode(token, validate=True): int(rank) for token, rank in lines}
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from None
    except ValueError:
        raise UsageError(f"{path}: has a line that is not a token in base64 and its rank") from None
    ordered = sorted(ranks, key=ranks.__getitem__)
    if sorted(ranks.values()) != list(range(len(lines))) or not all(bytes([i]) in ranks for i in range(256)):
        raise UsageError(f"{path}: the ranks are not 0 to {len(lines) - 1}, or a byte has none")
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]  # bytes that byte-level BPE writes as themselves
    others = [i for i in range(256) if i not in plain]
    letters = {i: chr(i) for i in plain} | {i: chr(256 + n) for n, i in enumerate(others)}
    written = {token: "".join(letters[i] for i in token) for token in ranks}
    pairs = [(written[left], written[right]) for left, right in find_merges(ordered, set(ranks))]
    model = models.BPE({written[token]: ranks[token] for token in ranks}, pairs)
    if alien := next((token for token in ordered if len(model.tokenize(written[token])) > 1), None):
        raise UsageError(f"{path}: no merges lead to token {alien!r} of rank {ranks[alien]}")
    made = Tokenizer(model)
    made.normalizer = normalizers.NFC()
    made.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(Regex(PATTERN), "isolated"), pre_tokenizers.ByteLevel(False, use_regex=False)]
    )
    made.decoder = decoders.ByteLevel()
    made.add_special_tokens([AddedToken(token, normalized=False, special=True) for token in SPECIAL])
    return made
