"""The curves of alpha, read back from the picture."""

import numpy as np
import pytest

from pipeline.evaluate.alpha import GRID
from pipeline.evaluate.evaluation import Evaluation
from pipeline.evaluate.report.alphas import alphas
from tests.drawn import classed, of
from tests.pipeline.evaluate.conftest import Evaluated


def test_the_curves_of_alpha(one: Evaluation) -> None:
    drawn = alphas(one)
    points = [point.split(",") for point in classed(drawn, "polyline", "zscore")[0].get("points", "").split()]
    assert len(points) == len(GRID)
    (ring,) = classed(drawn, "circle", "ring")
    assert of(ring, "cx", "cy") == pytest.approx(tuple(map(float, points[4])), abs=0.1)  # alpha 0.2 is on the curve
    mean = one.curves["zscore"][:, 0].mean(axis=1)
    heights = [-float(y) for _, y in points]
    assert np.corrcoef(heights, mean)[0, 1] == pytest.approx(1, abs=1e-4)
    assert one.chosen
    titles = [mark[0].text for mark in classed(drawn, "polygon", "chosen")]
    assert sum(int(title.split("in ")[1].split(" of")[0]) for title in titles if title) == len(one.chosen.alphas)


def test_a_run_without_fusion_has_no_place_on_the_curves(evaluated: Evaluated) -> None:
    assert not classed(alphas(evaluated(method="none")), "circle", "ring")
