"""Where scores lie, for relevant documents and for the others, and which of them tie."""

from dataclasses import dataclass

import numpy as np
from markupsafe import Markup

from pipeline.evaluate.report.svg import Frame, choose_ticks, element

BINS = 40


@dataclass(frozen=True)
class Ties:
    """tied: which pairs have the score of another pair of their query. share: of all scored pairs. common: the
    commonest score; common_share: the share of the pairs that have it."""

    tied: np.ndarray
    share: float
    common: float
    common_share: float


def find_ties(query: np.ndarray, score: np.ndarray) -> Ties:
    """query, score: of the scored pairs, at least one."""
    order = np.lexsort((score, query))
    same = (np.diff(query[order]) == 0) & (np.diff(score[order]) == 0)  # as the one before it
    tied = np.zeros(len(score), dtype=bool)
    tied[order[1:][same]] = tied[order[:-1][same]] = True
    values, count = np.unique(score, return_counts=True)
    most = int(np.argmax(count))
    return Ties(tied, float(tied.mean()), float(values[most]), float(count[most] / len(score)))


def draw_histogram(score: np.ndarray, relevant: np.ndarray, tied: np.ndarray, label: str) -> Markup:
    """Relevant documents upwards, all others downwards, each as shares of their number; pairs that tie in full colour.

    score: of the scored pairs. relevant, tied: which of them are that.
    """
    low, high = float(score.min()), float(score.max())
    edges = np.linspace(low, high if high > low else low + 1, BINS + 1)
    sides = {"relevant": (relevant, 1), "other": (~relevant, -1)}
    shares = {
        name: [np.histogram(score[who & which], edges)[0] / max(1, who.sum()) for which in (who, tied)]
        for name, (who, _) in sides.items()
    }
    top = max(float(counts[0].max()) for counts in shares.values())
    frame = Frame(edges[0], edges[-1], -top, top, height=250, left=72)
    bars = []
    for name, (_, sign) in sides.items():
        for counts, kind in zip(shares[name], ("free", "tied"), strict=True):
            for bin_, share in enumerate(counts.tolist()):
                if share:
                    y, zero = sorted((frame.y(sign * share), frame.y(0)))
                    x, width = frame.x(edges[bin_]), frame.x(edges[bin_ + 1]) - frame.x(edges[bin_])
                    bars.append(element("rect", x=x, y=y, width=width * 0.9, height=zero - y, class_=f"{name} {kind}"))
    marks = choose_ticks(-top, top, 4)
    digits = 1 if top < 0.05 else 0
    return frame.draw(
        f"{label} of relevant documents (upwards) and of all others (downwards)",
        frame.axis_y("share of pairs", marks, [f"{abs(mark):.{digits}%}" for mark in marks]),
        *bars,
        frame.line(edges[0], 0, edges[-1], 0, "axis"),
        frame.axis_x(label, choose_ticks(edges[0], edges[-1])),
    )
