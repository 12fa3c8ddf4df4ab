"""Files that came, changed and went since the standing result was made; a listing that lags makes none go."""

import shutil
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from pipeline.config import Config
from pipeline.errors import UsageError
from pipeline.input.listing import InputFile, list_inputs
from pipeline.plan.changes import Changes, find_changes

Make = Callable[..., Config]
NOTHING = Changes([], [], [])


@pytest.fixture
def three(write_pairs: Any, tmp_path: Path) -> list[InputFile]:
    for name in "abc":
        write_pairs(f"in/{name}.parquet", query=["q"], doc=["d"], score=[1.0])
    return list_inputs([str(tmp_path / "in")])


def stand(files: list[InputFile]) -> dict[str, Any]:
    """The manifest's entry about the files that a result was made from."""
    return {"input": [asdict(file) | {"rows": 1} for file in files]}


def test_the_same_files_and_those_of_a_first_result_have_no_changes(
    three: list[InputFile], make_config: Make, tmp_path: Path
) -> None:
    config = make_config(str(tmp_path / "in"))
    assert find_changes(config, three, stand(three)) == (three, NOTHING)
    assert find_changes(config, three, stand(three[::-1])) == (three, NOTHING)
    assert find_changes(config, three, None) == (three, NOTHING)


def test_what_came_changed_and_went_is_found(
    three: list[InputFile], make_config: Make, tmp_path: Path, write_pairs: Any
) -> None:
    a, b, c = (file.path for file in three)
    before = stand(
        [InputFile(a, three[0].size, "earlier"), InputFile(b, three[1].size + 1, three[1].version), three[2]]
    )
    Path(c).unlink()
    d = write_pairs("in/d.parquet", query=["q"], doc=["d"], score=[1.0])
    files, config = list_inputs([str(tmp_path / "in")]), make_config(str(tmp_path / "in"), run={"on_gone": "drop"})
    found, changes = find_changes(config, files, before)
    assert found == files and changes == Changes(came=[d], changed=[a, b], gone=[c])
    assert str(changes) == f"1 came, 2 changed, 1 went ({d} first)"


def test_files_that_are_gone_are_refused_by_name(three: list[InputFile], make_config: Make, tmp_path: Path) -> None:
    Path(three[1].path).unlink()
    Path(three[2].path).unlink()
    files = list_inputs([str(tmp_path / "in")])
    with pytest.raises(UsageError) as error:
        find_changes(make_config(str(tmp_path / "in")), files, stand(three))
    line = str(error.value)
    assert line.startswith(f"{three[1].path}: is gone") and "(2 such files)" in line and "run.on_gone=drop" in line
    drop = make_config(str(tmp_path / "in"), run={"on_gone": "drop"})
    gone = [file.path for file in three[1:]]
    assert find_changes(drop, files, stand(three)) == (files, NOTHING._replace(gone=gone))


# input.path, below the folder with in/a, in/b, in/c and more/c
PATHS = [
    ["in"],
    ["in/"],
    ["in/*.parquet"],
    ["in/[a-c].parquet"],
    ["*/[abc].parquet"],
    ["i*"],  # a glob of folders
    ["**/in/*.parquet"],
    ["in/c.parquet", "in/a.parquet", "in/b.parquet"],
    ["in/c.parquet", "in"],
    ["more", "in"],
    ["in", "more/*"],
]


@pytest.mark.parametrize("lagging", [0, 1, 2])
@pytest.mark.parametrize("paths", PATHS, ids=str)
def test_a_file_that_a_listing_does_not_show_is_looked_up_and_keeps_its_place(
    paths: list[str], lagging: int, three: list[InputFile], make_config: Make, tmp_path: Path
) -> None:
    shutil.copytree(tmp_path / "in", tmp_path / "more")
    for name in "ab":
        (tmp_path / "more" / f"{name}.parquet").unlink()
    given = [f"{tmp_path}/{path}" for path in paths]
    whole = list_inputs(given)
    assert {*three} <= {*whole}
    listed = [file for file in whole if file != three[lagging]]
    assert find_changes(make_config(given), listed, stand(whole)) == (whole, NOTHING)


def test_a_file_that_a_listing_does_not_show_may_have_changed(
    three: list[InputFile], make_config: Make, tmp_path: Path, write_pairs: Any
) -> None:
    path = write_pairs("in/b.parquet", query=["q"] * 50, doc=["d"] * 50, score=[1.0] * 50)
    config = make_config(str(tmp_path / "in"))
    files, changes = find_changes(config, [three[0], three[2]], stand(three))
    assert (files, changes) == (list_inputs(config.input.path), NOTHING._replace(changed=[path]))


@pytest.mark.parametrize("path", ["other", "in/a.parquet", "in/[ab].parquet", "in/a*"])
def test_a_file_outside_the_input_has_gone_though_it_is_there(
    path: str, three: list[InputFile], make_config: Make, tmp_path: Path
) -> None:
    shutil.copytree(tmp_path / "in", tmp_path / "other")
    config = make_config(f"{tmp_path}/{path}", run={"on_gone": "drop"})
    files = list_inputs(config.input.path)
    found, changes = find_changes(config, files, stand(three))
    assert found == files
    assert changes.gone == [file.path for file in three if file not in files]
    assert three[2].path in changes.gone
