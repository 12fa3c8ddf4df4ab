"""pipeline/output/trec.py: a result as a TREC run, which every tool orders like the result."""

import random
import struct
from pathlib import Path

import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.errors import UsageError
from pipeline.output.commit import commit
from pipeline.output.trec import make_decreasing, write_trec
from pipeline.storage.folder import Folder

NAN = float("nan")


def below(number: float) -> float:
    """The next 32-bit float down, by its bits."""
    (bits,) = struct.unpack("<i", struct.pack("<f", number))
    return struct.unpack("<f", struct.pack("<i", bits - 1 if number > 0 else bits + 1))[0]


@pytest.mark.parametrize(
    "scores, expected",
    [
        ([3, 2, 1], [3, 2, 1]),
        ([2, 2, 2, 1], [2, below(2), below(below(2)), 1]),
        ([-2, -2], [-2, below(-2)]),
        ([1 + 1e-12, 1, 1 - 1e-12], [1, below(1), below(below(1))]),
        ([0.0, -0.0, -1], [0, -(2.0**-149), -1]),
        ([7, NAN, NAN], [7, below(7), below(below(7))]),
        ([NAN, NAN], [0, -(2.0**-149)]),
        ([1e300, 1e200, 5], [(2 - 2.0**-23) * 2.0**127, below((2 - 2.0**-23) * 2.0**127), 5]),
        ([1, -1e300, NAN], [1, -(2 - 2.0**-22) * 2.0**127, -(2 - 2.0**-23) * 2.0**127]),
        ([], []),
    ],
    ids=[
        "as they are",
        "ties",
        "ties below 0",
        "one float32",
        "zeros",
        "no score",
        "none at all",
        "huge",
        "low",
        "empty",
    ],
)
def test_scores_fall_as_float32(scores: list[float], expected: list[float]) -> None:
    assert make_decreasing(np.array(scores, dtype=float)).tolist() == expected


def test_any_scores_fall_strictly_and_stay_near() -> None:
    rng = np.random.default_rng(7)
    for scale in (1e-45, 1e-30, 1, 1e30, 1e39):
        scores = np.sort(np.round(rng.normal(size=3000), 2) * scale)[::-1]
        found = make_decreasing(scores)
        assert found.dtype == np.float32 and np.isfinite(found).all()
        assert (np.diff(found.astype(float)) < 0).all()
        if scale == 1:
            assert np.abs(found - scores).max() < 1e-4


def put_result(folder: str, parts: list[list[tuple]]) -> None:
    """A committed result with these rows: query_id, doc_id, rank, score."""
    output = Folder(folder)
    names = [f"ranked/part-{number:05d}-0123456789ab.parquet" for number in range(len(parts))]
    for name, rows in zip(names, parts, strict=True):
        types = [pa.string(), pa.string(), pa.int32(), pa.float64()]
        arrays = [pa.array([row[at] for row in rows], type) for at, type in enumerate(types)]
        sink = pa.BufferOutputStream()
        pq.write_table(pa.table(arrays, ["query_id", "doc_id", "rank", "score"]), sink, row_group_size=3)
        output.put(name, sink.getvalue().to_pybytes())
    commit(output, {"parts": names, "rejects": []})


PARTS: list[list[tuple]] = [
    [("q1", "a", 1, 2.5), ("q1", "b", 2, 0.1), ("q2", "a", 1, 0.5), ("q2", "é", 2, 0.5), ("q2", "c", 3, None)],
    [],
    [("q3", "x", 1, None)],
]
LINES = """\
q1 Q0 a 1 2.5 rayrank
q1 Q0 b 2 0.1 rayrank
q2 Q0 a 1 0.5 rayrank
q2 Q0 é 2 0.49999997 rayrank
q2 Q0 c 3 0.49999994 rayrank
q3 Q0 x 1 0.0 rayrank
"""


