"""A model's folder without weights, whose tokenizer is the same on every machine: nothing of it is trained.

Each byte is a token, and so is each label, as a word of its own, and a few words of the texts. Every family of
rerankers finds what it needs: ChatML with Qwen2.5's system message, tokens for thoughts, `<s>` and `</s>` around texts,
a type for each text of a pair.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors

CONTEXT = 4096
WORDS = ["yes", "no", "Yes", "No", "Ġtrue", "Ġfalse"]  # Ġ stands for a space
SPECIALS = ["<s>", "</s>", "<|im_start|>", "<|im_end|>"]
CHATML = """\
{%- if messages[0].role != 'system' -%}
    {{- '<|im_start|>system\\nYou are Qwen, created by Alibaba Cloud. You are a helpful assistant.<|im_end|>\\n' -}}
{%- endif -%}
{%- for message in messages -%}
    {{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>\\n' -}}
{%- endfor -%}
{{- '<|im_start|>assistant\\n' + ('<think>\\n\\n</think>' if enable_thinking is false else '') -}}"""


def save_byte_tokenizer(folder: Path, words: Sequence[str] = WORDS, specials: Sequence[str] = (), **config: Any) -> str:
    """Saves the tokenizer and a config, and gives the folder's path. specials: more special tokens."""
    pieces = [*sorted(pre_tokenizers.ByteLevel.alphabet()), *words]
    tokenizer = Tokenizer(models.BPE({piece: i for i, piece in enumerate(pieces)}, [], ignore_merges=True))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([*SPECIALS, *specials])
    # Marks that are not special, and words that were added
    tokenizer.add_tokens([AddedToken(token, normalized=False) for token in ("<think>", "</think>", "words", "It is")])
    tokenizer.post_processor = processors.TemplateProcessing(
        "<s> $A </s>", "<s> $A </s> $B:1 </s>:1", [(token, tokenizer.token_to_id(token)) for token in SPECIALS[:2]]
    )
    tokenizer.save(str(folder / "tokenizer.json"))
    about = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": "<s>",
        "eos_token": "<|im_end|>",
        "additional_special_tokens": SPECIALS,
        "model_max_length": CONTEXT,
        "chat_template": CHATML,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(about))
    (folder / "config.json").write_text(
        json.dumps({"model_type": "bert", "max_position_embeddings": CONTEXT, "type_vocab_size": 2, **config})
    )
    return str(folder)
