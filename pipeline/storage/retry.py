"""What it means that a store failed: whether another try may help, and the one line that a person reads.

botocore tries each request again by itself (pipeline/storage/folder.py says how often). Here is what that leaves: a body that
was cut short, a put that met another one (409), and a store that stays away for longer.
"""

import errno
import random
import time
from collections.abc import Callable
from typing import Any, TypeVar

from aiohttp import ClientError as HTTPError
from botocore import exceptions as boto
from botocore.parsers import ResponseParserError

from pipeline.errors import RefusedError, StoreError, one_line

WAITS = (2.0, 5.0, 10.0)  # seconds before each further round of botocore's tries
NETWORK = (
    HTTPError,
    boto.HTTPClientError,
    boto.ConnectionError,
    ResponseParserError,
    ConnectionError,
    TimeoutError,
)
FAILURES = (OSError, boto.BotoCoreError, boto.ClientError, *NETWORK)
PASSING = {
    "BadDigest",
    "ConditionalRequestConflict",
    "IncompleteBody",
    "OperationAborted",
    "RequestTimeout",
    "SlowDown",
}
EXPIRED = {"ExpiredToken", "ExpiredTokenException", "RequestExpired", "TokenRefreshRequired"}
NO_CREDENTIALS = (boto.NoCredentialsError, boto.PartialCredentialsError)
READ_ONLY = {errno.EACCES, errno.EPERM, errno.EROFS}

Result = TypeVar("Result")


def patiently(what: str, call: Callable[[], Result]) -> Result:
    """What `call` returns, which is tried again where that may help, with growing waits.

    what: begins the error's line, e.g. "s3://bucket/file: cannot be read". Raises StoreError (RefusedError where a
    permission is missing) with the store's words. That a file is not there, or there already, is for the caller.
    """
    began, waits = time.monotonic(), iter(WAITS)
    while True:
        try:
            return call()
        except (FileNotFoundError, FileExistsError, boto.ParamValidationError):
            raise
        except FAILURES as error:
            wait = next(waits, None) if passing(error) else None
            if wait is None:
                raise failure(what, error, time.monotonic() - began) from error
        time.sleep(wait * random.uniform(0.5, 1))  # else all workers come back at once


def failure(what: str, error: BaseException, seconds: float | None = None) -> StoreError:
    """The error that ends a run over this one. seconds: spent on tries, where that is known."""
    words = said(error)
    if expired(error):
        return StoreError(f"{what}: the credentials have expired ({words})")
    if isinstance(error, NO_CREDENTIALS):
        return RefusedError(f"{what}: {words}")
    if refused(error):
        return RefusedError(f"{what}: no permission ({words})")
    tried = "" if seconds is None or not passing(error) else f", in {seconds:.0f} s of tries"
    return StoreError(f"{what}{tried}: {words}")


def passing(error: BaseException) -> bool:
    """Whether the same request may go well in a moment."""
    if response := _response(error):
        status = response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        return (status >= 500 and status != 501) or status == 429 or code(error) in PASSING
    return isinstance(error, NETWORK)


def expired(error: BaseException) -> bool:
    """Whether the credentials were good once."""
    return code(error) in EXPIRED


def refused(error: BaseException) -> bool:
    """Whether a permission, or the credentials, are missing."""
    read_only = isinstance(error, OSError) and not _response(error) and error.errno in READ_ONLY
    return read_only or isinstance(error, (PermissionError, *NO_CREDENTIALS))


def code(error: BaseException) -> str:
    """S3's name of an error, or the status where the answer had none; empty for what did not come from a server."""
    return str(_response(error).get("Error", {}).get("Code", ""))


def said(error: BaseException) -> str:
    """What the store said, on one line."""
    if response := _response(error):
        return f"{code(error)}: {' '.join(str(response['Error'].get('Message', '')).split()).rstrip('.')}"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return f"{type(error).__name__}: {one_line(error)}"


def _response(error: BaseException) -> dict[str, Any]:
    """An S3 server's answer; s3fs turns botocore's errors, which have it, into Python's."""
    for found in (error, error.__cause__):
        if isinstance(found, boto.ClientError):
            return found.response
    return {}
