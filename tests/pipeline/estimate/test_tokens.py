"""Shares of units that are written here, of unequal size."""

from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pytest

from actors.rerankers.tokenizer import load_tokenizer
from pipeline.estimate.draw import DrawnUnit
from pipeline.estimate.tokens import Sample, sample_tokens


def unit(total: int, empty: int = 0, long: int = 0, repeated: int = 0) -> DrawnUnit:
    """A unit of which all rows but the empty ones were drawn, the first few of them with a long document."""
    ok = total - empty
    docs = [f"d {i} " + "word " * 20 * (i < long) for i in range(ok)]
    return DrawnUnit(
        total=total,
        ok=ok,
        known=0,
        unusable={"document is empty": empty},
        rows=pa.table({"query": ["q"] * ok, "doc": docs}),
        same={side: np.ones(ok, dtype=int) for side in (("query",), ("doc",), ("query", "doc"))},
        per_query=np.array([total]),
        tied=False,
        repeated=repeated,
    )


@pytest.fixture
def sampled(lb_config: Callable) -> Callable[..., Sample]:
    settings = lb_config("p", reranker={"max_doc_tokens": 12}).reranker
    return lambda units, whole: sample_tokens(units, load_tokenizer(settings, 512), settings, whole)


def test_units_drawn_by_their_rows_weigh_the_same(sampled: Callable) -> None:
    """Half the rows of the input are in small units, half of these without a text; so half of the drawn units are."""
    seen = sampled([unit(10, empty=5, long=2, repeated=1), unit(200)], whole=False)
    assert seen.unusable == {"document is empty": pytest.approx((5 / 10 + 0 / 200) / 2)}
    assert seen.repeated == pytest.approx((1 / 10 + 0 / 200) / 2)
    assert seen.truncated == pytest.approx((2 / 10 + 0 / 200) / (5 / 10 + 200 / 200))


def test_of_all_units_every_row_weighs_the_same(sampled: Callable) -> None:
    seen = sampled([unit(10, empty=5, long=2, repeated=1), unit(200)], whole=True)
    assert seen.unusable == {"document is empty": pytest.approx(5 / 210)}
    assert (seen.repeated, seen.truncated) == pytest.approx((1 / 210, 2 / 205))
