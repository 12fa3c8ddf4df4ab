"""The places that belong to a family beside its file: each test names the place that lacks it."""

import re

import pytest

from actors.rerankers import RERANKERS
from tests.actors.rerankers import test_prompts, versions
from tests.conftest import ROOT

HERE = ROOT / "tests" / "actors" / "rerankers"
HEADINGS = {"label": "Describe one in YAML"}
# page, the words that stand before a table in it, and what of it
ROWS = [
    ("README.md", "| `reranker.type` |", "the table of rerankers"),
    ("docs/rerankers.md", "# Rerankers", "the first table"),
    ("docs/rerankers.md", "## Source, and what was verified", "the table there"),
    ("docs/verified.md", "## Tiny models", "the table there"),
]


@pytest.mark.parametrize("page, before, what", ROWS, ids=[f"{page}: {what}" for page, _, what in ROWS])
@pytest.mark.parametrize("family", RERANKERS)
def test_the_docs_have_a_row_for_it(family: str, page: str, before: str, what: str) -> None:
    text = (ROOT / page).read_text().partition(before)[2]
    table = re.search(r"(?:^\|.*\n)+", text, re.M)
    assert table
    names = {name for row in table[0].splitlines() for name in re.findall(r"`(\w+)`", row.split("|")[1])}
    assert family in names, f"{page}, {what}: add a row for {family}"


@pytest.mark.parametrize("family", RERANKERS)
def test_the_docs_have_a_section_of_it(family: str) -> None:
    heading = HEADINGS.get(family, family)
    assert f"\n## {heading}\n" in (ROOT / "docs" / "rerankers.md").read_text(), f"docs/rerankers.md: add ## {heading}"


@pytest.mark.parametrize("family", RERANKERS)
def test_it_has_tests(family: str) -> None:
    file = HERE / f"test_{family}.py"
    assert file.exists(), f"add {file.relative_to(ROOT)}: its scores against transformers"
    assert family in {name.split()[0] for name in test_prompts.CASES}, "add a case to CASES of test_prompts.py"
    assert family in versions.VARIANTS, f"add its variants to {HERE.name}/variants.py, then: {versions.COMMAND}"
