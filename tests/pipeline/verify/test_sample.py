"""Which pairs are drawn."""

from collections import Counter
from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pytest

from pipeline.check.preflight import check
from pipeline.config import Config
from pipeline.errors import UsageError
from pipeline.verify.sample import PER_QUERY, choose, draw_pairs

Make = Callable[..., Config]


def table(queries: int, docs: int, empty: int = 0) -> dict[str, list]:
    """Documents of all lengths in an order of chance; the first `empty` have no text."""
    rng = np.random.default_rng(5)
    sizes = rng.permutation(np.arange(1, queries * docs + 1)).tolist()
    return {
        "query_id": [f"q{q}" for q in range(queries) for _ in range(docs)],
        "query": [f"query {q:04}" for q in range(queries) for _ in range(docs)],
        "doc_id": [f"d{d}" for _ in range(queries) for d in range(docs)],
        "doc": ["" if i < empty else "x" * size for i, size in enumerate(sizes)],
        "score": [1.0] * (queries * docs),
    }


def pairs(drawn: pa.Table) -> list[tuple[str, str]]:
    return [*zip(drawn["query_id"].to_pylist(), drawn["doc_id"].to_pylist(), strict=True)]


@pytest.mark.parametrize(("queries", "docs", "wanted"), [(40, 30, 100), (300, 4, 50), (6, 200, 44), (1200, 1, 20)])
def test_half_are_whole_queries_and_half_stand_at_even_steps_of_length(queries: int, docs: int, wanted: int) -> None:
    rows = pa.table(table(queries, docs))
    chosen = choose(rows, wanted, np.random.default_rng(0))
    assert len({*chosen.tolist()}) == wanted and (np.diff(chosen) > 0).all()
    lengths = np.array([len(doc) for doc in rows["doc"].to_pylist()])
    assert lengths.argmax() in chosen
    quarters = np.histogram(lengths[chosen], 4, (0, len(rows)))[0]
    assert quarters.min() >= wanted // 2 // 4, "each quarter of the lengths has its share"
    of_query = Counter(rows["query_id"].take(chosen).to_pylist())
    several = sorted((count for count in of_query.values() if count > 1), reverse=True)
    if docs > 1:
        assert sum(several) >= wanted // 2 - 1
    assert max(of_query.values()) >= min(docs, PER_QUERY, wanted // 2)


@pytest.mark.parametrize("wanted", [2, 3, 4, 59, 60, 1000])
def test_no_pair_is_drawn_twice_and_none_is_made_up(wanted: int, write_pairs: Callable, make_config: Make) -> None:
    checked = check(make_config(write_pairs(**table(6, 10))))
    drawn = pairs(draw_pairs(checked, wanted, 0))
    assert len(drawn) == len({*drawn}) == min(wanted, 60)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_seed_draws_the_same_pairs_and_another_one_others(
    seed: int, write_pairs: Callable, make_config: Make
) -> None:
    checked = check(make_config(write_pairs(row_group_size=50, **table(40, 25))))
    drawn = pairs(draw_pairs(checked, 40, seed))
    assert drawn == pairs(draw_pairs(checked, 40, seed))
    assert drawn != pairs(draw_pairs(checked, 40, seed + 1))


@pytest.mark.parametrize("duplicates", ["first", "last"])
def test_pairs_without_texts_are_not_drawn_and_of_those_that_are_there_twice_one_is(
    duplicates: str, write_pairs: Callable, make_config: Make
) -> None:
    rows = table(30, 4, empty=5)
    again = {name: values[6:9] for name, values in rows.items()} | {"doc": ["other"] * 3}
    path = write_pairs(row_group_size=10, **{name: [*values, *again[name]] for name, values in rows.items()})
    config = make_config(path, run={"unit_rows": 10})
    config = config.model_copy(update={"input": config.input.model_copy(update={"duplicates": duplicates})})
    drawn = draw_pairs(check(config), 200, 0)
    expected = {pair: doc for pair, doc in zip(pairs(pa.table(rows)), rows["doc"], strict=True) if doc}
    expected |= {pair: "other" for pair in pairs(pa.table(again)) if duplicates == "last"}
    assert len(drawn) == 115 and dict(zip(pairs(drawn), drawn["doc"].to_pylist(), strict=True)) == expected


@pytest.mark.parametrize("kept", [2, 5, 30])
def test_of_an_output_only_its_pairs_are_drawn(kept: int, write_pairs: Callable, make_config: Make) -> None:
    rows = table(20, 10)
    checked = check(make_config(write_pairs(row_group_size=20, **rows), run={"unit_rows": 20}))
    known = {*pairs(pa.table(rows))[-kept:]}
    drawn = draw_pairs(checked, 50, 0, lambda found: np.array([pair in known for pair in pairs(found)]))
    assert {*pairs(drawn)} == known


@pytest.mark.parametrize(
    ("keep", "empty", "words"),
    [(0, 0, "no pair(s) that are in --against"), (1, 0, "1 pair(s) that is in"), (None, 6, "no pair(s) with both")],
)
def test_too_few_pairs_are_refused(
    keep: int | None, empty: int, words: str, write_pairs: Callable, make_config: Make
) -> None:
    checked = check(make_config(write_pairs(**table(2, 3, empty))))
    with pytest.raises(UsageError, match="two at least are needed") as error:
        draw_pairs(checked, 5, 0, None if keep is None else lambda found: np.arange(len(found)) < keep)
    assert words in str(error.value)


@pytest.mark.parametrize("rows", [20, 60, 200])
def test_rows_that_have_scores_are_drawn_too(
    rows: int, run: Callable, write_pairs: Callable, make_config: Make
) -> None:
    """A finished run is verified with the same config."""
    path = write_pairs(**table(rows // 10, 10))
    before = pairs(draw_pairs(check(make_config(path)), 10, 0))
    run(path)
    assert pairs(draw_pairs(check(make_config(path)), 10, 0)) == before
