"""Each warning where it is due, and none of them for a run that is well."""

from collections.abc import Callable
from typing import Any

import pytest

from pipeline.estimate.dry_run import dry_run

GOOD: dict[str, Any] = {
    "query_id": [f"q{i // 4}" for i in range(60)],
    "query": [f"query {i // 4}" for i in range(60)],
    "doc": [f"a document {i}" for i in range(60)],
    "score": [float(i) for i in range(60)],
}


def test_a_run_that_is_well_has_none(lb_config: Callable, write_pairs: Callable) -> None:
    assert dry_run(lb_config(write_pairs(**GOOD)))["warnings"] == []


@pytest.mark.parametrize(
    ("sections", "columns", "said"),
    [
        ({"engine": {"max_model_len": 300}}, {"doc": ["word " * 300] * 60}, "100% of the prompts lose a part"),
        ({"reranker": {"type": "erank", "max_new_tokens": 500}, "engine": {"max_model_len": 1200}},
         {"doc": ["word " * 300] * 60}, "of max_new_tokens = 500 for its answer"),
        ({}, {"doc": [""] * 10 + GOOD["doc"][10:]}, "16.7% of the rows would have no score, more than"),
        ({}, {"doc": [""] * 6 + GOOD["doc"][6:], "doc_id": ["d"] * 60},
         "78.3% of the rows would have no score, more than run.max_failed = 0.01: the job would end with exit code 3; "
         "most of them (68.3%): the ids of a row before it"),
        ({}, {"doc": ["d"] * 60, "doc_id": ["d"] * 60}, "repetitions of rows in other units are not seen"),
        ({"fusion": {"alpha": 1.0}}, {}, "fusion.alpha = 1.0: the order is the first stage's"),
        ({"fusion": {"method": "none", "alpha": 0.5}}, {}, "fusion.method = 'none': fusion.alpha = 0.5 has no effect"),
        ({}, {"score": [1.0] * 60}, "the first stage's scores do not tell the documents of a query apart"),
        ({}, {"query_id": [str(i) for i in range(60)]}, "100% of the queries have a single row"),
        ({}, {"doc": ["d"] * 60, "doc_id": ["d"] * 60}, "75.0% of the rows repeat the ids"),
        ({"workers": {"count": 3}, "run": {"shared_filesystem": True}}, {}, "1 units for 3 workers: 2 would be idle"),
        ({"workers": {"count": 3}, "run": {"unit_rows": 9, "shared_filesystem": True}}, {}, "1 read tasks for 3"),
        ({"workers": {"count": 2}, "run": {"unit_rows": 10}}, {}, "is a local disk, and there are 2 workers"),
    ],
)  # fmt: skip
def test_what_is_said(sections: dict, columns: dict, said: str, lb_config: Callable, write_pairs: Callable) -> None:
    assert said in "\n".join(dry_run(lb_config(write_pairs(**GOOD | columns), **sections))["warnings"])


def test_some_repeated_rows_are_not_too_many(lb_config: Callable, write_pairs: Callable) -> None:
    table = GOOD | {"doc_id": [f"{i}" for i in range(59)] + ["58"]}
    (line,) = dry_run(lb_config(write_pairs(**table), run={"max_failed": 0.02}))["warnings"]
    assert line.startswith("1.7% of the rows repeat the ids of a row before them in their unit")


@pytest.mark.parametrize(("column", "warned"), [(None, False), ("score", True), ("query", True), ("doc", True)])
def test_a_row_that_is_equal_to_another_counts_for_nothing(
    column: str | None, warned: bool, lb_config: Callable, write_pairs: Callable
) -> None:
    """The last row is the one before it, or differs in one column."""
    table = {name: values[:-1] + values[-2:-1] for name, values in GOOD.items()}
    table["doc_id"] = [f"{i}" for i in range(59)] + ["58"]
    if column:
        table[column] = [*GOOD[column][:-1], GOOD[column][0]]
    warnings = dry_run(lb_config(write_pairs(**table)))["warnings"]
    assert any("rejects, which count for run.max_failed" in line for line in warnings) == warned
    assert len(warnings) == (2 if warned else 0)


def test_one_file_far_larger_than_the_rest(lb_config: Callable, write_pairs: Callable) -> None:
    numbers = range(2000)
    large = {
        "query": ["q"] * 2000,
        "doc": [hex(hash((i, "large"))) * 9 for i in numbers],
        "score": [*map(float, numbers)],
    }
    paths = [write_pairs(f"{i}.parquet", **{name: GOOD[name] for name in large}) for i in range(4)]
    paths.append(write_pairs("large.parquet", **large))
    (line,) = dry_run(lb_config(paths))["warnings"]
    assert line.startswith(f"{paths[-1]}: 2,000 rows from row 0 on are one read of 0.") and "times the median" in line
