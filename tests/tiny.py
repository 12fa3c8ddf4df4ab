"""Tiny random models of real architectures, with tokenizers trained on the spot: parity needs no published weights.

Each tokenizer is of the kind the real model has (its split, normaliser, specials and what it puts around a text), only
with a small vocabulary. The labels that rerankers read are ordinary tokens of it.
"""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from tokenizers import AddedToken, Regex, decoders, models, normalizers, pre_tokenizers
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForSeq2SeqLM,
    PreTrainedTokenizerFast,
    Qwen2Tokenizer,
)
from transformers import AutoModelForSequenceClassification as AutoClassifier

from tests.tiny_tokenizers import (
    BLOOM_SPLIT,
    CHATML,
    CONTEXT,
    GPT2_SPLIT,
    LLAMA3_SPLIT,
    MISTRAL_SPLIT,
    QWEN2_SPLIT,
    QWEN3_CHATML,
    SENTENCEPIECE_NAMES,
    SPELT,
    WORDS,
    make_byte_level,
    make_fast,
    make_sentencepiece,
    make_unigram,
    number_pieces,
    put_behind,
    split_bytes,
    train_pieces,
)

THINK = ("<think>", "</think>")
BERT_NAMES = {name + "_token": f"[{name.upper()}]" for name in ("pad", "unk", "cls", "sep", "mask")}


def qwen2(folder: Path) -> str:
    """A Qwen2ForCausalLM of 2 layers. Its weights vary enough for its answer to depend on the whole prompt."""
    return save(folder, qwen2_tokenizer(), "qwen2", num_key_value_heads=1, tie_word_embeddings=True)


def qwen2_tokenizer(vocab_size: int = 600, texts: Iterable[str] = (), **names: Any) -> PreTrainedTokenizerFast:
    """Byte-level BPE behind Qwen2's own split and normaliser, with ChatML's special tokens on top.

    texts: training texts of the vocabulary, in addition to TEXT.
    """
    pieces, merges = train_pieces(split_bytes(QWEN2_SPLIT), vocab_size, texts)
    specials = ["<|im_start|>", "<|im_end|>"]
    chat = {"eos_token": "<|im_end|>", "additional_special_tokens": specials, "chat_template": CHATML}
    names = {"pad_token": "<|endoftext|>", "model_max_length": CONTEXT} | chat | names
    return Qwen2Tokenizer(vocab=number_pieces(pieces), merges=merges, **names)  # type: ignore[arg-type]


def qwen3(folder: Path) -> str:
    """A Qwen3ForCausalLM: head_dim is of its own. `<think>` and `</think>` are added tokens, but not special."""
    return save(folder, qwen3_tokenizer(), "qwen3", head_dim=64, num_key_value_heads=1, tie_word_embeddings=True)


def qwen3_tokenizer(**arguments: Any) -> PreTrainedTokenizerFast:
    tokenizer = qwen2_tokenizer(chat_template=QWEN3_CHATML, **arguments)
    tokenizer.add_tokens([AddedToken(token, normalized=False) for token in THINK])
    return tokenizer


def rank1_qwen2(folder: Path) -> str:
    """A Qwen2ForCausalLM made of a base model, which has no chat, with `<think>` and `</think>` as special tokens."""
    return save(folder, rank1_qwen2_tokenizer(), "qwen2", num_key_value_heads=1, tie_word_embeddings=True)


def rank1_qwen2_tokenizer(**arguments: Any) -> PreTrainedTokenizerFast:
    arguments |= {"additional_special_tokens": ["<|im_start|>", "<|im_end|>", *THINK]}
    return qwen2_tokenizer(eos_token="<|endoftext|>", chat_template=None, **arguments)


def llama3(folder: Path) -> str:
    """A LlamaForCausalLM with grouped queries. Its tokenizer puts `<|begin_of_text|>` before a text."""
    names = {"bos_token": "<|begin_of_text|>", "eos_token": "<|end_of_text|>"}
    tokenizer = make_byte_level(
        LLAMA3_SPLIT, last=[*names.values(), *THINK], around=put_behind("<|begin_of_text|>"), **names
    )
    return save(folder, tokenizer, "llama", num_key_value_heads=1, rope_parameters={"rope_theta": 5e5})


def mistral(folder: Path) -> str:
    """A MistralForCausalLM whose head_dim is not hidden_size / heads. Its tokenizer puts `<s>` before a text."""
    first = ["<unk>", "<s>", "</s>", "[INST]", "[/INST]"]
    tokenizer = make_byte_level(MISTRAL_SPLIT, first=first, last=THINK, around=put_behind("<s>"), **SENTENCEPIECE_NAMES)
    return save(folder, tokenizer, "mistral", num_key_value_heads=1, head_dim=64, sliding_window=None)


