"""A proxy on loopback in front of the S3 server of the tests, with the faults that storage has on a bad day.

It is a server, so that clients in other processes meet its faults, too, and it breaks real connections. A `Pick`
chooses the fault of each request: `some` throws a seeded die, the others are for a test of one fault.
"""

import http.client
import json
import random
import re
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import fsspec
import pytest
from s3fs import S3FileSystem

SLOW_DOWN, INTERNAL, CONFLICT = "503 SlowDown", "500 InternalError", "409 ConditionalRequestConflict"
EXPIRED, DENIED = "400 ExpiredToken", "403 AccessDenied"
RESET_BEFORE, RESET_AFTER = "reset before the server saw it", "reset after the server did it"
LATE, CUT, LAG = "an answer that comes too late", "a body cut short", "a listing without the newest files"
PASSING = (SLOW_DOWN, INTERNAL, CONFLICT, RESET_BEFORE, RESET_AFTER, LATE, CUT, LAG)  # a retry helps against these


@dataclass(frozen=True)
class Request:
    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def lists(self) -> bool:
        return self.method == "GET" and "list-type" in parse_qs(urlsplit(self.path).query, keep_blank_values=True)

    @property
    def key(self) -> str:
        """Bucket and key."""
        return unquote(urlsplit(self.path).path).lstrip("/")

    def can_meet(self, fault: str) -> bool:
        if fault == CONFLICT:
            return self.method in ("PUT", "POST") and "if-none-match" in self.headers
        return {LAG: self.lists, CUT: self.method == "GET"}.get(fault, True)


Pick = Callable[[Request], str | None]


def calm(request: Request) -> None:
    """No request meets a fault."""


def some(seed: int, share: float, faults: tuple[str, ...] = PASSING) -> Pick:
    """A share of all requests meets one of the faults. Concurrent requests arrive in any order, so a seed repeats only
    the number of failures and their kinds."""
    die = random.Random(seed)

    def pick(request: Request) -> str | None:
        if die.random() >= share:
            return None
        return die.choice([fault for fault in faults if request.can_meet(fault)])

    return pick


def first(fault: str, times: int, method: str = "", part: str = "") -> Pick:
    """The first `times` requests of this method, for paths with this part, meet the fault."""
    left = [times]

    def pick(request: Request) -> str | None:
        if left[0] and request.can_meet(fault) and method in request.method and part in request.path:
            left[0] -= 1
            return fault
        return None

    return pick


def after(times: int, fault: str, method: str = "", part: str = "") -> Pick:
    """All requests meet the fault once `times` of this method and part have gone through."""
    left = [times]

    def pick(request: Request) -> str | None:
        if left[0] > 0 and method in request.method and part in request.path:
            left[0] -= 1
            return None
        return None if left[0] else fault

    return pick


def always(fault: str, method: str = "", part: str = "") -> Pick:
    return first(fault, 10**9, method, part)


@dataclass
class Faults:
    """The faults of the proxy at `url`; any of the first three fields may be changed at any time.

    late_seconds: how late an answer comes that is LATE; tests set the client's timeout below it. lag_seconds: age below
    which a lagging listing leaves a file out. seen: all requests. counts: requests that met a fault, by its name.
    """

    pick: Pick
    late_seconds: float = 6.0
    lag_seconds: float = 3.0
    url: str = ""
    seen: list[Request] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    _put: dict[str, float] = field(default_factory=dict)
    _lock: Any = field(default_factory=threading.Lock)
    _apply: Any = field(default_factory=threading.Lock)
    _over: Any = field(default_factory=threading.Event)


