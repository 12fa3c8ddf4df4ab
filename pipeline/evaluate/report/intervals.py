"""A mean difference with its confidence interval, as a small picture for a table's cell."""

from markupsafe import Markup

from pipeline.evaluate.evaluation import Comparison
from pipeline.evaluate.report.svg import Frame, element, format_number
from pipeline.evaluate.significance import Difference

SIGNIFICANT = 0.05


def draw_interval(comparison: Comparison, low: float, high: float) -> Markup:
    """low, high: the ends of the scale, the same for the whole table. Coloured where the bootstrap's corrected p is
    below SIGNIFICANT."""
    difference, p = comparison.difference, comparison.p_bootstrap
    frame = Frame(low, high, 0, 1, width=150, height=22, left=6, right=6, top=2, bottom=2)
    colour = "even" if p is None or p >= SIGNIFICANT else "up" if difference.mean > 0 else "down"
    parts = [frame.line(0, 0, 0, 1, "axis")]
    if difference.low is not None and difference.high is not None:
        parts.append(frame.line(difference.low, 0.5, difference.high, 0.5, f"interval {colour}"))
    parts.append(element("circle", cx=frame.x(difference.mean), cy=frame.y(0.5), r=4, class_=colour))
    return frame.draw(f"mean difference {format_number(difference.mean, sign=True)}", *parts)


def find_scale(differences: list[Difference]) -> tuple[float, float]:
    """A scale that holds all of them, and zero."""
    ends = [end for found in differences for end in (found.low, found.high, found.mean) if end is not None]
    low, high = min([0.0, *ends]), max([0.0, *ends])
    return (low, high) if high > low else (-1.0, 1.0)
