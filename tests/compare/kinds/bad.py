"""Configs, overrides and inputs that end a run, each with one line and an exit code."""

import datetime
import decimal
import json
import shutil
from pathlib import Path
from typing import Any

import pyarrow as pa

from ..case import OUT, SIDE, Case, Cases, Place, Step, config, job, look, minilm, rerank, write
from .bad_files import DAMAGED, FILES, PAIRS, put
from .bad_words import CONFIGS, OVERRIDES, ROUTES, YAML

ROW = {"query_id": "q", "query": "a query", "doc_id": "d", "doc": "a text", "score": 0.5, "title": "T"}


def cases(place: Place) -> Cases:
    here = whereabouts(place.below("place"))
    good, out = str(here / "config.yaml"), f"output.path={OUT}"
    for text in OVERRIDES:
        careful = ["--check"] if text.startswith(("engine.", "reranker.type=")) else []  # no engine is to start
        yield Case(f"override {text}", [job("rerank", good, out, *words(text), *careful)])
    for text in ROUTES:
        overrides = text.format(place=here).split(" ")
        yield Case(f"route {text}", [job("rerank", good, out, *overrides, *check) for check in ([], ["--check"])])
    for text in YAML:
        yield Case(f"yaml {text[:30]!r}", [write(f"{SIDE}/c.yaml", text), job("rerank", f"{SIDE}/c.yaml")])
    for name, sections in CONFIGS.items():
        given = config(str(here / "pairs.parquet"), **sections)
        yield Case(f"config {name}", [{"do": "rerank", "config": given, "scorer": "known"}])
    for name, arguments in ARGUMENTS.items():
        yield Case(f"arguments {name}", [job("rerank", *(each.format(good=good, place=here) for each in arguments))])
    yield from bad_files(place)
    yield from odd_ids(place)
    yield Case("the good one", [job("rerank", good, out, "--check")])


ARGUMENTS = {
    "none": [],
    "an unknown flag": ["{good}", "--chek"],
    "a flag of the dry run alone": ["{good}", "--gpu-hour-price", "2"],
    "two rates": ["{good}", "--dry-run", "--from-manifest", "here", "--pairs-per-second", "2"],
    "help": ["--help"],
    "no result to take a rate from": ["{good}", "--dry-run", "--from-manifest", "{place}"],
    "a rate of nothing": ["{good}", "--dry-run", "--pairs-per-second", "0"],
    "a price below nothing": ["{good}", "--dry-run", "--pairs-per-second", "4", "--gpu-hour-price", "-1"],
    "a price, and no GPU": ["{good}", "--dry-run", "--pairs-per-second", "4", "--gpu-hour-price", "2"],
    "no config": ["{place}/missing.yaml"],
    "a folder as config": ["{place}"],
    "a config in Latin 1": ["{place}/latin.yaml"],
}


def words(text: str) -> list[str]:
    """Overrides apart from each other: at a space before the next key."""
    parts: list[str] = []
    for word in text.split(" "):
        if not parts or ("=" in word and "." in word.partition("=")[0]) or word == "rows=3":
            parts.append(word)
        else:
            parts[-1] += f" {word}"
    return parts


def whereabouts(place: Path) -> Path:
    """A folder with one good input, model and config, and much that can be wrong with them."""
    for name, columns in PAIRS.items():
        put(place / name, pa.table(columns))
    for name in ("empty", "nothing"):
        (place / name).mkdir()
    (place / "zero.parquet").write_bytes(b"")
    (place / "text.parquet").write_text("query,doc,score\n")
    whole = (place / "long.parquet").read_bytes()
    (place / "half.parquet").write_bytes(whole[: len(whole) // 2])
    (place / "hole.parquet").write_bytes(whole[:20_000] + whole[30_000:])
    (place / "links").mkdir()
    (place / "links/nowhere.parquet").symlink_to("gone")
    (place / "unfinished").mkdir()
    put(place / "unfinished/part-00000.parquet", pa.table(PAIRS["pairs.parquet"]))
    (place / "unfinished/_unfinished").write_text("")
    for name in ("no-config", "no-weights", "broken-tokenizer", "no-tokenizer"):
        shutil.copytree(minilm(), place / name)
    (place / "no-config/config.json").unlink()
    (place / "no-weights/model.safetensors").unlink()
    (place / "broken-tokenizer/tokenizer.json").write_text("{")
    for file in [*(place / "no-tokenizer").glob("*token*"), *(place / "no-tokenizer").glob("vocab.txt")]:
        file.unlink()
    (place / "latin.yaml").write_bytes("model: é".encode("latin-1"))
    values = config(str(place / "pairs.parquet"), output={"path": str(place / "out")})
    (place / "config.yaml").write_text(json.dumps(values))
    return place


def bad_files(place: Place) -> Cases:
    """The second of three files cannot be used: by its footer, its name, or when it is read."""
    for number, (name, make) in enumerate(FILES.items()):
        folder = place.below(f"files-{number:02d}")
        put(folder / "a.parquet", pa.Table.from_pylist([ROW]))
        make(folder / "b.parquet")
        put(folder / "c.parquet", pa.Table.from_pylist([ROW]))
        steps = run_and_look(str(folder))
        yield Case(f"file {name}", steps[:1] if name in DAMAGED else steps)  # what was scored by then is luck


def run_and_look(path: str, **sections: dict[str, Any]) -> list[Step]:
    return [rerank(config(path, run={"max_failed": 1}, **sections)), look()]


def odd_ids(place: Place) -> Cases:
    """Ids of one type in all files, whatever type that is; and of a type beside the strings of another file."""
    values = [True, 1.5, decimal.Decimal("1.5"), datetime.date(2026, 11, 21), datetime.datetime(2026, 11, 21), b"\xff"]
    for number, value in enumerate(values):
        for beside in (False, True):
            folder = place.below(f"ids-{number}-{beside:d}")
            put(folder / "a.parquet", pa.Table.from_pylist([ROW | {"query_id": "q" if beside else value}]))
            put(folder / "b.parquet", pa.Table.from_pylist([ROW | {"query_id": value}]))
            name = f"ids {type(value).__name__}{' beside strings' if beside else ''}"
            yield Case(name, run_and_look(str(folder)))
