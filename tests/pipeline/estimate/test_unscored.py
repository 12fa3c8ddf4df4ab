"""The rows to be scored: by a run that was stopped, by one that is done, and of more files than are looked into."""

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import pyarrow as pa
import pytest

from pipeline.check.preflight import check
from pipeline.config import Config
from pipeline.errors import UsageError
from pipeline.estimate.dry_run import dry_run
from pipeline.estimate.sizes import Sizes
from pipeline.estimate.text import describe_estimate
from pipeline.estimate.unscored import UnscoredUnits, find_unscored_units
from pipeline.output.commit import commit
from pipeline.plan.units import Unit, hash_version, name_score_file
from pipeline.storage.folder import Folder


def table(rows: int) -> dict:
    return {"query": ["q"] * rows, "doc": [f"d {i}" for i in range(rows)], "score": [1.0] * rows}


def put_scores(config: Config, *units: tuple[int, ...], rows: int = 50, transient: bool = False, file: int = 0) -> None:
    """Score files, without anything in them, of units of a file: first, stop and, for a further try, its number."""
    checked = check(config)
    for bounds in units:
        unit = Unit(hash_version(checked.files[file]), rows, *bounds)
        checked.scores.put_new(name_score_file(unit.name, transient), b"")


def list_bounds(todo: UnscoredUnits) -> list[tuple[int, int]]:
    return [(unit.first, unit.stop) for _, unit in todo.units]


def test_rows_that_have_scores_are_not_estimated(lb_config: Callable, write_pairs: Callable, tmp_path: Path) -> None:
    config = lb_config(write_pairs(**table(50)), run={"unit_rows": 10})
    put_scores(config, (0, 10), (33, 37))  # of a run with another unit_rows
    put_scores(config, (12, 18), transient=True)
    todo = find_unscored_units(check(config))
    assert list_bounds(todo) == [(10, 12), (18, 28), (28, 33), (37, 47), (47, 50)]
    assert (todo.rows, todo.unit_count, todo.scored, todo.failed, todo.exact) == (30, 5, 20, 0, True)
    before = Folder(str(tmp_path)).files()
    about = dry_run(config)
    assert (about["pairs"], about["units"], about["pairs_scored"]) == (30, 5, 20)
    assert "20 pairs are scored already" in describe_estimate(about)[1]
    assert Folder(str(tmp_path)).files() == before, "a dry run changes nothing"


def test_where_all_is_scored_nothing_is_left(lb_config: Callable, write_pairs: Callable) -> None:
    config = lb_config(write_pairs(**table(50)))
    put_scores(config, (0, 30), (25, 50))
    assert "nothing is left to score" in describe_estimate(dry_run(config))[-1]
    restart = lb_config(config.input.path, run={"on_existing": "restart"})
    assert (dry_run(restart)["pairs"], dry_run(restart)["pairs_scored"]) == (50, 0)
    assert len(check(restart).scores.files()) == 2, "restart throws nothing away yet"


@pytest.mark.parametrize(("retry", "failed"), [(False, 0), (True, 1)])
def test_rows_that_failed_are_scored_once_more_where_the_config_says_so(
    retry: bool, failed: int, lb_config: Callable, write_pairs: Callable
) -> None:
    config = lb_config(write_pairs(**table(50)), run={"retry_failed": retry})
    put_scores(config, (0, 10), (20, 50), (10, 20, 1))
    put_scores(config, (10, 20), transient=True)
    about = dry_run(config)
    assert (about["pairs"], about["units_failed"]) == (0, failed)
    said = "\n".join(describe_estimate(about))
    assert ("rows of 1 units, or fewer, are scored once more" in said) == ("nothing else is left" in said) == retry


def test_files_that_came_or_changed_are_estimated(lb_config: Callable, write_pairs: Callable, tmp_path: Path) -> None:
    for name in "abc":
        write_pairs(f"in/{name}.parquet", **table(50))
    config = lb_config(str(tmp_path / "in"))
    for file in range(3):
        put_scores(config, (0, 50), file=file)
    assert dry_run(config)["pairs"] == 0
    write_pairs("in/b.parquet", **table(7))
    write_pairs("in/d.parquet", **table(4))
    todo = find_unscored_units(check(config))
    assert [split.path[-9:] for split in todo.splits] == ["b.parquet", "d.parquet"]
    assert (todo.rows, todo.scored) == (11, 100)


def test_files_that_are_gone_are_refused_as_by_the_run(lb_config: Callable, write_pairs: Callable) -> None:
    path = write_pairs("in/a.parquet", **table(3))
    gone = {"path": path.replace("a.parquet", "b.parquet"), "size": 1, "version": "etag", "rows": 5}
    here = lb_config(str(Path(path).parent))
    checked = check(here)
    manifest = {"parts": [], "rejects": [], "input": [asdict(checked.files[0]), gone], "fingerprint": "0" * 16}
    commit(checked.output, manifest)
    with pytest.raises(UsageError, match=r"b.parquet: is gone from the input"):
        find_unscored_units(checked)
    for run in ({"on_gone": "drop"}, {"on_existing": "restart"}):
        assert find_unscored_units(check(lb_config(here.input.path, run=run))).rows == 3


def test_files_without_rows_are_no_work(lb_config: Callable, write_pairs: Callable) -> None:
    empty = {name: pa.array([], pa.float64() if name == "score" else pa.string()) for name in table(0)}
    todo = find_unscored_units(check(lb_config([write_pairs("a.parquet", **empty), write_pairs(**table(3))])))
    assert (todo.rows, todo.unit_count, todo.files) == (3, 1, 2)


def test_scores_of_another_setting_are_refused_as_by_the_run(lb_config: Callable, write_pairs: Callable) -> None:
    path = write_pairs(**table(5))
    put_scores(lb_config(path), (0, 5), rows=5)
    with pytest.raises(UsageError, match="holds scores of another model, prompt, setting or type of ids"):
        find_unscored_units(check(lb_config(path, reranker={"score": "notebook"})))


def test_of_very_many_files_some_footers_are_read(lb_config: Callable, write_pairs: Callable) -> None:
    """Files of equal rows, so that their number, and so the estimate, is known."""
    sizes = Sizes(files=4)
    paths = [write_pairs(f"{i:02}.parquet", **table(20)) for i in range(12)]
    todo = find_unscored_units(check(lb_config(paths)), sizes)
    assert len({split.path for split in todo.splits}) == 4 and not todo.exact
    assert todo.rows == pytest.approx(240, rel=0.02) and todo.unit_count == 12
    assert describe_estimate(dry_run(lb_config(paths), sizes=sizes))[0].startswith(
        "to score  about 240 pairs in about 12 units of 12 files"
    )
