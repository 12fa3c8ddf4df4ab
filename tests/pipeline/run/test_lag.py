"""Listings that lag behind: a file that they do not show is not gone."""

from collections.abc import Callable
from typing import Any

import pytest

import pipeline.input.listing
from pipeline.input.listing import list_inputs
from pipeline.storage.folder import Folder
from tests.pipeline.conftest import SMALL, Interrupted
from tests.pipeline.run.conftest import S3_SLOW
from tests.pipeline.run.stores import A, B, C, D, Place

SETTINGS: dict[str, Any] = {"run": {"unit_rows": 30}, "more": {"sizes": SMALL}}


@pytest.fixture
def hide(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[str], bool]], None]:
    """Has listings of outputs, and of the input's folder, pass over the files whose paths are picked."""

    def hide(picked: Callable[[str], bool]) -> None:
        list_all, list_files = Folder._list, pipeline.input.listing.find_files

        def list_others(self: Folder, *given: Any) -> dict[str, int]:
            return {name: size for name, size in list_all(self, *given).items() if not picked(self.path(name))}

        def list_other_inputs(fs: Any, root: str) -> dict[str, Any]:
            return {name: info for name, info in list_files(fs, root).items() if not picked(name)}

        monkeypatch.setattr(Folder, "_list", list_others)
        monkeypatch.setattr(pipeline.input.listing, "find_files", list_other_inputs)

    return hide


def test_an_input_file_that_is_not_listed_is_looked_up(place: Place, hide: Callable) -> None:
    place.put(a=A, b=B, c=C)
    place.run(**SETTINGS)
    place.put(d=D)
    place.run("fresh", **SETTINGS)
    hide(lambda path: path.endswith("/in/b.parquet"))
    assert len(list_inputs([place.input.url])) == 3
    assert place.run(**SETTINGS)["scored_now"] == 69  # those of D
    assert place.ranked().equals(place.ranked("fresh"))


@S3_SLOW
@pytest.mark.parametrize("which", ["all", "some"])
def test_score_files_that_are_not_listed_are_used(place: Place, which: str, hide: Callable) -> None:
    """A run that did not end has put scores; the next one's listings do not show them while it runs."""

    def stop() -> None:
        raise InterruptedError

    place.put(a=A, b=B, c=C)
    place.run("fresh", **SETTINGS)
    with pytest.raises(InterruptedError):
        place.run(**SETTINGS, cluster=Interrupted(after_scoring=stop))
    there = {name: Folder(f"{place.root}/out/scores").read(name) for name in place.scores()}
    assert len(there) == 4 + 3 + 3
    names = sorted(there) if which == "all" else sorted(there)[::3]
    hide(lambda path: any(path.endswith(name) for name in names))
    place.run(**SETTINGS)
    assert place.ranked().equals(place.ranked("fresh"))
    for name, data in there.items():
        assert Folder(f"{place.root}/out/scores").read(name) == data
