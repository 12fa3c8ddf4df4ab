"""The curves of alpha, read back from the picture."""

import re

import numpy as np
import pytest

from pipeline.evaluate.alpha import GRID
from pipeline.evaluate.evaluation import Evaluation
from pipeline.evaluate.qrels import Qrels
from pipeline.evaluate.report.alphas import COLOURS, draw_alphas, number_curves
from pipeline.evaluate.report.page import HERE, render_page
from pipeline.fusion import METHODS
from tests.drawn import find_elements, read_numbers
from tests.pipeline.evaluate.conftest import Evaluated

STYLE = (HERE / "style.css").read_text()


def read_points(drawn: str, method: str) -> list[tuple[float, float]]:
    """The points of the curve whose title is the method's name."""
    (curve,) = (line for line in find_elements(drawn, "polyline", "curve") if line[0].text == method)
    x_and_y = (point.split(",") for point in curve.get("points", "").split())
    return [(float(x), float(y)) for x, y in x_and_y]


def test_the_curves_of_alpha(one: Evaluation) -> None:
    drawn = draw_alphas(one)
    points = read_points(drawn, "zscore")
    assert len(points) == len(GRID)
    (ring,) = find_elements(drawn, "circle", "ring")
    assert read_numbers(ring, "cx", "cy") == pytest.approx(points[4], abs=0.1)  # alpha 0.2 is on the curve
    mean = one.curves["zscore"][:, 0].mean(axis=1)
    assert np.corrcoef([-y for _, y in points], mean)[0, 1] == pytest.approx(1, abs=1e-4)
    assert one.chosen
    titles = [mark[0].text for mark in find_elements(drawn, "polygon", "chosen")]
    assert sum(int(title.split("in ")[1].split(" of")[0]) for title in titles if title) == len(one.chosen.alphas)


def test_a_run_without_fusion_has_no_place_on_the_curves(evaluated: Evaluated) -> None:
    assert not find_elements(draw_alphas(evaluated(method="none")), "circle", "ring")


def test_a_new_method_has_a_curve_a_legend_and_a_colour_of_its_own(
    evaluated: Evaluated, qrels: Qrels, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A table's new line is all there is to do: here the first stage alone, whatever alpha."""
    monkeypatch.setitem(METHODS, "stubborn", lambda first, rerank, query, alpha, k: first)
    evaluation = evaluated()
    (height,) = {y for _, y in read_points(draw_alphas(evaluation), "stubborn")}
    assert height == read_points(draw_alphas(evaluation), "zscore")[-1][1]  # alpha is 1 there

    text = render_page([evaluation], qrels, "qrels.tsv")
    curves = dict(re.findall(r'class="curve (\w+)"><title>(\w+)', text))
    keys = {key: name for key, name in re.findall(r'class="key (\w+)"></i>(\w+)<', text) if key in curves}
    assert keys == curves and set(curves.values()) == {*METHODS} - {"none"}
    colours = {name: read_colours(STYLE, key) for key, name in curves.items()}
    assert len(set(colours.values())) == len(METHODS) - 1


def read_colours(style: str, name: str) -> tuple[str, ...]:
    """The colours of a curve's class in light and in dark, which must be those of its key."""
    (stroke,) = re.findall(rf"\.curve\.{name} {{ stroke: var\((--\w+)\)", style)
    (border,) = re.findall(rf"\.key\.{name} {{ border-color: var\((--\w+)\)", style)
    assert stroke == border
    colours = tuple(re.findall(rf"{stroke}: (#\w+)", style))
    assert len(colours) == 2
    return colours


def test_the_style_sheet_has_as_many_colours_as_there_are_said_to_be() -> None:
    classes = list(number_curves(map(str, range(COLOURS))).values())
    assert len({read_colours(STYLE, name) for name in classes}) == COLOURS
    assert [*number_curves(map(str, range(COLOURS + 2))).values()] == [*classes, *classes[:2]]
