"""The S3 server of the tests: moto, in a process of its own, which records what it is asked while a test wants it.

`python tests/s3_server.py` prints its port and ends with its stdin, so that it does not outlive a test process that is
killed. It has a process of its own because vLLM's engine does not start where moto's Flask was imported.
PUT /_recording begins a recording, with {"forbidden": prefix} as its body; DELETE /_recording ends it and answers it.
"""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

RECORDING = "/_recording"  # no bucket may have this name


@contextmanager
def start_s3_server() -> Iterator[str]:
    """The URL of a server on loopback that answers until the block ends."""
    command = [sys.executable, os.path.abspath(__file__)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin and process.stdout
    try:
        yield f"http://127.0.0.1:{int(process.stdout.readline())}"
    finally:
        process.stdin.close()
        process.wait(10)
        process.stdout.close()


class Recorder:
    """A WSGI app in front of moto's."""

    def __init__(self, serve: Any):
        self._serve = serve
        self._recording: list[dict[str, Any]] | None = None
        self._forbidden = ""
        self._changes = threading.Lock()  # moto's put-if-absent is a check and then a put; S3's is one step

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
        method, path = environ["REQUEST_METHOD"], environ["PATH_INFO"]
        if path == RECORDING:
            start_response("200 OK", [("Content-Type", "application/json")])
            return [self._control(method, environ)]
        if self._forbidden and path.startswith(self._forbidden):
            start_response("403 Forbidden", [("Content-Type", "application/xml")])
            body = b"" if method == "HEAD" else b"<Error><Code>AccessDenied</Code><Message>No</Message></Error>"
        else:
            with nullcontext() if method in ("GET", "HEAD") else self._changes:
                body = b"".join(self._serve(environ, start_response))
        recording = self._recording
        if recording is not None:
            asked = environ.get("HTTP_RANGE", "").removeprefix("bytes=").split("-")
            bounds = (int(asked[0]), int(asked[1])) if len(asked) == 2 and all(asked) else None
            headers = {name.removeprefix("HTTP_"): str(value) for name, value in environ.items() if "HTTP" in name[:4]}
            sent = 0 if method == "HEAD" else len(body)
            recording.append({"method": method, "path": path, "range": bounds, "sent": sent, "headers": headers})
        return [body]

    def _control(self, method: str, environ: dict[str, Any]) -> bytes:
        if method == "PUT":
            given = json.loads(environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"])))
            self._recording, self._forbidden = [], given["forbidden"]
            return b"{}"
        recording, self._recording, self._forbidden = self._recording, None, ""
        return json.dumps(recording).encode()


def main() -> None:
    from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
    from werkzeug.serving import WSGIRequestHandler, make_server

    class Silent(WSGIRequestHandler):
        def log(self, *unused: Any) -> None:
            """Nothing on stderr."""

    app = Recorder(DomainDispatcherApplication(create_backend_app))
    server = make_server("127.0.0.1", 0, app, threaded=True, request_handler=Silent)  # type: ignore[arg-type]
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(server.server_port, flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
