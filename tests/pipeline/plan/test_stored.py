"""A run goes on from score files under its fingerprint, or one that it accepts; others are refused in one line."""

from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.check.preflight import Checked
from pipeline.config import Config
from pipeline.errors import UsageError
from pipeline.plan.stored import list_all_stored, list_everything, list_stored

MINE = "0123456789abcdef-vllm-0.32"
NEWER = "0123456789abcdef-vllm-0.33"
OLDER = "0123456789abcdef-vllm-0.9"
OTHER = "fedcba9876543210-vllm-0.32"
OTHER_ENGINE = "0123456789abcdef-transformers-5.1"
FILE = "1111111111111111-2222222222222222-9-0000000000-0000000009.parquet"
SECOND = "1111111111111111-3333333333333333-9-0000000000-0000000009.transient.parquet"
MERGED = "merged/00000-abc.parquet"
OLD = ["0123456789abcdef/000000-0000.parquet", "0123456789abcdef/plan-00000.parquet"]


@pytest.fixture
def put(tmp_path: Path, make_config: Callable[..., Config]) -> Callable[..., Checked]:
    """A run whose output has these files among its scores. accept: run.accept of its config."""

    def put(names: list[str], accept: list[str] = []) -> Checked:
        checked = Checked(make_config("in", run={"accept": accept}), [], MINE)
        for name in names:
            checked.all_scores.put_new(name, b"x")
        return checked

    return put


# files that are there, run.accept -> those that the run goes on from
USABLE: list[tuple[list[str], list[str], list[str]]] = [
    ([], [], []),
    ([], ["engine"], []),
    ([f"{MINE}/{FILE}", f"{MINE}/{MERGED}"], [], [f"{MINE}/{FILE}", f"{MINE}/{MERGED}"]),
    ([f"{MINE}/{FILE}", f"{OTHER}/{FILE}", f"{NEWER}/{FILE}"], [], [f"{MINE}/{FILE}"]),
    (
        [f"{MINE}/{FILE}", f"{NEWER}/{SECOND}", f"{OLDER}/{FILE}", f"{OTHER}/{FILE}", f"{OTHER_ENGINE}/{FILE}"],
        ["engine"],
        [f"{MINE}/{FILE}", f"{NEWER}/{SECOND}", f"{OLDER}/{FILE}"],
    ),
    ([f"{NEWER}/{FILE}"], ["engine"], [f"{NEWER}/{FILE}"]),
    # what no run put there
    (["notes.txt", "plan/a.parquet", f"{MINE}/.put-123", f"{OTHER}/.put-123"], [], []),
]


@pytest.mark.parametrize("names, accept, usable", USABLE)
def test_a_run_goes_on_from_scores_of_its_fingerprint(
    names: list[str], accept: list[str], usable: list[str], put: Callable[..., Checked]
) -> None:
    assert sorted(list_stored(put(names, accept))) == sorted(usable)


# files that are there, run.accept -> how they are called
REFUSED: list[tuple[list[str], list[str], str]] = [
    ([f"{OTHER}/{FILE}"], [], "holds scores of another model, prompt, setting or type of ids"),
    ([f"{OTHER}/{FILE}"], ["engine"], "holds scores of another model, prompt, setting or type of ids"),
    ([f"{OTHER_ENGINE}/{FILE}"], ["engine"], "holds scores of another model, prompt, setting or type of ids"),
    ([f"{NEWER}/{FILE}"], [], "holds scores of another version of the engine"),
    ([f"{NEWER}/{FILE}", f"{OTHER}/{FILE}"], [], "holds scores of another version of the engine"),
    (OLD, ["engine"], "0123456789abcdef/000000-0000.parquet is a file of rayrank 0.1"),
    ([*OLD, f"{MINE}/{FILE}"], [], "0123456789abcdef/000000-0000.parquet is a file of rayrank 0.1"),
]


@pytest.mark.parametrize("names, accept, words", REFUSED)
def test_other_scores_are_refused_with_what_to_do(
    names: list[str], accept: list[str], words: str, put: Callable[..., Checked]
) -> None:
    with pytest.raises(UsageError) as error:
        list_stored(put(names, accept))
    line = str(error.value)
    assert words in line and "run.on_existing=restart" in line and "\n" not in line
    assert ("run.accept=[engine] takes them" in line) == ("version of the engine" in words)


def test_what_is_accepted_is_counted(put: Callable[..., Checked], capsys: pytest.CaptureFixture[str]) -> None:
    list_stored(put([f"{NEWER}/{FILE}", f"{NEWER}/{SECOND}", f"{NEWER}/{MERGED}", f"{MINE}/{FILE}"], ["engine"]))
    (line,) = capsys.readouterr().err.splitlines()
    assert "takes 2 score files" in line and NEWER in line


def test_a_restart_finds_all_that_runs_have_put(put: Callable[..., Checked]) -> None:
    names = [f"{MINE}/{FILE}", f"{MINE}/{MERGED}", f"{OTHER}/{FILE}", *OLD]
    late = [f"late-{MINE}/{FILE}", f"late-{OTHER}/{FILE}"]
    checked = put([*names, *late, "notes.txt", "mine/notes.parquet", f"{MINE}/.put-1", "late-mine/notes.parquet"])
    assert sorted(list_all_stored(checked)) == sorted(names)
    assert sorted(list_everything(checked)) == sorted([*names, *late])
