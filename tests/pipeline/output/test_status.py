"""pipeline/output/status.py and jobs/status.py on outputs in every state in which a run leaves them."""

import json
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from jobs.status import main
from pipeline.cluster.in_process import InProcess
from pipeline.config import Config
from pipeline.errors import UsageError
from pipeline.output.commit import commit
from pipeline.output.lease import BEAT_SECONDS, hold
from pipeline.output.status import read_status
from pipeline.plan.units import Unit, Version, name_score_file
from pipeline.run import rerank
from pipeline.score.files import SCHEMA, encode_scores
from pipeline.storage.folder import Folder
from tests.clock import ManualClock
from tests.fakes import KnownScorer
from tests.pipeline.conftest import Interrupted, pairs, write

FINGERPRINT, OTHER = "0123456789abcdef-vllm-0.32", "0123456789abcdef-vllm-0.31"
RESULT: dict[str, Any] = {"parts": [], "rejects": [], "reasons": {}} | {
    "fingerprint": FINGERPRINT,
    "figures": {"rows": 30},
}


class WithoutFusion(InProcess):
    """A cluster on which runs end when all their pairs are scored."""

    def run(self, *unused: Any) -> Iterator[Any]:
        raise ZeroDivisionError


def show(output: Path, capsys: pytest.CaptureFixture) -> list[str]:
    capsys.readouterr()
    assert main([str(output)]) == 0
    return capsys.readouterr().out.splitlines()


