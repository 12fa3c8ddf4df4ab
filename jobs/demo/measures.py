"""What the demo measures: runs of a ranked table, judgements, and measures of one by the other (by ir_measures).

Three runs are made of the one table: the first stage (its score), the reranker alone (its score) and the fusion (the
job's `rank`). A pair without a reranker score ranks after all scored ones, in first-stage order."""

import csv
from collections import defaultdict
from pathlib import Path

from ir_measures import RR, Measure, Qrel, R, ScoredDoc, iter_calc, nDCG

MEASURES = (nDCG @ 10, RR @ 10, R @ 10)
FIRST_STAGE, RERANKER, FUSION = "first stage (BM25)", "reranker alone", "fusion"

Run = dict[str, list[str]]  # query_id -> doc_ids, best first
Qrels = dict[str, dict[str, int]]  # query_id -> doc_id -> grade


def runs(rows: list[dict]) -> dict[str, Run]:
    """Name -> run, of the rows of a ranked table; ties by first-stage score, then doc_id."""
    by_query = defaultdict(list)
    for row in rows:
        by_query[row["query_id"]].append(row)

    def reranker_order(row: dict) -> tuple:
        score = row["rerank_score"]
        return score is None, -(score or 0.0), -row["first_stage_score"], row["doc_id"]

    orders = {
        FIRST_STAGE: lambda row: (-row["first_stage_score"], row["doc_id"]),
        RERANKER: reranker_order,
        FUSION: lambda row: row["rank"],
    }
    return {
        name: {query: [row["doc_id"] for row in sorted(found, key=order)] for query, found in by_query.items()}
        for name, order in orders.items()
    }


def measure(run: Run, qrels: Qrels) -> dict[Measure, dict[str, float]]:
    """Measure -> query_id -> value, for every judged query; one for which nothing was found has 0."""
    judged = [Qrel(query, doc, grade) for query, grades in qrels.items() for doc, grade in grades.items()]
    # ir_measures orders by score: the place from the bottom stands in, as the runs' own scores may have ties
    ranked = [ScoredDoc(query, doc, -place) for query, docs in run.items() for place, doc in enumerate(docs)]
    values = {name: dict.fromkeys(qrels, 0.0) for name in MEASURES}
    for metric in iter_calc(MEASURES, judged, ranked):
        values[metric.measure][metric.query_id] = metric.value
    return values


def mean(by_query: dict[str, float]) -> float:
    return sum(by_query.values()) / len(by_query)


def first_relevant(docs: list[str], grades: dict[str, int]) -> str:
    return next((str(rank) for rank, doc in enumerate(docs, 1) if grades.get(doc, 0) > 0), "none")


def read_qrels(path: Path) -> Qrels:
    """A qrels table with header and tabs: query_id, doc_id, relevance."""
    qrels: Qrels = defaultdict(dict)
    with path.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file, delimiter="\t"):
            qrels[row["query_id"]][row["doc_id"]] = int(row["relevance"])
    return dict(qrels)
