"""run.on_existing=restart: no score of before is in the result, wherever a run that restarts is interrupted."""

import itertools
from collections.abc import Callable
from typing import Any

import pytest

from pipeline.check.preflight import check
from pipeline.config import Config
from pipeline.errors import UsageError
from pipeline.input.result import read_result
from pipeline.output.restart import MARK, throw_away
from pipeline.storage.folder import Folder
from tests.pipeline.conftest import Interrupted
from tests.pipeline.run.stores import A, B, Otherwise, Place

RESTART = {"on_existing": "restart"}


class Killed(BaseException):
    """In the place of SIGKILL."""


def kill() -> None:
    raise Killed


def begin(local: Place) -> None:
    """A result with the scores of before, and one with those of the restart to compare with."""
    local.put(a=A, b=B)
    local.run()
    local.run("fresh", scorer=Otherwise)
    assert not local.ranked().equals(local.ranked("fresh"))


@pytest.mark.parametrize("moment", ["before_scoring", "after_scoring", "before_writing"])
def test_after_a_kill_the_same_command_without_it_goes_on(moment: str, local: Place) -> None:
    begin(local)
    with pytest.raises(Killed):
        local.run(run=RESTART, scorer=Otherwise, cluster=Interrupted(**{moment: kill}))
    local.run(scorer=Otherwise)
    assert local.ranked().equals(local.ranked("fresh"))


@pytest.mark.parametrize("step", range(5))
def test_what_is_deleted_in_part_is_deleted_by_the_next_run(
    step: int, local: Place, make_config: Callable[..., Config], monkeypatch: pytest.MonkeyPatch
) -> None:
    """step: the put or deletion that does half of its work: the mark, `_SUCCESS`, parts, scores, the mark."""
    begin(local)
    names, calls = local.scores(), itertools.count()

    def delete(output: Folder, names: list[str]) -> None:
        if next(calls) == step:
            whole(output, names[::2] if len(names) > 1 else [])
            kill()
        whole(output, names)

    def put(output: Folder, *given: Any) -> None:
        if next(calls) == step:
            kill()
        whole_put(output, *given)

    checked = check(make_config(local.input.url, output={"path": f"{local.root}/out"}))
    whole, whole_put = Folder.delete, Folder.put
    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(Folder, "delete", delete)
        patch.setattr(Folder, "put", put)
        throw_away(checked)
    assert len(local.scores()) == (len(names) // 2 if step == 3 else 0 if step == 4 else len(names))
    figures = local.run(scorer=Otherwise)
    assert figures["scored_now"] == (0 if step == 0 else len(A) + len(B) - 2), "nothing had begun at step 0"
    assert local.ranked().equals(local.ranked("fresh")) == (step > 0)
    assert MARK not in Folder(f"{local.root}/out").files()


def test_scores_that_were_deleted_by_hand_leave_no_part_behind(local: Place) -> None:
    begin(local)
    output = Folder(f"{local.root}/out")
    output.delete([name for name in output.files() if name.startswith(("scores/", "_SUCCESS"))])
    with pytest.raises(Killed):
        local.run(scorer=Otherwise, cluster=Interrupted(after_scoring=kill))
    local.run(scorer=Otherwise)
    assert local.ranked().equals(local.ranked("fresh"))


def test_a_restart_that_cannot_begin_deletes_nothing(local: Place) -> None:
    begin(local)
    before, names = read_result(Folder(f"{local.root}/out")), local.scores()
    with pytest.raises(UsageError, match="yes, it is"):
        local.run(run=RESTART, reranker={"type": "label", "labels": ["yes, it is", "no"]})
    assert read_result(Folder(f"{local.root}/out")) == before and local.scores() == names


def test_files_of_a_result_that_was_thrown_away_may_be_gone(local: Place) -> None:
    begin(local)
    local.input.delete(["b.parquet"])
    with pytest.raises(Killed):
        local.run(run=RESTART, cluster=Interrupted(before_scoring=kill))
    assert local.run()["rows"] == len(A)
