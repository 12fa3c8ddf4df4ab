"""pipeline/storage/retry.py: which errors are retried, how often, and the line of the last one."""

import errno
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest
from botocore.exceptions import (
    ClientError,
    ConnectionClosedError,
    EndpointConnectionError,
    NoCredentialsError,
    ParamValidationError,
    ReadTimeoutError,
)
from s3fs.errors import translate_boto_error

from pipeline.errors import RefusedError, StoreError
from pipeline.storage.retry import Retries, call_with_retries, make_store_error


def make_answer(status: int, code: str, message: str = "as the store\nsays") -> BaseException:
    """S3's error, as s3fs raises it."""
    response: Any = {"Error": {"Code": code, "Message": message}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return translate_boto_error(ClientError(response, "PutObject"))


def fail_with(*errors: BaseException) -> Callable[[], int]:
    """Raises each of the errors in turn, and then returns their number."""
    left = list(errors)

    def call() -> int:
        if left:
            raise left.pop(0)
        return len(errors)

    return call


PASSING = [
    make_answer(503, "SlowDown"),
    make_answer(500, "InternalError"),
    make_answer(502, "502", ""),
    make_answer(429, "TooManyRequests"),
    make_answer(409, "ConditionalRequestConflict"),
    make_answer(409, "OperationAborted"),
    make_answer(400, "RequestTimeout"),
    make_answer(400, "BadDigest"),
    EndpointConnectionError(endpoint_url="http://s3"),
    ConnectionClosedError(endpoint_url="http://s3"),
    ReadTimeoutError(endpoint_url="http://s3"),
    ConnectionResetError(errno.ECONNRESET, "Connection reset by peer"),
    TimeoutError(),
]
LASTING = [
    make_answer(400, "ExpiredToken"),
    make_answer(403, "AccessDenied"),
    make_answer(403, "403", "Forbidden"),
    make_answer(403, "SignatureDoesNotMatch"),
    make_answer(400, "InvalidRequest"),
    make_answer(501, "NotImplemented"),
    OSError(errno.ENOSPC, "No space left on device"),
    PermissionError(errno.EACCES, "Permission denied"),
    NoCredentialsError(),
]


@pytest.mark.parametrize("error", PASSING, ids=repr)
def test_an_error_that_may_pass_is_retried_with_growing_waits_and_a_bound(error: BaseException) -> None:
    slept: list[float] = []
    retries = Retries(sleep=slept.append)
    assert call_with_retries("x: cannot be read", fail_with(error, error, error), retries) == 3
    assert len(slept) == 3
    assert all(wait / 2 <= took <= wait for wait, took in zip((2, 5, 10), slept, strict=True))
    with pytest.raises(StoreError, match=r"^x: cannot be read, in 0 s of tries: ") as raised:
        call_with_retries("x: cannot be read", fail_with(*[error] * 4), retries)
    assert raised.value.exit_code == 1


@pytest.mark.parametrize("error", LASTING, ids=repr)
def test_an_error_that_lasts_is_raised_at_once(error: BaseException) -> None:
    slept: list[float] = []
    with pytest.raises(StoreError, match=r"^x: cannot be read: "):
        call_with_retries("x: cannot be read", fail_with(error), Retries(sleep=slept.append))
    assert slept == []


def test_errors_of_other_clouds_libraries_are_a_stores_once_they_are_in_use(monkeypatch: pytest.MonkeyPatch) -> None:
    class HttpError(Exception):
        """As gcsfs's, which is of no other kind."""

    class ChecksumError(Exception):
        pass

    for error in (HttpError("Quota exceeded, 429"), ChecksumError("of 7 bytes")):
        with monkeypatch.context() as patch:
            with pytest.raises(type(error)):
                call_with_retries("x", fail_with(error))
            loaded = ModuleType("gcsfs.retry")
            vars(loaded).update(HttpError=HttpError, ChecksumError=ChecksumError)
            patch.setitem(sys.modules, "gcsfs.retry", loaded)
            with pytest.raises(StoreError, match=f"^gs://b/x: cannot be read: {type(error).__name__}: {error}$"):
                call_with_retries("gs://b/x: cannot be read", fail_with(error))


@pytest.mark.parametrize("error", [FileNotFoundError(), FileExistsError(), ParamValidationError(report="bucket name")])
def test_a_file_that_is_missing_or_there_is_for_the_caller(error: BaseException) -> None:
    with pytest.raises(type(error)) as raised:
        call_with_retries("x", fail_with(error), Retries(waits=()))
    assert raised.value is error


@pytest.mark.parametrize(
    ("error", "kind", "says"),
    [
        (
            make_answer(400, "ExpiredToken"),
            StoreError,
            "x: the credentials have expired (ExpiredToken: as the store says)",
        ),
        (make_answer(403, "AccessDenied"), RefusedError, "x: no permission (AccessDenied: as the store says)"),
        (OSError(errno.EROFS, "Read-only file system"), RefusedError, "x: no permission (Read-only file system)"),
        (NoCredentialsError(), RefusedError, "x: NoCredentialsError: Unable to locate credentials"),
        (OSError(errno.ENOSPC, "No space left on device"), StoreError, "x: No space left on device"),
        (make_answer(503, "SlowDown"), StoreError, "x, in 7 s of tries: SlowDown: as the store says"),
    ],
)
def test_the_line_has_the_stores_words(error: BaseException, kind: type, says: str) -> None:
    raised = make_store_error("x", error, 7.2)
    assert (type(raised), str(raised)) == (kind, says)
