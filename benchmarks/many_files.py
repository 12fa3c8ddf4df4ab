"""How soon the first unit is being scored where the input is very many files: python benchmarks/many_files.py

The job, with a scorer that costs nothing, from its start to the first unit that reaches its actor, to the end of the
listing before that, and until every footer was read, so that the number of rows is known; then it is stopped. A file
has ten rows: --rows 1000000 is 100,000 files.
  local  on this disk
  s3     on an S3 server of this process's own that answers after 20 ms
"""

import argparse
import asyncio
import io
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import pyarrow as pa
import pyarrow.parquet as pq
import ray
from aiohttp import web

from benchmarks.rounds import Figures, Kinds, benchmark
from benchmarks.sizes import NO_ENGINE, RERANKER, save_tokenizer
from tests.fakes import FreeScorer

ROWS = 10
LATENCY = 0.02  # seconds
PAGE = 1000  # keys of a listing's answer, as S3 has it
LIST = "<Name>b</Name><KeyCount>{count}</KeyCount><IsTruncated>{more}</IsTruncated>{next}{files}"
FILE = "<Contents><Key>{key}</Key><Size>{size}</Size><ETag>&quot;e&quot;</ETag></Contents>"


def build(options: argparse.Namespace, folder: Path) -> None:
    """Saves a tokenizer with the config of a model, and the files."""
    save_tokenizer(folder / "model")
    data = file()
    for i in range(options.rows // ROWS):
        path = folder / key(i)
        if not i % PAGE:
            path.parent.mkdir(parents=True)
        path.write_bytes(data)


def file() -> bytes:
    sink = io.BytesIO()
    ids = [str(i) for i in range(ROWS)]
    pq.write_table(pa.table({"query": ["how"] * ROWS, "doc_id": ids, "doc": ids, "score": [1.0] * ROWS}), sink)
    return sink.getvalue()


def key(i: int) -> str:
    return f"pairs/{i // PAGE:04d}/{i:06d}.parquet"


def local(options: argparse.Namespace) -> Figures:
    return until_counted(options, str(options.folder / "pairs"))


def s3(options: argparse.Namespace) -> Figures:
    with_server = {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{serve(options.rows // ROWS)}",
        "AWS_ACCESS_KEY_ID": "k",
        "AWS_SECRET_ACCESS_KEY": "s",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    return until_counted(options, "s3://b/pairs", with_server)


def until_counted(options: argparse.Namespace, path: str, environment: dict[str, str] = {}) -> Figures:
    """Starts the job in a process of its own, which ends when its first unit has come and its rows are counted."""
    script = f"from benchmarks.many_files import run_job; run_job({path!r}, {str(options.folder)!r})"
    began = time.time()
    root = Path(__file__).resolve().parent.parent
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=root,
        env=os.environ | environment | {"PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
    )
    times = dict(line.split() for line in done.stdout.splitlines() if line.startswith("at-"))
    assert {"at-unit", "at-counted"} <= times.keys(), done.stdout + done.stderr
    seconds = {moment: float(times[f"at-{moment}"]) - began for moment in ("unit", "listed", "counted")}
    return {"seconds": seconds["unit"], "listed s": seconds["listed"], "counted s": seconds["counted"]}


def run_job(path: str, folder: str) -> None:
    """The job in this process: prints when its input was listed, when the first unit came, and when the number of rows
    was known."""
    import pipeline.run
    from pipeline.config import parse
    from pipeline.plan.total import Total

    find_changes = pipeline.run.find_changes
    counted = threading.Event()

    def listed(*given: Any) -> Any:
        print("at-listed", time.time(), flush=True)
        return find_changes(*given)

    class Counting(Total):
        """A total that is looked at all the time, and not only when a unit is done."""

        def begin(self, *given: Any) -> None:
            super().begin(*given)
            threading.Thread(target=self._look, daemon=True).start()

        def _look(self) -> None:
            while not (self.exact or self._counting.is_ready()):
                time.sleep(0.05)
            print("at-counted", time.time(), flush=True)
            counted.set()

    pipeline.run.find_changes, pipeline.run.Total = listed, Counting  # type: ignore[assignment,misc]
    run = Path(tempfile.mkdtemp(dir=folder))
    threading.Thread(target=stop_at, args=(run / "came", counted), daemon=True).start()
    config = {
        "input": {"path": path},
        "output": {"path": str(run / "out")},
        "reranker": RERANKER | {"model": f"{folder}/model", "prompt": "{query} {doc}"},
        "engine": NO_ENGINE,
    }
    pipeline.run.rerank(parse(config), telling(run / "came"))


def telling(path: Path) -> type:
    """A scorer that costs nothing and says when its first unit came."""

    class Telling(FreeScorer):
        async def __call__(self, batch: Any) -> Any:
            if not path.exists():
                path.with_suffix(".new").write_text(str(time.time()))
                path.with_suffix(".new").rename(path)
            return await super().__call__(batch)

    return Telling


def stop_at(path: Path, counted: threading.Event) -> None:
    """Ends this process when the file is there and the rows are counted."""
    while not path.exists():
        time.sleep(0.05)
    print("at-unit", path.read_text(), flush=True)
    counted.wait()
    ray.shutdown()
    os._exit(0)


def serve(files: int) -> int:
    """Serves a bucket of this number of equal files from a thread. Returns the port."""
    data = file()
    keys = [key(i) for i in range(files)]

    async def answer(request: web.Request) -> web.StreamResponse:
        await asyncio.sleep(LATENCY)
        name = request.path.removeprefix("/b").strip("/")
        if not name:
            return listing(request.query)
        if name not in known:
            return web.Response(status=404)
        headers = {"ETag": '"e"', "Last-Modified": "Sun, 22 Nov 2026 00:00:00 GMT", "Accept-Ranges": "bytes"}
        if request.method == "HEAD":
            return web.Response(headers=headers | {"Content-Length": str(len(data))})
        span = request.http_range
        part = data[span]
        start = (span.start or 0) % len(data)
        headers["Content-Range"] = f"bytes {start}-{start + len(part) - 1}/{len(data)}"
        return web.Response(status=206 if span.start is not None else 200, headers=headers, body=part)

    def listing(query: Any) -> web.Response:
        prefix, after = query.get("prefix", ""), int(query.get("continuation-token", 0))
        found = [k for k in keys if k.startswith(prefix)] if prefix and prefix != "pairs/" else keys
        page = found[after : after + PAGE]
        more = after + PAGE < len(found)
        token = f"<NextContinuationToken>{after + PAGE}</NextContinuationToken>" if more else ""
        lines = "".join(FILE.format(key=k, size=len(data)) for k in page)
        body = LIST.format(count=len(page), more=str(more).lower(), next=token, files=lines)
        return web.Response(text=f"<ListBucketResult>{body}</ListBucketResult>", content_type="application/xml")

    known = {*keys}
    ready: list[int] = []
    started = threading.Event()

    async def run() -> None:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", answer)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        ready.append(runner.addresses[0][1])
        started.set()
        await asyncio.Event().wait()

    threading.Thread(target=lambda: asyncio.run(run()), daemon=True).start()
    started.wait()
    return ready[0]


KINDS: Kinds = {"local": local, "s3": s3}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000, help="ten a file")
    benchmark(parser, KINDS, build, rounds=1)


if __name__ == "__main__":
    main()
