"""Outputs that are run again: with other settings, another input, or with something taken away in between."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ..case import OUT, SIDE, Case, Cases, Place, Step, config, copy, delete, job, look, lose, rerank, write

IN = f"{SIDE}/in"
RUN = {"unit_rows": 100, "max_failed": 0.1}
EARLY, LATE = 1_700_000_000, 1_800_000_000  # times of a file's last change
SCORED = f"{OUT}/scores/*"


def pairs(rows: int, salt: str = "") -> pa.Table:
    """Queries of uneven size, ties in the first stage, a few empty documents, one pair that is there twice."""
    numbers = [(i * i) % 37 for i in range(rows)]
    return pa.table(
        {
            "query_id": [f"q{n}" for n in numbers],
            "query": [f"query number {n}" for n in numbers],
            "doc_id": [f"d{i}" if i != 135 else "d98" for i in range(rows)],
            "doc": ["" if i % 101 == 5 else f"document {i} about things{salt}" for i in range(rows)],
            "score": [float(i % 10) for i in range(rows)],
        }
    )


def write_pairs(folder: Path, rows: int = 700, files: int = 7, salt: str = "") -> Path:
    size = -(-rows // files)
    for i in range(files):
        pq.write_table(pairs(rows, salt).slice(i * size, size), folder / f"{i:03d}.parquet", row_group_size=13)
    return folder


def again(*between: Step, scorer: str = "known", first: str = "known", **changes: Any) -> list[Step]:
    """A run, what happens then, and a run with changed sections; each is looked at."""
    return [one(scorer=first), look(), *between, one(scorer=scorer, **changes), look()]


def one(scorer: str = "known", retry: bool = False, **changes: dict[str, Any]) -> Step:
    given = config(changes.pop("input", {}).get("path", IN))
    given["run"] = RUN | changes.pop("run", {})
    given = {name: given.get(name, {}) | changes.get(name, {}) for name in given | changes}
    return rerank(given, scorer, retry=retry)


def cases(place: Place) -> Cases:
    here = write_pairs(place.below("pairs"))
    other = write_pairs(place.below("other"), salt=" changed")
    long = place.below("long")
    rows = pairs(40)
    docs = pa.array(["poison " * 150 if i == 17 else text for i, text in enumerate(rows["doc"].to_pylist())])
    pq.write_table(rows.set_column(3, "doc", docs), long / "a.parquet")
    begin = [copy(f"{here}/{i:03d}.parquet", f"{IN}/{i:03d}.parquet", EARLY) for i in range(7)]
    for name, steps in STORIES.items():
        ready = [step | {"source": step["source"].format(other=other)} if "source" in step else step for step in steps]
        yield Case(name, begin + ready)
    deadly = config(str(long), run=RUN | {"unit_rows": 20})
    yield Case(
        "a row that kills",
        [rerank(deadly, "deadly", late=True), look(late=True), rerank(deadly, late=True, retry=True), look(late=True)],
    )
    yield Case("rows that go on killing", [*[rerank(deadly, "deadly", late=True, retry=True)] * 2, look(late=True)])


ONE_UNIT: dict[str, Any] = {
    "input": {"path": f"{IN}/000.parquet"}
}  # a run that ends early leaves what it leaves, but for one unit
ALL_FAIL: dict[str, Any] = {"run": {"max_failed": 1}}
MANY_FAIL: dict[str, Any] = {"run": {"max_failed": 0.2}}  # the other file in two places: its rows come twice
LEASE = {"host": "elsewhere", "pid": 1, "since": "2026", "machine": "m", "started": "1", "token": "t", "beat": 3}
OTHER = "{other}/003.parquet"
TELLING: dict[str, Any] = {"output": {"explain": True}}
STORIES: dict[str, list[Step]] = {
    "the same": again(),
    "another fusion": again(fusion={"method": "minmax", "alpha": 0.5}),
    "fusion to and fro": [*again(fusion={"method": "rrf"}), one(), look(), one(fusion={"method": "none"}), look()],
    "top_k": again(output={"top_k": 2}),
    "columns": again(output={"columns": ["doc", "query"]}),
    "explain": again(**TELLING),
    "another unit_rows": again(run={"unit_rows": 50}),
    "another model setting": again(reranker={"max_doc_tokens": 10}),
    "another engine argument": again(engine={"max_model_len": 128}),
    "a neutral engine argument": again(engine={"max_num_seqs": 7}),
    "deterministic": again(run={"deterministic": True}),
    "restart": again(run={"on_existing": "restart"}),
    "restart with another setting": again(reranker={"max_doc_tokens": 10}, run={"on_existing": "restart"}),
    "a lower bound": again(run={"max_failed": 0.001}),
    "too many failed, and then a higher bound": [
        one(run={"max_failed": 0.001}, **ONE_UNIT), look(), one(**ONE_UNIT), look(),
    ],
    "a changed file": again(copy(OTHER, f"{IN}/003.parquet", LATE)),
    "a touched file": again(copy("{other}/../pairs/003.parquet", f"{IN}/003.parquet", LATE)),
    "two changed files and another fusion": again(
        copy(OTHER, f"{IN}/003.parquet", LATE), copy(OTHER, f"{IN}/004.parquet", LATE), fusion={"method": "rrf"},
        **MANY_FAIL,
    ),
    "changed twice": [
        *again(copy(OTHER, f"{IN}/003.parquet", LATE)),
        copy(OTHER, f"{IN}/005.parquet", LATE), one(**MANY_FAIL), look(),
        copy(OTHER, f"{IN}/003.parquet", LATE + 9), one(**MANY_FAIL), look(), one(**MANY_FAIL), look(),
    ],
    "a changed file with carried columns": [
        one(output={"columns": ["doc"]}), copy(OTHER, f"{IN}/003.parquet", LATE), one(output={"columns": ["doc"]}),
        look(),
    ],
    "a new file": again(copy(OTHER, f"{IN}/new.parquet"), **MANY_FAIL),
    "a new file, the others named": again(copy(OTHER, f"{IN}/new.parquet"), input={"path": f"{IN}/00*.parquet"}),
    "a file is gone": again(delete(f"{IN}/003.parquet")),
    "a file is gone, and back": again(
        delete(f"{IN}/003.parquet"), one(), copy("{other}/../pairs/003.parquet", f"{IN}/003.parquet", EARLY)
    ),
    "restart with a new file": again(
        copy(OTHER, f"{IN}/new.parquet"), run={"on_existing": "restart", "max_failed": 0.2}
    ),
    "a file that is no Parquet any more": again(write(f"{IN}/003.parquet", "nonsense " * 30)),
    "the result is gone": again(delete(f"{OUT}/ranked")),
    "rejects are gone": again(delete(f"{OUT}/rejects/*")),
    "no _SUCCESS": again(delete(f"{OUT}/_SUCCESS")),
    "no manifest": again(delete(f"{OUT}/manifest.json")),
    "a broken manifest": again(write(f"{OUT}/manifest.json", "{")),
    "some scores are gone": again(lose("d200", "d500")),
    "some scores are gone and no result": again(lose("d200", "d500"), delete(f"{OUT}/_SUCCESS")),
    "all scores are gone": again(delete(SCORED)),
    "a stray file": again(write(f"{OUT}/leftover", "x")),
    "leftovers": again(write(f"{OUT}/ranked/.put-x", "x"), write(f"{OUT}/ranked/part-00009-0123456789ab.parquet", "")),
    "a lease of another machine, and no sign of life": again(write(f"{OUT}/lease/000001.json", json.dumps(LEASE))),
    "rows that may pass": [
        one("passing", **ALL_FAIL), look(), one("passing", retry=True, **ALL_FAIL), look(),
        one(retry=True, **ALL_FAIL), look(), one(retry=True), look(),
    ],
    "rows that never pass": [
        *[one("passing", retry=True, **ALL_FAIL) for _ in range(5)], look(), one(retry=True, **ALL_FAIL), look(),
    ],
    "rows that pass, and a changed file": [
        one("passing", **ALL_FAIL), copy(OTHER, f"{IN}/003.parquet", LATE), one(retry=True, **ALL_FAIL),
        look(),
    ],
    "an engine that cannot be built": [one("failing"), look(), one(), look()],
    "an engine that never will": [one("hopeless"), look(), one(), look()],
    "told as it goes": [
        one("telling", **TELLING, **ALL_FAIL), look(), one("telling", fusion={"method": "rrf"}, **TELLING, **ALL_FAIL),
        look(), job("status", OUT, "--json"),
    ],
}  # fmt: skip
