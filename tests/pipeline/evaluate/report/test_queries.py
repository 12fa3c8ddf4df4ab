"""The queries that are shown, and their documents before and after."""

import pytest

from pipeline.evaluate.evaluation import Evaluation
from pipeline.evaluate.qrels import Qrels
from pipeline.evaluate.report.queries import DOCS_SHOWN, QUERIES_SHOWN, TEXT_LENGTH, cut_text, find_most_changed
from pipeline.evaluate.runs import FIRST_STAGE, FUSION, list_docs


def test_the_largest_gains_and_losses_with_both_rankings(one: Evaluation, qrels: Qrels) -> None:
    gained, lost = find_most_changed(one, qrels)
    change = dict(zip(one.queries, (one.values[FUSION][0] - one.values[FIRST_STAGE][0]).tolist(), strict=True))
    ordered = sorted(change.values())
    assert [query.after - query.before for query in gained] == pytest.approx(
        [value for value in reversed(ordered) if value > 0][:QUERIES_SHOWN]
    )
    assert [query.after - query.before for query in lost] == pytest.approx(
        [v for v in ordered if v < 0][:QUERIES_SHOWN]
    )
    before, after = (list_docs(one.result, one.orders[name]) for name in (FIRST_STAGE, FUSION))
    for query in gained + lost:
        old, new, grades = before[query.query_id], after[query.query_id], qrels[query.query_id]
        assert [doc.doc_id for doc in query.docs_before] == old[:DOCS_SHOWN]
        assert [doc.doc_id for doc in query.docs_after] == new[:DOCS_SHOWN]
        assert [doc.rank for doc in query.docs_after] == [1, 2, 3, 4, 5]
        assert [doc.other for doc in query.docs_after] == [old.index(doc) + 1 for doc in new[:DOCS_SHOWN]]
        assert [doc.grade for doc in query.docs_after] == [grades.get(doc) for doc in new[:DOCS_SHOWN]]
        relevant = [rank for rank, doc in enumerate(new, 1) if grades.get(doc, 0) > 0]
        assert query.first_after == (relevant[0] if relevant else None)
        assert query.text.endswith(f"in {query.query_id}")
        assert all(f" {doc.doc_id} word" in doc.text and len(doc.text) <= TEXT_LENGTH for doc in query.docs_before)


def test_texts_are_cut_and_on_one_line() -> None:
    assert cut_text("  a\n\tb ") == "a b"
    assert cut_text("x" * 5000) == "x" * (TEXT_LENGTH - 1) + "\N{HORIZONTAL ELLIPSIS}"
    assert cut_text("x" * TEXT_LENGTH) == "x" * TEXT_LENGTH
