"""PRP against loops by transformers: the same comparisons, letters' log-probabilities and scores."""

from typing import Any

import pytest

from actors.rerankers.contract import Pair
from tests.actors.rerankers.test_comparisons import sort_as_authors
from tests.actors.rerankers.test_setwise import ANSWER, ASKED, LIMITS, TEXTS, Comparisons
from tests.file_tokenizer import FileTokenizer
from tests.parity import ENGINES, Reference, rank_queries

DOCS = TEXTS[-12:]


def prompt(tokenizer: FileTokenizer, query: str, docs: list[str]) -> list[int]:
    """The authors' prompt in Qwen3's chat template, with the answer begun. (A pair alone has one passage.)"""
    passages = "\n\n".join(f'Passage {letter}: "{{d{letter}}}"' for letter in "AB"[: len(docs)])
    frame = (
        '<|im_start|>user\nGiven a query "{query}", which of the following two passages is more relevant to the '
        f"query?\n\n{passages}\n\nOutput Passage A or Passage B:{ANSWER}"
    )
    return tokenizer.fill(frame, query=query, **{f"d{letter}": doc for letter, doc in zip("AB", docs, strict=False)})


def beats(made: Comparisons, one: int, other: int) -> bool | None:
    """Whether one wins over the other; None for a draw."""
    answers = [made.ask([one, other]), made.ask([other, one])]
    return {(0, 1): True, (1, 0): False}.get((answers[0], answers[1]))


def score_all_pairs(made: Comparisons) -> list[float]:
    scores = [0.0] * len(DOCS)
    for i in range(len(DOCS)):
        for j in range(i + 1, len(DOCS)):
            won = beats(made, i, j)
            scores[i] += 0.5 if won is None else won
            scores[j] += 0.5 if won is None else not won
    return scores


def score_heap_sort(made: Comparisons) -> list[float]:
    def find_largest(arr: list[int], places: list[int]) -> int:
        largest = places[0]
        for child in places[1:]:
            if beats(made, arr[child], arr[largest]):
                largest = child
        return largest

    best, others = sort_as_authors(len(DOCS), 2, 5, find_largest)
    return [float(11 - (best + others).index(doc)) for doc in range(len(DOCS))]


@pytest.mark.parametrize("engine", ["cached", "transformers"])
@pytest.mark.parametrize("method", ["allpair", "heapsort"])
def test_comparisons_and_scores_are_those_of_transformers(method: str, engine: str, lettered_qwen3: str) -> None:
    settings: dict[str, Any] = {"type": "pairwise", "model": lettered_qwen3, "method": method} | LIMITS
    settings |= {"k": 5} if method == "heapsort" else {}
    queries = [[Pair(query, text) for text in DOCS] for query in ASKED]
    ranked, figures = rank_queries(settings, ENGINES[engine], queries)
    reference = Reference(lettered_qwen3)
    scores = set()
    for query, got in zip(ASKED, ranked, strict=True):
        made = Comparisons(reference, prompt, query, DOCS)
        expected = score_all_pairs(made) if method == "allpair" else score_heap_sort(made)
        made.assert_same(got)
        assert got.scores == expected
        scores |= {*expected}
    assert len(scores) > 5, "a model that has one answer proves nothing"
    assert figures["windows"] == figures["new_tokens"] == sum(len(got.replies) for got in ranked)
    assert figures["windows_unread"] == figures["windows_shortened"] == 0
