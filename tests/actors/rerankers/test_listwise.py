"""Models that write an order, against greedy transformers: the same text for each window, and the order that it says.

A model with random weights writes no identifiers, so this one's head has nothing but those, and a few signs.
"""

import random
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from actors.rerankers.contract import Pair
from tests import tiny
from tests.actors.rerankers.test_sliding import list_windows_of_rank_llm
from tests.actors.rerankers.test_windows import CASES, expect
from tests.file_tokenizer import FileTokenizer
from tests.parity import ENGINES, SLOW, Reference, rank_queries

NEW_TOKENS = 40
SIGNS = ["1", "2", "3", "5", "9", "[", "]", ">", "=", "\n", "a", "<|im_end|>"]
WORDS = "apple tree cats are a round fruit of the green city 7 rivers and why not"
COUNTS = (47, 31, 2, 1)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A tiny Qwen3 that writes signs of an order alone."""
    folder = Path(tmp_path_factory.mktemp("signs"))
    tokenizer = tiny.qwen3_tokenizer()
    tiny.save(folder, tokenizer, "qwen3", head_dim=64, num_key_value_heads=1, tie_word_embeddings=False)
    weights = load_file(folder / "model.safetensors")
    head = torch.zeros_like(weights["lm_head.weight"])
    reference = FileTokenizer(str(folder))
    kept = [reference.id(sign) for sign in SIGNS]
    head[kept] = weights["lm_head.weight"][kept]
    save_file(weights | {"lm_head.weight": head}, folder / "model.safetensors", {"format": "pt"})
    return str(folder)


def draw_queries() -> list[list[Pair]]:
    draw = random.Random(3)
    return [
        [Pair("what is it?", " ".join(draw.choices(WORDS.split(), k=draw.randint(1, 12)))) for _ in range(count)]
        for count in COUNTS
    ]


def write(reference: Reference, ids: list[int]) -> tuple[str, bool]:
    """The answer of greedy transformers behind a prompt, and whether it is complete."""
    end = reference.tokenizer.id("<|im_end|>")
    given: dict[str, Any] = {"do_sample": False, "max_new_tokens": NEW_TOKENS, "eos_token_id": end}
    model: Any = reference.model
    made = model.generate(torch.tensor([ids]), **given)[0].tolist()[len(ids) :]
    ended = made[-1] == end
    return reference.tokenizer.decode(made[:-1] if ended else made), ended


def order_of(text: str, ended: bool, count: int) -> tuple[list[int], int]:
    """By rank_llm's rule, but for a number with which an unfinished text ends."""
    found = [int(run) - 1 for run in re.findall("[0-9]+", text if ended else re.sub("[0-9]+$", "", text))]
    named = [number for number in dict.fromkeys(found) if number in range(count)]
    return named + [number for number in range(count) if number not in named], len(named)


@pytest.mark.parametrize("engine", ["cached", pytest.param("chunked", marks=SLOW), "transformers"])
def test_texts_and_order_are_those_of_greedy_transformers(engine: str, model: str) -> None:
    case, queries, reference = CASES["listwise"], draw_queries(), Reference(model)
    given: dict[str, Any] = {"type": "listwise", "model": model, "max_new_tokens": NEW_TOKENS}
    ranked, figures = rank_queries(given, ENGINES[engine], queries)
    counted = {"windows": 0, "windows_partial": 0, "windows_unread": 0}
    for candidates, got in zip(queries, ranked, strict=True):
        order, texts, read = [*range(len(candidates))], [], {0} if len(candidates) == 1 else set()
        windows = [place for place in list_windows_of_rank_llm(len(candidates), 20, 10) if place[1] > place[0] + 1]
        for start, end in windows:
            docs = [candidates[i].doc for i in order[start:end]]
            text, ended = write(reference, expect(case, reference.tokenizer, "what is it?", docs))
            texts.append((text, ended))
            said, named = order_of(text, ended, end - start)
            read |= {*order[start:end]} if named else set()
            order[start:end] = [order[start + i] for i in said]
            counted["windows"] += 1
            counted["windows_partial"] += 0 < named < end - start
            counted["windows_unread"] += named == 0
        assert [(reply.text, reply.finished) for reply in got.replies] == texts
        expected = [len(order) - 1 - order.index(i) if i in read else None for i in range(len(order))]
        assert [score if isinstance(score, float) else None for score in got.scores] == expected
        assert order != [*range(len(order))] or len(order) < 3, "a model that leaves all as it is proves nothing"
    assert {name: figures[name] for name in counted} == counted
    assert counted["windows_partial"] > counted["windows_unread"]
