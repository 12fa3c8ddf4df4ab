"""The effect of alpha as a curve for each fusion method.

A curve's colour is that of the method's number in the table of methods: style.css has `.c0` to `.c7`.
"""

from collections.abc import Iterable

import numpy as np
from markupsafe import Markup

from pipeline.evaluate.alpha import GRID
from pipeline.evaluate.evaluation import Evaluation
from pipeline.evaluate.report.svg import Frame, choose_ticks, element, format_number
from pipeline.evaluate.runs import FIRST_STAGE, FUSION, RERANKER

COLOURS = 8  # in style.css; a ninth method has the first one's


def number_curves(methods: Iterable[str]) -> dict[str, str]:
    """The class in style.css of each method's curve and of its key in the legend."""
    return {method: f"c{number % COLOURS}" for number, method in enumerate(methods)}


def draw_alphas(evaluation: Evaluation) -> Markup:
    """The first measure's mean at each alpha of the grid; the run's own alpha as a ring, those that the folds of the
    cross-validation chose as triangles below."""
    means = {method: curve[:, 0].mean(axis=1) for method, curve in evaluation.curves.items()}
    own, classes = evaluation.result.fusion, number_curves(means)
    level = {name: float(evaluation.mean(name)[0]) for name in (FIRST_STAGE, RERANKER, FUSION)}
    everything = np.concatenate([*means.values(), list(level.values())])
    low, high = float(everything.min()), float(everything.max())
    room = (high - low) * 0.08 or 0.05
    frame = Frame(0, 1, low - room, high + room)
    lines = [
        element(
            "polyline",
            element("title", method),
            points=" ".join(f"{frame.x(x):.1f},{frame.y(y):.1f}" for x, y in zip(GRID, mean.tolist(), strict=True)),
            class_=f"curve {classes[method]}",
        )
        for method, mean in means.items()
    ]
    levels = [
        frame.line(0, level[name], 1, level[name], f"level {kind}")
        for name, kind in ((FIRST_STAGE, "first"), (RERANKER, "rerank"))
    ]
    marks = []
    if own.method in means:
        says = f"this run: alpha {own.alpha:g}, {format_number(level[FUSION])}"
        marks.append(
            element(
                "circle", element("title", says), cx=frame.x(own.alpha), cy=frame.y(level[FUSION]), r=6, class_="ring"
            )
        )
    if evaluation.chosen:
        bottom = frame.y(frame.y0)
        for alpha in sorted(set(evaluation.chosen.alphas)):
            folds = evaluation.chosen.alphas.count(alpha)
            x = frame.x(alpha)
            says = f"alpha {alpha:g}, chosen in {folds} of {len(evaluation.chosen.alphas)} folds"
            points = f"{x:.1f},{bottom - 11:.1f} {x - 6:.1f},{bottom:.1f} {x + 6:.1f},{bottom:.1f}"
            marks.append(element("polygon", element("title", says), points=points, class_="chosen"))
    return frame.draw(
        f"{evaluation.measures[0]} by alpha, the weight of the first stage",
        frame.axis_y(f"mean {evaluation.measures[0]}", choose_ticks(frame.y0, frame.y1)),
        *levels,
        *lines,
        *marks,
        frame.axis_x("alpha: 0 is the reranker alone, 1 the first stage", choose_ticks(0, 1)),
    )
