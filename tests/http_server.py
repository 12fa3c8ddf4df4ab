"""A web server on loopback that lists folders and sends files, and one that says or sends less than is needed."""

import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


class Server(SimpleHTTPRequestHandler):
    """Lists folders and sends files. kind: `ranges`, `whole` (ignores Range), or `sizeless` (nor says a length)."""

    def __init__(self, *more: object, kind: str, directory: str):
        self.kind = kind
        super().__init__(*more, directory=directory)  # type: ignore[arg-type]

    def log_message(self, *unused: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self.do_GET() if self.kind == "sizeless" else super().do_HEAD()

    def do_GET(self) -> None:
        path = Path(self.translate_path(self.path))
        wanted = re.match(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
        if not path.is_file() or self.kind == "whole" or (self.kind == "ranges" and not wanted):
            super().do_GET()
            return
        data = path.read_bytes()
        if wanted and self.kind == "ranges":
            start, stop = int(wanted[1]), int(wanted[2]) + 1
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{stop - 1}/{len(data)}")
            data = data[start:stop]
            self.send_header("Content-Length", str(len(data)))
        else:
            self.send_response(200)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(data)


@contextmanager
def serve_folder(folder: Path) -> Iterator[Callable[[str], str]]:
    """A function that starts a server of a kind for the folder and gives its URL; all of them end with the block."""
    servers = []

    def start(kind: str) -> str:
        handler = partial(Server, kind=kind, directory=str(folder))
        servers.append(ThreadingHTTPServer(("127.0.0.1", 0), handler))
        threading.Thread(target=servers[-1].serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{servers[-1].server_port}"

    try:
        yield start
    finally:
        for server in servers:
            server.shutdown()
            server.server_close()
