"""What is said where a run is ended from without."""

import pytest

from jobs import rerank

CONFIG = ["configs/demo.yaml", "input.path=/in", "output.path=/out"]


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(15)])  # Ray makes the second of SIGTERM
def test_who_ends_a_run_is_told_that_nothing_is_lost(
    error: BaseException, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    def ended(config: object) -> None:
        raise error

    monkeypatch.setattr(rerank, "rerank", ended)
    assert rerank.main(CONFIG) == 1
    said = "rayrank: interrupted; what was scored is kept, and the same command goes on from there\n"
    assert capsys.readouterr().err == said
