"""Shows a demo's result: measures before and after reranking, three queries side by side, and where the files are.

Three runs are made of the one ranked table: the first stage (its score), the reranker alone (its score) and the
fusion (the job's `rank`). A pair without a reranker score ranks after all scored ones, in first-stage order."""

import csv
import json
import shutil
import textwrap
from collections import defaultdict
from pathlib import Path

import pyarrow.parquet as pq
from ir_measures import RR, Qrel, R, ScoredDoc, calc, nDCG

MEASURES = (nDCG @ 10, RR @ 10, R @ 10)
MARKS = {2: "**", 1: "*"}
TOP = 5

Run = dict[str, list[str]]  # query_id -> doc_ids, best first
Qrels = dict[str, dict[str, int]]  # query_id -> doc_id -> grade


def show(folder: Path, output: Path) -> None:
    """Prints the report on `output`, the job's result for `<folder>/pairs.parquet`."""
    width = min(max(shutil.get_terminal_size((100, 24)).columns, 80), 110)
    parts = [output / part for part in json.loads((output / "manifest.json").read_text())["parts"]]
    rows = [row for part in parts for row in pq.read_table(part).to_pylist()]
    pairs = pq.read_table(folder / "pairs.parquet", columns=["query_id", "query"]).to_pydict()
    queries = dict(zip(pairs["query_id"], pairs["query"], strict=True))
    qrels = read_qrels(folder / "qrels.tsv")
    print(report(rows, queries, qrels, width))
    print(f"\nFiles\n  {folder / 'pairs.parquet'}   the input: BM25's top 100 of each query")
    print(f"  {folder / 'qrels.tsv'}       the judgements, by hand")
    print(f"  {output / 'manifest.json'}   how the result came to be")
    print("\n".join(f"  {part}   the ranked pairs, with all three scores" for part in parts))


def report(rows: list[dict], queries: dict[str, str], qrels: Qrels, width: int) -> str:
    """Table of measures and three examples. rows: of the ranked table; queries: query_id -> text."""
    by_name = runs(rows)
    unscored = sum(row["rerank_score"] is None for row in rows)
    results = {name: measure(run, qrels) for name, run in by_name.items()}
    lines = [f"\n{len(qrels)} queries, {len(rows)} pairs" + (f", {unscored} of them not scored" if unscored else ""), ""]
    lines.append(" " * 22 + "".join(f"{str(measure):>10}" for measure in MEASURES))
    for name, result in results.items():
        means = (sum(values.values()) / len(qrels) for values in result.values())
        lines.append(f"{name:<22}" + "".join(f"{mean:>10.3f}" for mean in means))
    before, after = (results[name][str(nDCG @ 10)] for name in ("first stage (BM25)", "fusion"))
    lines += ["", f"Three queries before and after (top {TOP}; ** answers the query, * helps), chosen by change in nDCG@10:"]
    for reason, query_id in pick(before, after):
        change = f"{reason}: nDCG@10 {before[query_id]:.3f} -> {after[query_id]:.3f}"
        lines += ["", *textwrap.wrap(f"{query_id}  {queries.get(query_id, '')}", width, subsequent_indent=" " * 5)]
        lines += [f"     {change}", ""]
        lefts, rights = (by_name[name].get(query_id, [])[:TOP] for name in ("first stage (BM25)", "fusion"))
        lines += side_by_side(lefts, rights, qrels[query_id], width)
    return "\n".join(lines)


def runs(rows: list[dict]) -> dict[str, Run]:
    """Name -> run, of the rows of a ranked table; ties by first-stage score, then doc_id."""
    by_query = defaultdict(list)
    for row in rows:
        by_query[row["query_id"]].append(row)

    def reranker_order(row: dict) -> tuple:
        score = row["rerank_score"]
        return score is None, -(score or 0.0), -row["first_stage_score"], row["doc_id"]

    orders = {
        "first stage (BM25)": lambda row: (-row["first_stage_score"], row["doc_id"]),
        "reranker alone": reranker_order,
        "fusion": lambda row: row["rank"],
    }
    return {
        name: {query: [row["doc_id"] for row in sorted(found, key=order)] for query, found in by_query.items()}
        for name, order in orders.items()
    }


def measure(run: Run, qrels: Qrels) -> dict[str, dict[str, float]]:
    """Measure -> query_id -> value, for every judged query; one for which nothing was found has 0."""
    judged = [Qrel(query, doc, grade) for query, grades in qrels.items() for doc, grade in grades.items()]
    # ir_measures orders by score: the place from the bottom stands in, as the runs' own scores may have ties
    ranked = [ScoredDoc(query, doc, -rank) for query, docs in run.items() for rank, doc in enumerate(docs)]
    values = {str(name): dict.fromkeys(qrels, 0.0) for name in MEASURES}
    for metric in calc(MEASURES, judged, ranked).per_query:
        values[str(metric.measure)][metric.query_id] = metric.value
    return values


def pick(before: dict[str, float], after: dict[str, float]) -> list[tuple[str, str]]:
    """(reason, query_id) of the queries that changed most to the better, in the middle, and most to the worse; fewer
    where fewer changed. Equal changes stand in the order of their ids."""
    change = {query: after[query] - before[query] for query in before}
    changed = sorted((query for query in change if change[query]), key=lambda query: (-change[query], query))
    if not changed:
        return []
    first, last = changed[0], changed[-1]
    best = "largest gain" if change[first] > 0 else "smallest loss"
    worst = "largest loss" if change[last] < 0 else "smallest gain"
    gained = sum(value > 0 for value in change.values())
    middle = f"median of the {len(changed)} that changed ({gained} gained, {len(changed) - gained} lost)"
    picked = {first: best, changed[len(changed) // 2]: middle, last: worst}
    picked[first] = best  # of two queries, both ends are shown and no middle
    return [(reason, query) for query, reason in picked.items()]


def side_by_side(lefts: list[str], rights: list[str], grades: dict[str, int], width: int) -> list[str]:
    """Two rankings as the lines of a table, `width` characters at most, judged documents marked by their grade."""
    column = (width - 4) // 2

    def cell(rank: int, docs: list[str]) -> str:
        if rank > len(docs):
            return ""
        line = f"{rank}. {MARKS.get(grades.get(docs[rank - 1], 0), ''):<2} {docs[rank - 1]}"
        return line if len(line) <= column else line[: column - 3] + "..."

    rows = [("first stage", "fusion"), ("-" * column, "-" * column)]
    rows += [(cell(rank, lefts), cell(rank, rights)) for rank in range(1, max(len(lefts), len(rights)) + 1)]
    return [f"{left:<{column}}    {right}".rstrip() for left, right in rows]


def read_qrels(path: Path) -> Qrels:
    """A qrels table with header and tabs: query_id, doc_id, relevance."""
    qrels: Qrels = defaultdict(dict)
    with path.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file, delimiter="\t"):
            qrels[row["query_id"]][row["doc_id"]] = int(row["relevance"])
    return dict(qrels)
