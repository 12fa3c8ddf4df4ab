"""A line where the labels hold little of the probability, once in a run."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from actors.rerankers.contract import Prompt
from actors.worker.failures import Result
from pipeline.score.labels import describe_label_share
from tests.fakes import KnownScorer
from tests.pipeline.conftest import Run, pairs, write


@pytest.mark.parametrize(
    ("replies", "share", "least", "enough", "says"),
    [
        (0, 0.0, 0.05, 1, ""),
        (100, 5.0, 0.05, 1, ""),
        (100, 4.9, 0.05, 1, "in 100 replies the labels hold 4.90% of the probability on average"),
        (100, 4.9, 0.05, 256, ""),
        (2000, 1.0, 0.05, 256, "in 2,000 replies the labels hold 0.05% of"),
        (100, 0.0, 0.0, 1, ""),
        (100, 99.0, 1.0, 1, "hold 99.00%"),
    ],
)
def test_the_line(replies: float, share: float, least: float, enough: int, says: str) -> None:
    line = describe_label_share({"label_replies": replies, "label_share": share}, least, enough)
    assert says in line and bool(says) == bool(line)


class OfFewWords(KnownScorer):
    """Its labels hold a hundredth of the probability."""

    async def score_prompts(self, prompts: Sequence[Prompt]) -> Result:
        result = await super().score_prompts(prompts)
        labels = {"label_replies": len(prompts), "label_share": 0.01 * len(prompts)}
        return result._replace(figures=result.figures | labels)


@pytest.mark.parametrize("unit_rows", [50, 1000])
def test_a_run_says_it_once_and_its_figures_have_the_share(
    unit_rows: int, run: Run, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    path = write(pairs(), tmp_path / "in", 2)
    figures = run(path, scorer=OfFewWords, run={"unit_rows": unit_rows})
    assert figures["label_share"] == pytest.approx(0.01)
    assert capsys.readouterr().err.count("the labels hold 1.00% of the probability") == 1
    assert run(path, "other")["label_share"] is None
    run(path, "quiet", scorer=OfFewWords, run={"min_label_share": 0})
    assert "the labels hold" not in capsys.readouterr().err
