"""What the S3 server of the tests was asked: every request, and the bytes it answered with.

The counting is done in front of moto's WSGI app, so it is the server's count and not the client's.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Lock
from typing import Any
from unittest.mock import patch


@dataclass(frozen=True)
class Request:
    """range: first and last byte asked for. sent: bytes of the answer's body."""

    method: str
    path: str
    range: tuple[int, int] | None
    sent: int
    headers: dict[str, str]


@dataclass
class Requests:
    """The requests since the recording began; `bytes` are those of objects, not of listings and errors."""

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
def recorded(forbidden: str = "") -> Iterator[Requests]:
    """Records what the S3 server is asked. Requests for paths that start with `forbidden` get a 403."""
    # Not at the top: where flask is imported, vLLM's engine does not start, and tests of that share this process.
    from moto.moto_server.werkzeug_app import DomainDispatcherApplication

    requests, lock = Requests(), Lock()
    serve = DomainDispatcherApplication.__call__

    def counted(app: Any, environ: dict[str, Any], start_response: Any) -> list[bytes]:
        method, path = environ["REQUEST_METHOD"], environ["PATH_INFO"]
        if forbidden and path.startswith(forbidden):
            start_response("403 Forbidden", [("Content-Type", "application/xml")])
            body = b"" if method == "HEAD" else b"<Error><Code>AccessDenied</Code><Message>No</Message></Error>"
        else:
            with lock:  # moto's put-if-absent is a check and then a put; S3's is one step
                body = b"".join(serve(app, environ, start_response))
        asked = environ.get("HTTP_RANGE", "").removeprefix("bytes=").split("-")
        bounds = (int(asked[0]), int(asked[1])) if len(asked) == 2 and all(asked) else None
        headers = {name.removeprefix("HTTP_"): str(value) for name, value in environ.items() if name.startswith("HTTP")}
        requests.all.append(Request(method, path, bounds, 0 if method == "HEAD" else len(body), headers))
        return [body]

    with patch.object(DomainDispatcherApplication, "__call__", counted):
        yield requests
