"""A run of three stages is three runs by hand (by_hand.py): at once, after kills, and after changes."""

import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from actors.rerankers.contract import Prompt
from actors.worker.failures import Result
from pipeline.errors import UsageError
from pipeline.input.result import read_result
from pipeline.sizes import Sizes
from pipeline.storage.folder import Folder
from tests.pipeline.conftest import ranked, write
from tests.pipeline.run.by_hand import MANY_PARTS, NAMES, Rough, Stages, assert_same, draw_pairs, get_result, run


@pytest.fixture
def stages(tmp_path: Path, minilm: str) -> Stages:
    return Stages(tmp_path, minilm)


@pytest.mark.parametrize(
    "seed, top_k, sizes",
    [(0, (6, 3), MANY_PARTS), (1, (3, 6), Sizes()), (2, (1, 1), MANY_PARTS), (3, (50, 2), MANY_PARTS)],
    ids=["usual", "one part", "top 1", "all go on"],
)
def test_three_stages_are_three_runs_by_hand(seed: int, top_k: tuple[int, int], sizes: Sizes, stages: Stages) -> None:
    table = draw_pairs(seed)
    config = stages.make_config(write(table, stages.folder / "in", 3), top_k)
    figures = run(config, sizes)
    expected, _ = stages.rank_by_hand(table, top_k)
    assert_same(get_result(config), expected)
    assert figures["ranked"] == len(table) and [*figures["stages"]] == NAMES[:2]
    run(config, sizes)
    assert not Rough.asked, "all is there"


class Killed(BaseException):
    pass


@contextmanager
def killed_after(steps: int) -> Iterator[None]:
    """Ends the block after a number of changes of the store, as SIGKILL would."""
    left = iter(range(steps))

    def make_dying(change: Any) -> Any:
        def change_or_die(*given: Any, **named: Any) -> Any:
            if next(left, None) is None:
                raise Killed
            return change(*given, **named)

        return change_or_die

    with pytest.MonkeyPatch.context() as patch:
        for name in ("put", "put_new", "delete"):
            patch.setattr(Folder, name, make_dying(getattr(Folder, name)))
        yield


@pytest.mark.parametrize("seed", [0, 1])
def test_killed_at_random_moments_it_ends_with_the_same_result(seed: int, stages: Stages) -> None:
    table, draw, kills = draw_pairs(seed), random.Random(seed), 0
    path = write(table, stages.folder / "in", 3)
    for fusion in ({}, {"alpha": 0.9}):  # from nothing, and over a result that stands
        config = stages.make_config(path, fusion=fusion)
        while True:
            try:
                with killed_after(draw.randrange(40)):
                    run(config)
                break
            except Killed:
                kills += 1
        assert_same(get_result(config), stages.rank_by_hand(table, fusion=fusion, name=f"hand{fusion}")[0])
    assert kills > 1


def add_rows(folder: Path, table: pa.Table) -> pa.Table:
    """Some more candidates of queries that are there, and one of a new query."""
    more = table.slice(0, 4).to_pylist() + table.slice(9, 1).to_pylist()
    for number, row in enumerate(more):
        row |= {"doc_id": f"new{number}", "doc": f"new document {number}", "score": 9.0}
    new = pa.Table.from_pylist([*more[:-1], more[-1] | {"query_id": "new", "query": "a new query"}], table.schema)
    pq.write_table(new, folder / "in" / "new.parquet")
    return pa.concat_tables([table, new])


CHANGES: list[tuple[str, dict[str, Any], bool]] = [
    ("fewer go on", {"top_k": (3, 2)}, False),
    ("more go on", {"top_k": (8, 3)}, False),
    ("another fusion of the first stage", {"fusion": {"alpha": 0.1}}, False),
    ("more rows", {}, True),
    ("more rows, and all at once", {"top_k": (4, 4), "fusion": {"method": "none"}}, True),
]


@pytest.mark.parametrize("change, grows", [change[1:] for change in CHANGES], ids=[change[0] for change in CHANGES])
def test_after_a_change_only_pairs_that_a_stage_has_not_seen_are_scored(
    change: dict[str, Any], grows: bool, stages: Stages, capsys: pytest.CaptureFixture[str]
) -> None:
    table = draw_pairs(5)
    path = write(table, stages.folder / "in", 3)
    run(stages.make_config(path))
    _, before = stages.rank_by_hand(table, name="before")
    table = add_rows(stages.folder, table) if grows else table
    expected, after = stages.rank_by_hand(table, name="after", **change)
    config = stages.make_config(path, **change)
    figures = run(config)
    assert_same(get_result(config), expected)
    scored = [figures["stages"][name]["scored_now"] for name in NAMES[:2]] + [figures["scored_now"]]
    assert all(count <= Rough.asked[name] for name, count in zip(NAMES, scored, strict=True))
    assert +Rough.asked == {name: new for name in NAMES if (new := len(after[name] - before[name]))}
    assert Rough.built == [*+Rough.asked], "no engine starts for nothing"
    assert capsys.readouterr().err.count(" came, ") == grows, "parts of a stage are no files that the user brought"
    for name in NAMES[:2]:
        output = Folder(f"{config.output.path}/stages/{name}")
        assert output.files("rest/").keys() == {*read_result(output)["rest"]}  # type: ignore[index]


