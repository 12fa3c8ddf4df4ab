"""The rows to be scored: by a run that was stopped, by one that is done, and of more files than are looked into."""

from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.check.preflight import check
from pipeline.errors import UsageError
from pipeline.estimate.dry_run import dry_run
from pipeline.estimate.sizes import Sizes
from pipeline.estimate.text import describe_estimate
from pipeline.estimate.unscored import find_unscored_units
from pipeline.plan.existing import PLAN
from pipeline.plan.plan import make_plan
from pipeline.storage.folder import Folder


def table(rows: int) -> dict:
    return {"query": ["q"] * rows, "doc": [f"d {i}" for i in range(rows)], "score": [1.0] * rows}


def test_units_that_have_scores_are_not_estimated(lb_config: Callable, write_pairs: Callable, tmp_path: Path) -> None:
    config = lb_config(write_pairs(**table(50)), run={"unit_rows": 10})
    checked = check(config)
    plan = make_plan(config, checked.files, 10)
    checked.scores.put_new(f"{PLAN}.parquet", plan.to_bytes())
    for name in ("000000-0000.parquet", "000000-0003.parquet", "000000-0003.transient"):
        checked.scores.put_new(name, b"")
    todo = find_unscored_units(checked)
    assert (todo.rows, todo.units, todo.again, todo.exact) == (30, 3, 1, True)
    before = Folder(str(tmp_path)).files()
    about = dry_run(config)
    assert (about["pairs"], about["units_scored"], about["units_again"]) == (30, 1, 1)
    assert Folder(str(tmp_path)).files() == before, "a dry run changes nothing"
    for name in ("000000-0001.parquet", "000000-0002.parquet", "000000-0004.parquet"):
        checked.scores.put_new(name, b"")
    assert "nothing is left to score" in describe_estimate(dry_run(config))[-1]
    restart = lb_config(config.input.path, run={"unit_rows": 10, "on_existing": "restart"})
    assert dry_run(restart)["pairs"] == 50
    assert checked.scores.size(f"{PLAN}.parquet"), "restart throws nothing away yet"


def test_units_scored_by_a_draft_of_a_plan_are_named(lb_config: Callable, write_pairs: Callable) -> None:
    config = lb_config(write_pairs(**table(50)), run={"unit_rows": 10})
    checked = check(config)
    for name in ("draft.parquet", "draft-000000.parquet", "000000-0000.parquet", "000000-0003.parquet"):
        checked.scores.put_new(name, b"")
    about = dry_run(config)
    assert (about["pairs"], about["units_drafted"]) == (50, 2)
    assert "2 of them are scored already" in describe_estimate(about)[1]


def test_scores_of_another_setting_are_refused_as_by_the_run(lb_config: Callable, write_pairs: Callable) -> None:
    path = write_pairs(**table(5))
    checked = check(lb_config(path))
    checked.scores.put_new(f"{PLAN}.parquet", b"")
    with pytest.raises(UsageError, match="holds scores of another model, prompt or setting"):
        find_unscored_units(check(lb_config(path, reranker={"score": "notebook"})))


def test_of_very_many_files_some_footers_are_read(lb_config: Callable, write_pairs: Callable) -> None:
    """Files of equal rows, so that their number, and so the estimate, is known."""
    sizes = Sizes(files=4)
    paths = [write_pairs(f"{i:02}.parquet", **table(20)) for i in range(12)]
    todo = find_unscored_units(check(lb_config(paths)), sizes)
    assert len(todo.plan.places()) == 4 and not todo.exact
    assert todo.rows == pytest.approx(240, rel=0.02) and todo.units == 12
    assert describe_estimate(dry_run(lb_config(paths), sizes=sizes))[0].startswith(
        "to score  about 240 pairs in about 12 units of 12 files"
    )
