"""The report in a real browser: at phone and desktop width, in light and dark.

It needs a Chromium (`apt-get install chromium-headless-shell`, or its path in CHROMIUM). Screenshots are kept with
`SCREENSHOTS=folder`.
"""

import os
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.evaluate.qrels import Qrels
from pipeline.evaluate.report.page import render_page
from tests.chromium import Seen, binary, chromium, look
from tests.pipeline.evaluate.conftest import Evaluated

pytestmark = pytest.mark.skipif(
    binary() is None, reason="no Chromium here: apt-get install chromium-headless-shell, or set CHROMIUM to its path"
)

VIEWS = [(width, scheme) for width in (390, 1400) for scheme in ("light", "dark")]
# A reader's view: the page's colours, whether it is wider than the window, what sticks out of its card, the
# contrast (WCAG 2) of every text with what is behind it, and the smallest text in a picture.
SCRIPT = """
(() => {
  const closed = [...document.querySelectorAll("details:not([open])")];
  for (const one of closed) one.open = true;
  const painted = document.createElement("canvas").getContext("2d", {willReadFrequently: true});
  const known = {};
  const rgb = color => {
    if (!(color in known)) {
      painted.clearRect(0, 0, 1, 1); painted.fillStyle = color; painted.fillRect(0, 0, 1, 1);
      known[color] = painted.getImageData(0, 0, 1, 1).data;
    }
    return known[color];
  };
  const light = color => [...rgb(color)].slice(0, 3).map(c => c / 255)
    .map(c => c <= .04045 ? c / 12.92 : ((c + .055) / 1.055) ** 2.4)
    .reduce((sum, c, i) => sum + c * [.2126, .7152, .0722][i], 0);
  const behind = one => {
    for (; one; one = one.parentElement) {
      const color = getComputedStyle(one).backgroundColor;
      if (rgb(color)[3] == 255) return color;
    }
    return "white";
  };
  const texts = [...document.querySelectorAll("body *")].filter(one => one.checkVisibility()
    && one.tagName != "title" && [...one.childNodes].some(child => child.nodeType == 3 && child.data.trim()));
  const poor = [], out = [], sizes = [];
  for (const one of texts) {
    const inside = one instanceof SVGElement, style = getComputedStyle(one);
    const [a, b] = [light(inside ? style.fill : style.color), light(behind(one))].sort((x, y) => y - x);
    if ((a + .05) / (b + .05) < 4.5) poor.push(one.textContent.trim().slice(0, 40));
    const scroll = one.closest(".scroll"), card = one.closest("section, aside, header, footer, summary");
    const box = one.getBoundingClientRect(), around = card.getBoundingClientRect();
    if (!scroll && (box.left < around.left - 1 || box.right > around.right + 1)) out.push(one.textContent.slice(0, 40));
    if (inside) sizes.push(parseFloat(style.fontSize) * Math.hypot(one.getScreenCTM().a, one.getScreenCTM().b));
  }
  const found = {
    background: getComputedStyle(document.body).backgroundColor,
    overflow: document.documentElement.scrollWidth - window.innerWidth,
    columns: getComputedStyle(document.querySelector(".pair")).gridTemplateColumns.split(" ").length,
    texts: texts.length, poor, out, smallest: Math.min(...sizes),
  };
  for (const one of closed) one.open = false;
  return found;
})()
"""


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory, evaluated: Evaluated, qrels: Qrels) -> str:
    """The URL of a leaderboard of two results, whose texts try to be markup, and whose names are long."""
    several = [evaluated("a-result-with-a-long-name-" * 3), evaluated("second", alpha=0.5, output={"top_k": 20})]
    path = tmp_path_factory.mktemp("report") / "report.html"
    path.write_text(render_page(several, qrels, "/some/long/path/" * 4 + "qrels.tsv"), encoding="utf-8")
    return path.as_uri()


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with chromium(tmp_path_factory.mktemp("profile")) as url:
        yield url


@pytest.fixture(scope="module")
def views(browser: str, report: str) -> dict[tuple[int, str], Seen]:
    folder = os.environ.get("SCREENSHOTS")
    seen = {view: look(browser, report, *view, SCRIPT, whole=bool(folder)) for view in VIEWS}
    if folder:
        for (width, scheme), view in seen.items():
            Path(folder, f"report-{width}-{scheme}.png").write_bytes(view.picture)
    return seen


@pytest.mark.parametrize("view", VIEWS)
def test_it_asks_for_nothing_and_complains_of_nothing(views: dict, view: tuple[int, str], report: str) -> None:
    assert views[view].requests == [report]
    assert views[view].complaints == []


@pytest.mark.parametrize("view", VIEWS)
def test_it_can_be_read(views: dict, view: tuple[int, str]) -> None:
    found = views[view].value
    assert found["texts"] > 1000
    assert found["poor"] == []
    assert found["out"] == []
    assert found["overflow"] == 0
    assert found["smallest"] >= 10
    width, height = struct.unpack(">II", views[view].picture[16:24])
    assert width == view[0] and height >= 900


def test_it_follows_the_scheme_and_the_width(views: dict) -> None:
    values = {view: seen.value for view, seen in views.items()}
    assert values[390, "light"]["background"] == values[1400, "light"]["background"]
    assert values[390, "light"]["background"] != values[390, "dark"]["background"]
    assert [values[width, "light"]["columns"] for width in (390, 1400)] == [1, 2]


def test_the_browser_would_have_noticed(browser: str, tmp_path: Path) -> None:
    """A page with an error, a request, a text too wide and a pale one: the checks above can fail."""
    (tmp_path / "page.html").write_text(
        '<section style="width:50px;background:#fff" class="pair"><p style="width:2000px;color:#eee">wide</p></section>'
        '<img src="https://nowhere.invalid/picture.png"><svg><text>t</text></svg><script>console.error("no")</script>'
    )
    script = SCRIPT.replace('closest("section, aside, header, footer, summary")', 'closest("section, body")')
    seen = look(browser, (tmp_path / "page.html").as_uri(), 390, "light", script)
    assert "https://nowhere.invalid/picture.png" in seen.requests
    assert any("no" in line for line in seen.complaints)
    assert seen.value["poor"] == ["wide"] == seen.value["out"]
    assert seen.value["overflow"] > 1000
