"""A plan that is made page by page equals the plan that is made at once, except for the names of its units."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pipeline.config import Config
from pipeline.errors import RunError, UsageError
from pipeline.input.listing import InputFile, list_inputs
from pipeline.plan.draft import Draft, begin_draft, finish_draft, is_worth_drafting, read_draft
from pipeline.plan.plan import SCHEMA, make_plan
from pipeline.plan.replan import find_changed
from pipeline.sizes import Sizes
from pipeline.storage.folder import Folder

Make = Callable[..., Config]
ROWS = (3, 5, 0, 7, 1, 4, 2)
SIZES = Sizes(tasks=3)  # pages of three files
COMPARED = ("start", "stop", "first_row", "first_group", "last_group", "ranges", "file", "path", "size", "version")


@pytest.fixture
def config(write_pairs: Any, make_config: Make) -> Config:
    """A config for seven files."""
    for i, rows in enumerate(ROWS):
        texts: list[Any] = [f"text {i}"] * rows
        path = write_pairs(f"in/{i}.parquet", query=texts, doc=texts, score=[1.0] * rows)
    return make_config(str(Path(path).parent), run={"unit_rows": 2})


def begin(config: Config, scores: Folder, sizes: Sizes = SIZES) -> Draft:
    return begin_draft(config, list_inputs(config.input.path), scores, sizes)


@pytest.fixture
def scores(tmp_path: Path) -> Folder:
    return Folder(str(tmp_path / "scores"))


def test_all_pages_together_are_the_plan(config: Config, scores: Folder) -> None:
    plan = finish_draft(begin(config, scores))
    at_once = make_plan(config, list_inputs(config.input.path), 2)
    assert plan.table.schema == SCHEMA
    assert plan.table.select(COMPARED).equals(at_once.table.select(COMPARED))
    assert plan.columns == at_once.columns
    names = plan.unit_names()
    assert len(set(names)) == len(names) and plan.next_split > max(plan.units["split"].to_pylist())
    pages = [f"draft-{plan.id}-00000{page}.parquet" for page in range(3)]
    assert list(scores.files()) == sorted([*pages, "draft.parquet"])


def test_a_task_has_the_splits_of_its_page(config: Config, scores: Folder) -> None:
    made = begin(config, scores)
    assert made.tasks == 3
    rows = [[sum(unit.stop - unit.start for unit in split.units) for split in made.splits(task)] for task in range(3)]
    assert rows == [[3, 5], [7, 1, 4], [2]]


def test_the_rows_of_all_files_are_estimated_from_those_that_were_sampled(config: Config, scores: Folder) -> None:
    assert begin(config, scores).rows == sum(ROWS)
    assert 0 < begin(config, scores, replace(SIZES, sampled_footers=3)).rows < 7 * max(ROWS)


def test_units_mean_the_same_rows_for_every_driver(config: Config, scores: Folder, write_pairs: Any) -> None:
    first, second = begin(config, scores), begin(config, scores)
    assert first.id == second.id
    before = first.page(1)
    texts: list[Any] = ["changed"] * 9
    write_pairs("in/4.parquet", query=texts, doc=texts, score=[1.0] * 9)
    assert second.page(1).equals(before), "the page that was put first stays"
    assert finish_draft(first).rows == sum(ROWS)


def test_a_file_that_changed_before_its_page_was_made_is_planned_as_it_is(
    config: Config, scores: Folder, write_pairs: Any
) -> None:
    begin(config, scores).page(0)
    texts: list[Any] = ["changed"] * 9
    for name in ("0", "4"):
        write_pairs(f"in/{name}.parquet", query=texts, doc=texts, score=[1.0] * 9)
    files = list_inputs(config.input.path)
    plan = finish_draft(read_draft(config, files, scores, SIZES))
    assert plan.rows == sum(ROWS) - ROWS[4] + 9
    assert find_changed(plan.versions(), files) == [files[0].path]


def test_a_file_that_changed_since_it_was_listed_is_not_reported_as_broken(
    config: Config, scores: Folder, write_pairs: Any
) -> None:
    made = begin(config, scores)
    texts: list[Any] = ["changed"] * 9
    write_pairs("in/4.parquet", query=texts, doc=texts, score=[1.0] * 9)
    with pytest.raises(RunError, match=r"4\.parquet: has changed since it was listed") as error:
        made.page(1)
    assert error.value.exit_code == 1


def test_few_files_and_large_ones_are_planned_before_the_run_starts() -> None:
    sizes = Sizes(drafted_files=3, large_file=100)
    small, large = InputFile("a", 99, ""), InputFile("b", 100, "")
    assert is_worth_drafting([small] * 4, sizes)
    assert not is_worth_drafting([small] * 3, sizes)
    assert not is_worth_drafting([small, small, small, large], sizes)


def test_a_file_that_is_new_or_gone_is_refused(config: Config, scores: Folder) -> None:
    begin(config, scores)
    files = list_inputs(config.input.path)
    with pytest.raises(UsageError, match=r"6\.parquet: is gone since"):
        read_draft(config, files[:-1], scores, SIZES)
    with pytest.raises(UsageError, match=r"7\.parquet: is new since"):
        new = InputFile(files[0].path.replace("0.parquet", "7.parquet"), 1, "")
        read_draft(config, [*files, new], scores, SIZES)


def test_a_file_that_cannot_be_used_is_named_when_its_page_is_made(config: Config, scores: Folder) -> None:
    broken = Path(config.input.path[0]) / "5.parquet"
    data = broken.read_bytes()
    broken.write_bytes(data[:-4] + b"nope")
    with pytest.raises(UsageError, match=r"5\.parquet: "):
        begin(config, scores)
    made = begin(config, scores, replace(SIZES, sampled_footers=0))
    made.page(0)
    with pytest.raises(UsageError, match=r"5\.parquet: "):
        made.page(1)
    with pytest.raises(UsageError, match=r"5\.parquet: "):
        finish_draft(made)
