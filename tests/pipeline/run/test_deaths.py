"""Workers that die, on a real Ray: the result is that of a run in which nobody did."""

import os
import random
import signal
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest
import ray

from actors.engines.contract import EngineDied
from actors.rerankers.contract import Prompt
from actors.worker.failures import KILLED, STARTS, Result
from pipeline.errors import RunError, find_root_cause
from tests.fakes import KnownScorer
from tests.pipeline.conftest import Run, pairs, ranked, write

POISON = "poison " * 150  # far more tokens than any other document
RUN = {"unit_rows": 100, "max_failed": 0.1}


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def first(mark: str) -> bool:
    """Whether this is the first call for `mark`, in whatever process, of those that share the folder MARKS."""
    try:
        Path(os.environ["MARKS"], mark).touch(exist_ok=False)
        return True
    except FileExistsError:
        return False


class KilledByPoison(KnownScorer):
    """Dies of a long prompt, a moment after it began."""

    async def score_prompts(self, prompts: Sequence[Prompt]) -> Result:
        if any(len(tokens) > 100 for prompt in prompts for tokens in prompt.sequences):
            time.sleep(0.05)
            die()
        return await super().score_prompts(prompts)


class KilledNowAndThen(KnownScorer):
    """Dies over the first part that it is given, and three times more over whatever it has just been given."""

    async def score_prompts(self, prompts: Sequence[Prompt]) -> Result:
        if first("death-0") or (random.random() < 1 / 2 and any(first(f"death-{i}") for i in range(1, 4))):
            die()
        return await super().score_prompts(prompts)


class BrokenOnce(KnownScorer):
    """Its engine breaks once, and would give wrong scores after that."""

    _broken = False

    async def score_prompts(self, prompts: Sequence[Prompt]) -> Result:
        if self._broken:
            return Result([-1.0] * len(prompts), [None] * len(prompts), {})
        if first("broken"):
            self._broken = True
            raise EngineDied("CUDA error: an illegal memory access was encountered")
        return await super().score_prompts(prompts)


class SlowToStart(KnownScorer):
    """Its first starts fail, one with an error and one without a word."""

    def build_engine(self, *unused: Any) -> None:
        if first("start-1"):
            raise RuntimeError("no room on the device")
        if first("start-2"):
            die()


class StartsOnceOnly(KnownScorer):
    """Dies of its first unit, and cannot start again."""

    def build_engine(self, *unused: Any) -> None:
        if not first("start"):
            raise RuntimeError("the driver and the runtime do not match")

    async def score_prompts(self, prompts: Sequence[Prompt]) -> Result:
        if first("unit"):
            die()
        return await super().score_prompts(prompts)


class NeverStarts(KnownScorer):
    def build_engine(self, *unused: Any) -> None:
        raise RuntimeError("the driver and the runtime do not match")


class DiesOfEverything(KnownScorer):
    async def score_prompts(self, prompts: Sequence[Prompt]) -> Result:
        raise EngineDied("no kernel image is available for execution on the device")


class KillsTheTracker(KnownScorer):
    async def score_prompts(self, prompts: Sequence[Prompt]) -> Result:
        ray.kill(self._tracker.actor)  # type: ignore[union-attr]
        return await super().score_prompts(prompts)


