"""Shows a demo's result: measures before and after reranking, three queries side by side, and where the files are."""

import json
import shutil
import textwrap
from pathlib import Path

import pyarrow.parquet as pq
from ir_measures import nDCG

from jobs.demo.measures import FIRST_STAGE, FUSION, MEASURES, Qrels, first_relevant, mean, measure, read_qrels, runs

CHOSEN_BY = nDCG @ 10
MARKS = {2: "**", 1: "*"}
TOP = 5


def show(folder: Path, output: Path) -> None:
    """Prints the report on `output`, the job's result for `<folder>/pairs.parquet`."""
    parts = [output / part for part in json.loads((output / "manifest.json").read_text())["parts"]]
    rows = [row for part in parts for row in pq.read_table(part).to_pylist()]
    pairs = pq.read_table(folder / "pairs.parquet", columns=["query_id", "query"]).to_pydict()
    queries = dict(zip(pairs["query_id"], pairs["query"], strict=True))
    width = min(max(shutil.get_terminal_size((100, 24)).columns, 80), 110)
    print(report(rows, queries, read_qrels(folder / "qrels.tsv"), width))
    print("\nFiles")
    files = [("input", folder / "pairs.parquet"), ("judgements", folder / "qrels.tsv")]
    for what, path in [*files, ("manifest", output / "manifest.json"), *(("result", part) for part in parts)]:
        print(f"  {what:<12}{path}")


def report(rows: list[dict], queries: dict[str, str], qrels: Qrels, width: int) -> str:
    """Table of measures and three examples. rows: of the ranked table; queries: query_id -> text."""
    by_name = runs(rows)
    values = {name: measure(run, qrels) for name, run in by_name.items()}
    unscored = sum(row["rerank_score"] is None for row in rows)
    failed = f", {unscored} of them without a reranker score" if unscored else ""
    lines = ["", f"{len(qrels)} queries, {len(rows)} pairs{failed}", ""]
    lines.append(" " * 22 + "".join(f"{measure!s:>10}" for measure in MEASURES))
    for name in by_name:
        lines.append(f"{name:<22}" + "".join(f"{mean(values[name][measure]):>10.3f}" for measure in MEASURES))
    first, fusion = by_name[FIRST_STAGE], by_name[FUSION]
    found = mean({query: len(grades.keys() & first.get(query, [])) / len(grades) for query, grades in qrels.items()})
    lines += [f"\nBM25 finds {found:.0%} of a query's relevant documents; reranking cannot find more.\n"]
    lines += [f"Three queries before and after, top {TOP} (** answers the query, * helps):"]
    lines += [f"largest gain, middle of those that changed, and largest loss in {CHOSEN_BY}."]
    before, after = values[FIRST_STAGE][CHOSEN_BY], values[FUSION][CHOSEN_BY]
    for reason, query in pick(before, after):
        old, new, grades = first.get(query, []), fusion.get(query, []), qrels[query]
        lines += ["", *textwrap.wrap(f"{query}  {queries.get(query, '')}", width, subsequent_indent=" " * 5)]
        lines += [f"     {reason}: {CHOSEN_BY} {before[query]:.3f} -> {after[query]:.3f}"]
        lines += [f"     first relevant document: rank {first_relevant(old, grades)} -> {first_relevant(new, grades)}"]
        lines += ["", *side_by_side(old[:TOP], new[:TOP], grades, width)]
    return "\n".join(lines)


def pick(before: dict[str, float], after: dict[str, float]) -> list[tuple[str, str]]:
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

    rows = [(FIRST_STAGE, FUSION), ("-" * column, "-" * column)]
    rows += [(cell(rank, lefts), cell(rank, rights)) for rank in range(1, max(len(lefts), len(rights)) + 1)]
    return [f"{left:<{column}}    {right}".rstrip() for left, right in rows]
