"""The gain or loss of each query, as bars sorted by it."""

import numpy as np
from markupsafe import Markup

from pipeline.evaluate.report.svg import Frame, choose_ticks, element, format_number
from pipeline.evaluate.significance import ROUNDING

BARS = 240  # more would be thinner than a pixel, and the page as long as the run


def draw_gains(queries: list[str], change: np.ndarray, measure: str) -> Markup:
    """One bar a query, largest gain first; of more than BARS queries, one bar for each few neighbours: their mean."""
    order = np.argsort(-change, kind="stable")
    groups = np.array_split(order, min(len(order), BARS))
    low, high = min(0.0, float(change.min())), max(0.0, float(change.max()))
    if low == high:
        low, high = -1.0, 1.0
    frame = Frame(0, len(groups), low, high, height=390, top=34, bottom=28)
    bars = []
    for number, group in enumerate(groups):
        mean = float(change[group].mean())
        if abs(mean) < ROUNDING:
            continue
        top, bottom = sorted((frame.y(mean), frame.y(0)))
        who = queries[group[0]] if len(group) == 1 else f"{len(group)} queries, {queries[group[0]]} first"
        width = frame.x(1) - frame.x(0)
        bars.append(
            element(
                "rect",
                element("title", f"{who}: {format_number(mean, sign=True)}"),
                x=frame.x(number),
                y=top,
                width=width * 0.85 if width > 4 else width,
                height=bottom - top,
                class_="up" if mean > 0 else "down",
            )
        )
    up, down = int((change > ROUNDING).sum()), int((change < -ROUNDING).sum())
    words = f"{up} gained, {len(change) - up - down} the same, {down} lost"
    middle = (frame.left + frame.width - frame.right) / 2
    return frame.draw(
        f"{measure} gained or lost by each of {len(change)} queries: {words}",
        frame.axis_y(f"difference in {measure}", choose_ticks(low, high)),
        *bars,
        frame.line(0, 0, len(groups), 0, "axis"),
        element("text", words, x=middle, y=20, text_anchor="middle", class_="strong"),
        frame.axis_x("queries, largest gain first", []),
    )
