"""A judge's result -> TREC qrels, a batch of rows at a time. A pair without a score is counted, and has no line."""

from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline.config.stages import STAGE
from pipeline.errors import UsageError
from pipeline.evaluate.qrels import Qrels
from pipeline.input.result import BATCH_ROWS, has_stages, read_finished_result
from pipeline.judge.agreement import Confusion
from pipeline.judge.grade import Grading
from pipeline.output.trec import check_field
from pipeline.rows import get_kind
from pipeline.storage.folder import Folder
from pipeline.storage.urls import open_url
from pipeline.storage.writer import open_writer

UNSEEN = "not seen by the last stage"


class Judged(NamedTuple):
    """rows: of the result. queries: with a judgement. grades: pairs with each. without: rows without a judgement, by
    the kind of their reason. confusion: of the pairs that are judged elsewhere, too."""

    rows: int
    queries: int
    grades: Counter[int]
    without: Counter[str]
    confusion: Confusion


def write_qrels(
    result: str, output: str, grading: Grading, score: str, given: Qrels = {}, batch_rows: int = BATCH_ROWS
) -> Judged:
    """Writes the judgements of a committed result, which has whole queries in a part.

    result: the output.path of a run. output: any fsspec URL; it appears whole or not at all. score: the column. given:
    other judgements, with which these are compared. Raises UsageError where there is no such result or column, a score
    is no grade, an id cannot stand in qrels, or no row has a score.
    """
    folder = Folder(result)
    manifest = read_finished_result(folder)
    stage = manifest["stages"][-1]["name"] if has_stages(manifest) else None
    judged, last = Judged(0, 0, Counter(), Counter(), Confusion()), None
    rows = queries = 0
    with open_writer(output) as file:
        for part in manifest["parts"]:
            for batch in _read_part(folder.path(part), score, stage, batch_rows):
                rows += len(batch)
                found = _select_scored(batch, score, stage, judged.without)
                grades = _make_grades(found, grading, score)
                lines = []
                for query, doc, grade in zip(*found[:2], grades.tolist(), strict=True):
                    check_field("query_id", query, "a file of qrels")
                    check_field("doc_id", doc, "a file of qrels")
                    lines.append(f"{query} 0 {doc} {grade}\n")
                    queries += query != last
                    last = query
                    if (other := given.get(query, {}).get(doc)) is not None:
                        judged.confusion[other, grade] += 1
                file.write("".join(lines).encode())
                judged.grades.update(grades.tolist())
        if not judged.grades:
            raise UsageError(f"{result}: none of its {rows:,} rows has a judgement: {describe(judged.without)}")
        if given and not judged.confusion:
            query, doc = next((query, next(iter(docs))) for query, docs in given.items())
            raise UsageError(
                f"--against: has none of the pairs that the result judges (query {query!r}, document {doc!r}, ...); "
                "are the ids written alike?"
            )
    return judged._replace(rows=rows, queries=queries)


def describe(without: Counter[str]) -> str:
    """The reasons and how often each occurs, the commonest first."""
    return ", ".join(f"{count:,} x {reason}" for reason, count in without.most_common())


def _read_part(part: str, score: str, stage: str | None, batch_rows: int) -> Iterator[pa.RecordBatch]:
    fs, path = open_url(part)
    with fs.open(path, "rb") as file:
        parquet = pq.ParquetFile(file)
        there = parquet.schema_arrow
        kind = there.field(score).type if score in there.names else pa.null()
        if not pa.types.is_floating(kind) and not pa.types.is_integer(kind):
            raise UsageError(f"--score = {score!r}: {part} has no such column of numbers")
        names = dict.fromkeys(["query_id", "doc_id", score, "reason", *([STAGE] if stage else [])])
        yield from parquet.iter_batches(batch_rows, columns=[*names])


def _select_scored(
    batch: pa.RecordBatch, score: str, stage: str | None, without: Counter[str]
) -> tuple[list[str], list[str], np.ndarray]:
    """query_ids, doc_ids and scores of the rows with one. without: gets the others."""
    if stage:
        seen = pc.equal(batch[STAGE], stage)
        if unseen := len(batch) - (pc.sum(seen).as_py() or 0):
            without[UNSEEN] += unseen
        batch = batch.filter(seen)
    scores = batch[score].cast(pa.float64()).to_numpy(zero_copy_only=False)
    scored = np.isfinite(scores)
    for reason in batch["reason"].filter(pa.array(~scored)).to_pylist():
        without[get_kind(reason or "no score")] += 1
    kept = batch.filter(pa.array(scored))
    return kept["query_id"].to_pylist(), kept["doc_id"].to_pylist(), scores[scored]


def _make_grades(found: tuple[list[str], list[str], np.ndarray], grading: Grading, score: str) -> np.ndarray:
    queries, docs, scores = found
    try:
        return grading.make_grades(scores)
    except ValueError as error:
        at, what = error.args
        raise UsageError(
            f"--score = {score!r}: {scores[at]} of query {queries[at]!r}, document {docs[at]!r} {what}"
        ) from None
