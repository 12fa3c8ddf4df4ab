"""The kinds of tokenizers that models have, with small vocabularies trained on the spot: byte-level BPE,
SentencePiece's BPE and Unigram."""

import json
import math
from collections.abc import Iterable
from pydoc_data.topics import topics  # English text with code in it, part of every Python
from typing import Any

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from tokenizers.trainers import BpeTrainer
from transformers import PreTrainedTokenizerFast

CONTEXT = 4096
# Qwen2.5's own template; it adds this system message where there is none.
CHATML = """\
{%- if messages[0].role != 'system' -%}
    {{- '<|im_start|>system\\nYou are Qwen, created by Alibaba Cloud. You are a helpful assistant.<|im_end|>\\n' -}}
{%- endif -%}
{%- for message in messages -%}
    {{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>' + '\\n' -}}
{%- endfor -%}
{%- if add_generation_prompt -%}
    {{- '<|im_start|>assistant\\n' -}}
{%- endif -%}"""
# Qwen3's adds no system message, and an empty thought only if thinking is switched off.
QWEN3_CHATML = CHATML.partition("{%- endif -%}\n")[2].replace(
    "assistant\\n' -}}", "assistant\\n' + ('<think>\\n\\n</think>\\n\\n' if enable_thinking is false else '') -}}"
)
LABELS = ["yes", "no", "Yes", "No", "true", "false"]
TEXT = sorted(topics.values())[:100] + [f"{label}\n {label}\n" for label in LABELS] * 500
# How models split a text before they merge. Llama 3's takes up to three digits together, Mistral's parts camelCase.
QWEN2_SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
LLAMA3_SPLIT = QWEN2_SPLIT.replace(r"|\p{N}|", r"|\p{N}{1,3}|")
MISTRAL_SPLIT = (
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+"
    r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*"
    r"|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
BLOOM_SPLIT = r" ?[^(\s|[.,!?…。，、।۔،])]+"  # noqa: RUF001
GPT2_SPLIT = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
SENTENCEPIECE_NAMES = {"unk_token": "<unk>", "bos_token": "<s>", "eos_token": "</s>"}
BYTES = [f"<0x{byte:02X}>" for byte in range(256)]
SPELT = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
LINES = pre_tokenizers.Split("\n", "removed")
WORDS = pre_tokenizers.Sequence([LINES, pre_tokenizers.Metaspace(prepend_scheme="never"), pre_tokenizers.Digits(True)])


def train_pieces(
    split: pre_tokenizers.PreTokenizer, size: int, texts: Iterable[str] = ()
) -> tuple[list[str], list[tuple[str, str]]]:
    """The pieces and merges of a BPE that merges within the parts that `split` makes."""
    trained = Tokenizer(models.BPE())
    trained.pre_tokenizer = split
    alphabet = [] if split is WORDS else pre_tokenizers.ByteLevel.alphabet()
    trainer = BpeTrainer(vocab_size=size, initial_alphabet=alphabet, show_progress=False)
    trained.train_from_iterator([*TEXT, *texts], trainer)
    model = json.loads(trained.to_str())["model"]
    return sorted(model["vocab"], key=model["vocab"].get), [tuple(merge) for merge in model["merges"]]


def put_behind(token: str) -> tuple[str, str]:
    return f"{token} $A", f"{token} $A {token}:1 $B:1"


def number_pieces(pieces: list[str]) -> dict[str, int]:
    return {piece: i for i, piece in enumerate(dict.fromkeys(pieces))}


def split_bytes(split: str) -> pre_tokenizers.PreTokenizer:
    parts = pre_tokenizers.Split(Regex(split), "isolated")
    return pre_tokenizers.Sequence([parts, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])


def make_byte_level(
    split: str, first: Iterable[str] = (), last: Iterable[str] = (), **parts: Any
) -> PreTrainedTokenizerFast:
    """Byte-level BPE; the special tokens stand before or behind the pieces."""
    parts["split"] = split_bytes(split)
    pieces, merges = train_pieces(parts["split"], 600)
    model = models.BPE(number_pieces([*first, *pieces]), merges)
    return make_fast(model, [*first, *last], decoder=decoders.ByteLevel(), **parts)


def make_sentencepiece(specials: list[str], runs: Iterable[str] = (), **parts: Any) -> PreTrainedTokenizerFast:
    """BPE on characters that spells unknown ones in bytes; `runs` are runs of one character."""
    pieces, merges = train_pieces(WORDS, 500)
    vocabulary = number_pieces([*specials, *runs, *BYTES, *(run[0] for run in runs), *pieces])
    merges = [(run[:-1], run[0]) for run in runs] + merges
    model = models.BPE(vocabulary, merges, unk_token="<unk>", fuse_unk=True, byte_fallback=True)
    return make_fast(model, specials, runs=runs, **parts)


def make_unigram(specials: list[str], more: Iterable[str | AddedToken] = (), **parts: Any) -> PreTrainedTokenizerFast:
    """SentencePiece's Unigram; the special tokens stand before the pieces. more: added tokens behind them."""
    # Scores that fall with the rank, as frequencies do.
    pieces = [(piece, -math.log(rank)) for rank, piece in enumerate(train_pieces(WORDS, 600)[0], start=2)]
    unknown = specials.index(parts["unk_token"])
    model = models.Unigram([(token, 0.0) for token in specials] + pieces, unk_id=unknown, byte_fallback=False)
    return make_fast(model, [*specials, *more], decoder=decoders.Metaspace(), **parts)


def make_fast(
    model: models.Model,
    specials: Iterable[str | AddedToken],
    *,
    decoder: decoders.Decoder,
    normalizer: normalizers.Normalizer | None = None,
    split: pre_tokenizers.PreTokenizer | None = None,
    around: tuple[str, str] | None = None,
    runs: Iterable[str] = (),
    **names: Any,
) -> PreTrainedTokenizerFast:
    """The parts as a tokenizer. around: the templates for a text and for a pair."""
    tokenizer = Tokenizer(model)
    tokenizer.normalizer, tokenizer.pre_tokenizer, tokenizer.decoder = normalizer, split, decoder
    tokenizer.add_tokens([AddedToken(run, normalized=False) for run in runs])
    tokenizer.add_special_tokens([*specials])
    if around:
        used = {part.partition(":")[0] for part in " ".join(around).split()} - {"$A", "$B"}
        ids = [(token, tokenizer.token_to_id(token)) for token in sorted(used)]
        tokenizer.post_processor = processors.TemplateProcessing(*around, ids)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, **{"model_max_length": CONTEXT} | names)
