"""jobs/ending.py: exit code and line of everything that a job may raise."""

from typing import Any

import pytest

from jobs.ending import Ending
from pipeline.errors import StoreError, TooManyFailed, UsageError

RERANK = Ending(caught=(KeyboardInterrupt, SystemExit, Exception), advice="go on", resumable=True)
PREPARE = Ending(caught=(KeyboardInterrupt, Exception), advice="start again")
STATUS = Ending(caught=(Exception,), subject="s3://b/out")


def fail(error: BaseException) -> Any:
    raise error


@pytest.mark.parametrize(
    ("ending", "error", "code", "line"),
    [
        (Ending(), UsageError("a\nb"), 2, "rayrank: a b"),
        (RERANK, TooManyFailed("many"), 3, "rayrank: many"),
        (RERANK, StoreError("down"), 1, "rayrank: down; go on"),
        (PREPARE, StoreError("down"), 1, "rayrank: down"),
        (RERANK, SystemExit(15), 1, "rayrank: interrupted; go on"),
        (PREPARE, KeyboardInterrupt(), 1, "rayrank: interrupted; start again"),
        (PREPARE, ValueError("odd"), 1, "rayrank: ValueError: odd; start again"),
        (STATUS, ValueError("odd"), 1, "rayrank: s3://b/out: ValueError: odd"),
        (Ending("convert"), UsageError("wrong"), 2, "convert: wrong"),
    ],
)
def test_an_error_is_a_code_and_a_last_line(
    ending: Ending, error: BaseException, code: int, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ending.run(lambda: fail(error)) == code
    stdout, stderr = capsys.readouterr()
    *above, last = stderr.splitlines()
    assert (stdout, last) == ("", line)
    assert bool(above) == (ending is PREPARE and isinstance(error, ValueError)), (
        "a bug without a subject has a traceback"
    )


@pytest.mark.parametrize(
    ("ending", "error"), [(Ending(), ValueError("odd")), (PREPARE, SystemExit(2)), (STATUS, KeyboardInterrupt())]
)
def test_an_error_that_is_not_caught_is_pythons(ending: Ending, error: BaseException) -> None:
    with pytest.raises(type(error)):
        ending.run(lambda: fail(error))


def test_a_job_that_ends_well_has_its_own_code() -> None:
    assert Ending().run(lambda: 7) == 7
