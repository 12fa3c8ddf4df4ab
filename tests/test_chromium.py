"""The driver of the browser: it finds one, and leaves none behind."""

from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import urlopen

import pytest

from tests.chromium import binary, chromium, look


@pytest.mark.skipif(binary() is None, reason="no Chromium here: see tests/pipeline/evaluate/test_report_browser.py")
def test_it_answers_and_is_gone_afterwards(tmp_path: Path) -> None:
    with chromium(tmp_path / "profile") as url:
        version = f"http://{urlsplit(url).netloc}/json/version"
        assert b"Chrome" in urlopen(version, timeout=10).read()
        assert look(url, "about:blank", 400, "dark", "window.innerWidth").value == 400
    with pytest.raises(OSError):
        urlopen(version, timeout=10)


def test_one_that_is_named_is_taken_and_one_that_cannot_start_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CHROMIUM", "/bin/false")
    with pytest.raises(RuntimeError, match="/bin/false did not start"), chromium(tmp_path):
        pass
