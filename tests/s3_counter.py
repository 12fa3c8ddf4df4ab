"""Requests to the S3 server of the tests, and the bytes of its answers, as the server itself counts them."""

import http.client
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from tests.s3_server import RECORDING


@dataclass(frozen=True)
class Request:
    """range: first and last byte of the request. sent: bytes of the answer's body."""

    method: str
    path: str
    range: tuple[int, int] | None
    sent: int
    headers: dict[str, str]


@dataclass
class Requests:
    """The requests of a recording, once it has ended."""

    all: list[Request] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.all)

    @property
    def gets(self) -> list[Request]:
        return [request for request in self.all if request.method == "GET" and request.range]

    @property
    def bytes(self) -> int:
        return sum(request.sent for request in self.all)


@contextmanager
def record_requests(forbidden: str = "") -> Iterator[Requests]:
    """Records the requests to the S3 server until the block ends. Paths that start with `forbidden` get a 403."""
    requests = Requests()
    _control("PUT", json.dumps({"forbidden": forbidden}))
    try:
        yield requests
    finally:
        for found in _control("DELETE"):
            bounds = found.pop("range")
            requests.all.append(Request(range=None if bounds is None else (bounds[0], bounds[1]), **found))


def _control(method: str, body: str = "") -> Any:
    connection = http.client.HTTPConnection(urlsplit(os.environ["AWS_ENDPOINT_URL"]).netloc, timeout=30)
    connection.request(method, RECORDING, body)
    answer = json.loads(connection.getresponse().read())
    connection.close()
    return answer
