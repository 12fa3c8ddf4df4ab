"""pipeline/storage/retry.py: what is tried again, how often, and what the last error says."""

import errno
from collections.abc import Callable
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
from pipeline.storage import retry
from pipeline.storage.retry import failure, patiently


def answer(status: int, code: str, message: str = "as the store\nsays") -> BaseException:
    """S3's error, as s3fs raises it."""
    response: Any = {"Error": {"Code": code, "Message": message}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return translate_boto_error(ClientError(response, "PutObject"))


def failing(*errors: BaseException) -> Callable[[], int]:
    """Raises each of the errors in turn, and then returns how many there were."""
    left = list(errors)

    def call() -> int:
        if left:
            raise left.pop(0)
        return len(errors)

    return call


@pytest.fixture(autouse=True)
def slept(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The waits, which take no time."""
    waits: list[float] = []
    monkeypatch.setattr(retry.time, "sleep", waits.append)
    return waits


PASSING = [
    answer(503, "SlowDown"),
    answer(500, "InternalError"),
    answer(502, "502", ""),
    answer(429, "TooManyRequests"),
    answer(409, "ConditionalRequestConflict"),
    answer(409, "OperationAborted"),
    answer(400, "RequestTimeout"),
    answer(400, "BadDigest"),
    EndpointConnectionError(endpoint_url="http://s3"),
    ConnectionClosedError(endpoint_url="http://s3"),
    ReadTimeoutError(endpoint_url="http://s3"),
    ConnectionResetError(errno.ECONNRESET, "Connection reset by peer"),
    TimeoutError(),
]
LASTING = [
    answer(400, "ExpiredToken"),
    answer(403, "AccessDenied"),
    answer(403, "403", "Forbidden"),
    answer(403, "SignatureDoesNotMatch"),
    answer(400, "InvalidRequest"),
    answer(501, "NotImplemented"),
    OSError(errno.ENOSPC, "No space left on device"),
    PermissionError(errno.EACCES, "Permission denied"),
    NoCredentialsError(),
]


@pytest.mark.parametrize("error", PASSING, ids=repr)
def test_what_may_pass_is_tried_again_with_growing_waits_and_a_bound(error: BaseException, slept: list[float]) -> None:
    assert patiently("x: cannot be read", failing(error, error, error)) == 3
    assert len(slept) == 3
    assert all(wait / 2 <= took <= wait for wait, took in zip((2, 5, 10), slept, strict=True))
    with pytest.raises(StoreError, match=r"^x: cannot be read, in 0 s of tries: ") as raised:
        patiently("x: cannot be read", failing(*[error] * 4))
    assert raised.value.exit_code == 1


@pytest.mark.parametrize("error", LASTING, ids=repr)
def test_what_lasts_is_said_at_once(error: BaseException, slept: list[float]) -> None:
    with pytest.raises(StoreError, match=r"^x: cannot be read: "):
        patiently("x: cannot be read", failing(error))
    assert slept == []


@pytest.mark.parametrize("error", [FileNotFoundError(), FileExistsError(), ParamValidationError(report="bucket name")])
def test_what_the_caller_waits_for_comes_as_it_is(error: BaseException) -> None:
    with pytest.raises(type(error)) as raised:
        patiently("x", failing(error))
    assert raised.value is error


@pytest.mark.parametrize(
    ("error", "kind", "says"),
    [
        (answer(400, "ExpiredToken"), StoreError, "x: the credentials have expired (ExpiredToken: as the store says)"),
        (answer(403, "AccessDenied"), RefusedError, "x: no permission (AccessDenied: as the store says)"),
        (OSError(errno.EROFS, "Read-only file system"), RefusedError, "x: no permission (Read-only file system)"),
        (NoCredentialsError(), RefusedError, "x: NoCredentialsError: Unable to locate credentials"),
        (OSError(errno.ENOSPC, "No space left on device"), StoreError, "x: No space left on device"),
        (answer(503, "SlowDown"), StoreError, "x, in 7 s of tries: SlowDown: as the store says"),
    ],
)
def test_the_line_has_the_stores_words(error: BaseException, kind: type, says: str) -> None:
    raised = failure("x", error, 7.2)
    assert (type(raised), str(raised)) == (kind, says)
