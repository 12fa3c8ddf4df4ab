"""pipeline/input/match.py: a column for each name, and no guess between two."""

import pytest

from pipeline.input.match import Unmatched, match_columns
from pipeline.prepare.formats import list_usual_names

# kind, the file's columns, the columns that the user named, what is taken (or what is said)
CASES = {
    "PyTerrier's run": (
        "run",
        "qid docid docno rank score",
        {},
        "has 'docid' and 'docno' for doc_id; ... run.doc_id=...",
    ),
    "the same, named": ("run", "qid docid docno rank score", {"run.doc_id": "docno"}, "qid docno score rank"),
    "MS MARCO's passages": (
        "corpus",
        "pid passage spans docid",
        {},
        "has 'docid' and 'pid' for doc_id; ... corpus.doc_id=...",
    ),
    "a passage and its document": (
        "corpus",
        "id doc_id text",
        {},
        "has 'doc_id' and 'id' for doc_id; ... corpus.doc_id=...",
    ),
    "the same, named for all inputs": ("corpus", "id doc_id text", {"doc_id": "id"}, "id text"),
    "two texts": ("corpus", "id title contents text", {}, "has 'text' and 'contents' for doc; ... corpus.doc=..."),
    "a question and its text": (
        "queries",
        "_id query text",
        {},
        "has 'query' and 'text' for query; ... queries.query=...",
    ),
    "two ids of a query": ("queries", "_id qid text", {}, "has 'qid' and '_id' for query_id; ... queries.query_id=..."),
    "BEIR's corpus": ("corpus", "_id title text metadata", {}, "_id title text"),
    "a run's row has a number": ("run", "id query_id doc_id score", {}, "query_id doc_id score"),
    "the one id that is left": ("run", "id docid score", {}, "id docid score"),
    "an id of either side": (
        "run",
        "id score",
        {},
        "has 'id', which fits query_id and doc_id; ... run.query_id=... or --column run.doc_id=...",
    ),
    "an id that is named": (
        "run",
        "id score",
        {"query_id": "id"},
        "has no column 'doc_id' or ... for doc_id (--column run.doc_id=...)",
    ),
    "a column that is there twice": (
        "run",
        "qid docid score score",
        {},
        "has 2 columns 'score', for score; choose with --column run.score=...",
    ),
    "no column": ("queries", "qid body", {}, "has no column 'query' or 'text' for query (--column queries.query=...)"),
    "an optional one that was named": (
        "corpus",
        "id text",
        {"title": "headline"},
        "has no column 'headline' for title (--column corpus.title=...)",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_a_column_is_taken_where_one_fits_and_told_of_where_two_do(case: str) -> None:
    kind, there, given, expected = CASES[case]
    usual = list_usual_names(kind, given)
    if not expected.startswith("has "):
        assert list(match_columns(usual, there.split()).values()) == expected.split()
        return
    with pytest.raises(Unmatched) as error:
        match_columns(usual, there.split())
    begin, _, end = expected.partition("... ")
    assert str(error.value).startswith(begin) and str(error.value).endswith(end)
