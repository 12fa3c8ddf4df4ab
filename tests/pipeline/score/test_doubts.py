"""Lines about what looks wrong in a run's figures: labels of little probability, windows that were not read."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from actors.rerankers.contract import Prompt
from actors.worker.failures import Result
from pipeline.score.doubts import Doubts, describe_label_share, describe_windows
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


def sum_windows(windows: int, partial: int = 0, unread: int = 0, shortened: int = 0) -> dict[str, float]:
    counts = {"partial": partial, "unread": unread, "shortened": shortened}
    labels = {"label_replies": 0, "label_share": 0.0}
    return {"windows": windows, **{f"windows_{name}": count for name, count in counts.items()}, **labels}


@pytest.mark.parametrize(
    ("counts", "line"),
    [
        ((1800,), ""),
        ((0,), ""),
        ((99, 12), "of 99 windows: 12 answers name some of their passages alone, and the others follow in their order"),
        ((9, 0, 2), "of 9 windows: 2 could not be read and stay as they were; candidates of no other have no score"),
        ((9, 0, 0, 1), "of 9 windows: the passages of 1 were shortened, to fit engine.max_model_len"),
    ],
)  # fmt: skip
def test_the_line_about_windows(counts: tuple[int, ...], line: str) -> None:
    assert describe_windows(sum_windows(*counts)) == line


def test_many_windows_without_an_answer_are_said_at_once_and_all_of_them_at_the_end(
    capsys: pytest.CaptureFixture,
) -> None:
    doubts = Doubts(0.05)
    for windows, unread, over in [(255, 200, False), (300, 29, False), (300, 31, False), (600, 70, False)]:
        doubts.look(sum_windows(windows, unread=unread), over)
    doubts.look(sum_windows(700, 1, 71), over=True)
    first, last = capsys.readouterr().err.splitlines()
    assert first.startswith("rayrank: of 300 windows: 31 could") and last.startswith(
        "rayrank: of 700 windows: 1 answers"
    )


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
