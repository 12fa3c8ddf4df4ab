"""Two runs of one output, of which one finds out late; tests/chaos starts such runs by the dozen."""

import json
import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import pipeline.check.preflight
import pipeline.plan.changes
import pipeline.run
from pipeline.cluster.in_process import InProcess
from pipeline.errors import RunError
from pipeline.input.listing import InputFile, Listing, list_inputs
from pipeline.input.versions import add_footer_hashes
from pipeline.output.lease import Held
from pipeline.rank.merge import MergeGroup
from pipeline.storage.folder import Folder
from tests.fakes import KnownScorer
from tests.pipeline.conftest import SMALL, Interrupted, Run, hold_nothing, pairs, ranked, write
from tests.pipeline.run.conftest import S3_SLOW
from tests.pipeline.run.stores import A, B, C, D, E, Failing, Place, say_otherwise

OTHER = {"token": "another's", "host": "elsewhere", "pid": 1, "since": "now", "machine": "m", "started": "s", "beat": 0}


class Merging(InProcess):
    """This process, in which something happens, once, while scores are merged."""

    def __init__(self, happens: Callable[[], Any]):
        self._happens: Callable[[], Any] | None = happens

    def run(self, task: Any, items: Any) -> Any:
        if isinstance(task, MergeGroup) and self._happens:
            happens, self._happens = self._happens, None
            happens()
        return super().run(task, items)


def take_over(output: Path) -> None:
    Folder(str(output)).put_new("lease/000009.json", json.dumps(OTHER).encode())


def parts(output: Path) -> dict[str, int]:
    return {part.name: part.stat().st_mtime_ns for part in (output / "ranked").iterdir()}


def test_a_run_that_lost_the_output_while_it_merged_leaves_what_stands(tmp_path: Path, run: Run) -> None:
    path, output = write(pairs(), tmp_path / "in", 2), tmp_path / "out"
    run(path, fusion={"alpha": 0.9}, more={"sizes": SMALL})
    before, there = ranked(str(output)), parts(output)
    merging = Merging(lambda: take_over(output))
    with pytest.raises(Held, match="process 1 on elsewhere since now has taken its place"):
        run(path, fusion={"alpha": 0.1}, cluster=merging, more={"sizes": SMALL})
    assert ranked(str(output)).equals(before) and parts(output) == there


