"""The findings of a verification, as lines for a terminal and as data."""

import math
from typing import Any

import numpy as np

from actors.engines import get_engine
from pipeline.verify.compare import TOP, Comparison
from pipeline.verify.verdict import Verdict

WIDTH = 40  # of a name


def describe(verdict: Verdict) -> list[str]:
    """The table, and a line for each thing to say."""
    ids, tokens = verdict.ids, verdict.tokens
    auto = "AutoTokenizer cannot be used" if ids.auto is None else f"by AutoTokenizer {ids.auto} as by that"
    queries = len(verdict.rows["query_id"].unique())
    lines = [
        f"{len(tokens)} pairs of {queries} queries, {tokens.min()} to {tokens.max()} tokens; {_name_engine(verdict)}",
        f"token ids of {ids.sequences} prompts, encoded again: by tokenizer.json {ids.own} as before, {auto}",
        *ids.lines,
        *verdict.lines,
        "",
        f"{'difference from':{WIDTH}}   median      99%  largest    flips  top {TOP}  pair with the largest",
        *(_describe_comparison(verdict, found) for found in verdict.comparisons),
    ]
    if verdict.rounding:
        lines.append(_describe_comparison(verdict, verdict.rounding))
        lines.append(f"{verdict.explained:.1%} of the pairs are no further off than {verdict.precision} explains")
    faults = verdict.faults
    within = f"all within {verdict.tolerance:.1e}"
    return [*lines, "", *(f"FAULT: {fault}" for fault in faults)] if faults else [*lines, "", within]


def _name_engine(verdict: Verdict) -> str:
    engine = get_engine(verdict.config.engine)
    return f"{engine.name} {engine.installed().version}, {verdict.precision}"


def _describe_comparison(verdict: Verdict, found: Comparison) -> str:
    top = "     -" if math.isnan(found.top) else f"{found.top:6.1%}"
    worst = verdict.name_pair(found.worst) if found.largest else ""
    numbers = " ".join(f"{value:8.1e}" for value in (found.quantile(0.5), found.quantile(0.99), found.largest))
    return f"{found.name:{WIDTH}} {numbers} {found.flips:>8} {top}  {worst}".rstrip()


def collect_figures(verdict: Verdict) -> dict[str, Any]:
    """The same as JSON-ready data."""
    ids, reranker, engine = verdict.ids, verdict.config.reranker, get_engine(verdict.config.engine)
    every = [*verdict.comparisons, *filter(None, [verdict.rounding])]
    return {
        "reranker": reranker.type,
        "model": reranker.model,
        "revision": reranker.revision,
        "engine": engine.name,
        "version": engine.installed().version,
        "cpu": engine.installed().cpu,
        "precision": verdict.precision,
        "pairs": len(verdict.tokens),
        "tokens": [int(verdict.tokens.min()), int(verdict.tokens.max())],
        "token_ids": {"sequences": ids.sequences, "own": ids.own, "auto": ids.auto, "differences": ids.lines},
        "comparisons": [_collect(verdict, found) for found in every],
        "explained": verdict.explained,
        "tolerance": verdict.tolerance,
        "faults": verdict.faults,
        "notes": verdict.lines,
    }


def collect_pairs(verdict: Verdict) -> list[dict[str, Any]]:
    """Each pair with its scores, None without one."""
    ids = zip(verdict.rows["query_id"].to_pylist(), verdict.rows["doc_id"].to_pylist(), strict=True)
    return [
        {
            "query_id": query,
            "doc_id": doc,
            "tokens": int(verdict.tokens[at]),
            "scores": {name: _number(scores[at]) for name, scores in verdict.scores.items()},
        }
        for at, (query, doc) in enumerate(ids)
    ]


def _collect(verdict: Verdict, found: Comparison) -> dict[str, Any]:
    return {
        "name": found.name,
        "pairs": found.pairs,
        "alone": len(found.alone),
        "median": _number(found.quantile(0.5)),
        "p99": _number(found.quantile(0.99)),
        "largest": _number(found.largest),
        "worst": verdict.name_pair(found.worst) if found.largest else None,
        "flips": found.flips,
        "orders": found.orders,
        "top_10": _number(found.top),
        "top_10_queries": found.queries,
    }


def _number(value: float | np.floating) -> float | None:
    """None for what JSON has no number for."""
    return float(value) if math.isfinite(value) else None
