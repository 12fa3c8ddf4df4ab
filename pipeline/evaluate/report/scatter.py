"""First stage against reranker: where the pairs lie, and the relevant ones among them."""

import numpy as np
from markupsafe import Markup
from scipy import stats

from pipeline.evaluate.report.svg import Frame, choose_ticks, element
from pipeline.fusion import METHODS

CELLS = (32, 24)
DOTS = 400  # relevant pairs that are drawn, at most
ENDS = (-3.5, 4.5)  # standard deviations; what lies beyond is drawn at the end
SEED = 0


def draw_scatter(query: np.ndarray, first: np.ndarray, rerank: np.ndarray, relevant: np.ndarray) -> Markup:
    """Both scores in standard deviations from their query's mean, as the fusion zscore sees them.

    query: numbers of the pairs' queries, sorted, every one occurs. All arrays are of the scored pairs.
    """
    x, y = (np.clip(METHODS["zscore"](first, rerank, query, alpha, 1), *ENDS) for alpha in (1.0, 0.0))
    frame = Frame(*ENDS, *ENDS, height=380)
    counts, across, up = np.histogram2d(x, y, bins=CELLS, range=[ENDS, ENDS])
    strength = np.log1p(counts) / np.log1p(max(1, counts.max()))
    cells = [
        element(
            "rect",
            x=frame.x(across[i]),
            y=frame.y(up[j + 1]),
            width=frame.x(across[i + 1]) - frame.x(across[i]),
            height=frame.y(up[j]) - frame.y(up[j + 1]),
            opacity=0.08 + 0.6 * float(strength[i, j]),
            class_="cell",
        )
        for i, j in np.argwhere(counts).tolist()
    ]
    those = np.flatnonzero(relevant)
    if len(those) > DOTS:
        those = np.sort(np.random.default_rng(SEED).choice(those, DOTS, replace=False))
    dots = [element("circle", cx=frame.x(x[i]), cy=frame.y(y[i]), r=2.6, class_="dot") for i in those.tolist()]
    return frame.draw(
        f"first-stage score against reranker score of {len(x):,} pairs, {int(relevant.sum()):,} of them relevant",
        frame.axis_y("reranker", choose_ticks(*ENDS)),
        *cells,
        frame.line(0, ENDS[0], 0, ENDS[1], "axis"),
        frame.line(ENDS[0], 0, ENDS[1], 0, "axis"),
        *dots,
        frame.axis_x("first stage", choose_ticks(*ENDS)),
    )


def measure_agreement(query: np.ndarray, first: np.ndarray, rerank: np.ndarray) -> float | None:
    """Mean over queries of Spearman's rank correlation of the two scores; of those queries in which both scores vary.

    None where there is no such query.
    """
    found = []
    for start, stop in zip(
        *(np.searchsorted(query, np.unique(query), side) for side in ("left", "right")), strict=True
    ):
        a, b = first[start:stop], rerank[start:stop]
        if np.ptp(a) and np.ptp(b):
            found.append(stats.spearmanr(a, b).statistic)
    return float(np.mean(found)) if found else None
