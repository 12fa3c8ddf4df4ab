"""Scores that were made elsewhere: a result of rayrank, or a JSON object a line."""

from collections.abc import Callable, Collection
from typing import Any

import numpy as np
import pyarrow as pa
from pydantic import BaseModel, ConfigDict, ValidationError

from pipeline.errors import UsageError, one_line
from pipeline.evaluate.result import select_queries
from pipeline.input.texts import decode_lines, fetch_text
from pipeline.storage.urls import make_absolute, open_url

WHAT = "the scores"
Scores = dict[tuple[str, str], float]  # query_id, doc_id -> score; nan where it is known that there is none
Given = Callable[[Collection[str]], Scores]  # query ids -> the scores of these queries, and maybe of others


class Line(BaseModel):
    """A line of JSONL; other keys do not count."""

    model_config = ConfigDict(strict=True, allow_inf_nan=False)

    query_id: str | int
    doc_id: str | int
    score: float | None


def open_scores(path: str) -> Given:
    """path: a file of JSONL, or the output.path of a finished run.

    Raises UsageError where it cannot be read, or a line has a wrong value, or a pair another score than further up.
    """
    try:
        fs, root = open_url(make_absolute(path))
        is_file = fs.isfile(root)
    except (OSError, ValueError, ImportError) as error:
        raise UsageError(f"--against {path}: cannot be read: {one_line(error)}") from None
    if is_file:
        scores = _read_lines(path)
        return lambda queries: scores
    return lambda queries: _read_result(path, queries)


def look_up(given: Given, rows: pa.Table) -> np.ndarray:
    """The score of each row, nan without one."""
    scores = given(rows["query_id"].unique().to_pylist())
    return np.array([scores.get(pair, np.nan) for pair in _list_pairs(rows)], np.float64)


def find_known(given: Given, rows: pa.Table) -> np.ndarray:
    """Whether the score of each row is known, or known to be none."""
    scores = given(rows["query_id"].unique().to_pylist())
    return np.array([pair in scores for pair in _list_pairs(rows)], bool)


def _list_pairs(rows: pa.Table) -> list[tuple[str, str]]:
    return [*zip(rows["query_id"].to_pylist(), rows["doc_id"].to_pylist(), strict=True)]


def _read_lines(path: str) -> Scores:
    scores: Scores = {}
    for number, text in decode_lines(path, fetch_text(path, WHAT), WHAT):
        try:
            line = Line.model_validate_json(text)
        except ValidationError as error:
            raise UsageError(f"--against {path}: line {number}: {_explain(error)}") from None
        pair, score = (str(line.query_id), str(line.doc_id)), np.nan if line.score is None else line.score
        known = scores.setdefault(pair, score)
        if known != score and not (np.isnan(known) and np.isnan(score)):
            raise UsageError(
                f"--against {path}: line {number}: query {pair[0]!r}, document {pair[1]!r} has score {score}, and "
                f"{known} further up"
            )
    if not scores:
        raise UsageError(f"--against {path}: holds no scores")
    return scores


def _explain(error: ValidationError) -> str:
    first: Any = error.errors()[0]
    key = ".".join(map(str, first["loc"][:1]))
    return f"{key or 'the line'}: {first['msg']}; a line is an object with query_id, doc_id and score"


def _read_result(url: str, queries: Collection[str]) -> Scores:
    _, _, rows = select_queries(url, ["query_id", "doc_id", "rerank_score"], queries)
    ids = zip(rows["query_id"].to_pylist(), rows["doc_id"].to_pylist(), strict=True)
    numbers = rows["rerank_score"].to_pylist()
    return {pair: np.nan if score is None else score for pair, score in zip(ids, numbers, strict=True)}
