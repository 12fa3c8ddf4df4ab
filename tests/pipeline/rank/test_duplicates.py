"""Which of the rows with the same query_id and doc_id stands, and what is said of the others."""

import random
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pytest

from pipeline.config import Fusion
from pipeline.errors import TooManyFailed
from pipeline.rank.rank import Which, rank
from pipeline.score.files import get_schema
from tests.pipeline.conftest import Run, pairs, write

RERANKER_ALONE = Fusion(method="none")
EARLIER, LATER = (f"duplicate of {which} row with the same query_id and doc_id" for which in ("an earlier", "a later"))
EQUAL_EARLIER, EQUAL_LATER = "equal to an earlier row", "equal to a later row"


def score_rows(*lines: str) -> pa.Table:
    """Score rows from `file row query_id doc_id text first_stage_score rerank_score`; `-` for a pair without one."""
    rows = []
    for line in lines:
        file, row, query, doc, text, first, rerank = line.split()
        made = {"file": int(file), "row": int(row), "query_id": query, "doc_id": doc, "texts": text.encode().ljust(16)}
        made |= {"first_stage_score": float(first), "truncated": False}
        scored = {"rerank_score": None, "kind": "permanent", "reason": "document is empty"}
        rows.append(made | ({"rerank_score": float(rerank), "kind": "ok"} if rerank != "-" else scored))
    return pa.Table.from_pylist(rows, get_schema(explain=False))


@pytest.mark.parametrize(
    ("lines", "which", "kept", "repeated"),
    [
        (["0 5 q a x 1 .9", "0 6 q a y 1 .8"], "first", [(0, 5)], [(0, 6, EARLIER)]),
        (["0 5 q a x 1 .9", "0 6 q a y 1 .8"], "last", [(0, 6)], [(0, 5, LATER)]),
        (["1 0 q a x 1 .9", "0 9 q a y 1 .8"], "first", [(0, 9)], [(1, 0, EARLIER)]),
        (["1 0 q a x 1 .9", "0 9 q a y 1 .8"], "last", [(1, 0)], [(0, 9, LATER)]),
        (["0 5 q a x 1 .9", "0 6 q a x 1 .9"], "first", [(0, 5)], [(0, 6, EQUAL_EARLIER)]),
        (["0 5 q a x 1 .9", "0 6 q a x 1 .9"], "last", [(0, 6)], [(0, 5, EQUAL_LATER)]),
        (["0 5 q a x 1 .9", "0 6 q a x 2 .9"], "first", [(0, 5)], [(0, 6, EARLIER)]),
        (["0 5 q a x 1 .9", "0 6 q a x 1 .8"], "first", [(0, 5)], [(0, 6, EQUAL_EARLIER)]),
        (["0 5 q a x 1 -", "0 6 q a y 1 .9"], "first", [(0, 5)], [(0, 6, EARLIER)]),
        (["0 5 q a x 1 .9", "0 6 q a y 1 -"], "last", [(0, 6)], [(0, 5, LATER)]),
        (["0 5 q a x 1 -", "0 6 q a x 1 -"], "first", [(0, 5)], [(0, 6, EQUAL_EARLIER)]),
        (
            ["0 1 q a x 1 .9", "0 2 q a y 1 .8", "0 3 q a x 1 .9", "0 4 q a y 1 .8"],
            "first",
            [(0, 1)],
            [(0, 2, EARLIER), (0, 3, EQUAL_EARLIER), (0, 4, EARLIER)],
        ),
        (
            ["0 1 q a x 1 .9", "0 2 q a y 1 .8", "0 3 q a x 1 .9", "0 4 q a y 1 .8"],
            "last",
            [(0, 4)],
            [(0, 1, LATER), (0, 2, EQUAL_LATER), (0, 3, LATER)],
        ),
        (["0 1 q a x 1 .9", "0 2 p a x 1 .8", "0 3 q b x 1 .7"], "first", [(0, 1), (0, 2), (0, 3)], []),
        (["0 1 ab c x 1 .9", "0 2 a bc x 1 .8"], "last", [(0, 1), (0, 2)], []),
    ],
    ids=[
        "first: by row",
        "last: by row",
        "first: by file",
        "last: by file",
        "first: equal",
        "last: equal",
        "another first-stage score",
        "scored twice by a model that wavers",
        "the first has no score",
        "the last has no score",
        "equal, and none has a score",
        "first: several are compared with the one that stands",
        "last: several are compared with the one that stands",
        "another query or document",
        "ids that meet only when joined",
    ],
)
def test_which_stands(lines: list[str], which: Which, kept: list, repeated: list) -> None:
    ranked, rejects = rank(score_rows(*lines), RERANKER_ALONE, which)
    assert sorted(zip(*ranked.select(["file", "row"]).to_pydict().values(), strict=True)) == kept
    assert [*zip(*rejects.to_pydict().values(), strict=True)] == repeated


