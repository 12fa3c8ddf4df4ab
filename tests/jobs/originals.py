"""Tiny random checkpoints in the layouts of Qwen's first generation and of Baichuan2, and their forward passes.

The passes are written out from the original architectures, and know nothing of what jobs/convert.py makes of them.
"""

import base64
import io
import json
from pathlib import Path
from pydoc_data.topics import topics
from typing import Any

import sentencepiece
import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from torch.nn.functional import linear, silu

from jobs.convert import main

HIDDEN, MLP, LAYERS, HEADS, BASE = 64, 96, 2, 2, 500.0
PROMPT = [5, 300, 17, 260, 17, 5, 9, 311, 42, 7, 299, 8]


def attention(x: dict[str, torch.Tensor], base: float) -> torch.Tensor:
    """Causal attention over [tokens, hidden] queries, keys and values; positions rotate halves of each head."""
    tokens, size = len(x["q"]), HIDDEN // HEADS
    angles = torch.outer(torch.arange(tokens), base ** (-torch.arange(0, size, 2) / size)).repeat(1, 2)

    def heads(values: torch.Tensor) -> torch.Tensor:
        return values.view(tokens, HEADS, size).transpose(0, 1)

    def rotated(values: torch.Tensor) -> torch.Tensor:
        low, high = heads(values).chunk(2, dim=-1)
        return heads(values) * angles.cos() + torch.cat([-high, low], dim=-1) * angles.sin()

    scores = rotated(x["q"]) @ rotated(x["k"]).transpose(1, 2) / size**0.5
    scores = scores.masked_fill(torch.ones(tokens, tokens).triu(1).bool(), -torch.inf)
    return (scores.softmax(-1) @ heads(x["v"])).transpose(0, 1).reshape(tokens, HIDDEN)


def norm(x: torch.Tensor, weight: torch.Tensor, epsilon: float) -> torch.Tensor:
    return weight * x / (x.pow(2).mean(-1, keepdim=True) + epsilon).sqrt()


def qwen_logits(w: dict[str, torch.Tensor], ids: list[int]) -> torch.Tensor:
    x = w["transformer.wte.weight"][ids]
    for i in range(LAYERS):
        p = f"transformer.h.{i}."
        qkv = linear(norm(x, w[p + "ln_1.weight"], 1e-3), w[p + "attn.c_attn.weight"], w[p + "attn.c_attn.bias"])
        mixed = attention(dict(zip("qkv", qkv.split(HIDDEN, dim=-1), strict=True)), BASE)
        x = x + linear(mixed, w[p + "attn.c_proj.weight"])
        inner = norm(x, w[p + "ln_2.weight"], 1e-3)
        inner = linear(inner, w[p + "mlp.w1.weight"]) * silu(linear(inner, w[p + "mlp.w2.weight"]))
        x = x + linear(inner, w[p + "mlp.c_proj.weight"])
    return linear(norm(x, w["transformer.ln_f.weight"], 1e-3), w["lm_head.weight"])


def baichuan_logits(w: dict[str, torch.Tensor], ids: list[int]) -> torch.Tensor:
    x = w["model.embed_tokens.weight"][ids]
    for i in range(LAYERS):
        p = f"model.layers.{i}."
        packed = linear(norm(x, w[p + "input_layernorm.weight"], 1e-2), w[p + "self_attn.W_pack.weight"])
        packed = packed.unflatten(-1, (3, HIDDEN))
        mixed = attention({letter: packed[:, n] for n, letter in enumerate("qkv")}, 10000.0)
        x = x + linear(mixed, w[p + "self_attn.o_proj.weight"])
        inner = norm(x, w[p + "post_attention_layernorm.weight"], 1e-2)
        inner = silu(linear(inner, w[p + "mlp.gate_proj.weight"])) * linear(inner, w[p + "mlp.up_proj.weight"])
        x = x + linear(inner, w[p + "mlp.down_proj.weight"])
    head = w["lm_head.weight"]
    return linear(norm(x, w["model.norm.weight"], 1e-2), head / head.pow(2).sum(1, keepdim=True).sqrt())


def spread(shapes: dict[str, tuple[int, ...]]) -> dict[str, torch.Tensor]:
    """Random weights, so far apart that the logits depend on the whole prompt."""
    generator = torch.Generator().manual_seed(0)
    return {
        name: torch.randn(shape, generator=generator) * 0.2 + (len(shape) == 1 and "bias" not in name)
        for name, shape in shapes.items()
    }


