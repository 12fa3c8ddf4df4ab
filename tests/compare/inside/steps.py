"""The steps of a case: each does one thing to a tree from outside, and gives what came of it as JSON-ready data."""

import glob
import hashlib
import io
import json
import os
import shutil
import traceback
from collections.abc import Callable
from contextlib import chdir, redirect_stderr, redirect_stdout
from importlib import import_module
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline import rerank as door
from pipeline.config import load, parse
from pipeline.run import rerank

from . import meant
from .drivers import kill, shell
from .look import figures, look, shown
from .scorers import SCORERS


def take(step: dict[str, Any]) -> dict[str, Any]:
    """The outcome of a step. One that itself fails says so, and the others go on."""
    given = dict(step)
    try:
        return STEPS[given.pop("do")](**given)
    except Exception:
        return {"the step failed": traceback.format_exc()}


def ended(run: Callable[[], Any]) -> dict[str, Any]:
    """The value that a call gave or raised, and its printed lines."""
    out, err = io.StringIO(), io.StringIO()
    known: dict[str, Any] = {}
    with redirect_stdout(out), redirect_stderr(err):
        try:
            known["result"] = run()
        except SystemExit as error:
            known["exit"] = error.code
        except Exception as error:
            known["error"] = [type(error).__name__, getattr(error, "exit_code", None), str(error)]
    return known | {"stdout": out.getvalue(), "stderr": err.getvalue()}


def run_config(
    config: dict[str, Any], scorer: str = "known", late: bool = False, retry: bool = False
) -> dict[str, Any]:
    if retry and hasattr(parse(config).run, meant.RETRY):
        config = config | {"run": config.get("run", {}) | {meant.RETRY: True}}
    known = ended(lambda: figures(rerank(parse(config), SCORERS[scorer]), late))
    return {key: value for key, value in known.items() if not late or key in ("result", "error")}


def run_job(job: str, arguments: list[str], cwd: str = ".") -> dict[str, Any]:
    """A command by its `main`, as if started in the folder `cwd`."""
    command = import_module(f"jobs.{job}").main
    with chdir(cwd):
        return ended(lambda: command(arguments))


def load_config(path: str, overrides: list[str]) -> dict[str, Any]:
    return ended(lambda: meant.config(load(path, overrides).model_dump(mode="json")))


def through_the_door(table: str, kind: str, config: Any, overrides: list[str] = []) -> dict[str, Any]:
    rows = pq.read_table(table)
    with_rows: dict[str, Callable[[], Any]] = {
        "arrow": lambda: rows,
        "pandas": rows.to_pandas,
        "polars": lambda: import_module("polars").from_arrow(rows),
    }

    def told() -> dict[str, Any]:
        got = door(with_rows[kind](), config, *overrides)
        back = pa.table(got)
        return {"type": f"{type(got).__module__}.{type(got).__name__}", "schema": str(back.schema), "rows": shown(back)}

    return ended(told)


def copy(source: str, target: str, at: int | None = None) -> dict[str, Any]:
    """A file, or a whole folder. at: the time of its last change."""
    Path(target).parent.mkdir(parents=True, exist_ok=True)
    if Path(source).is_dir():
        shutil.copytree(source, target, symlinks=True)
    else:
        shutil.copyfile(source, target)
    if at is not None:
        os.utime(target, (at, at))
    return {}


def delete(paths: str) -> dict[str, Any]:
    """The paths of a glob; there must be some."""
    found = glob.glob(paths, include_hidden=True)
    for path in found:
        shutil.rmtree(path) if Path(path).is_dir() else os.unlink(path)
    return {"deleted": len(found)}


def lose(docs: list[str], output: str) -> dict[str, Any]:
    """Deletes the score files with these documents."""
    found = [
        path
        for path in Path(output).glob("scores/*/*-*.parquet")
        if {*docs} & {*pq.read_table(path, columns=["doc_id"])["doc_id"].to_pylist()}
    ]
    for path in found:
        path.unlink()
    return {"deleted": len(found)}


def write(path: str, text: str) -> dict[str, Any]:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_text(text)
    return {}


def read(folder: str) -> dict[str, Any]:
    """Every file below a folder, or a single one: text as it is, Parquet by its rows, and of others a hash."""
    root = Path(folder)
    files = [root] if root.is_file() else sorted(path for path in root.rglob("*") if path.is_file())
    return {str(path.relative_to(root)): _content(path) for path in files}


def _content(path: Path) -> Any:
    data = path.read_bytes()
    if path.suffix == ".parquet":
        rows = pq.read_table(path)
        return [str(rows.schema), *shown(rows), hashlib.sha256(data).hexdigest()]
    try:
        return data.decode().splitlines()
    except UnicodeDecodeError:
        return [len(data), hashlib.sha256(data).hexdigest()]


def freeze(output: str) -> dict[str, Any]:
    """Puts known times and a known fingerprint into a result, so that the lines about them can be compared."""
    path = Path(output, "manifest.json")
    values = json.loads(path.read_text())
    values |= {"written": "2026-11-21T12:00:00+00:00", "fingerprint": "f" * 16}
    seconds = {"plan": 0.5, "start": 2.0, "score": 18.0, "fuse": 0.1, "engines": 3.0}
    values["figures"] |= {"pairs_per_second": 50.0, "spilled_bytes": 0, "seconds": seconds}
    path.write_text(json.dumps(values))
    Path(output, "_SUCCESS").write_text(hashlib.sha256(path.read_bytes()).hexdigest())
    return {}


STEPS: dict[str, Callable[..., dict[str, Any]]] = {
    "rerank": run_config,
    "job": run_job,
    "load": load_config,
    "door": through_the_door,
    "look": look,
    "copy": copy,
    "delete": delete,
    "lose": lose,
    "write": write,
    "read": read,
    "freeze": freeze,
    "kill": kill,
    "shell": shell,
}
