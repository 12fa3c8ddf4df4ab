"""Shows a demo's result: measures before and after reranking, three queries side by side, and where the files are."""

import shutil
import textwrap
from pathlib import Path

import pyarrow.parquet as pq

from pipeline.evaluate.evaluation import Evaluation, evaluate
from pipeline.evaluate.measures import find_first_relevant, parse_measures
from pipeline.evaluate.qrels import Qrels, read_qrels
from pipeline.evaluate.report.page import render_page
from pipeline.evaluate.result import read_judged_pairs
from pipeline.evaluate.runs import FIRST_STAGE, FUSION, RERANKER, list_docs

MEASURES = parse_measures(["nDCG@10", "RR@10", "R@10"])  # queries are picked by the first
SHOWN_AS = {FIRST_STAGE: "first stage (BM25)", RERANKER: "reranker alone", FUSION: "fusion"}
MARKS = {2: "**", 1: "*"}
DOCS_SHOWN = 5


def show(folder: Path, output: Path) -> None:
    """Prints the report on `output`, the result for `<folder>/pairs.parquet`, and writes report.html beside it."""
    qrels = read_qrels(str(folder / "qrels.tsv"))
    result = read_judged_pairs(str(output), qrels)
    evaluation = evaluate(folder.name, result, qrels, MEASURES)
    pairs = pq.read_table(folder / "pairs.parquet", columns=["query_id", "query"]).to_pydict()
    queries = dict(zip(pairs["query_id"], pairs["query"], strict=True))
    width = min(max(shutil.get_terminal_size((100, 24)).columns, 80), 110)
    print(write_report(evaluation, queries, qrels, width))
    (folder / "report.html").write_text(render_page([evaluation], qrels, str(folder / "qrels.tsv")), encoding="utf-8")
    print("\nFiles")
    files = [("input", folder / "pairs.parquet"), ("judgements", folder / "qrels.tsv")]
    parts = [("result", output / part) for part in result.manifest["parts"]]
    for what, path in [*files, ("manifest", output / "manifest.json"), *parts, ("report", folder / "report.html")]:
        print(f"  {what:<12}{path}")


def write_report(evaluation: Evaluation, queries: dict[str, str], qrels: Qrels, width: int) -> str:
    """Table of measures and three examples. queries: query_id -> text."""
    result = evaluation.result
    failed = f", {result.unscored} of them without a reranker score" if result.unscored else ""
    lines = ["", f"{len(qrels)} queries, {len(result.query)} pairs{failed}", ""]
    lines.append(" " * 22 + "".join(f"{measure!s:>10}" for measure in MEASURES))
    for name, shown_as in SHOWN_AS.items():
        lines.append(f"{shown_as:<22}" + "".join(f"{mean:>10.3f}" for mean in evaluation.mean(name)))
    lines += [f"\nBM25 finds {evaluation.found:.0%} of a query's relevant documents; reranking cannot find more.\n"]
    lines += [f"Three queries before and after, top {DOCS_SHOWN} (** answers the query, * helps):"]
    lines += [f"largest gain, middle of those that changed, and largest loss in {MEASURES[0]}."]
    first, fusion = (list_docs(result, evaluation.orders[name]) for name in (FIRST_STAGE, FUSION))
    values = {name: rows[0].tolist() for name, rows in evaluation.values.items()}
    before, after = (dict(zip(evaluation.queries, values[name], strict=True)) for name in (FIRST_STAGE, FUSION))
    for reason, query in pick_queries(before, after):
        old, new, grades = first.get(query, []), fusion.get(query, []), qrels[query]
        ranks = [find_first_relevant(docs, grades) or "none" for docs in (old, new)]
        lines += ["", *textwrap.wrap(f"{query}  {queries.get(query, '')}", width, subsequent_indent=" " * 5)]
        lines += [f"     {reason}: {MEASURES[0]} {before[query]:.3f} -> {after[query]:.3f}"]
        lines += [f"     first relevant document: rank {ranks[0]} -> {ranks[1]}"]
        lines += ["", *side_by_side(old[:DOCS_SHOWN], new[:DOCS_SHOWN], grades, width)]
    return "\n".join(lines)


def pick_queries(before: dict[str, float], after: dict[str, float]) -> list[tuple[str, str]]:
    """(reason, query_id) of the largest gain, the middle of all that changed, and the largest loss; fewer where fewer
    changed. Equal changes stand in the order of their ids."""
    change = {query: after[query] - before[query] for query in before}
    changed = sorted((query for query in change if change[query]), key=lambda query: (-change[query], query))
    gained = sum(change[query] > 0 for query in changed)
    picked = []
    if changed:
        picked.append(("largest gain" if gained else "smallest loss", changed[0]))
    if len(changed) > 2:
        reason = f"middle of {len(changed)} that changed, {gained} up and {len(changed) - gained} down"
        picked.append((reason, changed[len(changed) // 2]))
    if len(changed) > 1:
        picked.append(("largest loss" if gained < len(changed) else "smallest gain", changed[-1]))
    return picked


def side_by_side(lefts: list[str], rights: list[str], grades: dict[str, int], width: int) -> list[str]:
    """Two rankings as the lines of a table, `width` characters at most, judged documents marked by their grade."""
    column = (width - 4) // 2

    def cell(rank: int, docs: list[str]) -> str:
        if rank > len(docs):
            return ""
        line = f"{rank}. {MARKS.get(grades.get(docs[rank - 1], 0), ''):<2} {docs[rank - 1]}"
        return line if len(line) <= column else line[: column - 3] + "..."

    rows = [(SHOWN_AS[FIRST_STAGE], SHOWN_AS[FUSION]), ("-" * column, "-" * column)]
    rows += [(cell(rank, lefts), cell(rank, rights)) for rank in range(1, max(len(lefts), len(rights)) + 1)]
    return [f"{left:<{column}}    {right}".rstrip() for left, right in rows]