def test_a_run_from_its_first_unit_to_its_result(
    make_config: Callable[..., Config], tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    path, output = write(pairs(), tmp_path / "in", 7), tmp_path / "out"
    config = make_config(path, run={"unit_rows": 100, "max_failed": 0.1})
    with pytest.raises(ZeroDivisionError):
        rerank(config, KnownScorer, cluster=WithoutFusion())
    first, *others = sorted((output / "scores").glob("*/*.parquet"))
    for unit in others:
        unit.rename(tmp_path / unit.name)
    fingerprint, failed = first.parent.name, "         1 x document is empty"
    of_unknown = "rows, of a number that no run has said yet, in"
    assert show(output, capsys) == ["result   none yet", f"scores   {fingerprint}: 100 {of_unknown} 1 units", failed]

    clock = ManualClock()
    with hold(Folder(str(output)), clock=clock) as lease:
        clock.wait_for_threads(1)
        lease.note_progress(fingerprint, 170, 700)
        clock.sleep(BEAT_SECONDS)
        result, scores, reason, held = show(output, capsys)
    assert (result, reason) == ("result   none yet", failed)
    assert scores == f"scores   {fingerprint}: 170 of 700 rows (24.3%), in 1 units"
    assert held.startswith("held by  process")

    for unit in others:
        (tmp_path / unit.name).rename(unit)
    figures = rerank(config, KnownScorer, cluster=InProcess())
    capsys.readouterr()
    assert main([str(output), "--json"]) == 0
    known = json.loads(capsys.readouterr().out)
    assert known["result"]["figures"] == figures and known["held_by"] is None
    assert known["scores"] == [
        {
            "fingerprint": fingerprint,
            "units": 7,
            "rows": 700,
            "rows_scored": 700,
            "looked_into": 7,
            "reasons": {"document is empty": 7, "duplicate of an earlier row with the same query_id and doc_id": 1},
        }
    ]
    first.write_bytes(b"no score file")
    assert "         7 x document is empty" in show(output, capsys), "those of a result need no score file"
    first.unlink()
    assert show(output, capsys)[-1] == "         6 x document is empty", "these units are not all of the result's"


def test_a_run_that_scores_says_how_far_it_is(make_config: Callable[..., Config], tmp_path: Path) -> None:
    output, seen = Folder(str(tmp_path / "out")), list[tuple[int, int, int]]()

    def look() -> None:
        until = time.monotonic() + 60
        while (700, 700, 14) not in seen and time.monotonic() < until:
            (found,) = read_status(output)["scores"]
            seen.append((found["rows_scored"], found["rows"], found["units"]))

    config = make_config(write(pairs(), tmp_path / "in", 7), run={"unit_rows": 50, "max_failed": 0.1})
    rerank(config, KnownScorer, Interrupted(after_scoring=look), hold=partial(hold, beat=0.05))
    assert seen[-1] == (700, 700, 14)


def put_scores(output: Folder, fingerprint: str, first: int, stop: int, rows: int = 50, file: str = "a") -> None:
    unit = Unit(Version(file * 16, "e" * 16), rows, first, stop)
    table = pa.Table.from_pylist([{"row": row, "kind": "ok"} for row in range(first, stop)], SCHEMA)
    output.put(f"scores/{fingerprint}/{name_score_file(unit.name, False)}", encode_scores(table))


def test_rows_count_once_and_each_fingerprint_by_itself(tmp_path: Path) -> None:
    output = Folder(str(tmp_path))
    for bounds in [(0, 20), (10, 30), (40, 45)]:
        put_scores(output, FINGERPRINT, *bounds)
    put_scores(output, FINGERPRINT, 0, 8, rows=8, file="b")
    put_scores(output, OTHER, 0, 50)
    output.put(f"scores/{FINGERPRINT}/merged/0123456789abcdef.arrow", b"x")
    output.put(f"scores/{FINGERPRINT}/.put-{'0' * 16}", b"x")
    output.put("scores/notes/readme.parquet", b"x")
    other, mine = read_status(output)["scores"]
    assert (other["fingerprint"], other["units"], other["rows_scored"], other["rows"]) == (OTHER, 1, 50, None)
    assert (mine["fingerprint"], mine["units"], mine["rows_scored"], mine["rows"]) == (FINGERPRINT, 4, 43, None)


def test_a_run_knows_more_than_the_result_that_stands(tmp_path: Path) -> None:
    """Files came or changed, so some of the score files are of rows that the input has no more."""
    output, clock = Folder(str(tmp_path)), ManualClock()
    for fingerprint in (OTHER, FINGERPRINT):
        put_scores(output, fingerprint, 0, 20)
    put_scores(output, FINGERPRINT, 0, 30, rows=30, file="c")
    commit(output, RESULT | {"units": {FINGERPRINT: 2}})

    def rows() -> dict[str, tuple[int, int]]:
        return {found["fingerprint"]: (found["rows_scored"], found["rows"]) for found in read_status(output)["scores"]}

    of_the_result = {OTHER: (20, None), FINGERPRINT: (30, 30)}
    assert rows() == of_the_result
    with hold(output, clock=clock) as lease:
        clock.wait_for_threads(1)
        assert rows() == of_the_result
        lease.note_progress(FINGERPRINT, 35, 50)
        clock.sleep(BEAT_SECONDS)
        assert rows() == {OTHER: (20, None), FINGERPRINT: (35, 50)}
    assert rows() == of_the_result


@pytest.mark.parametrize(
    ("units", "mine", "other"),
    [
        ({"units": {FINGERPRINT: 1, OTHER: 1}}, (20, 30), (12, 30)),
        ({"units": {OTHER: 1}}, (20, None), (30, 30)),
        ({}, (20, None), (12, None)),
    ],
    ids=["scores of two versions of the engine", "of the other one", "rayrank 0.1"],
)
def test_a_result_knows_of_the_scores_it_was_made_from(
    units: dict[str, Any], mine: tuple[int, int], other: tuple[int, int], tmp_path: Path
) -> None:
    output = Folder(str(tmp_path))
    put_scores(output, FINGERPRINT, 0, 20, rows=30)
    put_scores(output, OTHER, 18, 30, rows=30)
    commit(output, RESULT | units)
    found = [(scores["rows_scored"], scores["rows"]) for scores in read_status(output)["scores"]]
    assert found == [other, mine]


def test_a_folder_without_a_run(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    assert main([str(tmp_path / "nowhere")]) == 2
    assert capsys.readouterr().err == f"rayrank: {tmp_path / 'nowhere'}: there is no run\n"


def test_scores_of_another_form_are_named(tmp_path: Path) -> None:
    Folder(str(tmp_path)).put("scores/0123456789abcdef/000000-0000.parquet", b"x")
    with pytest.raises(UsageError, match=r"there is no run; scores/0123456789abcdef is of rayrank 0\.1"):
        read_status(Folder(str(tmp_path)))
