"""Judgements, from a file in one of the forms in which they come:

TREC     four fields between spaces or tabs, no header: query, iteration (ignored), document, grade
TSV      a header, and tabs: the columns are found by their names, in any order; others are ignored
BEIR     a TSV whose columns are called query-id, corpus-id, score
JSONL    an object a line, and
Parquet  with keys or columns of the same names
A text may be compressed (.gz, .bz2, .xz, ...). The file may lie on any fsspec store.
"""

import io
import json
from collections.abc import Iterator, Mapping
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.errors import UsageError, one_line
from pipeline.input.columns import as_ids, check_schema
from pipeline.input.match import Unmatched, Usual, match_columns
from pipeline.input.texts import decode_lines, fetch_text

Qrels = dict[str, dict[str, int]]  # query_id -> doc_id -> grade
Judgement = tuple[str, Any, Any, Any]  # where it stands, query_id, doc_id, grade as written

NAMES = {
    "query_id": Usual("query_id", ("query_id", "query-id", "qid", "topic"), ("query",)),
    "doc_id": Usual("doc_id", ("doc_id", "doc-id", "docid", "corpus-id", "corpus_id", "docno", "pid"), ("doc",)),
    "relevance": Usual("relevance", ("relevance", "rel", "score", "grade", "label")),
}


def read_qrels(path: str, given: Mapping[str, str] = {}) -> Qrels:
    """Reads a file of judgements. given: name (query_id, doc_id, relevance) -> the column that the user named.

    Raises UsageError with the file, the line or row, and the value that is wrong; or where two columns fit one name. A
    judgement that stands there twice counts once; two different grades of one document are an error.
    """
    usual = NAMES | {name: Usual(name, (column.lower(),)) for name, column in given.items()}
    qrels: Qrels = {}
    for place, *ids, written in _parse_judgements(path, fetch_text(path, "the judgements"), usual):
        query, doc = (_read_id(path, place, id) for id in ids)
        grade = _read_grade(path, place, written)
        known = qrels.setdefault(query, {}).setdefault(doc, grade)
        if known != grade:
            raise UsageError(
                f"{path}: {place}: query {query!r}, document {doc!r} has grade {grade}, and {known} further up"
            )
    if not qrels:
        raise UsageError(f"{path}: holds no judgements")
    return qrels


def _read_id(path: str, place: str, value: Any) -> str:
    if not isinstance(value, str | int) or isinstance(value, bool):
        raise UsageError(f"{path}: {place}: has {json.dumps(value)[:80]}, which is not an id")
    return str(value)


def _read_grade(path: str, place: str, value: Any) -> int:
    try:
        if value is None or isinstance(value, bool) or (isinstance(value, float) and not value.is_integer()):
            raise ValueError
        return int(value)
    except ValueError:
        raise UsageError(f"{path}: {place}: the grade {value!r} is not a whole number") from None


def _parse_judgements(path: str, data: bytes, usual: Mapping[str, Usual]) -> Iterator[Judgement]:
    if data.startswith(b"PAR1"):
        yield from _parse_parquet(path, data, usual)
        return
    lines = decode_lines(path, data, "the judgements")
    if not lines:
        return
    first = lines[0][1]
    header = [name.strip().lower() for name in first.split("\t")]
    if first.lstrip().startswith("{"):
        yield from _parse_objects(path, lines, usual)
    elif all({*names.columns, *names.fallback} & {*header} for names in usual.values()):
        yield from _parse_table(path, lines, header, usual)
    else:
        yield from _parse_trec(path, lines)


def _match(path: str, place: str, there: list[str], usual: Mapping[str, Usual]) -> list[str]:
    """The columns of query_id, doc_id and relevance, as they are written."""
    try:
        found = match_columns(usual, [name.lower() for name in there])
    except Unmatched as error:
        raise UsageError(f"{path}: {place}{error}; it has {', '.join(there)}") from None
    return [there[[name.lower() for name in there].index(column)] for column in found.values()]


def _parse_parquet(path: str, data: bytes, usual: Mapping[str, Usual]) -> Iterator[Judgement]:
    try:
        file = pq.ParquetFile(io.BytesIO(data))
        schema = file.schema_arrow
        columns = _match(path, "", schema.names, usual)
        check_schema(path, schema, dict(zip(NAMES, columns, strict=True)), "--column ")
        table = file.read(columns=columns)
    except (pa.ArrowException, OSError) as error:
        raise UsageError(f"{path}: cannot read the judgements: {one_line(error)}") from None
    ids = (as_ids(table[column].combine_chunks()).to_pylist() for column in columns[:2])
    grades = table[columns[2]].to_pylist()
    for row, (query, doc, grade) in enumerate(zip(*ids, grades, strict=True)):
        yield f"row {row}", query, doc, grade


def _parse_objects(path: str, lines: list[tuple[int, str]], usual: Mapping[str, Usual]) -> Iterator[Judgement]:
    columns: dict[tuple[str, ...], list[str]] = {}  # keys of a line -> those that count
    for number, line in lines:
        try:
            values = json.loads(line)
        except ValueError as error:
            raise UsageError(f"{path}: line {number}: is not JSON ({error})") from None
        if not isinstance(values, dict):
            raise UsageError(f"{path}: line {number}: is not a JSON object")
        there = tuple(values)
        if there not in columns:
            columns[there] = _match(path, f"line {number}: ", [*there], usual)
        query, doc, grade = (values[column] for column in columns[there])
        yield f"line {number}", query, doc, grade


def _parse_table(
    path: str, lines: list[tuple[int, str]], header: list[str], usual: Mapping[str, Usual]
) -> Iterator[Judgement]:
    columns = [header.index(column) for column in _match(path, "line 1: ", header, usual)]
    for number, line in lines[1:]:
        fields = line.split("\t")
        if len(fields) != len(header):
            raise UsageError(f"{path}: line {number} has {len(fields)} fields, and the header {len(header)}")
        query, doc, grade = (fields[column].strip() for column in columns)
        yield f"line {number}", query, doc, grade


def _parse_trec(path: str, lines: list[tuple[int, str]]) -> Iterator[Judgement]:
    for number, line in lines:
        fields = line.split()
        if len(fields) != 4:
            if number == lines[0][0]:
                names = "; ".join(f"{name}: {', '.join(known.columns)}" for name, known in NAMES.items())
                raise UsageError(
                    f"{path}: line {number}: neither the four fields of TREC qrels nor a header with tabs "
                    f"that names its columns ({names})"
                )
            raise UsageError(f"{path}: line {number} has {len(fields)} fields, and TREC qrels have 4")
        yield f"line {number}", fields[0], fields[2], fields[3]
