"""Models with an encoder and a decoder: what is read, and what is written."""

from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoConfig, AutoModelForSeq2SeqLM

from actors.engines.contract import EngineRequest
from actors.rerankers.contract import Reply, Request, Unscored
from tests import tiny
from tests.actors.engines.transformers.conftest import LABELS, ask, build, labels_of, load, replies, sequences


@pytest.fixture(scope="module")
def t5(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("t5")
    tokenizer = tiny.qwen2_tokenizer()
    tokenizer.save_pretrained(folder)
    torch.manual_seed(0)
    about = {"vocab_size": len(tokenizer), "d_model": 64, "d_kv": 32, "d_ff": 64, "num_layers": 2, "num_heads": 2}
    config = AutoConfig.for_model("t5", **about, decoder_start_token_id=0, pad_token_id=0, eos_token_id=1)
    AutoModelForSeq2SeqLM.from_config(config).save_pretrained(folder)
    return str(folder)


@torch.no_grad()
def decoder_logits(folder: str, source: list[int], before: list[int]) -> torch.Tensor:
    return load(AutoModelForSeq2SeqLM, folder)(
        input_ids=torch.tensor([source]), decoder_input_ids=torch.tensor([[0, *before]])
    ).logits[0]


def test_labels_are_read_where_a_decoder_begins(t5: str) -> None:
    got = replies(build(t5, Request("generate", labels=LABELS)), sequences(6))
    for reply, tokens in zip(got, sequences(6), strict=True):
        expected = decoder_logits(t5, tokens, []).log_softmax(-1)[0, labels_of(t5)]
        np.testing.assert_allclose(reply.label_logprobs, expected, rtol=1e-4, atol=1e-5)


def test_a_decoder_writes_what_stands_behind_the_boundary(t5: str) -> None:
    asked = [EngineRequest(i, tokens, 1 + i, 1) for i, tokens in enumerate(sequences(6))]
    got = ask(build(t5, Request("likelihood")), asked)
    for i, tokens, boundary, *_ in asked:
        target = tokens[boundary:]
        logprobs = decoder_logits(t5, tokens[:boundary], target[:-1]).log_softmax(-1)
        expected = logprobs[range(len(target)), target]
        np.testing.assert_allclose(got[i].token_logprobs, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("task", "boundary", "size", "said"),
    [
        ("generate", None, 40, None),
        ("generate", None, 41, "it has 41 tokens, and there is room for 40"),
        ("likelihood", 40, 80, None),
        ("likelihood", 41, 60, "it has 41 tokens, and there is room for 40"),
        ("likelihood", 1, 42, "it has 41 tokens, and there is room for 40"),
        ("likelihood", 5, 5, "nothing stands on one side of its boundary, 5"),
    ],
)
def test_encoder_and_decoder_have_as_much_room_each(
    task: Any, boundary: int | None, size: int, said: str | None, t5: str
) -> None:
    engine = build(t5, Request(task, labels=LABELS if task == "generate" else ()), max_model_len=40)
    (got,) = ask(engine, [EngineRequest(0, [*range(5, 5 + size)], boundary, 1)]).values()
    assert isinstance(got, Reply) if said is None else got == Unscored(f"transformers refused the prompt: {said}")


def test_a_decoder_answers(t5: str) -> None:
    got = replies(build(t5, Request("generate", max_tokens=6)), sequences(4), max_tokens=6)
    for reply, tokens in zip(got, sequences(4), strict=True):
        written: list[int] = []
        while len(written) < 6:
            written.append(int(decoder_logits(t5, tokens, written)[-1].argmax()))
        assert list(reply.tokens) == written


def test_an_encoder_and_a_decoder_make_no_embeddings(t5: str) -> None:
    with pytest.raises(ValueError, match="T5ForConditionalGeneration has an encoder and a decoder, and makes no embed"):
        build(t5, Request("embed"))
