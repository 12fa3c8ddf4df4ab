"""The page itself: what the template is filled with. Jinja escapes every text; only our own SVG is marked as safe."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
from markupsafe import Markup

from pipeline.evaluate.alpha import FOLDS
from pipeline.evaluate.cost import cost
from pipeline.evaluate.evaluation import TUNED, Comparison, Evaluation
from pipeline.evaluate.leaderboard import against_first, warnings
from pipeline.evaluate.notes import notes
from pipeline.evaluate.qrels import Qrels
from pipeline.evaluate.report.alphas import alphas
from pipeline.evaluate.report.gains import gains
from pipeline.evaluate.report.intervals import bounds, interval
from pipeline.evaluate.report.moves import moves
from pipeline.evaluate.report.queries import most_changed
from pipeline.evaluate.report.scatter import agreement, scatter
from pipeline.evaluate.report.scores import Ties, histogram, ties
from pipeline.evaluate.report.svg import number
from pipeline.evaluate.runs import FIRST_STAGE, FUSION, RERANKER, ranks
from pipeline.evaluate.significance import RESAMPLES

HERE = Path(__file__).resolve().parent


@dataclass(frozen=True)
class Distribution:
    """A kind of score: its picture, and which of its pairs tie."""

    name: str
    plot: Markup
    ties: Ties


def page(evaluations: Sequence[Evaluation], qrels: Qrels, qrels_name: str) -> str:
    """The report of one result or more as HTML. Texts are read from the results' parts."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(HERE),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters |= {"number": number, "p": _p, "percent": _percent}
    first = evaluations[0]
    return environment.get_template("page.html").render(
        style=Markup((HERE / "style.css").read_text()),
        results=[_one(evaluation, qrels) for evaluation in evaluations],
        board=_board(evaluations) if len(evaluations) > 1 else None,
        qrels=qrels_name,
        judgements=sum(map(len, qrels.values())),
        queries=len(qrels),
        measures=[str(measure) for measure in first.measures],
        names={"first": FIRST_STAGE, "rerank": RERANKER, "fusion": FUSION, "tuned": TUNED},
        resamples=RESAMPLES,
        folds=FOLDS,
    )


def _one(evaluation: Evaluation, qrels: Qrels) -> dict[str, Any]:
    """What is shown of one result."""
    result, manifest, order = evaluation.result, evaluation.result.manifest, evaluation.orders
    queries = np.array(result.query_ids, dtype=object)[result.query].tolist()
    relevant = np.array([qrels[query].get(doc, 0) > 0 for query, doc in zip(queries, result.docs, strict=True)], bool)
    first, fusion = (evaluation.values[name][0] for name in (FIRST_STAGE, FUSION))
    rank_before, rank_after = (ranks(result, order[name])[relevant] for name in (FIRST_STAGE, FUSION))
    gained, lost = most_changed(evaluation, qrels)
    headline = next(found for found in evaluation.comparisons if (found.after, found.before) == (FUSION, FIRST_STAGE))
    return {
        "name": evaluation.name,
        "url": result.url,
        "model": model_name(manifest),
        "manifest": manifest,
        "config": manifest["config"],
        "figures": manifest["figures"],
        "fusion": result.fusion,
        "notes": notes(evaluation),
        "rankings": [
            (name, evaluation.mean(name).tolist(), evaluation.judged_at_10.get(name)) for name in evaluation.values
        ],
        "before": evaluation.mean(FIRST_STAGE)[0],
        "after": evaluation.mean(FUSION)[0],
        "tuned": evaluation.mean(TUNED)[0] if TUNED in evaluation.values else None,
        "best": np.max([evaluation.mean(name) for name in evaluation.values], axis=0).tolist(),
        "headline": headline,
        "comparisons": _with_pictures(evaluation.comparisons),
        "found": evaluation.found,
        "gains": gains(evaluation.queries, fusion - first, str(evaluation.measures[0])),
        "alphas": alphas(evaluation),
        "method": evaluation.method,
        "curves": list(evaluation.curves),
        "chosen": evaluation.chosen,
        "moves": moves(rank_before, rank_after),
        "relevant": int(relevant.sum()),
        "cost": cost(manifest),
        "gained": gained,
        "lost": lost,
        **_scores(evaluation, relevant),
    }


def _scores(evaluation: Evaluation, relevant: np.ndarray) -> dict[str, Any]:
    """The pictures of the scored pairs; there are none where no pair has a score."""
    result, scored = evaluation.result, evaluation.result.scored
    if not scored.any():
        return {"distributions": [], "scatter": None, "agreement": None}
    query = np.unique(result.query[scored], return_inverse=True)[1]
    first, rerank, fused = (score[scored] for score in (result.first, result.rerank, result.score))
    kinds = {"first-stage score": first, "reranker score": rerank, "fused score": fused}
    found = {name: ties(query, score) for name, score in kinds.items()}
    return {
        "distributions": [
            Distribution(name, histogram(score, relevant[scored], found[name].tied, name), found[name])
            for name, score in kinds.items()
        ],
        "scatter": scatter(query, first, rerank, relevant[scored]),
        "agreement": agreement(query, first, rerank),
    }


def _board(evaluations: Sequence[Evaluation]) -> dict[str, Any]:
    """Results in the order of the first measure of their fusion, and their differences from the one named first."""
    lines = [
        {
            "name": one.name,
            "model": model_name(one.result.manifest),
            "fusion": one.result.fusion,
            "means": one.mean(FUSION).tolist(),
            "rerank": one.mean(RERANKER)[0],
            "tuned": one.mean(TUNED)[0] if TUNED in one.values else None,
            "cost": cost(one.result.manifest),
        }
        for one in sorted(evaluations, key=lambda one: -one.mean(FUSION)[0])
    ]
    unlike = warnings(evaluations)
    first = evaluations[0]
    return {
        "lines": lines,
        "comparisons": _with_pictures(against_first(evaluations)),
        "best": np.max([line["means"] for line in lines], axis=0).tolist(),
        "warnings": unlike,
        "baseline": first.name,
        "first_stage": None if unlike else first.mean(FIRST_STAGE).tolist(),
    }


def _with_pictures(comparisons: Sequence[Comparison]) -> list[tuple[Comparison, Markup]]:
    """Each with its interval, on one scale for each measure."""
    scales = {
        measure: bounds([found.difference for found in comparisons if found.measure == measure])
        for measure in {found.measure for found in comparisons}
    }
    return [(found, interval(found, *scales[found.measure])) for found in comparisons]


def model_name(manifest: dict[str, Any]) -> str:
    """A Hugging Face id as it is, of a local path its end."""
    name = manifest["model"]["name"].rstrip("/")
    return "/".join(name.split("/")[-2:])


def _p(value: float | None) -> str:
    return "\N{EN DASH}" if value is None else "< 0.001" if value < 0.001 else f"{value:.3f}"


def _percent(value: float, digits: int = 0) -> str:
    return f"{value:.{digits}%}"