def bloom(folder: Path) -> str:
    """A BloomForCausalLM: ALiBi, a declared length of 2048, nothing put before a text."""
    names = SENTENCEPIECE_NAMES | {"pad_token": "<pad>", "padding_side": "left"}
    tokenizer = make_byte_level(BLOOM_SPLIT, first=["<unk>", "<s>", "</s>", "<pad>"], **names)
    return save(folder, tokenizer, "bloom", seq_length=2048, tie_word_embeddings=True)


def llama2(folder: Path) -> str:
    """A LlamaForCausalLM with SentencePiece's BPE: a space is put before a text."""
    return save(folder, llama2_tokenizer(), "llama", rms_norm_eps=1e-5)


def llama_classifier(folder: Path) -> str:
    """A LlamaForSequenceClassification with one label, read at the last token that is not padding."""
    tokenizer = llama2_tokenizer(pad_token="<unk>")
    return save(folder, tokenizer, "llama", AutoClassifier, num_labels=1, rms_norm_eps=1e-5)


def llama2_tokenizer(**names: Any) -> PreTrainedTokenizerFast:
    """Llama 2's. A pair is `<s> A <s> B`; characters without a piece are spelt in bytes, even newlines."""
    return make_sentencepiece(
        ["<unk>", "<s>", "</s>"],
        normalizer=normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]),
        decoder=decoders.Sequence([*SPELT, decoders.Strip(" ", 1, 0)]),
        around=put_behind("<s>"),
        **SENTENCEPIECE_NAMES | names,
    )


def gemma(folder: Path) -> str:
    """A GemmaForCausalLM. No space is put before a text; runs of whitespace are added tokens, though not special."""
    specials = ["<pad>", "<eos>", "<bos>", "<unk>", "<mask>"]
    tokenizer = make_sentencepiece(
        specials,
        runs=[char * length for char in "\n▁" for length in range(2, 6)],
        normalizer=normalizers.Replace(" ", "▁"),
        split=pre_tokenizers.Split(" ", "merged_with_previous"),
        decoder=decoders.Sequence(SPELT),
        around=put_behind("<bos>"),
        padding_side="left",
        **{f"{name[1:-1]}_token": name for name in specials},
    )
    return save(folder, tokenizer, "gemma", num_key_value_heads=1, head_dim=64, tie_word_embeddings=True)


def xlm_roberta(folder: Path) -> str:
    """An XLMRobertaForSequenceClassification with one label: Unigram, 512 tokens, pairs as `<s> A </s></s> B </s>`."""
    tokenizer = make_unigram(
        ["<s>", "<pad>", "</s>", "<unk>"],
        [AddedToken("<mask>", lstrip=True)],
        normalizer=normalizers.Sequence([normalizers.NFKC(), normalizers.Replace(Regex(" {2,}"), " ")]),
        split=pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace()]),
        around=("<s> $A </s>", "<s> $A </s> </s> $B </s>"),
        model_max_length=512,
        **SENTENCEPIECE_NAMES,
        **{"cls_token": "<s>", "sep_token": "</s>", "pad_token": "<pad>", "mask_token": "<mask>"},
    )
    length = {"max_position_embeddings": 514, "type_vocab_size": 1}
    return save(folder, tokenizer, "xlm-roberta", AutoClassifier, num_labels=1, **length)


def t5(folder: Path) -> str:
    """A T5ForConditionalGeneration: 512 tokens, one table of embeddings for all, logits that are scaled."""
    return _save_t5(folder)


def flan_t5(folder: Path) -> str:
    """The same of the kind of FLAN-T5: a gated layer, and a head of its own."""
    return _save_t5(folder, feed_forward_proj="gated-gelu", tie_word_embeddings=False)


def _save_t5(folder: Path, **config: Any) -> str:
    """Its tokenizer is a Unigram that puts `</s>` behind a text, and has the sentinels of the pre-training."""
    specials = ["<pad>", "</s>", "<unk>"]
    sentinels = [f"<extra_id_{i}>" for i in range(12)]
    tokenizer = make_unigram(
        [*specials, *sentinels],
        split=pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace()]),
        normalizer=normalizers.NFKC(),
        around=("$A </s>", "$A </s> $B </s>"),
        model_max_length=512,
        **{"pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>"},
        additional_special_tokens=sentinels,
    )
    size = {"d_kv": 32, "d_ff": 128, "num_layers": 2, "num_decoder_layers": 2, "n_positions": 512}
    return save(folder, tokenizer, "t5", AutoModelForSeq2SeqLM, decoder_start_token_id=0, **size, **config)


