"""Score distributions, read back from the picture."""

import numpy as np
import pytest

from pipeline.evaluate.report.scores import draw_histogram, find_ties
from tests.drawn import find_elements, read_numbers


def test_ties_are_inside_a_query() -> None:
    found = find_ties(np.array([0, 0, 0, 1, 1]), np.array([0.5, 0.5, 0.1, 0.1, 0.5]))
    assert found.tied.tolist() == [True, True, False, False, False]
    assert (found.share, found.common, found.common_share) == (0.4, 0.5, 0.6)


def test_histogram_has_relevant_documents_up_others_down_and_ties_in_full_colour() -> None:
    score = np.array([0.0, 0.0, 1.0, 1.0, 1.0, 0.0])
    relevant = np.array([False, False, True, True, True, True])
    tied = np.array([True, True, True, False, False, False])
    drawn = draw_histogram(score, relevant, tied, "score")
    (axis,) = read_numbers(find_elements(drawn, "line", "axis")[0], "y1")

    def heights(side: str, kind: str) -> list[float]:
        """In the order of the scores; upwards positive, as shares of the highest, which is all of the two others."""
        bars = [read_numbers(bar, "y", "height") for bar in find_elements(drawn, "rect", side, kind)]
        return [(axis - y if y < axis - 0.01 else -height) / highest for y, height in bars]

    highest = max(read_numbers(bar, "height")[0] for bar in find_elements(drawn, "rect", "other"))
    assert heights("relevant", "free") == pytest.approx([1 / 4, 3 / 4], abs=0.01)
    assert heights("relevant", "tied") == pytest.approx([1 / 4], abs=0.01)
    assert heights("other", "free") == heights("other", "tied") == pytest.approx([-1], abs=0.01)


def test_histogram_of_one_value() -> None:
    assert find_elements(draw_histogram(np.ones(3), np.zeros(3, bool), np.ones(3, bool), "score"), "rect", "tied")
