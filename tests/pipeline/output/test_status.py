"""pipeline/output/status.py and jobs/status.py on outputs in every state in which a run leaves them."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from jobs.status import main
from pipeline.cluster.in_process import InProcess
from pipeline.config import Config
from pipeline.output.lease import hold
from pipeline.run import rerank
from pipeline.storage.folder import Folder
from tests.fakes import KnownScorer
from tests.pipeline.conftest import pairs, write


class WithoutFusion(InProcess):
    """A cluster on which runs end when all their pairs are scored."""

    def run(self, *unused: Any) -> Iterator[Any]:
        raise ZeroDivisionError


def test_a_run_from_its_first_unit_to_its_result(
    make_config: Callable[..., Config], tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    path, output = write(pairs(), tmp_path / "in", 7), tmp_path / "out"
    config = make_config(path, run={"unit_rows": 100, "max_failed": 0.1})
    with pytest.raises(ZeroDivisionError):
        rerank(config, KnownScorer, cluster=WithoutFusion())
    first, *others = sorted((output / "scores").glob("*/0*.parquet"))
    for unit in others:
        unit.rename(tmp_path / unit.name)
    capsys.readouterr()

    assert main([str(output)]) == 0
    fingerprint = first.parent.name
    assert capsys.readouterr().out.splitlines() == [
        "result   none yet",
        f"scores   {fingerprint}: 1 of 7 units, 100 of 700 rows (14.3%)",
        "         1 x document is empty",
    ]

    for unit in others:
        (tmp_path / unit.name).rename(unit)
    with hold(Folder(str(output))):
        assert main([str(output)]) == 0
        assert "held by  process" in capsys.readouterr().out
    figures = rerank(config, KnownScorer, cluster=InProcess())
    capsys.readouterr()
    assert main([str(output), "--json"]) == 0
    known = json.loads(capsys.readouterr().out)
    assert known["result"]["figures"] == figures and known["held_by"] is None
    assert known["scores"] == [
        {
            "fingerprint": fingerprint,
            "units_put": 7,
            "units": 7,
            "rows": 700,
            "rows_put": 700,
            "looked_into": 7,
            "reasons": {"document is empty": 7},
        }
    ]


def test_scores_without_a_plan(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    Folder(str(tmp_path)).put(f"scores/{'0' * 16}/000000-0000.parquet", b"x")
    assert main([str(tmp_path)]) == 0
    assert capsys.readouterr().out.splitlines()[1] == f"scores   {'0' * 16}: 1 units, and no whole plan yet"


def test_a_folder_without_a_run(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    assert main([str(tmp_path / "nowhere")]) == 2
    assert capsys.readouterr().err == f"rayrank: {tmp_path / 'nowhere'}: there is no run\n"