def write_qwen(folder: Path) -> dict[str, torch.Tensor]:
    """A Qwen checkpoint of two safetensors files with an index."""
    trained = Tokenizer(models.BPE())
    trained.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=500, initial_alphabet=alphabet, show_progress=False)
    rare = "aaa aaaa abab ababa 你好吗 été\n2023\n1234\n'LLs'" * 500  # for ties between merges, and for a wrong split
    trained.train_from_iterator([*sorted(topics.values())[:100], rare], trainer)
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    byte = {chr(i): i for i in plain} | {chr(256 + n): i for n, i in enumerate(set(range(256)) - set(plain))}
    joined = [left + right for left, right in json.loads(trained.to_str())["model"]["merges"]]
    tokens = [bytes([i]) for i in range(256)] + [bytes(byte[letter] for letter in token) for token in joined]
    folder.mkdir()
    (folder / "qwen.tiktoken").write_bytes(
        b"".join(base64.b64encode(token) + b" %d\n" % rank for rank, token in enumerate(tokens))
    )
    config = {
        "architectures": ["QWenLMHeadModel"], "model_type": "qwen", "hidden_size": HIDDEN, "intermediate_size": 2 * MLP,
        "num_hidden_layers": LAYERS, "num_attention_heads": HEADS, "kv_channels": HIDDEN // HEADS, "vocab_size": 768,
        "layer_norm_epsilon": 1e-3, "rotary_emb_base": BASE, "rotary_pct": 1.0, "no_bias": True, "seq_length": 512,
        "max_position_embeddings": 2048, "use_dynamic_ntk": True, "use_logn_attn": True, "tie_word_embeddings": False,
    }  # fmt: skip
    (folder / "config.json").write_text(json.dumps(config))
    shapes = {"transformer.wte.weight": (768, HIDDEN), "transformer.ln_f.weight": (HIDDEN,)}
    for i in range(LAYERS):
        p = f"transformer.h.{i}."
        shapes |= {p + "ln_1.weight": (HIDDEN,), p + "ln_2.weight": (HIDDEN,)}
        shapes |= {p + "attn.c_attn.weight": (3 * HIDDEN, HIDDEN), p + "attn.c_attn.bias": (3 * HIDDEN,)}
        shapes |= {p + "attn.c_proj.weight": (HIDDEN, HIDDEN), p + "mlp.c_proj.weight": (HIDDEN, MLP)}
        shapes |= {p + "mlp.w1.weight": (MLP, HIDDEN), p + "mlp.w2.weight": (MLP, HIDDEN)}
    weights = spread(shapes | {"lm_head.weight": (768, HIDDEN)})
    names = list(weights)
    places: dict[str, str] = {}
    for number, part in enumerate([names[:7], names[7:]], 1):
        file = f"model-0000{number}-of-00002.safetensors"
        save_file({name: weights[name] for name in part}, folder / file)
        places |= dict.fromkeys(part, file)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": places}))
    return weights


def write_spm(path: Path, **options: Any) -> None:
    """A SentencePiece model with what the Baichuan 2 paper says of its own; `options` say otherwise."""
    defaults: dict[str, Any] = {
        "model_type": "bpe", "vocab_size": 700, "byte_fallback": True, "split_digits": True, "add_dummy_prefix": False,
        "remove_extra_whitespaces": False, "normalization_rule_name": "identity", "minloglevel": 2, "num_threads": 1,
    }  # fmt: skip
    model = io.BytesIO()
    sentences = (line for text in sorted(topics.values())[:60] for line in [*text.splitlines(), "aaaa ababab"])
    trainer = sentencepiece.SentencePieceTrainer
    trainer.train(sentence_iterator=sentences, model_writer=model, **(defaults | options))
    path.write_bytes(model.getvalue())


def write_baichuan(folder: Path) -> dict[str, torch.Tensor]:
    """A Baichuan2 checkpoint of two .bin files with an index, one of them with a rotary buffer."""
    folder.mkdir()
    write_spm(folder / "tokenizer.model", user_defined_symbols=["<reserved_106>", "\u2581\u2581", "\u2581" * 4])
    special = {"bos_token": {"content": "<s>", "single_word": True}, "eos_token": "</s>", "pad_token": "<unk>"}
    config = {
        "architectures": ["BaichuanForCausalLM"], "model_type": "baichuan", "hidden_size": HIDDEN, "vocab_size": 700,
        "intermediate_size": MLP, "num_hidden_layers": LAYERS, "num_attention_heads": HEADS, "hidden_act": "silu",
        "rms_norm_eps": 1e-2, "max_position_embeddings": 512, "model_max_length": 512, "tie_word_embeddings": False,
        "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0,
    }  # fmt: skip
    settings = special | {"tokenizer_class": "BaichuanTokenizer", "add_bos_token": False, "add_eos_token": False}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    (folder / "config.json").write_text(json.dumps(config))
    shapes = {"model.embed_tokens.weight": (700, HIDDEN), "model.norm.weight": (HIDDEN,)}
    for i in range(LAYERS):
        p = f"model.layers.{i}."
        shapes |= {p + "input_layernorm.weight": (HIDDEN,), p + "post_attention_layernorm.weight": (HIDDEN,)}
        shapes |= {p + "self_attn.W_pack.weight": (3 * HIDDEN, HIDDEN), p + "self_attn.o_proj.weight": (HIDDEN, HIDDEN)}
        shapes |= {p + f"mlp.{name}_proj.weight": (MLP, HIDDEN) for name in ("gate", "up")}
        shapes |= {p + "mlp.down_proj.weight": (HIDDEN, MLP)}
    weights = spread(shapes | {"lm_head.weight": (700, HIDDEN)})
    names = list(weights)
    places: dict[str, str] = {}
    for number, part in enumerate([names[:5], names[5:]], 1):
        file = f"pytorch_model-0000{number}-of-00002.bin"
        buffer = {"model.layers.0.self_attn.rotary_emb.inv_freq": torch.ones(16)} if number == 1 else {}
        torch.save({name: weights[name] for name in part} | buffer, folder / file)
        places |= dict.fromkeys(part, file)
    (folder / "pytorch_model.bin.index.json").write_text(json.dumps({"metadata": {}, "weight_map": places}))
    return weights


KINDS = {"qwen": (write_qwen, qwen_logits), "baichuan": (write_baichuan, baichuan_logits)}


def convert_all(place: Path) -> Path:
    """Puts an original of each kind in KIND, what the job makes of it in KIND-new, and its logits in KIND.pt."""
    for kind, (write, logits) in KINDS.items():
        torch.save(logits(write(place / kind), PROMPT), place / f"{kind}.pt")
        assert main([str(place / kind), str(place / f"{kind}-new")]) == 0
    return place
