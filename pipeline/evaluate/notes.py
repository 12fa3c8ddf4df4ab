"""Sentences that a reader of the figures needs before trusting them."""

import numpy as np

from pipeline.evaluate.evaluation import Evaluation
from pipeline.evaluate.ids import describe
from pipeline.evaluate.paired import describe_paired
from pipeline.evaluate.runs import FUSION

MIN_JUDGED_SHARE = 0.5
MIN_FOUND_SHARE = 0.05  # of the judged documents; of fewer it is asked whether the ids are written alike


def write_notes(evaluation: Evaluation) -> list[str]:
    """The sentences that apply to this result; often none."""
    result, found = evaluation.result, [*map(describe_paired, evaluation.paired)]
    if result.given:
        found.append(
            f"The first stage here is the ranking that the stage {result.given.stage} made. "
            f"{int(result.given.unseen.sum()):,} of {len(result.scored):,} pairs did not go on from there; they rank "
            "behind the others."
        )
    if result.top_k:
        found.append(
            f"The result keeps {result.top_k:,} documents of each query (output.top_k), those that its fusion put "
            "first. Nothing is known here of the rest: the first stage, the reranker alone and other alphas rank only "
            "what was kept, which is not what they would have ranked first, and recall suffers."
        )
    if missing := sorted({*evaluation.queries} - {*result.query_ids}):
        many = len(missing) > len(result.query_ids)
        ids = f" {missing[0]!r} in the judgements, {result.query_ids[0]!r} in the result; are the ids written alike?"
        found.append(
            f"{len(missing):,} of {len(evaluation.queries):,} judged queries are not in the result; they count as 0."
            + many * ids
        )
    if evaluation.met.found < MIN_FOUND_SHARE * evaluation.met.judged:
        found.append(describe(evaluation.met))
    if others := result.manifest["figures"]["queries"] - len(result.query_ids):
        found.append(f"{others:,} queries of the result are not judged, and have no part in these figures.")
    if result.left_out:
        found.append(f"{result.left_out:,} pairs are left out, by --drop-identical-ids or --excluded.")
    if identical := int((result.queries == result.docs).sum()):
        found.append(
            f"In {identical:,} pairs the document has the id of its query. If it is the query itself, as in ArguAna "
            "and Quora, --drop-identical-ids leaves it out, as BEIR does."
        )
    if result.unscored:
        found.append(
            f"{result.unscored:,} of {len(result.scored):,} pairs have no reranker score; they rank last in their "
            "query."
        )
    if unmet := np.count_nonzero(~result.met):
        found.append(
            f"{unmet:,} of {len(result.first):,} pairs have no first-stage score, as runs beside an ensemble "
            "bring them; for the first stage and for other alphas they count as the lowest of their query."
        )
    if evaluation.judged_at_10[FUSION] < MIN_JUDGED_SHARE:
        found.append(
            f"{evaluation.judged_at_10[FUSION]:.0%} of the first ten documents of the fusion are judged. A document "
            "that nobody judged counts as not relevant, which is hard on a ranking that finds other documents."
        )
    if result.fusion.method == "none":
        found.append("The result ranks by the reranker alone (fusion.method: none); alpha is shown for zscore.")
    return found
