"""run.until: scoring ends in time, what has no score by then stands behind without one, and the next run goes on."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import pandas as pd
import pyarrow as pa
import pytest

from actors.rerankers.contract import Prompt
from actors.worker.failures import Result
from pipeline.cluster.in_process import InProcess
from pipeline.errors import TooManyFailed
from pipeline.input.result import read_result
from pipeline.output.status import read_status
from pipeline.run import rerank
from pipeline.storage.folder import Folder
from tests.fakes import KnownScorer
from tests.pipeline.conftest import SMALL, Interrupted, Run, hold_nothing, in_order, pairs, ranked, score_files, write
from tests.pipeline.run.by_hand import NAMES, Stages, draw_pairs

ROWS, EMPTY = 699, 7  # of the input, and of its documents those that hold no text
LATE = "not scored in time"
HOUR = 3600.0


class Clock:
    """A clock that goes a minute ahead with each unit that is scored."""

    now: ClassVar[float] = 0.0

    def __call__(self) -> float:
        return Clock.now


class Slow(KnownScorer):
    """Takes a minute for a unit. built: how many engines were started."""

    built: ClassVar[list[int]] = []

    def build_engine(self, *unused: Any) -> None:
        self.built.append(1)

    async def score_prompts(self, prompts: Sequence[Prompt]) -> Result:
        Clock.now += 60
        return await super().score_prompts(prompts)


@pytest.fixture(autouse=True)
def _morning() -> None:
    Clock.now = 1_000_000.0
    Slow.built.clear()


def until(hours: float | None, **keys: Any) -> dict[str, Any]:
    """Settings of a run. It scores for nine tenths of the hours."""
    run = {"unit_rows": 30, "until": hours, "max_failed": 0.02} | keys
    return {"run": run, "scorer": Slow, "more": {"sizes": SMALL, "clock": Clock()}}


def grouped() -> pa.Table:
    """The pairs, each once, with those of each query together."""
    table = pairs()
    return pa.concat_tables([table.slice(0, 135), table.slice(136)]).sort_by([("query_id", "ascending")])


def test_what_has_no_score_in_time_stands_behind_and_the_next_run_goes_on(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, output = write(grouped(), tmp_path / "in", 3), tmp_path / "out"
    figures = run(path, **until(0.2))
    scored = figures["scored_now"]
    assert Clock.now == 1_000_000 + 11 * 60, "after nine tenths of twelve minutes no unit is begun"
    assert 200 < scored < 500 and figures["late"] == ROWS - EMPTY - scored
    assert figures["transient"] == 0 and figures["unscored"] == ROWS - scored
    assert read_result(Folder(str(output)))["reasons"][LATE] == figures["late"]  # type: ignore[index]
    assert f"{figures['late']} rows were not scored in time (run.until)" in capsys.readouterr().err
    assert not [*(output / "scores").glob("late-*/*")]
    status = read_status(Folder(str(output)))
    assert (status["scores"][0]["rows_scored"], status["scores"][0]["rows"]) == (ROWS - figures["late"], ROWS)

    rows = ranked(str(output)).to_pandas()
    assert len(rows) == ROWS
    for _, query in rows.groupby("query_id"):
        behind = query[query["reason"] == LATE]
        whole = query[query["reason"].isna()]
        assert not len(behind) or not len(whole), "a query has scores as a whole"
        assert behind["score"].isna().all() and behind["rerank_score"].isna().all()
        order = behind.sort_values(["first_stage_score", "doc_id"], ascending=[False, True], key=_as_bytes)
        assert order["rank"].tolist() == sorted(behind["rank"])

    again = run(path, **until(None))
    assert (again["scored_now"], again["late"]) == (ROWS - EMPTY - scored, 0)
    run(path, "fresh", **until(None))
    assert in_order(output).equals(in_order(tmp_path / "fresh"))


def _as_bytes(column: pd.Series) -> pd.Series:
    return column.map(str.encode) if column.name == "doc_id" else column


def test_the_next_runs_may_be_out_of_time_too(run: Run, tmp_path: Path) -> None:
    path = write(grouped(), tmp_path / "in", 2)
    done, runs = 0, 0
    while True:
        figures = run(path, **until(0.1))
        done, runs = done + figures["scored_now"], runs + 1
        assert done + figures["late"] == ROWS - EMPTY
        if not figures["late"]:
            break
    units = len(score_files(tmp_path / "out"))
    assert runs == -(-units // 6) > 2  # after 5.4 minutes no other one is begun
    run(path, "fresh", **until(None))
    assert in_order(tmp_path / "out").equals(in_order(tmp_path / "fresh"))


def test_where_there_was_no_time_at_all_no_engine_starts(run: Run, tmp_path: Path) -> None:
    path = write(grouped(), tmp_path / "in", 2)

    class Late(Clock):
        """Hours pass between any two looks at it."""

        def __call__(self) -> float:
            Clock.now += HOUR
            return Clock.now

    settings = until(0.5)
    figures = run(path, **settings | {"more": {"sizes": SMALL, "clock": Late()}})
    assert not Slow.built and not score_files(tmp_path / "out")
    assert (figures["late"], figures["rows"]) == (ROWS - EMPTY, ROWS)
    first = ranked(str(tmp_path / "out")).to_pandas()
    again = run(path, **settings | {"more": {"sizes": SMALL, "clock": Late()}})
    assert again["late"] == ROWS - EMPTY and ranked(str(tmp_path / "out")).to_pandas().equals(first)


def test_the_clock_of_a_worker_may_be_ahead_of_the_drivers(run: Run, tmp_path: Path) -> None:
    def go_back() -> None:
        Clock.now -= HOUR

    path = write(grouped(), tmp_path / "in", 2)
    figures = run(path, cluster=Interrupted(after_scoring=go_back), **until(0.2))
    assert figures["late"] == ROWS - EMPTY - figures["scored_now"] > 0


def test_rows_that_failed_count_and_those_that_are_late_do_not(run: Run, tmp_path: Path) -> None:
    path = write(grouped(), tmp_path / "in", 1)
    with pytest.raises(TooManyFailed, match=r"^7 of 699 rows have no .*: 7 x document is empty\. "):
        run(path, **until(0.2, max_failed=0.009))
    assert run(path, **until(0.05, max_failed=0.011))["late"]


def test_a_run_that_ends_before_its_commit_leaves_nothing_that_counts(run: Run, tmp_path: Path) -> None:
    def end() -> None:
        raise KeyboardInterrupt

    path, output = write(grouped(), tmp_path / "in", 2), tmp_path / "out"
    with pytest.raises(KeyboardInterrupt):
        run(path, cluster=Interrupted(before_writing=end), **until(0.2))
    assert [*(output / "scores").glob("late-*/*")]
    figures = run(path, **until(None))
    assert figures["units_now"] and not figures["late"]
    run(path, "fresh", **until(None))
    assert in_order(output).equals(in_order(tmp_path / "fresh"))
    assert not [*(output / "scores").glob("late-*/*")]


@pytest.mark.parametrize("section", [{"output": {"explain": True}}, {"output": {"columns": ["doc"]}}])
def test_with_what_the_model_wrote_and_with_columns_of_the_input(run: Run, tmp_path: Path, section: dict) -> None:
    path = write(grouped(), tmp_path / "in", 2)
    figures = run(path, **until(0.2) | section)
    assert figures["late"] and len(ranked(str(tmp_path / "out"))) == ROWS


def test_known_scores_are_taken_over_whatever_the_time(run: Run, tmp_path: Path) -> None:
    path = write(grouped(), tmp_path / "in", 2)
    some = write(grouped().slice(0, 400), tmp_path / "some", 1)
    run(some, "yesterday", **until(None))
    settings = until(0.05, reuse=[str(tmp_path / "yesterday")])
    settings["more"] |= {"sizes": replace(SMALL, known_rows=150)}
    figures = run(path, **settings)
    reasons = Counter(ranked(str(tmp_path / "out"))["reason"].to_pylist())
    assert figures["reused"] + figures["scored_now"] == reasons[None]
    assert figures["reused"] > 300 and reasons[LATE] == figures["late"] > 0


def test_each_stage_has_its_share_of_the_time(tmp_path: Path, minilm: str) -> None:
    """There are 40 minutes. Nine tenths of a third are the first stage's: 12. It leaves 28, so 12.6 are the second's,
    which leaves 15, and so 13.5 are the last one's. In each no unit is begun later."""
    stages = Stages(tmp_path, minilm)
    table = draw_pairs(0, queries=60).sort_by([("query_id", "ascending")])
    config = stages.make_config(write(table, tmp_path / "in", 3), (6, 3), run={"unit_rows": 5, "until": 2 / 3})
    figures = rerank(config, Slow, InProcess(), SMALL, hold_nothing, Clock())
    first, second = (figures["stages"][name] for name in NAMES[:2])
    assert (first["units_now"], second["units_now"], figures["units_now"]) == (12, 13, 14)
    assert first["late"] and len(ranked(str(tmp_path / "out"))) == len(table)

    config = stages.make_config(config.input.path[0], (6, 3), run={"unit_rows": 5})
    assert rerank(config, Slow, InProcess(), SMALL, hold_nothing)["late"] == 0
    fresh = stages.make_config(config.input.path[0], (6, 3), "fresh", run={"unit_rows": 5})
    rerank(fresh, Slow, InProcess(), SMALL, hold_nothing)
    assert in_order(tmp_path / "out").equals(in_order(tmp_path / "fresh"))


def test_on_a_cluster(run: Run, run_on_ray: Run, tmp_path: Path) -> None:
    path = write(grouped(), tmp_path / "in", 3)
    settings = until(None) | {"scorer": KnownScorer, "more": {"sizes": SMALL}}
    tight = settings | {"run": settings["run"] | {"until": 1e-6}}
    assert run_on_ray(path, **tight)["late"] == ROWS - EMPTY
    assert run_on_ray(path, **settings | {"run": settings["run"] | {"until": 1.0}})["late"] == 0
    run(path, "fresh", **settings)
    assert in_order(tmp_path / "out").equals(in_order(tmp_path / "fresh"))
