"""Which candidates of a query become its positives and its hard negatives.

The filters are those of sentence-transformers' mine_hard_negatives: a range of ranks, and a margin to the positive,
absolute or relative to its score (NV-Retriever, arXiv 2407.15831, calls the latter TopK-PercPos), which keeps
documents out that are probably relevant and not judged.
"""

import hashlib
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

FEWER = "groups with fewer negatives than --negatives"  # a count beside those of what is dropped


class Candidate(NamedTuple):
    """A row of a result. score: the teacher's; None where it has none."""

    doc_id: str
    doc: str | None
    rank: int
    score: float | None


class Scored(NamedTuple):
    """A candidate that is chosen."""

    doc: str
    score: float


class Group(NamedTuple):
    """A query's training examples. positives, negatives: in the order of their ranks."""

    query: str
    positives: list[Scored]
    negatives: list[Scored]


@dataclass(frozen=True)
class Choice:
    """The choice of examples.

    negatives: of a query, at most. ranks: the first and last rank of negatives. margin, relative_margin: a negative's
    score is at most that of the query's lowest positive less `margin`, and less this share of it. least_positive: the
    score that a positive has at least. sample: a key of SAMPLES. seed: of what is drawn.
    """

    negatives: int = 8
    ranks: tuple[int, int] = (1, 2**31)
    margin: float | None = None
    relative_margin: float | None = None
    least_positive: float | None = None
    sample: str = "top"
    seed: int = 0


def take_top(found: list[Scored], wanted: int, draw: random.Random) -> list[Scored]:
    """The first ones: the hardest."""
    return found[:wanted]


def take_random(found: list[Scored], wanted: int, draw: random.Random) -> list[Scored]:
    """Any, each with the same chance."""
    return [found[at] for at in sorted(draw.sample(range(len(found)), wanted))]


def take_quantiles(found: list[Scored], wanted: int, draw: random.Random) -> list[Scored]:
    """One at random of each of `wanted` equal stretches of the ranking, so that easy ones are there, too."""
    bounds = [len(found) * i // wanted for i in range(wanted + 1)]
    return [found[draw.randrange(start, stop)] for start, stop in pairwise(bounds)]


SAMPLES: dict[str, Callable[[list[Scored], int, random.Random], list[Scored]]] = {
    "top": take_top,
    "random": take_random,
    "quantiles": take_quantiles,
}


def choose(
    query_id: str, query: str, candidates: list[Candidate], positives: set[str], choice: Choice, counts: Counter[str]
) -> Group | None:
    """The group of a query; None where it has no positive, or no negative. candidates: in the order of their ranks.

    positives: their doc_ids. counts: gets what was dropped, by reason. The draw depends on the seed and query_id
    alone. Raises ValueError where a relative margin meets a positive of a negative score.
    """
    good, others = list[Scored](), list[Candidate]()
    counts["positives that are no candidates"] += len(positives - {candidate.doc_id for candidate in candidates})
    for candidate in candidates:
        positive = candidate.doc_id in positives
        if candidate.score is None or candidate.doc is None:
            counts[f"{'positives' if positive else 'candidates'} without a score or text"] += 1
        elif not positive:
            others.append(candidate)
        elif choice.least_positive is not None and candidate.score < choice.least_positive:
            counts["positives below --min-positive-score"] += 1
        else:
            good.append(Scored(candidate.doc, candidate.score))
    if not good:
        counts["queries without a positive"] += 1
        return None
    most = _find_limit(min(one.score for one in good), choice)
    found, texts = list[Scored](), {one.doc for one in good}
    for candidate in others:
        assert candidate.score is not None and candidate.doc is not None
        if not choice.ranks[0] <= candidate.rank <= choice.ranks[1]:
            counts["candidates outside of --ranks"] += 1
        elif candidate.score > most:
            counts["candidates too close to the positive"] += 1
        elif candidate.doc in texts:
            counts["candidates with the text of a positive"] += 1
        else:
            found.append(Scored(candidate.doc, candidate.score))
    if not found:
        counts["queries without a negative"] += 1
        return None
    if len(found) < choice.negatives:
        counts[FEWER] += 1
    else:
        digest = hashlib.blake2b(f"{choice.seed} {query_id}".encode(), digest_size=8).digest()
        chosen = SAMPLES[choice.sample](found, choice.negatives, random.Random(digest))
        counts["candidates not drawn"] += len(found) - len(chosen)
        found = chosen
    return Group(query, good, found)


def _find_limit(lowest: float, choice: Choice) -> float:
    """The highest score of a negative."""
    limits = [float("inf")]
    if choice.margin is not None:
        limits.append(lowest - choice.margin)
    if choice.relative_margin is not None:
        if lowest < 0:
            raise ValueError(f"a positive has the score {lowest}, and a share of a negative score is no margin")
        limits.append(lowest * (1 - choice.relative_margin))
    return min(limits)
