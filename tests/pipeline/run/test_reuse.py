"""run.reuse: pairs that another output scored, found by their texts, are not scored again."""

import random
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

import pipeline.input.pairs
from actors.rerankers.contract import Prompt, Unscored
from actors.worker.failures import Result
from pipeline.check.survey import survey
from pipeline.config import Config
from pipeline.ensemble.part import Arguments
from pipeline.ensemble.run import fuse
from pipeline.errors import TooManyFailed
from pipeline.input.result import read_result
from pipeline.sizes import Sizes
from pipeline.storage.folder import Folder
from tests.fakes import KnownScorer
from tests.pipeline.conftest import ROWS, SMALL, Run, in_order, pairs, write

EMPTY = 7  # documents of pairs() that hold no text
SETTINGS: dict[str, Any] = {"run": {"unit_rows": 30}, "more": {"sizes": replace(SMALL, known_rows=150)}}


class Asked(KnownScorer):
    """Notes how many pairs it scores, and how many engines were started."""

    asked: ClassVar[list[int]] = []
    built: ClassVar[list[int]] = []

    def build_engine(self, *unused: Any) -> None:
        self.built.append(1)

    async def score_prompts(self, prompts: Sequence[Prompt]) -> Result:
        self.asked.append(len(prompts))
        return await super().score_prompts(prompts)


@pytest.fixture(autouse=True)
def _nothing_asked() -> None:
    Asked.asked.clear()
    Asked.built.clear()


