"""The report as a file: every section, nothing from outside, and no text of a document as markup."""

import re
from html.parser import HTMLParser

import pytest

from pipeline.evaluate.evaluation import Evaluation
from pipeline.evaluate.qrels import Qrels
from pipeline.evaluate.report.page import render_page
from tests.pipeline.evaluate.conftest import Evaluated
from tests.results import SCORED

SECTIONS = [
    "Measures",
    "Differences",
    "Gain per query",
    "The effect of alpha",
    "Scores",
    "First stage against reranker",
    "Where documents moved",
    "The run",
    "Queries that gained most",
    "Queries that lost most",
]
OUTSIDE = {
    "script",
    "link",
    "img",
    "iframe",
    "object",
    "embed",
    "video",
    "audio",
    "source",
    "base",
    "form",
    "use",
    "image",
}


class Tags(HTMLParser):
    """The elements of a page, its headings, and whether every element that was opened was closed in its turn."""

    VOID = ("meta", "link", "br", "hr", "img")

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.headings: list[str] = []
        self.open: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attributes)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "h2":
            self.headings.append(data)


@pytest.fixture(scope="module")
def text(one: Evaluation, qrels: Qrels) -> str:
    return render_page([one], qrels, "qrels<1>.tsv")


def test_every_section_is_there_and_the_page_is_well_formed(text: str) -> None:
    found = Tags(text)
    assert [heading for heading in found.headings if heading != "Before you trust these figures"] == SECTIONS
    assert found.open == []
    svgs = [attributes for tag, attributes in found.found if tag == "svg"]
    assert len(svgs) >= 7 and all(svg["role"] == "img" for svg in svgs)
    assert len(re.findall(r"<svg [^>]*><title>[^<]+</title>", text)) == len(svgs)


def test_nothing_comes_from_outside(text: str) -> None:
    links = [(tag, found) for tag, found in Tags(text).found if tag in OUTSIDE or {"src", "href"} & found.keys()]
    assert links == [("link", {"rel": "icon", "href": "data:,"})]
    assert not re.search(r"url\(|@import|https?://", text)
    assert not [name for _, found in Tags(text).found for name in found if name.startswith("on")]


def test_texts_of_the_data_are_never_markup(text: str) -> None:
    assert "&lt;script&gt;alert(" in text and "<script" not in text
    assert "&lt;img src=x onerror=alert(2)&gt; &amp; " in text and "<img" not in text
    assert "qrels&lt;1&gt;.tsv" in text


def test_it_says_the_figures(text: str, one: Evaluation) -> None:
    for values in one.values.values():
        assert all(f">{mean:.3f}</td>" in text for mean in values.mean(axis=1))
    assert "pairs per second</dt><dd>50.0" in text
    assert "worker hours for a million pairs</dt><dd>50.00" in text  # 18 seconds for 100 pairs


def test_its_size_hangs_on_what_is_shown_not_on_the_data(text: str) -> None:
    assert len(text) < 300_000


def test_a_result_without_scores_of_its_own_run(evaluated: Evaluated, qrels: Qrels) -> None:
    again = evaluated("again", figures=SCORED | {"scored_now": 0, "pairs_per_second": None})
    assert "ranked from scores that were there already" in render_page([again], qrels, "qrels.tsv")


def test_a_leaderboard(evaluated: Evaluated, qrels: Qrels) -> None:
    several = [evaluated("first<b>"), evaluated("second", alpha=0.5), evaluated("third", seed=5)]
    found = render_page(several, qrels, "qrels.tsv")
    headings = Tags(found).headings
    assert headings[:3] == ["Not the same candidates", "Leaderboard", "Against first<b>"]
    assert headings.count("Measures") == 3
    assert "third and first&lt;b&gt; differ in more than their rerankers" in found