@pytest.mark.parametrize("which", ["first", "last"])
@pytest.mark.parametrize("seed", range(10))
def test_any_rows_against_pandas(which: Which, seed: int) -> None:
    draw = random.Random(seed)
    places = [(file, row) for file in range(3) for row in range(60)]
    draw.shuffle(places)
    ids = ["d", "d1", "d12345678", "d123456789", "d123456780", "é"]  # alike in the bytes that are compared first
    lines = [
        f"{file} {row} q{draw.randrange(4)} {draw.choice(ids)} {draw.choice('xyz')} {draw.randrange(2)} {draw.random()}"
        for file, row in places
    ]
    rows = score_rows(*lines)

    names = ["file", "row", "query_id", "doc_id", "texts", "first_stage_score"]
    table = rows.select(names).to_pandas().sort_values(["file", "row"])
    again = table.duplicated(["query_id", "doc_id"], keep=which)
    kept = table.drop_duplicates(["query_id", "doc_id"], keep=which)
    beside = table[again].merge(kept, on=["query_id", "doc_id"], suffixes=("", "_kept"))
    equal = (beside["texts"] == beside["texts_kept"]) & (
        beside["first_stage_score"] == beside["first_stage_score_kept"]
    )
    reasons = equal.map(
        {"first": {True: EQUAL_EARLIER, False: EARLIER}, "last": {True: EQUAL_LATER, False: LATER}}[which]
    )
    assert 0 < equal.sum() < len(equal)

    ranked, rejects = rank(rows, RERANKER_ALONE, which)
    columns = ["file", "row", "query_id", "doc_id"]
    found = ranked.select(columns).to_pandas().sort_values(["file", "row"])
    pd.testing.assert_frame_equal(found.reset_index(drop=True), kept[columns].reset_index(drop=True))
    expected = beside.assign(reason=reasons)[["file", "row", "reason"]].sort_values(["file", "row"])
    assert rejects.to_pylist() == expected.to_dict("records")


def test_equal_rows_never_count_as_failed(run: Run, tmp_path: Path) -> None:
    """One of 154 rows has an empty document, one repeats the ids of another with another text, and 52 are equal."""
    table = pairs(101)
    one, other = table.slice(0, 1), table.slice(1, 1)
    repeated = one.set_column(3, "doc", pa.array(["another text"]))
    path = write(pa.concat_tables([table, table.slice(0, 50), repeated, other, other]), tmp_path / "in", 3)
    figures = run(path, run={"max_failed": 2 / 154})
    assert (figures["rows"], figures["rejected"], figures["equal"], figures["unscored"]) == (154, 53, 52, 1)
    with pytest.raises(TooManyFailed) as error:
        run(path, run={"max_failed": 1.9 / 154})
    said = str(error.value)
    assert "2 of 154 rows have no reranker score" in said and EQUAL_EARLIER not in said
    assert f"1 x {EARLIER}, 1 x document is empty" in said or f"1 x document is empty, 1 x {EARLIER}" in said
