"""The page itself: the values of its templates. Jinja escapes every text; only our own SVG is marked as safe."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
from markupsafe import Markup

from pipeline.evaluate.alpha import FOLDS
from pipeline.evaluate.cost import read_cost
from pipeline.evaluate.evaluation import TUNED, Comparison, Evaluation
from pipeline.evaluate.leaderboard import compare_with_first, find_warnings
from pipeline.evaluate.notes import write_notes
from pipeline.evaluate.qrels import Qrels
from pipeline.evaluate.report.alphas import draw_alphas, number_curves
from pipeline.evaluate.report.gains import draw_gains
from pipeline.evaluate.report.intervals import draw_interval, find_scale
from pipeline.evaluate.report.moves import count_moves
from pipeline.evaluate.report.queries import find_most_changed
from pipeline.evaluate.report.scatter import draw_scatter, measure_agreement
from pipeline.evaluate.report.scores import Ties, draw_histogram, find_ties
from pipeline.evaluate.report.svg import format_number
from pipeline.evaluate.runs import FIRST_STAGE, FUSION, RERANKER, number_ranks
from pipeline.evaluate.significance import RESAMPLES

HERE = Path(__file__).resolve().parent


@dataclass(frozen=True)
class Distribution:
    """A kind of score: its picture, and which of its pairs tie."""

    name: str
    plot: Markup
    ties: Ties


def render_page(evaluations: Sequence[Evaluation], qrels: Qrels, qrels_name: str) -> str:
    """The report of one result or more as HTML. Texts are read from the results' parts."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(HERE),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters |= {"number": format_number, "p": _format_p, "percent": _format_percent}
    first = evaluations[0]
    return environment.get_template("page.html").render(
        style=Markup((HERE / "style.css").read_text()),
        results=[_fill_article(evaluation, qrels) for evaluation in evaluations],
        board=_fill_leaderboard(evaluations) if len(evaluations) > 1 else None,
        qrels=qrels_name,
        judgements=sum(map(len, qrels.values())),
        queries=len(qrels),
        measures=[str(measure) for measure in first.measures],
        names={"first": FIRST_STAGE, "rerank": RERANKER, "fusion": FUSION, "tuned": TUNED},
        resamples=RESAMPLES,
        folds=FOLDS,
    )


def _fill_article(evaluation: Evaluation, qrels: Qrels) -> dict[str, Any]:
    """The values of the template for one result."""
    result, manifest, order = evaluation.result, evaluation.result.manifest, evaluation.orders
    queries = result.queries.tolist()
    relevant = np.array([qrels[query].get(doc, 0) > 0 for query, doc in zip(queries, result.docs, strict=True)], bool)
    first, fusion = (evaluation.values[name][0] for name in (FIRST_STAGE, FUSION))
    rank_before, rank_after = (number_ranks(result, order[name])[relevant] for name in (FIRST_STAGE, FUSION))
    gained, lost = find_most_changed(evaluation, qrels)
    headline = next(found for found in evaluation.comparisons if (found.after, found.before) == (FUSION, FIRST_STAGE))
    return {
        "name": evaluation.name,
        "url": result.url,
        "model": shorten_model(manifest),
        "manifest": manifest,
        "config": manifest["config"],
        "figures": manifest["figures"],
        "fusion": result.fusion,
        "notes": write_notes(evaluation),
        "rankings": [
            (name, evaluation.mean(name).tolist(), evaluation.judged_at_10.get(name)) for name in evaluation.values
        ],
        "before": evaluation.mean(FIRST_STAGE)[0],
        "after": evaluation.mean(FUSION)[0],
        "tuned": evaluation.mean(TUNED)[0] if TUNED in evaluation.values else None,
        "best": np.max([evaluation.mean(name) for name in evaluation.values], axis=0).tolist(),
        "headline": headline,
        "comparisons": _add_pictures(evaluation.comparisons),
        "found": evaluation.found,
        "gains": draw_gains(evaluation.queries, fusion - first, str(evaluation.measures[0])),
        "alphas": draw_alphas(evaluation),
        "method": evaluation.method,
        "curves": number_curves(evaluation.curves),
        "chosen": evaluation.chosen,
        "moves": count_moves(rank_before, rank_after),
        "relevant": int(relevant.sum()),
        "cost": read_cost(manifest),
        "gained": gained,
        "lost": lost,
        **_draw_scores(evaluation, relevant),
    }


def _draw_scores(evaluation: Evaluation, relevant: np.ndarray) -> dict[str, Any]:
    """The pictures of the scored pairs; there are none where no pair has a score."""
    result, scored = evaluation.result, evaluation.result.scored
    if not scored.any():
        return {"distributions": [], "scatter": None, "agreement": None}
    query = np.unique(result.query[scored], return_inverse=True)[1]
    first, rerank, fused = (score[scored] for score in (result.first, result.rerank, result.score))
    kinds = {"first-stage score": first, "reranker score": rerank, "fused score": fused}
    found = {name: find_ties(query, score) for name, score in kinds.items()}
    return {
        "distributions": [
            Distribution(name, draw_histogram(score, relevant[scored], found[name].tied, name), found[name])
            for name, score in kinds.items()
        ],
        "scatter": draw_scatter(query, first, rerank, relevant[scored]),
        "agreement": measure_agreement(query, first, rerank),
    }


def _fill_leaderboard(evaluations: Sequence[Evaluation]) -> dict[str, Any]:
    """Results in the order of the first measure of their fusion, and their differences from the one named first."""
    lines = [
        {
            "name": one.name,
            "model": shorten_model(one.result.manifest),
            "fusion": one.result.fusion,
            "means": one.mean(FUSION).tolist(),
            "rerank": one.mean(RERANKER)[0],
            "tuned": one.mean(TUNED)[0] if TUNED in one.values else None,
            "cost": read_cost(one.result.manifest),
        }
        for one in sorted(evaluations, key=lambda one: -one.mean(FUSION)[0])
    ]
    unlike = find_warnings(evaluations)
    first = evaluations[0]
    return {
        "lines": lines,
        "comparisons": _add_pictures(compare_with_first(evaluations)),
        "best": np.max([line["means"] for line in lines], axis=0).tolist(),
        "warnings": unlike,
        "baseline": first.name,
        "first_stage": None if unlike else first.mean(FIRST_STAGE).tolist(),
    }


def _add_pictures(comparisons: Sequence[Comparison]) -> list[tuple[Comparison, Markup]]:
    """Each with its interval, on one scale for each measure."""
    scales = {
        measure: find_scale([found.difference for found in comparisons if found.measure == measure])
        for measure in {found.measure for found in comparisons}
    }
    return [(found, draw_interval(found, *scales[found.measure])) for found in comparisons]


def shorten_model(manifest: dict[str, Any]) -> str:
    """A Hugging Face id as it is, of a local path its end."""
    name = manifest["model"]["name"].rstrip("/")
    return "/".join(name.split("/")[-2:])


def _format_p(value: float | None) -> str:
    return "\N{EN DASH}" if value is None else "< 0.001" if value < 0.001 else f"{value:.3f}"


def _format_percent(value: float, digits: int = 0) -> str:
    return f"{value:.{digits}%}"
