"""Whether a request that failed may succeed when it is sent again, and the line that a person reads when it did not.

botocore repeats every request by itself (pipeline/storage/urls.py sets how often). That leaves a body that was cut
short, a put that collided with another one (409), and a store that stays away for longer.
"""

import errno
import random
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from aiohttp import ClientError as HTTPError
from botocore import exceptions as boto
from botocore.parsers import ResponseParserError

from pipeline.errors import RefusedError, StoreError, one_line

RETRY_WAITS = (2.0, 5.0, 10.0)
NETWORK_ERRORS = (
    HTTPError,
    boto.HTTPClientError,
    boto.ConnectionError,
    ResponseParserError,
    ConnectionError,
    TimeoutError,
)
STORE_ERRORS = (OSError, boto.BotoCoreError, boto.ClientError, *NETWORK_ERRORS)
# Errors of other clouds' libraries that are none of these, by their modules.
CLOUD_ERRORS = {"gcsfs.retry": ("HttpError", "ChecksumError"), "azure.core.exceptions": ("AzureError",)}
PASSING_CODES = {
    "BadDigest",
    "ConditionalRequestConflict",
    "IncompleteBody",
    "OperationAborted",
    "RequestTimeout",
    "SlowDown",
}
EXPIRED_CODES = {"ExpiredToken", "ExpiredTokenException", "RequestExpired", "TokenRefreshRequired"}
MISSING_CREDENTIALS = (boto.NoCredentialsError, boto.PartialCredentialsError)
REFUSED_ERRNOS = {errno.EACCES, errno.EPERM, errno.EROFS}

Result = TypeVar("Result")


@dataclass(frozen=True)
class Retries:
    """waits: seconds before each further round of botocore's tries. sleep: lets them pass."""

    waits: tuple[float, ...] = RETRY_WAITS
    sleep: Callable[[float], object] = time.sleep


RETRIES = Retries()


def call_with_retries(message: str, call: Callable[[], Result], retries: Retries = RETRIES) -> Result:
    """Returns the result of `call`, which is repeated with growing waits where that may help.

    message: the start of the error's line, e.g. "s3://bucket/file: cannot be read". Raises StoreError (RefusedError
    where a permission is missing) with the store's words. FileNotFoundError and FileExistsError pass through.
    """
    began, waits = time.monotonic(), iter(retries.waits)
    while True:
        try:
            return call()
        except (FileNotFoundError, FileExistsError, boto.ParamValidationError):
            raise
        except list_store_errors() as error:
            wait = next(waits, None) if may_pass(error) else None
            if wait is None:
                raise make_store_error(message, error, time.monotonic() - began) from error
        retries.sleep(wait * random.uniform(0.5, 1))  # else all workers come back at once


def list_store_errors() -> tuple[type[BaseException], ...]:
    """The kinds of errors by which a store or a disk fails. Those of a cloud's library are known once it is in use."""
    loaded = ((sys.modules[module], names) for module, names in CLOUD_ERRORS.items() if module in sys.modules)
    return (*STORE_ERRORS, *(getattr(module, name) for module, names in loaded for name in names))


def make_store_error(message: str, error: BaseException, seconds: float | None = None) -> StoreError:
    """The error that ends a run because of this one. seconds: time spent on retries, where it is known."""
    words = quote_store(error)
    if is_expired(error):
        return StoreError(f"{message}: the credentials have expired ({words})")
    if isinstance(error, MISSING_CREDENTIALS):
        return RefusedError(f"{message}: {words}")
    if is_refused(error):
        return RefusedError(f"{message}: no permission ({words})")
    tried = "" if seconds is None or not may_pass(error) else f", in {seconds:.0f} s of tries"
    return StoreError(f"{message}{tried}: {words}")


def may_pass(error: BaseException) -> bool:
    """Whether the same request may succeed in a moment."""
    if response := _get_response(error):
        status = response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        return (status >= 500 and status != 501) or status == 429 or get_error_code(error) in PASSING_CODES
    return isinstance(error, NETWORK_ERRORS)


def is_expired(error: BaseException) -> bool:
    """Whether the credentials were valid once."""
    return get_error_code(error) in EXPIRED_CODES


def is_refused(error: BaseException) -> bool:
    """Whether a permission, or the credentials, are missing."""
    read_only = isinstance(error, OSError) and not _get_response(error) and error.errno in REFUSED_ERRNOS
    return read_only or isinstance(error, (PermissionError, *MISSING_CREDENTIALS))


def get_error_code(error: BaseException) -> str:
    """S3's code of an error, or the status of an answer without one; empty if the error is not a server's answer."""
    return str(_get_response(error).get("Error", {}).get("Code", ""))


def quote_store(error: BaseException) -> str:
    """The store's words, on one line."""
    if response := _get_response(error):
        message = " ".join(str(response["Error"].get("Message", "")).split()).rstrip(".")
        return f"{get_error_code(error)}: {message}"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return f"{type(error).__name__}: {one_line(error)}"


def _get_response(error: BaseException) -> dict[str, Any]:
    """An S3 server's answer. s3fs turns botocore's errors, which hold it, into Python's."""
    for found in (error, error.__cause__):
        if isinstance(found, boto.ClientError):
            return found.response
    return {}
