"""The project's prose is plain: no sentence begins with "Of" or "What", and some words do not occur."""

import re

import pytest

from tests.conftest import ROOT

FOLDERS = ("actors", "benchmarks", "configs", "docs", "jobs", "pipeline", "tests")
FILES = [*ROOT.glob("*.md"), *(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.*"))]
OLD_TREE = ROOT / "tests/compare/mask.py"  # quotes lines of an earlier version
PROSE = [path for path in FILES if path.suffix in (".md", ".py", ".yaml") and path not in (OLD_TREE, ROOT / __file__)]
RULES = {
    "beginnings": r'(?:^(?:- )?|[.:;] |"""|^ *# |  # )(?:Of|What) (?=[a-z`\d])',
    "words": r"\b(?:anew|in vain|whoever|hangs? on)\b",
}


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
def test_prose_is_plain(rule: str) -> None:
    found = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for path in PROSE
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if re.search(rule, line) and not (path.suffix == ".md" and line.startswith("#"))  # a heading
    ]
    assert not found, "\n".join(found)
