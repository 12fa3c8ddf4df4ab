"""The other commands, and what they write: prepare, evaluate, to_trec, status, convert, and the estimate of a run."""

import json
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from ..case import (
    OUT,
    SIDE,
    Case,
    Cases,
    Place,
    Step,
    config,
    copy,
    delete,
    freeze,
    job,
    look,
    lose,
    read,
    rerank,
    write,
)
from .resume import write_pairs

PAIRS = f"{SIDE}/pairs"


def cases(place: Place) -> Cases:
    yield from preparing(texts(place.below("texts")))
    yield from after_a_run(place)
    yield from converting(place)


def texts(here: Path) -> Path:
    """Runs, queries and a corpus in several formats."""
    docs = [{"_id": f"d{i}", "title": f"T{i}" if i % 3 else "", "text": f"text {i}"} for i in range(40)]
    queries = [{"_id": f"q{i}", "text": f"query {i}"} for i in range(8)]
    for name, rows in (("corpus", docs), ("queries", queries)):
        (here / "beir").mkdir(exist_ok=True)
        (here / f"beir/{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    lines = [f"q{i % 9} Q0 d{i * 7 % 45} 1 {(i * 31 % 50) / 4} t\n" for i in range(200)]
    (here / "bm25.trec").write_text("".join(lines))
    (here / "bad.trec").write_text("q1 Q0 d0 1 3 t\nq1 Q0 d1 2 t\n")
    (here / "odd.trec").write_text("q1 Q0 d0 1 nan t\nq1 Q0 d1 2 x t\nq2 Q0 d2 1 2 t\n")
    (here / "empty.trec").write_text("")
    (here / "run").write_text("q1\td1\t1\nq1\td0\t2\nq3\td2\t1\n")
    (here / "collection.tsv").write_text("".join(f"d{i}\ttext {i}\n" for i in range(40)))
    (here / "queries.tsv").write_text("".join(f"q{i}\tquery {i}\n" for i in range(8)))
    dense = {"qid": [f"q{i % 8}" for i in range(60)], "pid": [f"d{i * 3 % 40}" for i in range(60)]}
    pq.write_table(pa.table(dense | {"s": [i / 60 for i in range(60)]}), here / "dense.parquet")
    return here


BEIR = "--beir {here}/beir --run {here}/bm25.trec"
FILES = "--queries {here}/queries.tsv --corpus {here}/collection.tsv"
PREPARED = [
    BEIR,
    BEIR + " --depth 3 --shard-rows 5",
    BEIR + " --run {here}/dense.parquet --column score=s --depth 5",
    FILES + " --run {here}/bm25.trec",
    FILES + " --run {here}/run --run-format msmarco",
    FILES + " --run {here}/odd.trec",
    FILES + " --run {here}/dense.parquet --column run.score=s",
]
REFUSED = [
    "--beir {here}/beir --run {here}/none.trec",
    "--run {here}/bm25.trec --queries {here}/queries.tsv",
    BEIR + " --corpus {here}/collection.tsv",
    "--beir {here}/none --run {here}/bm25.trec",
    FILES + " --run {here}/bad.trec",
    FILES + " --run {here}/dense.parquet",
    FILES + " --run {here}/empty.trec",
    FILES + " --run {here}/queries.tsv --corpus {here}/beir",
    BEIR + " --column passage=text",
    BEIR + " --column doc",
    BEIR + " --depth 0",
    BEIR + " --output s4://bucket/pairs",
    BEIR + " --output /proc/pairs",
    "--run {here}/bm25.trec --queries {here}/queries.tsv --corpus {here}/beir/queries.jsonl",
    "--help",
]


def preparing(here: Path) -> Cases:
    def prepare(text: str) -> Step:
        return job("prepare", "--output", PAIRS, *text.format(here=here).split())

    for text in PREPARED:
        yield Case(f"prepare {text}", [prepare(text), read(PAIRS)])
    for text in REFUSED:
        yield Case(f"prepare {text}", [prepare(text)])
    again = [prepare(BEIR), prepare(BEIR + " --depth 1"), prepare(BEIR + " --depth 1 --overwrite"), read(PAIRS)]
    yield Case("prepare twice", [*again, write(f"{PAIRS}/mine.txt", "x"), prepare(BEIR + " --overwrite")])
    given = config(PAIRS, run={"max_failed": 0.1}, input={"columns": {"title": "title"}})
    run = f"{SIDE}/run.trec"
    yield Case("prepare, and rerank", [prepare(BEIR), rerank(given), look(), job("to_trec", OUT, run), read(run)])


def after_a_run(place: Place) -> Cases:
    """A finished result and the lines about it; and an estimate of the next run from it."""
    here = write_pairs(place.below("pairs"))
    grades = "".join(f"q{(i * i) % 37} 0 d{i} {i % 3}\n" for i in range(0, 700, 2))
    (here / "qrels").write_text(grades)
    judged = ["--qrels", f"{here}/qrels"]
    run = {"unit_rows": 100, "max_failed": 0.1}
    first = config(str(here), run=run, output={"columns": ["query", "doc"]})
    second = config(str(here), run=run, output={"path": f"{SIDE}/second"}, fusion={"method": "rrf"})
    ran = [rerank(first), freeze(), rerank(second), freeze(f"{SIDE}/second")]
    told = [job("status", OUT), job("status", OUT, "--json"), job("to_trec", OUT, f"{SIDE}/a.trec", "--tag", "mine")]
    told += [job("evaluate", OUT, *judged, "--report", f"{SIDE}/r.html", "--json", f"{SIDE}/f.json")]
    told += [job("evaluate", OUT, f"{SIDE}/second", *judged, "--measure", "P@3", "--report", f"{SIDE}/two.html")]
    told += [read(f"{SIDE}/{name}") for name in ("a.trec", "r.html", "f.json", "two.html")]
    yield Case(
        "a result is told of", [*ran, *told, job("evaluate", "out", *judged, cwd=SIDE), read(f"{SIDE}/report.html")]
    )
    wrong = [["c", *judged], ["out", "--qrels", "missing"], ["out", *judged, "--measure", "ndgc@10"], ["out"]]
    wrong += [["out", "out", *judged], ["out", *judged, "--report", "out/manifest.json/r"]]
    refused = [job("evaluate", *arguments, cwd=SIDE) for arguments in wrong]
    refused += [
        job("to_trec", SIDE, f"{SIDE}/x"),
        job("to_trec", OUT, "/proc/x"),
        job("to_trec", OUT, "x", "--tag", " "),
    ]
    yield Case("what they refuse", [rerank(first), freeze(), *refused, job("status", f"{SIDE}/none"), job("status")])
    halfway = [rerank(first), delete(f"{OUT}/_SUCCESS"), lose("d100", "d200", "d300")]
    yield Case("status of half a run", [*halfway, job("status", OUT), job("status", OUT, "--json")])
    planned = [write(f"{SIDE}/c.yaml", json.dumps(first)), *ran[:2]]
    dry = ["--dry-run", f"output.path={SIDE}/new"]
    estimates = [[], ["--pairs-per-second", "40", "workers.num_gpus=1", "--gpu-hour-price", "2.5"]]
    estimates += [["--from-manifest", OUT], ["--from-manifest", OUT, "run.max_failed=0", "workers.count=[2, 4]"]]
    estimates += [["fusion.alpha=1", "run.unit_rows=700"], [f"output.path={OUT}"], ["reranker.max_doc_tokens=4"]]
    yield Case("dry runs", [*planned, *(job("rerank", f"{SIDE}/c.yaml", *dry, *each) for each in estimates)])


def converting(place: Place) -> Cases:
    """Checkpoints that the old tree's own tests make, converted; and some that cannot be."""
    here = place.below("originals")
    make = "import sys; from pathlib import Path; from tests.jobs.originals import KINDS as K\n"
    make += "for kind, (write, _) in K.items(): write(Path(sys.argv[1], kind))"
    subprocess.run([sys.executable, "-c", make, str(here)], cwd=place.old, check=True, capture_output=True)
    for kind in ("qwen", "baichuan"):
        original, new = f"{here}/{kind}", f"{SIDE}/new"
        yield Case(f"convert {kind}", [job("convert", original, new), read(new), job("convert", original, new)])
        for name, step in BROKEN.items():
            steps = [copy(original, f"{SIDE}/{kind}"), step | {"path": f"{SIDE}/{kind}/{step['path']}"}]
            yield Case(f"convert {kind}, {name}", [*steps, job("convert", f"{SIDE}/{kind}", new)])
    yield Case(
        "convert nothing", [job("convert", f"{SIDE}/no", f"{SIDE}/new"), job("convert"), job("convert", "--help")]
    )


BROKEN = {
    "no config": write("config.json", ""),
    "config is no JSON": write("config.json", "{"),
    "another architecture": write("config.json", '{"architectures": ["BloomForCausalLM"]}'),
    "no numbers": write("config.json", '{"architectures": ["QWenLMHeadModel"], "hidden_size": 64}'),
    "quantised": write("config.json", '{"architectures": ["QWenLMHeadModel"], "quantization_config": {"bits": 4}}'),
    "no ranks": write("qwen.tiktoken", "YQ== x"),
    "no SentencePiece": write("tokenizer.model", "nonsense"),
    "no weights": write("model-00002-of-00002.safetensors", "1"),
}