@contextmanager
def faulty(upstream: str, pick: Pick) -> Iterator[Faults]:
    """Runs the proxy in front of the server at `upstream`."""
    faults = Faults(pick)

    class Handler(_Handler):
        server_address = urlsplit(upstream).netloc
        state = faults

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    faults.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield faults
    finally:
        faults._over.set()
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def in_front_of(upstream: str, **config: Any) -> Iterator[Faults]:
    """A proxy without faults, which clients that start now use, in this process and in those that it starts.

    config: botocore's settings in place of the pipeline's.
    """
    with faulty(upstream, calm) as faults, pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", faults.url)
        patch.setenv("FSSPEC_S3", json.dumps({"config_kwargs": config}))
        patch.setitem(fsspec.config.conf, "s3", {"config_kwargs": config})  # fsspec has read its environment
        S3FileSystem.clear_instance_cache()
        yield faults
    S3FileSystem.clear_instance_cache()


class _Handler(BaseHTTPRequestHandler):
    server_address: str
    state: Faults
    protocol_version = "HTTP/1.1"  # connections are kept, and `Expect: 100-continue` is answered

    def log_message(self, *unused: Any) -> None:
        """Nothing on stderr."""

    def handle_any(self) -> None:
        assert "chunked" not in self.headers.get("Transfer-Encoding", "")
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        headers = {name.lower(): value for name, value in self.headers.items()}
        request = Request(self.command, self.path, headers, body)
        with self.state._lock:
            self.state.seen.append(request)
            fault = self.state.pick(request)
            if fault:
                self.state.counts[fault] += 1
        if fault == RESET_BEFORE:
            return self._reset()
        if fault and fault[:3].isdigit():
            return self._refuse(fault)
        status, answer, sent = self._forward(request)
        if fault == RESET_AFTER:
            return self._reset()
        if fault == LATE:
            self.state._over.wait(self.state.late_seconds)
            return self._reset()
        if fault == LAG:
            sent = self._without_newest(sent)
        self._answer(status, answer, sent, cut=fault == CUT)

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = handle_any

    def _forward(self, request: Request) -> tuple[int, list[tuple[str, str]], bytes]:
        # One change at a time: moto's put-if-absent is a check and then a put; S3's is one step.
        changes = request.method not in ("GET", "HEAD")
        if changes:
            self.state._apply.acquire()
        try:
            upstream = http.client.HTTPConnection(self.server_address, timeout=60)
            upstream.request(request.method, request.path, request.body, request.headers)
            response = upstream.getresponse()
            sent = response.read()
            upstream.close()
        finally:
            if changes:
                self.state._apply.release()
        if request.method == "PUT" and response.status == 200:
            self.state._put[request.key] = time.monotonic()
        return response.status, response.getheaders(), sent

    def _answer(self, status: int, headers: list[tuple[str, str]], body: bytes, cut: bool = False) -> None:
        self.send_response_only(status)
        received = {name.lower(): value for name, value in headers}
        for name, value in headers:
            if name.lower() not in ("content-length", "transfer-encoding", "connection"):
                self.send_header(name, value)
        length = received.get("content-length", "0") if self.command == "HEAD" else str(len(body))
        self.send_header("Content-Length", length)
        self.end_headers()
        try:
            if self.command != "HEAD":
                self.wfile.write(body[: len(body) // 2] if cut else body)
        except ConnectionError:  # the client has given up
            self.close_connection = True
        if cut:
            self.close_connection = True

    def _refuse(self, fault: str) -> None:
        status, code = fault.split()
        body = f"<Error><Code>{code}</Code><Message>{code}, says the proxy</Message></Error>"
        self._answer(int(status), [("Content-Type", "application/xml")], body.encode())

    def _reset(self) -> None:
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()  # at once, dropping what was not read: the client gets a RST
        self.close_connection = True

    def _without_newest(self, listing: bytes) -> bytes:
        bucket = self.path.lstrip("/").split("?")[0].strip("/")
        young = {key for key, at in self.state._put.items() if time.monotonic() - at < self.state.lag_seconds}

        def shown(contents: re.Match[bytes]) -> bytes:
            key = re.search(rb"<Key>(.*?)</Key>", contents[0])
            assert key
            return b"" if f"{bucket}/{unquote(key[1].decode())}" in young else contents[0]

        return re.sub(rb"<Contents>.*?</Contents>", shown, listing, flags=re.DOTALL)
