"""Tiny random models of real architectures, with tokenizers trained on the spot: parity needs no weights."""

import json
from pathlib import Path

import torch
from tokenizers.pre_tokenizers import ByteLevel
from tokenizers.trainers import BpeTrainer
from transformers import PreTrainedTokenizerFast, Qwen2Config, Qwen2ForCausalLM, Qwen2Tokenizer

SPECIAL = ["<|im_start|>", "<|im_end|>"]
# What Qwen2.5's own template does with messages; without a system message it puts in this one.
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


def qwen2(folder: Path) -> str:
    """A Qwen2ForCausalLM of 2 layers. Its weights are spread so far that what it answers hangs on the whole prompt."""
    tokenizer = qwen2_tokenizer()
    tokenizer.save_pretrained(folder)
    torch.manual_seed(7)
    config = Qwen2Config(
        vocab_size=len(tokenizer),
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        max_position_embeddings=4096,
        tie_word_embeddings=True,
        initializer_range=0.3,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=None,
        dtype="float32",
    )
    Qwen2ForCausalLM(config).save_pretrained(folder)
    return str(folder)


def qwen2_tokenizer() -> PreTrainedTokenizerFast:
    """Byte-level BPE behind Qwen2's own split and normaliser, of 600 tokens, trained on these files' text."""
    trained = Qwen2Tokenizer().backend_tokenizer
    corpus = [path.read_text() for path in Path(__file__).parent.rglob("*.py")]
    trainer = BpeTrainer(vocab_size=600, initial_alphabet=ByteLevel.alphabet(), show_progress=False)
    trained.train_from_iterator(corpus, trainer)
    model = json.loads(trained.to_str())["model"]
    return Qwen2Tokenizer(
        vocab=model["vocab"],
        merges=[tuple(merge) for merge in model["merges"]],
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        additional_special_tokens=SPECIAL,
        chat_template=CHATML,
        model_max_length=4096,
    )
