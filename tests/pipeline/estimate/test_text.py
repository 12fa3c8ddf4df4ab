"""The words of a dry run, for figures that are written here."""

import pytest

from pipeline.estimate.text import _format_bytes, _format_figures
from pipeline.score.progress import format_clock


@pytest.mark.parametrize(
    ("value", "said"),
    [(0, "0"), (0.0123, "0.012"), (0.99, "0.99"), (1.234, "1.2"), (12.34, "12"), (1234, "1,200"), (99_999, "100,000")],
)
def test_an_estimate_has_two_figures(value: float, said: str) -> None:
    assert _format_figures(value) == said


def test_sizes_and_times() -> None:
    assert [_format_bytes(size) for size in (64, 12_288, 90_868_376, 1.2e9)] == [
        "64 bytes",
        "12.3 kB",
        "90.9 MB",
        "1.2 GB",
    ]
    assert format_clock(3 * 3600 + 62) == "3:01:02"
