"""A query that kills its worker is found, and ends alone without scores."""

import asyncio
from collections.abc import Callable, Generator, Sequence
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from actors.worker.failures import Result, Worker
from pipeline.cluster.in_process import InProcess
from tests.pipeline.conftest import Run

# ruff: noqa: F811  (fixtures that tests take by name)
from tests.pipeline.run.test_queries import (  # noqa: F401
    Asked,
    assert_result,
    cut_files,
    draw_rows,
    rank,
    rank_by_hand,
    take_asked,
    write,
)


class Killed(Exception):
    pass


class KilledByOne(Asked):
    """Dies of the candidates of one query."""

    async def score_prompts(self, prompts: Sequence[Any]) -> Result:
        if any(query[0].query == "query number 7" for query in prompts):
            raise Killed
        return await super().score_prompts(prompts)


class Restarting(InProcess):
    """This process, in which another worker takes the place of one that dies, and gets its unit, as with Ray."""

    deaths = 0

    def stream(
        self, make: Callable[..., Any], shared: Any, tasks: int, actor: type, arguments: dict[str, Any], pool: Any
    ) -> Generator[dict[str, Any], None, None]:
        for unit in (unit for task in range(tasks) for unit in make(task, shared)):
            for _ in count():
                worker = Worker("one", str(self.deaths))
                scorer = actor(**arguments | {"identify": lambda worker=worker: worker})
                try:
                    yield from asyncio.run(scorer(unit)).to_pylist()
                    break
                except Killed:
                    self.deaths += 1
                finally:
                    scorer.close()


@pytest.mark.parametrize("unit_rows", [1, 20, 1000])
def test_a_query_that_kills_its_worker_ends_alone_without_scores(unit_rows: int, rank: Run, tmp_path: Path) -> None:
    rows = draw_rows(12)
    write(tmp_path, **cut_files(rows))
    cluster, settings = Restarting(), {"unit_rows": unit_rows}
    figures = rank(scorer=KilledByOne, cluster=cluster, run=settings)
    assert cluster.deaths > 3
    expected = rank_by_hand(rows, dead="q7")
    assert_result(tmp_path / "out", expected)
    dead = sum(expected["reason"].str.contains("died", na=False))
    assert figures["transient"] == dead > 1
    take_asked()
    assert rank(run=settings)["scored_now"] == 0
    again = rank(run=settings | {"retry_failed": True})
    assert take_asked() == ["query number 7"]
    assert (again["scored_now"], again["transient"]) == (dead, 0)
    assert_result(tmp_path / "out", rank_by_hand(rows))