@pytest.fixture
def marks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that the actors know; see `first`."""
    (tmp_path / "marks").mkdir()
    return tmp_path / "marks"


def with_marks(scorer: type, marks: Path) -> type:
    """The class, whose processes know the folder."""

    class Marked(scorer):  # type: ignore[misc,valid-type]
        def __init__(self, **settings: Any):
            os.environ["MARKS"] = str(marks)
            super().__init__(**settings)

    return Marked


@pytest.mark.parametrize(
    ("scorer", "actors"),
    [
        pytest.param(KilledNowAndThen, 1, marks=pytest.mark.slow),
        pytest.param(KilledNowAndThen, 2, marks=pytest.mark.slow),
        pytest.param(BrokenOnce, 1, marks=pytest.mark.slow),
        pytest.param(BrokenOnce, 2, marks=pytest.mark.slow),
        pytest.param(SlowToStart, 1, marks=pytest.mark.slow),
        pytest.param(SlowToStart, 2, marks=pytest.mark.slow),
    ],
)
def test_deaths_change_nothing(
    scorer: type, actors: int, run: Run, run_on_ray: Run, tmp_path: Path, marks: Path
) -> None:
    path = write(pairs(), tmp_path / "in", 7)
    calm = run(path, "calm", run=RUN)
    figures = run_on_ray(path, "stormy", with_marks(scorer, marks), run=RUN, workers={"count": actors})
    assert list(marks.iterdir()), "nobody died"
    assert ranked(str(tmp_path / "stormy")).equals(ranked(str(tmp_path / "calm")))
    assert figures["scored_now"] == calm["scored_now"] and figures["prompt_tokens"] == calm["prompt_tokens"]


def test_a_poison_row_ends_without_a_score_and_all_others_have_theirs(
    run: Run, run_on_ray: Run, tmp_path: Path
) -> None:
    few = RUN | {"unit_rows": 2}  # each halving costs the start of an actor
    table = pairs(60)
    docs = table["doc"].to_pylist()
    docs[33] = POISON
    path = write(table.set_column(table.column_names.index("doc"), "doc", pa.array(docs)), tmp_path / "in", 7)
    calm = run(path, "calm", run=few)
    stormy = run_on_ray(path, "stormy", KilledByPoison, run=few)
    assert stormy["unscored"] == calm["unscored"] + 1
    got, expected = ranked(str(tmp_path / "stormy")), ranked(str(tmp_path / "calm"))
    dead = pc.equal(got["doc_id"], "d33")
    assert got.filter(dead)["rerank_score"].to_pylist() == [None]
    assert got.filter(dead)["reason"].to_pylist() == [f"the worker that scored it alone died: {KILLED}"]
    keys = ["query_id", "doc_id", "rerank_score"]
    alive = pc.not_equal(expected["doc_id"], "d33")
    order = [("query_id", "ascending"), ("doc_id", "ascending")]
    assert (
        got.filter(pc.invert(dead))
        .select(keys)
        .sort_by(order)
        .equals(expected.filter(alive).select(keys).sort_by(order))
    )
    # The death of a worker may have been its own fault: that row, and no other, is tried once more where asked.
    assert (stormy["transient"], run(path, "stormy", run=few)["scored_now"]) == (1, 0)
    again = run(path, "stormy", run=few | {"retry_failed": True})
    assert (again["scored_now"], again["unscored"]) == (1, calm["unscored"])
    assert ranked(str(tmp_path / "stormy")).equals(expected)


def test_without_the_record_of_deaths_a_run_ends_and_the_next_goes_on(
    run: Run, run_on_ray: Run, tmp_path: Path
) -> None:
    path = write(pairs(), tmp_path / "in", 7)
    with pytest.raises(RunError, match="the record of what was tried died, on the driver's node"):
        run_on_ray(path, "out", KillsTheTracker, run=RUN)
    run(path, "calm", run=RUN)
    run(path, "out", run=RUN)
    assert ranked(str(tmp_path / "out")).equals(ranked(str(tmp_path / "calm")))


@pytest.mark.parametrize(
    ("scorer", "says"),
    [
        pytest.param(
            NeverStarts,
            f"{STARTS} starts of an engine in a row failed, the last one: RuntimeError: the driver and",
            marks=pytest.mark.slow,
        ),
        pytest.param(
            StartsOnceOnly,
            f"{STARTS} starts of an engine in a row failed, the last one: RuntimeError: the driver",
            marks=pytest.mark.slow,
        ),
        pytest.param(
            DiesOfEverything,
            " workers in a row died with nothing scored between, the last one: no kernel image is available",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_what_cannot_go_on_ends_with_the_engines_own_words(
    scorer: type, says: str, run: Run, run_on_ray: Run, tmp_path: Path, marks: Path
) -> None:
    path = write(pairs(), tmp_path / "in", 7)
    with pytest.raises(Exception) as raised:
        run_on_ray(path, "out", with_marks(scorer, marks), run=RUN)
    assert says in find_root_cause(raised.value)
    calm = run(path, "calm", run=RUN)
    assert run(path, "out", run=RUN)["ranked"] == calm["ranked"], "the same command goes on"
    assert ranked(str(tmp_path / "out")).equals(ranked(str(tmp_path / "calm")))
