"""Every file in configs/ is a whole run that loads, and that `--check` finds nothing wrong with from anywhere."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import s3fs

from actors.rerankers import RERANKERS
from jobs.rerank import main
from pipeline.config import load
from pipeline.plan.splits import get_unit_rows
from tests.conftest import ROOT

CONFIGS = sorted((ROOT / "configs").glob("*.yaml"))
by_name = pytest.mark.parametrize("path", CONFIGS, ids=[path.stem for path in CONFIGS])


@pytest.fixture(autouse=True, scope="module")
def nothing_at_hand(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """No network, no credentials, no downloaded model, no input."""
    place = tmp_path_factory.mktemp("empty")
    with pytest.MonkeyPatch.context() as monkeypatch:
        _empty(monkeypatch, place)
        s3fs.S3FileSystem.clear_instance_cache()  # a test before may have left one with credentials
        yield
    s3fs.S3FileSystem.clear_instance_cache()


def _empty(monkeypatch: pytest.MonkeyPatch, place: Path) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE", "AWS_ENDPOINT_URL"):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE"):
        monkeypatch.setenv(name, str(place / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    # The hub's library reads its environment once, when it is imported, so its own names are set too.
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(place))
    monkeypatch.chdir(place)


@by_name
def test_it_checks_without_network_weights_and_gpu(path: Path, capsys: pytest.CaptureFixture) -> None:
    assert main([str(path), "--check"]) == 0
    printed = capsys.readouterr()
    checked, unchecked = (
        [line for line in printed.out.splitlines() if line.startswith(begin)] for begin in ("checked:", "not checked:")
    )
    config = load(str(path))
    assert "checked: the config" in checked
    assert any("engine arguments" in line for line in checked)
    assert any(config.reranker.model in line for line in unchecked)
    assert any(config.input.path[0] in line for line in unchecked)
    assert printed.err == ""


@by_name
def test_its_first_line_says_what_it_is(path: Path) -> None:
    first = path.read_text().splitlines()[0]
    assert first.startswith("# ") and len(first) < 130


@by_name
def test_its_own_command_names_it(path: Path) -> None:
    commands = [line for line in path.read_text().splitlines() if "python jobs/rerank.py" in line]
    assert all(f"configs/{path.name} " in line for line in commands)


def test_every_reranker_has_a_config() -> None:
    without = {*RERANKERS} - {load(str(path)).reranker.type for path in CONFIGS}
    assert not without, f"configs/ has none with reranker.type {', '.join(without)}"


def test_the_documentation_names_every_config() -> None:
    text = (ROOT / "docs" / "rerankers.md").read_text()
    missing = [path.stem for path in CONFIGS if f"`{path.stem}`" not in text]
    assert not missing, f"docs/rerankers.md does not name `{'`, `'.join(missing)}`"


ONE_TOKEN = [path for path in CONFIGS if re.search(r"\d[mb]\b", path.stem) and not re.match("erank|rank1", path.stem)]


@pytest.mark.parametrize("path", ONE_TOKEN, ids=[path.stem for path in ONE_TOKEN])
def test_a_unit_is_less_than_five_minutes_of_work(path: Path) -> None:
    """2 operations a parameter and token, 512 tokens a pair, half of an A100's 312e12 operations a second."""
    found = re.search(r"([\d.]+)([mb])\b", path.stem.replace("bloom-1b1", "bloom-1.1b"))
    assert found
    parameters = float(found[1]) * {"m": 1e6, "b": 1e9}[found[2]]
    assert get_unit_rows(load(str(path))) * 512 * 2 * parameters / (312e12 / 2) < 300