def deberta_v3(folder: Path) -> str:
    """A DebertaV2ForSequenceClassification with one label, as DeBERTa-v3: positions relative alone, no types."""
    tokenizer = make_unigram(
        ["[PAD]", "[CLS]", "[SEP]", "[UNK]", "[MASK]"],
        split=pre_tokenizers.Metaspace(),
        normalizer=normalizers.Sequence([normalizers.NFKC(), normalizers.Replace(Regex(" {2,}"), " ")]),
        around=("[CLS] $A [SEP]", "[CLS] $A [SEP] $B:1 [SEP]:1"),
        model_max_length=512,
        **BERT_NAMES,
    )
    about: dict[str, Any] = {
        "max_position_embeddings": 512, "type_vocab_size": 0, "relative_attention": True,
        "position_biased_input": False, "pos_att_type": ["p2c", "c2p"], "share_att_key": True, "position_buckets": 16,
        "norm_rel_ebd": "layer_norm", "max_relative_positions": -1, "pooler_hidden_size": 64,
    }  # fmt: skip
    return save(folder, tokenizer, "deberta-v2", AutoClassifier, num_labels=1, **about)


def monobert(folder: Path) -> str:
    """The same as `bert` with two labels, the second of which is `relevant`."""
    return bert(folder, num_labels=2)


def modernbert(folder: Path) -> str:
    """A ModernBertForSequenceClassification with one label: a layer that sees all, and one that sees 16 tokens away."""
    tokenizer = make_byte_level(
        GPT2_SPLIT,
        runs=[" " * length for length in (4, 3, 2)],
        last=BERT_NAMES.values(),
        normalizer=normalizers.NFC(),
        around=("[CLS] $A [SEP]", "[CLS] $A [SEP] $B [SEP]"),
        model_input_names=["input_ids", "attention_mask"],
        **BERT_NAMES,
    )
    layers = {"local_attention": 32, "global_attn_every_n_layers": 2}
    layers |= {"cls_token_id": tokenizer.cls_token_id, "sep_token_id": tokenizer.sep_token_id}
    return save(folder, tokenizer, "modernbert", AutoClassifier, num_labels=1, **layers)


def bert(folder: Path, num_labels: int = 1) -> str:
    """A BertForSequenceClassification with one label: WordPiece, lower case, 512 tokens, a type for each text."""
    words = [piece.strip("▁").lower() for piece in train_pieces(WORDS, 500)[0] if piece != "▁"]
    vocabulary = number_pieces([*BERT_NAMES.values(), *words, *(f"##{word}" for word in words)])
    tokenizer = make_fast(
        models.WordPiece(vocabulary, unk_token="[UNK]"),
        BERT_NAMES.values(),
        normalizer=normalizers.BertNormalizer(),
        split=pre_tokenizers.BertPreTokenizer(),
        decoder=decoders.WordPiece(),
        around=("[CLS] $A [SEP]", "[CLS] $A [SEP] $B:1 [SEP]:1"),
        model_input_names=["input_ids", "token_type_ids", "attention_mask"],
        model_max_length=512,
        **BERT_NAMES,
    )
    return save(folder, tokenizer, "bert", AutoClassifier, num_labels=num_labels, max_position_embeddings=512)


def lora(folder: Path, model: str, *targets: str, labels: int = 1, **config: Any) -> str:
    """Saves a random adapter of rank 4 for a tiny model's targets (`q_proj`), in peft's form.

    labels: rows of the classifier's head that it has; 0 for none. config: keys of its adapter_config.json.
    """
    torch.manual_seed(1)
    tensors = {}
    for name, weight in load_file(f"{model}/model.safetensors").items():
        module = f"base_model.model.{name.removesuffix('.weight')}"
        if module.endswith(targets):
            tensors[f"{module}.lora_A.weight"] = torch.randn(4, weight.shape[1]) * 0.2
            tensors[f"{module}.lora_B.weight"] = torch.randn(weight.shape[0], 4) * 0.2
    if labels:
        tensors["base_model.model.score.weight"] = torch.randn(labels, 64)
    save_file(tensors, folder / "adapter_model.safetensors")
    about: dict[str, Any] = {
        "peft_type": "LORA", "base_model_name_or_path": model, "r": 4, "lora_alpha": 16, "lora_dropout": 0.1,
        "target_modules": [*targets], "modules_to_save": ["classifier", "score"] if labels else None, "bias": "none",
        "init_lora_weights": True, "use_dora": False, "use_rslora": False, "rank_pattern": {}, "alpha_pattern": {},
    }  # fmt: skip
    (folder / "adapter_config.json").write_text(json.dumps(about | config))
    return str(folder)


def save(
    folder: Path, tokenizer: PreTrainedTokenizerFast, kind: str, model: Any = AutoModelForCausalLM, **config: Any
) -> str:
    """Saves the tokenizer and a random model of 2 layers as a model's folder."""
    tokenizer.save_pretrained(folder)
    torch.manual_seed(0)
    small: dict[str, Any] = {
        "vocab_size": len(tokenizer),
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "max_position_embeddings": CONTEXT,
        "initializer_range": 0.2,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
        "bos_token_id": tokenizer.bos_token_id,
        "dtype": "float32",
    }
    model.from_config(AutoConfig.for_model(kind, **small | config)).save_pretrained(folder)
    return str(folder)
