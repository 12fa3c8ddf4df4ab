"""The drawing of plots: escaping, numbers, ticks, and where data lands."""

from xml.etree import ElementTree

import pytest
from markupsafe import Markup

from pipeline.evaluate.report.svg import Frame, choose_ticks, element, format_number


def test_texts_and_attributes_are_escaped() -> None:
    drawn = element("g", element("title", "<b>&"), class_='a"b', text_anchor="end", x=1.50)
    assert drawn == '<g class="a&#34;b" text-anchor="end" x="1.5"><title>&lt;b&gt;&amp;</title></g>'
    assert isinstance(drawn, Markup)


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0, 1, [0, 0.2, 0.4, 0.6, 0.8, 1.0]),
        (-0.28, 1, [0, 0.5, 1]),
        (0.1, 0.2, [0.1, 0.12, 0.14, 0.16, 0.18, 0.2]),
        (-3.5, 4.5, [-2, 0, 2, 4]),
        (12, 12345, [5000, 10000]),
        (3, 3, [3]),
    ],
)
def test_ticks_are_round_numbers_inside_the_plot(low: float, high: float, expected: list[float]) -> None:
    assert choose_ticks(low, high) == pytest.approx(expected)


def test_numbers() -> None:
    assert format_number(0.12345) == "0.123"
    assert format_number(-0.5, sign=True) == "\N{MINUS SIGN}0.500"
    assert format_number(0.5, 2, sign=True) == "+0.50"
    assert format_number(-0.0001, sign=True) == "0.000"


def test_data_lands_inside_the_margins() -> None:
    frame = Frame(0, 10, -1, 1, width=200, height=100, left=30, right=10, top=5, bottom=25)
    assert (frame.x(0), frame.x(10), frame.x(5)) == (30, 190, 110)
    assert (frame.y(-1), frame.y(1), frame.y(0)) == (75, 5, 40)
    flat = Frame(2, 2, 3, 3)
    assert flat.x(2) == flat.left and flat.y(3) == flat.height - flat.bottom


def test_a_picture_is_well_formed_and_has_a_title() -> None:
    frame = Frame(0, 1, 0, 1)
    drawn = ElementTree.fromstring(frame.draw("what <it> shows", frame.axis_x("x", [0, 1]), frame.axis_y("y", [0.5])))
    assert drawn.find("title").text == "what <it> shows"  # type: ignore[union-attr]
    assert [text.text for text in drawn.iter("text")] == ["0", "1", "x", "0.5", "y"]
