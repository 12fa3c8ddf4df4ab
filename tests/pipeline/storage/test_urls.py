"""pipeline/storage/urls.py: one name for each place, and the file system it is on."""

from pathlib import Path

import fsspec
import pytest

from pipeline.storage.urls import is_local, make_absolute, open_url


def test_stores_are_known_by_their_protocol() -> None:
    assert [is_local(url) for url in ("out", "/out", "file:///out", "memory://out")] == [True, True, True, False]
    with pytest.raises(ValueError, match="nosuchprotocol"):
        open_url("nosuchprotocol://bucket/out")


def test_a_store_whose_driver_is_not_installed_says_how_to_install_it() -> None:
    fsspec.register_implementation("nodriver", "nodriver.Missing", errtxt="Please install nodriver")
    with pytest.raises(ImportError, match=r"Please install nodriver \(in the checkout: pip install '\.\[clouds\]'\)"):
        open_url("nodriver://bucket/out")


def test_a_local_path_has_one_absolute_form(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    out = str(tmp_path / "out")
    for name in ("out", "./out/", f"{out}/", f"file://{out}", f"/{tmp_path}//a/../out"):
        assert make_absolute(name) == out
    assert make_absolute("/") == "/"
