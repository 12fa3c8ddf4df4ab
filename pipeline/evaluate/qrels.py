"""Judgements, from a file in one of the forms in which they come:

TREC    four fields between spaces or tabs, no header: query, iteration (ignored), document, grade
TSV     a header, and tabs: the columns are found by their names, in any order; others are ignored
BEIR    a TSV whose columns are called query-id, corpus-id, score
A file may be compressed (.gz, .bz2, .xz, ...) and lie on any fsspec store.
"""

import lzma
import zlib
from collections.abc import Iterator

import fsspec

from pipeline.errors import UsageError, one_line

Qrels = dict[str, dict[str, int]]  # query_id -> doc_id -> grade
Judgement = tuple[int, str, str, str]  # number of the line, query_id, doc_id, grade as written

NAMES = {
    "query": ("query_id", "query-id", "qid", "query", "topic"),
    "document": ("doc_id", "doc-id", "docid", "corpus-id", "corpus_id", "docno", "doc"),
    "grade": ("relevance", "rel", "score", "grade", "label"),
}


def read_qrels(path: str) -> Qrels:
    """Reads a file of judgements. Raises UsageError with the file, the line and the value that is wrong.

    A judgement that stands there twice counts once; two different grades of one document are an error.
    """
    qrels: Qrels = {}
    for number, query, doc, text in _parse_judgements(path, _read_lines(path)):
        try:
            grade = int(text)
        except ValueError:
            raise UsageError(f"{path}: line {number}: the grade {text!r} is not a whole number") from None
        known = qrels.setdefault(query, {}).setdefault(doc, grade)
        if known != grade:
            raise UsageError(
                f"{path}: line {number}: query {query!r}, document {doc!r} has grade {grade}, and {known} further up"
            )
    if not qrels:
        raise UsageError(f"{path}: holds no judgements")
    return qrels


def _read_lines(path: str) -> list[tuple[int, str]]:
    """Number and text of each line that is not blank."""
    try:
        with fsspec.open(path, "rt", encoding="utf-8-sig", newline="", compression="infer") as file:
            text = file.read()
    except (OSError, ValueError, ImportError, EOFError, zlib.error, lzma.LZMAError) as error:
        raise UsageError(f"{path}: cannot read the judgements: {one_line(error)}") from None
    lines = [line.removesuffix("\r") for line in text.split("\n")]  # splitlines would break a line at a form feed, too
    return [(number, line) for number, line in enumerate(lines, 1) if line.strip()]


def _parse_judgements(path: str, lines: list[tuple[int, str]]) -> Iterator[Judgement]:
    if not lines:
        return
    header = [name.strip().lower() for name in lines[0][1].split("\t")]
    found = [next((header.index(name) for name in names if name in header), None) for names in NAMES.values()]
    columns = [column for column in found if column is not None]
    if len(columns) == len(NAMES):
        for number, line in lines[1:]:
            fields = line.split("\t")
            if len(fields) != len(header):
                raise UsageError(f"{path}: line {number} has {len(fields)} fields, and the header {len(header)}")
            query, doc, grade = (fields[column].strip() for column in columns)
            yield number, query, doc, grade
        return
    for number, line in lines:
        fields = line.split()
        if len(fields) != 4:
            if number == lines[0][0]:
                names = "; ".join(f"{what}: {', '.join(known)}" for what, known in NAMES.items())
                raise UsageError(
                    f"{path}: line {number}: neither the four fields of TREC qrels nor a header with tabs "
                    f"that names its columns ({names})"
                )
            raise UsageError(f"{path}: line {number} has {len(fields)} fields, and TREC qrels have 4")
        yield number, fields[0], fields[2], fields[3]
