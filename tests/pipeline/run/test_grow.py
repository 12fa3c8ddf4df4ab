"""A folder that grows: on every store, and wherever a run is interrupted, the result is that of a run from nothing."""

import math
import random
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any

import pytest

from pipeline.errors import UsageError
from pipeline.input.result import read_result
from pipeline.storage.folder import Folder
from tests.pipeline.conftest import SMALL, hold_nothing
from tests.pipeline.run.stores import A, B, C, D, E, Place, say_otherwise

MORE = {"sizes": replace(SMALL, fetching_buckets=1), "hold": hold_nothing}  # so all steps of a large result are made
SETTINGS: dict[str, Any] = {"run": {"unit_rows": 30}, "output": {"columns": ["doc"]}, "more": MORE}
DROPPING = SETTINGS | {"run": {"unit_rows": 30, "on_gone": "drop"}}
# B, D and E have 80, 70 and 20 rows; the documents of rows 106 and 308 are empty.
NEW_ROWS = 79 + 69 + 20


def grow(place: Place) -> None:
    """One file is written again, to the same size, and two come."""
    before = place.input.size("b.parquet")
    place.put(b=say_otherwise(B), d=D, e=E)
    assert place.input.size("b.parquet") == before


def test_only_what_came_or_changed_is_scored(place: Place, capsys: pytest.CaptureFixture) -> None:
    place.put(a=A, b=B, c=C)
    place.run(**SETTINGS)
    first = place.scores()
    grow(place)
    figures = place.run(**SETTINGS)
    assert (figures["scored_now"], figures["rows"]) == (NEW_ROWS, 350)
    assert "since the result that stands was made: 2 came, 1 changed, 0 went" in capsys.readouterr().err
    manifest = read_result(Folder(f"{place.root}/out"))
    assert manifest and manifest["changes"] == {"came": 2, "changed": 1, "gone": 0}
    assert [file["rows"] for file in manifest["input"]] == [100, 80, 80, 70, 20]

    assert place.run("fresh", **SETTINGS)["scored_now"] > NEW_ROWS
    assert place.ranked().equals(place.ranked("fresh"))
    assert place.scores() == place.scores("fresh"), "scores of the file that was written again are gone"
    assert len(place.scores() & first) == 4 + 3, "those of two files were kept"
    assert place.run(**SETTINGS)["scored_now"] == 0


def test_a_file_that_is_gone_is_refused_or_dropped(place: Place) -> None:
    place.put(a=A, b=B, c=C)
    place.run(**SETTINGS)
    stands = place.ranked()
    grow(place)
    place.input.delete(["a.parquet"])
    with pytest.raises(UsageError, match=r"in/a\.parquet: is gone from the input") as raised:
        place.run(**SETTINGS)
    assert raised.value.exit_code == 2
    assert place.ranked().equals(stands)
    assert place.run(**DROPPING)["scored_now"] == NEW_ROWS
    place.run("fresh", **SETTINGS)
    assert place.ranked().equals(place.ranked("fresh"))
    place.put(a=A)  # on the local disk it has another time now
    place.run(**SETTINGS)
    place.run("fresh", **SETTINGS)
    assert place.ranked().equals(place.ranked("fresh"))


class PowerCut(BaseException):
    """No `except Exception` sees it."""


@contextmanager
def cut_at(step: float) -> Iterator[list[str]]:
    """Within the block the store's changes are counted, and end with the one that is given: `step` of 3 stands for
    before the fourth, 3.5 for after it. Yields what was done."""
    done: list[str] = []

    def change(name: str, call: Callable[[], Any]) -> Any:
        if len(done) >= step:
            raise PowerCut(name)
        result = call()
        done.append(name)
        if len(done) > step:
            raise PowerCut(name)
        return result

    put, put_new, delete = Folder.put, Folder.put_new, Folder.delete

    def delete_each(self: Folder, names: list[str]) -> None:
        for name in names:
            change(name, partial(delete, self, [name]))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Folder, "put", lambda self, name, data: change(name, lambda: put(self, name, data)))
        patch.setattr(Folder, "put_new", lambda self, name, data: change(name, lambda: put_new(self, name, data)))
        patch.setattr(Folder, "delete", delete_each)
        yield done


@pytest.mark.parametrize(("gone", "points"), [(False, 30), (True, 20)])
def test_wherever_it_is_interrupted_the_same_command_ends_as_from_nothing(
    gone: bool, points: int, local: Place
) -> None:
    local.put(a=A, b=B, c=C)
    local.run("before", **SETTINGS)
    grow(local)
    local.run("grown", **SETTINGS)
    if gone:
        local.input.delete(["a.parquet"])
    local.run("fresh", **SETTINGS)
    settings = DROPPING if gone else SETTINGS
    shutil.copytree(f"{local.root}/before", f"{local.root}/calm")
    with cut_at(math.inf) as done:
        local.run("calm", **settings)
    print(f"{len(done)} changes: {done}")
    for twice in random.Random(16).sample(range(2 * len(done)), points):
        shutil.copytree(f"{local.root}/before", f"{local.root}/cut-{twice}")
        with cut_at(twice / 2), pytest.raises(PowerCut):
            local.run(f"cut-{twice}", **settings)
        local.run(f"cut-{twice}", **settings)
        assert local.ranked(f"cut-{twice}").equals(local.ranked("fresh")), twice
        assert local.scores(f"cut-{twice}") == local.scores("grown"), twice  # those of a file that is gone stay
