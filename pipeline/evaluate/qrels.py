"""Judgements, from a file in one of the forms in which they come:

TREC     four fields between spaces or tabs, no header: query, iteration (ignored), document, grade
TSV      a header, and tabs: the columns are found by their names, in any order; others are ignored
BEIR     a TSV whose columns are called query-id, corpus-id, score
JSONL    an object a line, and
Parquet  with keys or columns of the same names
A text may be compressed (.gz, .bz2, .xz, ...). The file may lie on any fsspec store.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from pipeline.errors import UsageError
from pipeline.input.match import Usual, describe_taken
from pipeline.input.records import PARQUET_MAGIC, Record, Taken, find_columns, parse_id, read_objects, read_parquet
from pipeline.input.texts import decode_lines, fetch_text

Qrels = dict[str, dict[str, int]]  # query_id -> doc_id -> grade

NAMES = {
    "query_id": Usual("query_id", ("query_id", "query-id", "qid", "topic"), ("query",)),
    "doc_id": Usual("doc_id", ("doc_id", "doc-id", "docid", "corpus-id", "corpus_id", "docno", "pid"), ("doc",)),
    "relevance": Usual("relevance", ("relevance", "rel", "score", "grade", "label")),
}


def read_qrels(path: str, given: Mapping[str, str] = {}, taken: Taken | None = None) -> Qrels:
    """Reads a file of judgements. given: name (query_id, doc_id, relevance) -> the column that the user named. taken:
    counts the judgements by (name, column), where columns have names.

    Raises UsageError with the file, the line or row, and the value that is wrong; or where two columns fit one name. A
    judgement that stands there twice counts once; two different grades of one document are an error.
    """
    usual = NAMES | {name: Usual(name, (column.lower(),)) for name, column in given.items()}
    taken = Counter() if taken is None else taken
    qrels: Qrels = {}
    for place, (*ids, written) in _parse_judgements(path, fetch_text(path, "the judgements"), usual, taken):
        query, doc = (parse_id(path, place, id) for id in ids)
        grade = _parse_grade(path, place, written)
        known = qrels.setdefault(query, {}).setdefault(doc, grade)
        if known != grade:
            raise UsageError(
                f"{path}: {place}: query {query!r}, document {doc!r} has grade {grade}, and {known} further up"
            )
    if not qrels:
        raise UsageError(f"{path}: holds no judgements")
    return qrels


def _parse_grade(path: str, place: str, value: Any) -> int:
    try:
        if value is None or isinstance(value, bool) or (isinstance(value, float) and not value.is_integer()):
            raise ValueError
        return int(value)
    except ValueError:
        raise UsageError(f"{path}: {place}: the grade {value!r} is not a whole number") from None


def _parse_judgements(path: str, data: bytes, usual: Mapping[str, Usual], taken: Taken) -> Iterator[Record]:
    if data.startswith(PARQUET_MAGIC):
        yield from read_parquet(path, data, usual, taken)
        return
    lines = decode_lines(path, data, "the judgements")
    if not lines:
        return
    first = lines[0][1]
    header = [name.strip().lower() for name in first.split("\t")]
    if first.lstrip().startswith("{"):
        yield from read_objects(path, lines, usual, taken)
    elif all({*names.columns, *names.fallback} & {*header} for names in usual.values()):
        yield from _parse_table(path, lines, header, usual, taken)
    else:
        yield from _parse_trec(path, lines)


def _parse_table(
    path: str, lines: list[tuple[int, str]], header: list[str], usual: Mapping[str, Usual], taken: Taken
) -> Iterator[Record]:
    names = find_columns(f"{path}: line 1", header, usual)
    taken.update(dict.fromkeys(zip(usual, names, strict=True), len(lines) - 1))
    columns = [header.index(column) for column in names]
    for number, line in lines[1:]:
        fields = line.split("\t")
        if len(fields) != len(header):
            raise UsageError(f"{path}: line {number} has {len(fields)} fields, and the header {len(header)}")
        yield f"line {number}", [fields[column].strip() for column in columns]


def _parse_trec(path: str, lines: list[tuple[int, str]]) -> Iterator[Record]:
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
        yield f"line {number}", [fields[0], fields[2], fields[3]]


def describe_columns(taken: Taken, given: Mapping[str, str]) -> str:
    """Which columns of other names were taken; empty where there is nothing to tell."""
    found: dict[str, dict[str, int]] = {name: {} for name in NAMES}
    for (name, column), rows in taken.items():
        found[name][column] = rows
    return describe_taken("qrels", found, given)
