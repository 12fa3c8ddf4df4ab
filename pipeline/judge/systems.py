"""Systems under two judgements of the same queries: the means of a measure, and whether both order systems alike."""

import math
from collections import Counter
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
from scipy import stats

from pipeline.errors import UsageError, say
from pipeline.evaluate.measures import make_judge, parse_measures
from pipeline.evaluate.qrels import Qrels
from pipeline.evaluate.result import read_judged_pairs, shorten_names
from pipeline.evaluate.runs import FUSION, Run, list_docs, make_rankings
from pipeline.prepare.formats import list_endings
from pipeline.prepare.pieces import cut_pieces
from pipeline.prepare.readers import read_piece
from pipeline.prepare.sources import list_sources


class Systems(NamedTuple):
    """means: name of a system -> the mean by the given judgements, and by the judge's. queries: those that both judge.
    tau: Kendall's, of the two orders; None where there is none."""

    measure: str
    queries: int
    means: dict[str, tuple[float, float]]
    tau: float | None


def compare_systems(paths: list[str], measure: str, given: Qrels, judged: Qrels) -> Systems:
    """Judges systems twice. paths: TREC runs, by the ends of their names, or results.

    Raises UsageError where one cannot be read, or the judgements share no query.
    """
    (parsed,) = parse_measures([measure])
    queries = sorted(given.keys() & judged.keys())
    if not queries:
        raise UsageError("--runs: the judgements and the result share no query")
    names = shorten_names(paths)
    if len({*names}) < len(names):
        raise UsageError(f"--runs = {' '.join(paths)}: the same one is named twice")
    judges = [make_judge([parsed], {query: qrels[query] for query in queries}) for qrels in (given, judged)]
    means = {}
    for name, path in zip(names, paths, strict=True):
        run = read_system(path, {*queries})
        first, second = (float(judge(run)[0].mean()) for judge in judges)
        means[name] = first, second
    return Systems(str(parsed), len(queries), means, compute_tau([*means.values()]))


def compute_tau(pairs: list[tuple[float, float]]) -> float | None:
    """Kendall's tau-b, which allows for ties: 1 for the same order, -1 for the opposite one. None where there is no
    order, of one system alone or of equal ones. Source: Kendall (1945), The treatment of ties in ranking problems."""
    if len(pairs) < 2:
        return None
    tau = float(stats.kendalltau(*zip(*pairs, strict=True), variant="b").statistic)
    return None if math.isnan(tau) else tau


def read_system(path: str, queries: set[str]) -> Run:
    """The ranking of these queries that a TREC run has, or a result by its `rank`. Raises UsageError where it has none
    of them."""
    if not path.lower().endswith(list_endings("run")):
        result = read_judged_pairs(path, queries)
        return list_docs(result, make_rankings(result)[FUSION])
    wanted = pa.array(sorted(queries))
    tables = [
        table.filter(pc.is_in(table["query_id"], wanted))
        for piece in cut_pieces(list_sources("run", [path], None), {})
        for table in read_piece(piece)
    ]
    rows = pa.concat_tables(tables).select(["query_id", "doc_id", "score"]).to_pydict()
    scored: dict[str, dict[str, float]] = {}
    left_out = Counter[str]()
    for query, doc, score in zip(*rows.values(), strict=True):
        if doc is None or score is None:
            left_out["without a document or a finite score"] += 1
        elif doc in scored.setdefault(query, {}):
            left_out["of a document that its query has before"] += 1
        else:
            scored[query][doc] = score
    if not scored:
        raise UsageError(f"{path}: has none of the {len(queries):,} judged queries; are the ids written alike?")
    for why, lines in left_out.items():
        say(f"{path}: {lines:,} lines of these queries are left out, {why}")
    return {query: sorted(docs, key=docs.__getitem__, reverse=True) for query, docs in scored.items()}
