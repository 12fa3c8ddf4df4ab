"""Scores that are there already: which are made again, which are taken, and which are thrown away."""

from pathlib import Path
from typing import Any

import pytest

from pipeline.errors import UsageError
from pipeline.input.result import read_result
from pipeline.storage.folder import Folder
from tests.pipeline.conftest import SMALL
from tests.pipeline.run.conftest import S3_SLOW
from tests.pipeline.run.stores import A, B, C, D, Failing, FailingForGood, Place
from tests.pipeline.run.test_deaths import NeverStarts

ANY = {"unit_rows": 30, "max_failed": 1}
MORE = {"sizes": SMALL}
RETRY = ANY | {"retry_failed": True}
HINT = "rows have no score for a reason that may pass; run.retry_failed=true scores them again"


@S3_SLOW
def test_only_reasons_that_may_pass_are_tried_once_more(place: Place, capsys: pytest.CaptureFixture) -> None:
    place.put(a=A, b=B, c=C)
    first = place.run(scorer=Failing, run=ANY, more=MORE)
    failed = first["transient"]
    assert 80 < failed < 180
    assert f"rayrank: {failed} {HINT}" in capsys.readouterr().err
    assert place.run(run=ANY, more=MORE)["scored_now"] == 0, "nothing is tried again unasked"

    again = place.run(scorer=Failing, run=RETRY, more=MORE)
    assert (again["units_now"], again["transient"]) == (4 + 3 + 3, failed)
    assert f"{failed} {HINT}" in capsys.readouterr().err
    figures = place.run(run=RETRY | {"unit_rows": 7}, more=MORE)
    assert (figures["scored_now"], figures["transient"]) == (failed, 0)
    assert HINT not in capsys.readouterr().err
    place.run("fresh", scorer=FailingForGood, run=ANY, more=MORE)
    assert place.ranked().equals(place.ranked("fresh"))
    assert {"too odd", "document is empty", None} == {*place.ranked()["reason"].to_pylist()}
    assert place.run(scorer=NeverStarts, run=RETRY, more=MORE)["transient"] == 0, "no engine starts where none is left"

    place.put(d=D)
    assert place.run(scorer=FailingForGood, run=RETRY, more=MORE)["rows"] == 330
    place.run("fresh", scorer=FailingForGood, run=ANY, more=MORE)
    assert place.ranked().equals(place.ranked("fresh"))


def rename_scores(place: Place, engine: str) -> str:
    """Has the scores be those of another version of the engine. Returns its fingerprint."""
    (folder,) = Path(place.root, "out/scores").iterdir()
    other = folder.name.rpartition("-")[0] + f"-{engine}"
    folder.rename(folder.with_name(other))
    return other


def test_scores_of_another_version_of_the_engine_are_taken_where_the_config_says_so(
    local: Place, capsys: pytest.CaptureFixture
) -> None:
    settings: dict[str, Any] = {"more": MORE}
    local.put(a=A, b=B)
    local.run(run=ANY, **settings)
    other = rename_scores(local, "0.31")
    before = local.scores()
    with pytest.raises(UsageError, match=r"another version of the engine \(fingerprint .*run\.accept=\[engine\] takes"):
        local.run(run=ANY, **settings)
    local.put(c=C)
    accepting = ANY | {"accept": ["engine"]}
    assert local.run(run=accepting, **settings)["scored_now"] == 79  # row 207 is empty
    assert f"takes 7 score files of another version of it ({other})" in capsys.readouterr().err
    manifest = read_result(Folder(f"{local.root}/out"))
    assert manifest and manifest["units"] == {other: 4 + 3, manifest["fingerprint"]: 3}
    assert before < local.scores()
    local.run("fresh", run=ANY, **settings)
    assert local.ranked().equals(local.ranked("fresh"))


def test_a_restart_throws_all_scores_away(local: Place) -> None:
    local.put(a=A, b=B)
    local.run(run=ANY)
    rename_scores(local, "0.31")
    Folder(f"{local.root}/out/scores").put_new("0123456789abcdef/000000-0000.parquet", b"of rayrank 0.1")
    with pytest.raises(UsageError, match=r"is a file of rayrank 0\.1"):
        local.run(run=ANY)
    local.input.delete(["b.parquet"])
    figures = local.run(run=ANY | {"on_existing": "restart"})
    assert (figures["scored_now"], figures["rows"]) == (99, 100)
    local.run("fresh", run=ANY)
    assert local.ranked().equals(local.ranked("fresh"))
    assert local.scores() == local.scores("fresh")