class Stopped(Rough):
    """Stops in the first stage, when it has been asked for 50 pairs."""

    async def score_prompts(self, prompts: Sequence[Prompt]) -> Result:
        if self.asked[NAMES[0]] > 50:
            raise InterruptedError
        return await super().score_prompts(prompts)


def test_a_restart_throws_away_the_scores_of_all_stages(stages: Stages) -> None:
    table = draw_pairs(6)
    path = write(table, stages.folder / "in", 3)
    run(stages.make_config(path))
    asked = dict(Rough.asked)
    restart = stages.make_config(path, run={"on_existing": "restart"})
    run(restart)
    assert asked == Rough.asked
    with pytest.raises(InterruptedError):
        run(restart, scorer=Stopped)
    run(stages.make_config(path))
    assert {name: Rough.asked[name] for name in NAMES[1:]} == {name: asked[name] for name in NAMES[1:]}
    assert 0 < Rough.asked[NAMES[0]] < asked[NAMES[0]], "what was scored since stays"


def test_a_model_of_a_later_stage_is_refused_before_anything_is_scored(stages: Stages) -> None:
    path = write(draw_pairs(7), stages.folder / "in", 1)
    broken = stages.folder / "model"
    broken.mkdir()
    config = stages.make_config(path)
    last = config.stages[2]
    reranker = last.reranker.model_copy(update={"model": str(broken)})
    config = config.model_copy(update={"stages": [*config.stages[:2], last.model_copy(update={"reranker": reranker})]})
    with pytest.raises(UsageError, match="the folder has no config"):
        run(config)
    assert not Rough.asked


def test_scores_of_another_model_in_a_later_stage_are_refused_before_anything_is_scored(stages: Stages) -> None:
    table = draw_pairs(7)
    path = write(table, stages.folder / "in", 1)
    run(stages.make_config(path))
    add_rows(stages.folder, table)
    config = stages.make_config(path)
    reranker = config.stages[1].reranker.model_copy(update={"max_doc_tokens": 50})
    other = [config.stages[0], config.stages[1].model_copy(update={"reranker": reranker}), config.stages[2]]
    config = config.model_copy(update={"stages": other})
    with pytest.raises(UsageError, match=r"output\.path = .*/stages/better': holds scores of another model"):
        run(config)
    assert not Rough.built


class Writing(Rough):
    """Writes which stage it is, for the pairs that it scores."""

    async def score_prompts(self, prompts: Sequence[Prompt]) -> Result:
        found = await super().score_prompts(prompts)
        return found._replace(texts=[NAMES[self._number]] * len(prompts))


def test_what_a_model_wrote_stays_with_the_row_of_its_stage(stages: Stages) -> None:
    path, output = write(draw_pairs(8), stages.folder / "in", 2), {"explain": True}
    for top_k in ((6, 3), (4, 3)):  # the second time most of it is taken over
        config = stages.make_config(path, top_k, output=output)
        run(config, scorer=Writing)
        rows = ranked(config.output.path).to_pylist()
        assert {row["explanation"] for row in rows} == {None, *NAMES}
        for row in rows:
            asked = row["reason"] != "document is empty"
            assert row["explanation"] == (row["stage"] if asked else None), row


def test_carried_columns_of_any_type_are_in_every_row(stages: Stages) -> None:
    table = draw_pairs(
        9,
    )
    numbers = range(len(table))
    carried = {
        "cat": pa.array([f"c{n % 3}" for n in numbers]).dictionary_encode(),
        "tags": pa.array([[f"t{n}"] * (n % 3) for n in numbers]),
        "when": pa.array([n * 10**9 for n in numbers], pa.timestamp("s")),
        "raw": pa.array([bytes([n % 256]) for n in numbers]),
        "none": pa.nulls(len(table)),
        "small": pa.array([n % 100 for n in numbers], pa.uint8()),
    }
    for name, values in carried.items():
        table = table.append_column(name, values)
    config = stages.make_config(write(table, stages.folder / "in", 2), output={"columns": [*carried, "query"]})
    run(config)
    ids = ["query_id", "doc_id"]
    expected = table.select([*ids, *carried, "query"]).to_pandas().set_index(ids).sort_index()
    found = ranked(config.output.path).to_pandas().set_index(ids).sort_index()[[*carried, "query"]]
    for name in expected:
        assert [*map(str, found[name])] == [*map(str, expected[name])], name


def test_titles_go_on_with_their_documents(stages: Stages) -> None:
    table = draw_pairs(10)
    titles = pa.array([f"title {n}" for n in range(len(table))])
    path = write(table.append_column("headline", titles), stages.folder / "in", 2)
    titled = stages.make_config(path, name="titled", input={"path": path, "columns": {"title": "headline"}})
    joined = [
        f"{title} {doc}" if doc else "" for title, doc in zip(titles.to_pylist(), table["doc"].to_pylist(), strict=True)
    ]
    at = table.column_names.index("doc")
    plain = stages.make_config(
        write(table.set_column(at, "doc", pa.array(joined)), stages.folder / "joined", 2), name="plain"
    )
    run(titled)
    run(plain)
    assert_same(get_result(titled), get_result(plain))