def make_next_day(table: pa.Table, seed: int = 0) -> tuple[pa.Table, int]:
    """The rows in another order, a twentieth of their documents changed, and a twentieth new; and how many are new to a
    model."""
    draw, rows = random.Random(seed), table.to_pylist()
    ready = [row for row in rows if row["doc"]]
    changed = draw.sample(ready, len(rows) // 20)
    for row in changed:
        row["doc"] += ", since yesterday"
    new = [row | {"doc_id": f"n{n}", "doc": f"news {n}"} for n, row in enumerate(draw.sample(ready, len(rows) // 20))]
    draw.shuffle(rows := rows + new)
    return pa.Table.from_pylist(rows, table.schema), len(changed) + len(new)


def reuse(*outputs: str | Path, **keys: Any) -> dict[str, Any]:
    return SETTINGS | {"run": SETTINGS["run"] | {"reuse": [*map(str, outputs)]} | keys}


def test_the_next_day_only_what_is_new_is_scored(run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(write(pairs(), tmp_path / "in", 3), "yesterday", **SETTINGS)
    table, new = make_next_day(pairs())
    path = write(table, tmp_path / "new", 5)
    capsys.readouterr()
    figures = run(path, "today", Asked, **reuse(tmp_path / "yesterday"))
    assert sum(Asked.asked) == figures["scored_now"] == new
    assert figures["reused"] == len(table) - EMPTY - new
    assert (
        f"of {len(table)} rows to score {len(table) - EMPTY - new} are known by their texts" in capsys.readouterr().err
    )
    run(path, "fresh", **SETTINGS)
    assert in_order(tmp_path / "today").equals(in_order(tmp_path / "fresh"))

    again = run(path, "today", Asked, **reuse(tmp_path / "yesterday"))
    assert (again["scored_now"], again["reused"]) == (0, 0), "its scores are its own now"


def test_with_nothing_new_no_engine_starts(run: Run, tmp_path: Path) -> None:
    run(write(pairs(), tmp_path / "in", 3), "yesterday", **SETTINGS)
    path = write(pairs().take(pa.array(reversed(range(ROWS)))), tmp_path / "new", 2)
    figures = run(path, "today", Asked, **reuse(tmp_path / "yesterday"))
    assert not Asked.built
    assert (figures["scored_now"], figures["reused"]) == (0, ROWS - EMPTY)
    run(path, "fresh", **SETTINGS)
    assert in_order(tmp_path / "today").equals(in_order(tmp_path / "fresh"))


@pytest.mark.slow
def test_on_a_cluster(run_on_ray: Run, tmp_path: Path) -> None:
    run_on_ray(write(pairs(), tmp_path / "in", 3), "yesterday", **SETTINGS)
    table, new = make_next_day(pairs())
    path = write(table, tmp_path / "new", 5)
    sizes = {"more": {"sizes": replace(SMALL, known_rows=150, part_bytes=10_000)}}  # so it is no small matter
    figures = run_on_ray(path, "today", **reuse(tmp_path / "yesterday") | sizes)
    assert (figures["scored_now"], figures["reused"]) == (new, len(table) - EMPTY - new)
    run_on_ray(path, "fresh", **SETTINGS)
    assert in_order(tmp_path / "today").equals(in_order(tmp_path / "fresh"))


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_million_rows_of_which_a_tenth_is_new(run_on_ray: Run, tmp_path: Path) -> None:
    """In another order, and in other files: 5% of the texts changed, and 5% new ones."""
    rows, draw = 1_000_000, np.random.default_rng(16)

    def put(name: str, numbers: np.ndarray, changed: np.ndarray, files: int) -> str:
        ids, queries = (pa.array(of).cast(pa.string()) for of in (numbers, numbers // 100))
        docs = pc.if_else(pa.array(changed), pc.binary_join_element_wise(ids, "changed", " "), ids)
        first = pa.array(numbers % 1000).cast(pa.float64())
        names = {"query_id": queries, "query": queries, "doc_id": ids, "doc": docs, "score": first}
        return write(pa.table(names), tmp_path / name, files)

    before, after = np.arange(rows), draw.permutation(rows + rows // 20)
    changed = np.isin(after, draw.choice(rows, rows // 20, replace=False))
    plain: dict[str, Any] = {"workers": {"count": 2}, "more": {"sizes": Sizes()}}
    run_on_ray(put("in", before, before < 0, 8), "yesterday", **plain)
    path = put("new", after, changed, 5)
    figures = run_on_ray(path, "today", run={"reuse": [str(tmp_path / "yesterday")]}, **plain)
    assert (figures["scored_now"], figures["reused"]) == (rows // 10, rows - rows // 20)
    run_on_ray(path, "fresh", **plain)
    assert in_order(tmp_path / "today").equals(in_order(tmp_path / "fresh"))


def test_of_a_file_that_was_written_again_only_new_rows_are_scored(run: Run, tmp_path: Path) -> None:
    """The output itself is among those whose scores are taken over."""
    path = write(pairs(), tmp_path / "in", 1)
    own = reuse(f"{tmp_path}/out/")
    run(path, **own)
    table, new = make_next_day(pairs())
    write(table, tmp_path / "new", 1)
    (tmp_path / "new" / "000.parquet").replace(tmp_path / "in" / "000.parquet")
    assert run(path, scorer=Asked, **own)["scored_now"] == sum(Asked.asked) == new
    run(path, "fresh", **SETTINGS)
    assert in_order(tmp_path / "out").equals(in_order(tmp_path / "fresh"))


def test_what_the_model_wrote_comes_with_the_score(run: Run, tmp_path: Path) -> None:
    class Writing(Asked):
        async def score_prompts(self, prompts: Sequence[Prompt]) -> Result:
            found = await super().score_prompts(prompts)
            return found._replace(texts=[f"it is {score}" for score in found.scores])

    output = {"explain": True}
    explain = {"output": output | {"path": str(tmp_path / "yesterday")}}
    run(write(pairs(), tmp_path / "in", 3), scorer=Writing, **SETTINGS | explain)
    path, before = write(make_next_day(pairs())[0], tmp_path / "new", 2), sum(Asked.asked)
    for name, settings in (("today", reuse(tmp_path / "yesterday")), ("fresh", SETTINGS)):
        run(path, scorer=Writing, **settings | {"output": output | {"path": str(tmp_path / name)}})
    assert sum(Asked.asked) < before + 1.2 * ROWS
    assert in_order(tmp_path / "today").equals(in_order(tmp_path / "fresh"))
    assert in_order(tmp_path / "today")["explanation"].null_count == EMPTY


def make_unfinished(run: Run, folder: Path) -> None:
    write(pairs(), folder / "in", 1)
    with pytest.raises(TooManyFailed):
        run(str(folder / "in"), "yesterday", **SETTINGS | {"run": {"max_failed": 0}})


def make_other(run: Run, folder: Path) -> None:
    reranker = {"type": "bi_encoder", "max_doc_tokens": 9}
    run(write(pairs(), folder / "in", 1), "yesterday", reranker=reranker, **SETTINGS)


def make_ensemble(run: Run, folder: Path) -> None:
    path = write(pairs(), folder / "in", 1)
    outputs = [str(folder / name) for name in ("a", "b")]
    for name, limit in (("a", 8), ("b", 9)):
        run(path, name, reranker={"type": "bi_encoder", "max_doc_tokens": limit}, **SETTINGS)
    fuse(Arguments(results=outputs, runs=[], output=str(folder / "yesterday")))


def make_tidied(run: Run, folder: Path) -> None:
    run(write(pairs(), folder / "in", 1), "yesterday", **SETTINGS)
    shutil.rmtree(folder / "yesterday" / "scores")


@pytest.mark.parametrize(
    "make, said",
    [
        (lambda run, folder: None, "it has no finished result"),
        (make_unfinished, "it has no finished result"),
        (make_other, "they are of another model, prompt or setting (fingerprint "),
        (make_ensemble, "they are of another model, prompt or setting (fingerprint "),
        (make_tidied, "its score files have gone"),
    ],
    ids=["nothing there", "unfinished", "another setting", "of jobs/fuse.py", "tidied"],
)
def test_an_output_that_is_of_no_use_is_named(
    make: Callable[[Run, Path], None], said: str, run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make(run, tmp_path)
    capsys.readouterr()
    figures = run(write(pairs(), tmp_path / "new", 1), "today", **reuse(tmp_path / "yesterday"))
    assert (figures["scored_now"], figures["reused"]) == (ROWS - EMPTY, 0)
    (line,) = [line for line in capsys.readouterr().err.splitlines() if "taken over" in line]
    assert line.startswith(f"rayrank: {tmp_path}/yesterday: none of its scores are taken over: {said}")


def test_rows_without_a_score_are_scored(run: Run, tmp_path: Path) -> None:
    class Picky(Asked):
        async def score_prompts(self, prompts: Sequence[Prompt]) -> Result:
            found = await super().score_prompts(prompts)
            return found._replace(scores=[*found.scores[:-1], Unscored("not today")])

    path = write(pairs(), tmp_path / "in", 3)
    failed = run(path, "yesterday", Picky, **SETTINGS)["unscored"] - EMPTY
    Asked.asked.clear()
    assert run(path, "today", Asked, **reuse(tmp_path / "yesterday"))["unscored"] == EMPTY
    assert sum(Asked.asked) == failed > 0


def test_a_restart_takes_nothing_over(run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(pairs(), tmp_path / "in", 3)
    run(path, "yesterday", **SETTINGS)
    settings = reuse(tmp_path / "yesterday", on_existing="restart")
    assert run(path, "today", **settings)["scored_now"] == ROWS - EMPTY
    assert "scores everything again, so no scores are taken over (run.reuse)" in capsys.readouterr().err


def test_hashes_that_are_too_short_would_be_seen(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With hashes of 8 bits pairs take the scores of others: the tests above would fail."""
    whole = pipeline.input.pairs._hash
    monkeypatch.setattr(pipeline.input.pairs, "_hash", lambda texts: whole(texts)[:1] * 16)
    run(write(pairs(), tmp_path / "in", 3), "yesterday", **SETTINGS)
    table, new = make_next_day(pairs())
    path = write(table, tmp_path / "new", 5)
    assert run(path, "today", **reuse(tmp_path / "yesterday"))["scored_now"] < new
    run(path, "fresh", **SETTINGS)
    assert not in_order(tmp_path / "today").equals(in_order(tmp_path / "fresh"))


def test_the_manifest_says_how_much_was_taken(run: Run, tmp_path: Path) -> None:
    run(write(pairs(), tmp_path / "in", 3), "yesterday", **SETTINGS)
    table, new = make_next_day(pairs())
    run(write(table, tmp_path / "new", 5), "today", **reuse(tmp_path / "yesterday"))
    manifest = read_result(Folder(str(tmp_path / "today")))
    assert manifest and manifest["figures"]["reused"] == len(table) - EMPTY - new
    assert manifest["config"]["run"]["reuse"] == [str(tmp_path / "yesterday")]


def test_a_check_says_which_outputs_are_there(run: Run, make_config: Callable[..., Config], tmp_path: Path) -> None:
    path = write(pairs(), tmp_path / "in", 1)
    run(path, "yesterday", **SETTINGS)
    outputs = [str(tmp_path / name) for name in ("yesterday", "typo")]
    good, unknown = survey(make_config(path, run={"reuse": outputs}))
    assert [line for line in good if outputs[0] in line] and outputs[1] not in " ".join(good)
    assert f"run.reuse: {outputs[1]} has no finished result, or is not there" in unknown