def test_a_run_that_lost_the_output_after_its_commit_sweeps_nothing(
    tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    path, output = write(pairs(), tmp_path / "in", 2), tmp_path / "out"
    others = output / "ranked" / "part-00000-0123456789ab.parquet"

    def another_begins() -> None:
        take_over(output)
        others.write_bytes(b"its first part")

    real = pipeline.run.commit

    def commit_late(*given: Any) -> None:
        real(*given)
        another_begins()

    monkeypatch.setattr(pipeline.run, "commit", commit_late)
    run(path)
    assert others.exists()
    assert "the result stands; what is left over goes with the next run" in capsys.readouterr().err


def test_of_two_that_make_the_same_result_the_first_stands(
    tmp_path: Path, run: Run, capsys: pytest.CaptureFixture
) -> None:
    path, output = write(pairs(), tmp_path / "in", 2), tmp_path / "out"
    options: dict[str, Any] = {"sizes": SMALL, "hold": hold_nothing}
    there: dict[str, int] = {}

    def another_runs() -> None:
        run(path, more=options)
        there.update(parts(output))

    figures = run(path, cluster=Merging(another_runs), more=options)
    assert figures["ranked"] == len(ranked(str(output))) and figures["scored_now"] > 0
    assert parts(output) == there
    assert "another run has put the same result meanwhile; it stands" in capsys.readouterr().err


def test_a_result_whose_parts_are_gone_is_made_again(tmp_path: Path, run: Run, capsys: pytest.CaptureFixture) -> None:
    path, output = write(pairs(), tmp_path / "in", 2), tmp_path / "out"
    run(path)
    before = ranked(str(output))
    next((output / "ranked").iterdir()).unlink()
    assert run(path)["scored_now"] == 0
    assert ranked(str(output)).equals(before)
    assert "parts of the result that stands are gone" in capsys.readouterr().err


TWO: dict[str, Any] = {"run": {"unit_rows": 30}, "more": {"sizes": SMALL, "hold": hold_nothing}}


def grow(place: Place) -> None:
    place.put(b=say_otherwise(B), d=D, e=E)


@S3_SLOW
def test_the_input_grows_and_another_run_takes_it_before_this_one_ends(place: Place) -> None:
    def another_runs() -> None:
        grow(place)
        place.run(**TWO)

    place.put(a=A, b=B, c=C)
    with pytest.raises(RunError, match=r"in/b\.parquet: has changed while the run read it"):
        place.run(**TWO, cluster=Interrupted(before_scoring=another_runs))
    place.run("fresh", **TWO)
    assert place.ranked().equals(place.ranked("fresh"))
    assert place.run(**TWO)["scored_now"] == 0


@S3_SLOW
def test_a_run_with_the_older_listing_leaves_the_scores_of_a_newer_one(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its listings show the input as it was, before and after, and its score files are all there."""

    def stop() -> None:
        raise InterruptedError

    place.put(a=A, b=B, c=C)
    place.run(**TWO)
    before = place.ranked()
    older = add_footer_hashes(list_inputs([place.input.url]))
    grow(place)
    with pytest.raises(InterruptedError):
        place.run(**TWO, cluster=Interrupted(after_scoring=stop))
    newer = place.scores()

    def list_older(paths: list[str]) -> list[InputFile]:
        return older if paths == [place.input.url] else list_inputs(paths)

    with monkeypatch.context() as patch:
        patch.setattr(pipeline.plan.changes, "list_inputs", list_older)
        patch.setattr(pipeline.check.preflight, "read_listing", lambda paths: Listing(list_older(paths), Counter()))
        place.run(**TWO, fusion={"alpha": 0.3})
    assert len(place.ranked()) == len(before)
    assert place.scores() == newer
    assert place.run(**TWO)["scored_now"] == 0
    place.run("fresh", **TWO)
    assert place.ranked().equals(place.ranked("fresh"))


def test_scores_that_came_since_a_run_began_are_not_deleted_by_it(local: Place) -> None:
    """A file is written again, scored by another run, and put back, while this run goes on."""
    local.put(a=A, b=B, c=C)
    file = f"{local.input.url}/b.parquet"
    before = os.stat(file)
    theirs: set[str] = set()

    def another_runs() -> None:
        local.put(b=say_otherwise(B))
        local.run(**TWO)
        theirs.update(local.scores())
        local.put(b=B)
        os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))

    local.run(**TWO, cluster=Interrupted(before_scoring=another_runs))
    assert theirs < local.scores()
    local.run("fresh", **TWO)
    assert local.ranked().equals(local.ranked("fresh"))


SCORERS = [(KnownScorer, KnownScorer), (KnownScorer, Failing), (Failing, KnownScorer)]
ON_EACH = [
    *((place, *scorers) for place in ("local", "seconds") for scorers in SCORERS),
    ("s3", Failing, KnownScorer),
    *(pytest.param("s3", *scorers, marks=pytest.mark.slow) for scorers in SCORERS[:2]),  # a run there takes seconds
]


@pytest.mark.parametrize(("place", "theirs", "mine"), ON_EACH, indirect=["place"])
def test_rows_in_units_of_two_sizes_count_once_and_by_their_scores(theirs: type, mine: type, place: Place) -> None:
    place.put(a=A, b=B, c=C)
    place.run("fresh", **TWO)
    others = TWO | {"run": {"unit_rows": 7, "max_failed": 1}}
    mine_too = TWO | {"run": {"unit_rows": 30, "max_failed": 1}}
    another = Interrupted(before_scoring=lambda: place.run(scorer=theirs, **others))
    figures = place.run(scorer=mine, cluster=another, **mine_too)
    assert figures["scored_now"] > 0 and figures["transient"] == 0
    assert place.ranked().equals(place.ranked("fresh"))
    assert len(place.scores()) > len(place.scores("fresh")) + 30
