"""Baichuan2-7B as LlamaForCausalLM, by the code that came with it and vLLM's former baichuan.py.

It is a Llama whose query, key and value are one matrix, and whose output head works with rows of length 1: the
original scales them when it is first used. Its rotary base is 10000, which its config does not name. The 13B models
have ALiBi in place of rotary positions and are no Llama.
"""

import re
from pathlib import Path
from typing import Any

from tokenizers import AddedToken, Tokenizer, processors

from jobs.converters import sentencepiece_bpe
from jobs.converters.plan import Plan, Weight, need, need_fixed, need_room, read_json
from pipeline.errors import UsageError

SIZES = ("hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "vocab_size", "rms_norm_eps")
FIXED = {"hidden_act": "silu", "tie_word_embeddings": False}
COMPUTED = re.compile(r"model\.layers\.\d+\.self_attn\.rotary_emb\.(inv_freq|cos_cached|sin_cached)")
SPECIAL = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", "pad_token": None}  # with their defaults


def make_plan(folder: Path, config: dict[str, Any]) -> Plan:
    """The plan for the Baichuan2 checkpoint in `folder`."""
    path = folder / "config.json"
    if config.get("hidden_size") == 5120 or "max_position_embeddings" not in config:
        raise UsageError(
            f"{path}: hidden_size {config.get('hidden_size')}, max_position_embeddings "
            f"{config.get('max_position_embeddings')}: a 13B Baichuan, which has ALiBi and is no Llama"
        )
    hidden, mlp, layers, heads, vocab, epsilon, length = need(path, config, (*SIZES, "max_position_embeddings"))
    need_fixed(path, config, FIXED)
    settings = read_json(folder / "tokenizer_config.json", missing={})
    named = {key: settings.get(key, default) for key, default in SPECIAL.items()}
    special = {key: str(name["content"] if isinstance(name, dict) else name) for key, name in named.items() if name}
    tokens = convert_tokenizer(folder, settings, special)
    need_room(folder / "tokenizer.model", tokens, vocab)
    return Plan(
        config={
            "architectures": ["LlamaForCausalLM"],
            "model_type": "llama",
            "vocab_size": vocab,
            "hidden_size": hidden,
            "intermediate_size": mlp,
            "num_hidden_layers": layers,
            "num_attention_heads": heads,
            "num_key_value_heads": heads,
            "hidden_act": "silu",
            "rms_norm_eps": epsilon,
            "rope_theta": 10000.0,
            "max_position_embeddings": length,
            "attention_bias": False,
            "mlp_bias": False,
            "tie_word_embeddings": False,
            "bos_token_id": config.get("bos_token_id", 1),
            "eos_token_id": config.get("eos_token_id", 2),
            "pad_token_id": config.get("pad_token_id", 0),
        },
        weights=list_weights(hidden, mlp, layers, vocab),
        ignored=COMPUTED,
        tokenizer=tokens,
        tokenizer_config={
            "tokenizer_class": "PreTrainedTokenizerFast",
            "model_max_length": length,
            **special,
            "clean_up_tokenization_spaces": False,
        },
    )


def list_weights(hidden: int, mlp: int, layers: int, vocab: int) -> dict[str, Weight]:
    """Baichuan2's weights by name; all but W_pack go by the names they have in Llama."""
    shapes: dict[str, tuple[int, ...]] = {"model.embed_tokens.weight": (vocab, hidden), "model.norm.weight": (hidden,)}
    packs: dict[str, Weight] = {}
    for i in range(layers):
        layer = f"model.layers.{i}."
        shapes |= {
            f"{layer}input_layernorm.weight": (hidden,),
            f"{layer}self_attn.o_proj.weight": (hidden, hidden),
            f"{layer}post_attention_layernorm.weight": (hidden,),
            f"{layer}mlp.gate_proj.weight": (mlp, hidden),
            f"{layer}mlp.up_proj.weight": (mlp, hidden),
            f"{layer}mlp.down_proj.weight": (hidden, mlp),
        }
        qkv = tuple(f"{layer}self_attn.{letter}_proj.weight" for letter in "qkv")
        packs[f"{layer}self_attn.W_pack.weight"] = Weight((3 * hidden, hidden), qkv)
    head = Weight((vocab, hidden), ("lm_head.weight",), unit_rows=True)
    return {name: Weight(shape, (name,)) for name, shape in shapes.items()} | packs | {"lm_head.weight": head}


def convert_tokenizer(folder: Path, settings: dict[str, Any], special: dict[str, str]) -> Tokenizer:
    """The tokenizer, with what it puts around a text and the tokens that were added to those of the model."""
    made = sentencepiece_bpe.convert_tokenizer(folder / "tokenizer.model", list(special.values()))
    path = folder / "added_tokens.json"
    added = read_json(path, missing={})
    for token in sorted(added, key=added.__getitem__):
        made.add_special_tokens([AddedToken(token, normalized=False, special=True)])
        if made.token_to_id(token) != added[token]:
            raise UsageError(f"{path}: {token!r} is {added[token]}; the next free id is {made.token_to_id(token)}")
    before = [special["bos_token"]] if settings.get("add_bos_token", True) else []
    after = [special["eos_token"]] if settings.get("add_eos_token", False) else []
    if before or after:
        ids = [(token, made.token_to_id(token)) for token in dict.fromkeys(before + after)]
        made.post_processor = processors.TemplateProcessing(
            single=[*before, "$A", *after],
            pair=[*before, "$A", *after, *before, "$B", *after],
            special_tokens=ids,
        )
    return made