@pytest.mark.parametrize("store", ["local", "memory", "s3"])
def test_a_run_has_the_result_s_rows_in_its_order(store: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    if store == "s3":
        request.getfixturevalue("s3_server")
    folder = {"local": str(tmp_path), "memory": "memory://trec", "s3": "s3://bucket/trec"}[store]
    put_result(f"{folder}/out", PARTS)
    # Batches of two rows, so that queries go on from one to the next.
    counts = write_trec(f"{folder}/out", f"{folder}/runs/rayrank.trec", "rayrank", batch_rows=2)
    assert fsspec.open(f"{folder}/runs/rayrank.trec", "rb").open().read().decode() == LINES
    assert counts == {"queries": 3, "rows": 6, "unscored": 2}


def test_ir_measures_says_of_the_run_what_it_says_of_the_ranks(tmp_path: Path) -> None:
    """With many ties, for which trec_eval has an order of its own, and pairs without a score."""
    import ir_measures
    from ir_measures import AP, RR, R, nDCG

    rng = random.Random(5)
    rows: list[tuple] = []
    qrels = {}
    for q in range(30):
        docs = rng.sample(range(200), 50)
        drawn = sorted((rng.choice([0.5, 0.25, 1 / 3, 1e-9, 0.0, -2.0]) for _ in docs), reverse=True)
        scores = [*drawn[:45], *[None] * 5]
        rows += [
            (f"q{q:02d}", f"d{doc}", rank, score) for rank, (doc, score) in enumerate(zip(docs, scores, strict=True), 1)
        ]
        qrels[f"q{q:02d}"] = {f"d{doc}": rng.choice([0, 1, 2]) for doc in rng.sample(docs, 20)}
    put_result(str(tmp_path / "out"), [rows[:750], rows[750:]])
    write_trec(str(tmp_path / "out"), str(tmp_path / "run.trec"), "rayrank")

    measures = [nDCG @ 10, RR, AP, R @ 20]
    by_rank: dict[str, dict[str, float]] = {}
    for query, doc, rank, _ in rows:
        by_rank.setdefault(query, {})[doc] = -rank
    expected = ir_measures.calc_aggregate(measures, qrels, by_rank)
    read = list(ir_measures.read_trec_run(str(tmp_path / "run.trec")))
    assert ir_measures.calc_aggregate(measures, qrels, read) == expected

    import pytrec_eval

    with open(tmp_path / "run.trec") as file:
        run = pytrec_eval.parse_run(file)
    assert {query: set(docs) for query, docs in run.items()} == {query: set(docs) for query, docs in by_rank.items()}
    found = pytrec_eval.RelevanceEvaluator(qrels, {"ndcg_cut_10"}).evaluate(run)
    mean = sum(values["ndcg_cut_10"] for values in found.values()) / len(found)
    assert mean == pytest.approx(expected[nDCG @ 10])


def test_an_output_without_a_finished_result_is_refused(tmp_path: Path) -> None:
    put_result(str(tmp_path), PARTS)
    (tmp_path / "_SUCCESS").unlink()
    with pytest.raises(UsageError, match=f"{tmp_path}: holds no finished result"):
        write_trec(str(tmp_path), str(tmp_path / "run.trec"), "rayrank")
    assert not (tmp_path / "run.trec").exists()


@pytest.mark.parametrize(
    "row, what", [(("q", "a b", 1, 1.0), "doc_id 'a b'"), (("", "a", 1, 1.0), "query_id ''")], ids=["space", "empty"]
)
def test_an_id_that_a_trec_run_cannot_hold_is_named_and_nothing_is_written(
    tmp_path: Path, row: tuple, what: str
) -> None:
    put_result(str(tmp_path / "out"), [PARTS[0], [row]])
    (tmp_path / "run.trec").write_text("an older run")
    with pytest.raises(UsageError, match=what):
        write_trec(str(tmp_path / "out"), str(tmp_path / "run.trec"), "rayrank")
    assert (tmp_path / "run.trec").read_text() == "an older run"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "run.trec"]
