"""jobs/rerank.py on wrong configs and inputs: exit code 2 and one line that names the culprit.

All of it before Ray or an engine is started.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import ray

from jobs.rerank import main
from pipeline.errors import StoreError
from tests.conftest import ROOT
from tests.s3_counter import record_requests

PAIRS = {"query": ["q", "q"], "doc": ["a", "b"], "score": [1.0, 0.5]}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, minilm: str, s3_server: str) -> Path:
    """A folder with one good input, model and config, and everything that can be wrong with them."""
    place = tmp_path_factory.mktemp("place")

    def write(name: str, columns: dict) -> Path:
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.table(columns), place / name, compression="none", use_dictionary=False)
        return place / name

    good = write("pairs.parquet", PAIRS)
    write("int-text.parquet", PAIRS | {"doc": [1, 2]})
    write("list-text.parquet", PAIRS | {"query": [["q"], ["q"]]})
    write("string-score.parquet", PAIRS | {"score": ["high", "low"]})
    write("nested-id.parquet", PAIRS | {"doc_id": [{"id": 1}, {"id": 2}]})
    write("no-doc.parquet", {"query": ["q"], "score": [1.0]})
    write("result/ranked/part.parquet", PAIRS)
    write("day[1]/a.parquet", PAIRS)
    write("shards/a.parquet", PAIRS)
    write("shards/b.parquet", {"query": ["q"], "text": ["a"], "score": [1.0]})
    write("types/a.parquet", PAIRS)
    write("types/b.parquet", PAIRS | {"score": ["high", "low"]})
    (place / "empty").mkdir()
    (place / "zero.parquet").write_bytes(b"")
    (place / "text.parquet").write_text("query,doc,score\n")
    whole = write(
        "long.parquet", {"query": ["q"] * 500, "doc": [f"{i:0100d}" for i in range(500)], "score": [0.5] * 500}
    )
    (place / "half.parquet").write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    (place / "hole.parquet").write_bytes(whole.read_bytes()[:20_000] + whole.read_bytes()[30_000:])

    for name in ("no-config", "no-weights", "broken-tokenizer", "no-tokenizer"):
        shutil.copytree(minilm, place / name)
    (place / "no-config/config.json").unlink()
    (place / "no-weights/model.safetensors").unlink()
    (place / "broken-tokenizer/tokenizer.json").write_text("{")
    for file in (place / "no-tokenizer").glob("*token*"):
        file.unlink()
    (place / "no-tokenizer/vocab.txt").unlink(missing_ok=True)

    (place / "bad.yaml").write_text("input: {path: [\n")
    (place / "list.yaml").write_text("- input\n")
    (place / "config.yaml").write_text(
        json.dumps(
            {
                "input": {"path": str(good)},
                "reranker": {"type": "bi_encoder", "model": minilm},
                "engine": {"dtype": "float32", "max_model_len": 256},
                "output": {"path": str(place / "out")},
            }
        )
    )
    return place


# Arguments, and what the line must contain; {place} is the folder above.
WRONG = {
    # the config
    "no config": ("{place}/missing.yaml", "{place}/missing.yaml: cannot read the config: No such file"),
    "bad YAML": ("{place}/bad.yaml", "{place}/bad.yaml: not valid YAML"),
    "a config that is a list": ("{place}/list.yaml", "{place}/list.yaml: a config is a mapping of sections"),
    "unknown key": ("fusion.weight=1", "fusion.weight = 1: unknown key"),
    "unknown section": ("fussion.alpha=1", "fussion = {{'alpha': 1}}: unknown key"),
    "wrong type": ("output.top_k=many", "output.top_k = 'many': Input should be a valid integer"),
    "alpha above 1": ("fusion.alpha=1.5", "fusion.alpha = 1.5: Input should be less than or equal to 1"),
    "unknown fusion": ("fusion.method=borda", "fusion.method = 'borda': known methods are none"),
    "unknown reranker": ("reranker.type=bm25", "reranker.type = 'bm25': unknown; known rerankers are erank, rank1, lb"),
    "no reranker": ("reranker.type=", "reranker.type = None: unknown; known rerankers are erank, rank1, lb"),
    "bad override": ("fusion.alpha", "'fusion.alpha': an override has the form dotted.key=value"),
    "unknown column of a pair": ("input.columns.text=doc", "input.columns.text = 'doc': no column of a pair"),
    # where the input is
    "missing file": ("input.path={place}/missing.parquet", "input.path = '{place}/missing.parquet': no such file"),
    "missing directory": ("input.path={place}/missing", "input.path = '{place}/missing': no such file or directory"),
    "one of several missing": (
        "input.path=[{place}/pairs.parquet,{place}/no]",
        "input.path = '{place}/no': no such file",
    ),
    "a folder that is a file": (
        "input.path={place}/pairs.parquet/x.parquet",
        "input.path = '{place}/pairs.parquet/x.parquet': no such file",
    ),
    "empty directory": ("input.path={place}/empty", "input.path = '{place}/empty': no Parquet file there"),
    "glob without match": ("input.path={place}/*.orc", "input.path = '{place}/*.orc': no Parquet file there"),
    "missing bucket": (
        "input.path=s3://no-such-bucket/pairs",
        "input.path = 's3://no-such-bucket/pairs': no such file",
    ),
    "missing key": (
        "input.path=s3://bucket/missing.parquet",
        "input.path = 's3://bucket/missing.parquet': no such file",
    ),
    "no permission for the input": (
        "input.path=s3://forbidden/pairs.parquet",
        "input.path = 's3://forbidden/pairs.parquet': cannot be listed: no permission",
    ),
    "unknown protocol": ("input.path=s4://bucket/pairs", "input.path = 's4://bucket/pairs': Protocol not known: s4"),
    # what is in it
    "zero bytes": ("input.path={place}/zero.parquet", "{place}/zero.parquet: not a Parquet file, or one cut short (0"),
    "not Parquet": (
        "input.path={place}/text.parquet",
        "{place}/text.parquet: not a Parquet file, or one cut short (16",
    ),
    "cut at its middle": (
        "input.path={place}/half.parquet",
        "{place}/half.parquet: not a Parquet file, or one cut short",
    ),
    "cut out of its middle": (
        "input.path={place}/hole.parquet",
        "{place}/hole.parquet: bytes are missing from the middle",
    ),
    "missing column": (
        "input.path={place}/no-doc.parquet",
        "{place}/no-doc.parquet: has no column 'doc' (input.columns.doc); it has query, score",
    ),
    "missing mapped column": (
        "input.columns.doc=passage",
        "{place}/pairs.parquet: has no column 'passage' (input.columns.doc); it has query, doc, score",
    ),
    "missing mapped id": ("input.columns.doc_id=key", "has no column 'key' (input.columns.doc_id)"),
    "ints for text": (
        "input.path={place}/int-text.parquet",
        "{place}/int-text.parquet: column 'doc' (input.columns.doc) is int64, not a text",
    ),
    "a list for text": ("input.path={place}/list-text.parquet", "column 'query' (input.columns.query) is list<"),
    "strings for scores": (
        "input.path={place}/string-score.parquet",
        "{place}/string-score.parquet: column 'score' (input.columns.score) is string, not a number",
    ),
    "a struct for an id": ("input.path={place}/nested-id.parquet", "column 'doc_id' (input.columns.doc_id) is struct<"),
    "missing carried column": (
        "output.columns=[url]",
        "output.columns: {place}/pairs.parquet has no column 'url' for 'url'; it has query, doc, score",
    ),
    "another schema in the second file": (
        "input.path={place}/shards",
        "{place}/shards/b.parquet: has no column 'doc' (input.columns.doc)",
    ),
    "another type in the second file": (
        "input.path={place}/types",
        "{place}/types/b.parquet: column 'score' (input.columns.score) is string",
    ),
    # where the result goes
    "output below a file": (
        "output.path={place}/text.parquet/out",
        "output.path = '{place}/text.parquet/out': cannot write there",
    ),
    "output where nobody can write": ("output.path=/proc/out", "output.path = '/proc/out': cannot write there"),
    "output in a missing bucket": (
        "output.path=s3://no-such-bucket/ranked",
        "output.path = 's3://no-such-bucket/ranked': cannot write there",
    ),
    "no permission for the output": (
        "output.path=s3://forbidden/out",
        "output.path = 's3://forbidden/out': cannot write there",
    ),
    "output of an unknown protocol": (
        "output.path=s4://bucket/out",
        "output.path = 's4://bucket/out': Protocol not known",
    ),
    "output inside the input": (
        "input.path={place}/shards output.path={place}/shards/out",
        "output.path = '{place}/shards/out' lies in input.path = '{place}/shards'",
    ),
    "output inside an input whose name looks like a glob": (
        "input.path={place}/day[1] output.path={place}/day[1]/out",
        "output.path = '{place}/day[1]/out' lies in input.path = '{place}/day[1]'",
    ),
    "output where the input's glob finds it": (
        "input.path={place}/s* output.path={place}/scored/out",
        "output.path = '{place}/scored/out' lies in input.path = '{place}/s*'",
    ),
    "output is the input": (
        "input.path={place}/shards/ output.path={place}/empty/../shards",
        "output.path = '{place}/shards' lies in input.path = '{place}/shards/'",
    ),
    "input inside the output": (
        "input.path=/{place}/result/ranked/part.parquet output.path={place}/result",
        "output.path = '{place}/result' lies in input.path = '/{place}/result/ranked/part.parquet', or that in it",
    ),
    # the model and the engine
    "missing model": ("reranker.model={place}/missing", "reranker.model = '{place}/missing': no such folder"),
    "a model that is a file": ("reranker.model={place}/pairs.parquet", "'{place}/pairs.parquet': no such folder"),
    "model without config": ("reranker.model={place}/no-config", "'{place}/no-config': the folder has no config.json"),
    "model without weights": ("reranker.model={place}/no-weights", "'{place}/no-weights': the folder has no weights"),
    "broken tokenizer": (
        "reranker.model={place}/broken-tokenizer",
        "{place}/broken-tokenizer/tokenizer.json: is no JSON",
    ),
    "model without tokenizer": (
        "reranker.model={place}/no-tokenizer",
        "'{place}/no-tokenizer': cannot load its tokenizer: it has no tokenizer.json",
    ),
    "unknown engine argument": ("engine.max_tokens=5", "engine.max_tokens = 5: vLLM"),
    "wrong length": ("engine.max_model_len=long", "engine.max_model_len = 'long': should be a whole number of tokens"),
    "a model that cannot chat": ("reranker.type=lb", "reranker.type = 'lb' does not go with reranker.model = '"),
}


@pytest.mark.parametrize("name", WRONG)
def test_it_ends_with_code_2_and_one_line_that_names_the_culprit(
    name: str, place: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ray, "init", pytest.fail)
    vllm_was_there = "vllm" in sys.modules
    arguments, line = (text.format(place=place) for text in WRONG[name])
    given = arguments.split(" ")
    if not given[0].endswith(".yaml"):
        given = [str(place / "config.yaml"), *given]
    with record_requests(forbidden="/forbidden"):
        code = main(given)
    stdout, stderr = capfd.readouterr()
    stderr = "".join(f"{line}\n" for line in stderr.splitlines() if "HTTP/1.1" not in line)  # the S3 server's own log
    assert (code, stdout) == (2, ""), stderr
    assert stderr.startswith("rayrank: ") and stderr.count("\n") == 1, stderr
    assert line in stderr
    assert not ray.is_initialized()
    assert ("vllm" in sys.modules) == vllm_was_there


# Each in a process of its own: the exit code that a shell sees, and that vLLM was not even imported.
ALONE = ["alpha above 1", "cut at its middle"]


@pytest.mark.parametrize("name", ALONE)
def test_a_shell_sees_the_same(name: str, place: Path) -> None:
    arguments, line = (text.format(place=place) for text in WRONG[name])
    command = [sys.executable, "jobs/rerank.py", str(place / "config.yaml"), arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=100)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("\n") == 1 and line in done.stderr


def test_vllm_is_not_imported_to_find_an_error(place: Path) -> None:
    script = f"""
import sys
from jobs.rerank import main
from pipeline.errors import StoreError
import ray
for override in ("engine.max_tokens=5", "reranker.type=lb", "input.path={place}/shards"):
    assert main(["{place}/config.yaml", override]) == 2
assert not ray.is_initialized()
assert "vllm" not in sys.modules
"""
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", script], cwd=place, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("\n") == 3


def test_the_good_config_that_all_the_wrong_ones_come_from_is_good(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(place / "config.yaml"), "--check"]) == 0
    stdout, stderr = capsys.readouterr()
    assert "checked: 1 input file(s), by the schema of the first: query is 'query'" in stdout and not stderr
    assert not ray.is_initialized()


@pytest.mark.parametrize("name", ["unknown key", "missing column", "output inside the input"])
def test_check_says_the_same(name: str, place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments, line = (text.format(place=place) for text in WRONG[name])
    assert main([str(place / "config.yaml"), *arguments.split(" "), "--check"]) == 2
    stdout, stderr = capsys.readouterr()
    assert (stdout, stderr.count("\n")) == ("", 1) and line in stderr


def test_a_line_stays_one_where_a_name_has_a_line_break(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pq.write_table(pa.table({"que\nry": ["q"]}), place / "break.parquet")
    assert main([str(place / "config.yaml"), f"input.path={place}/break.parquet"]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_a_store_that_fails_is_one_line_and_exit_code_1(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    def fail(config: object) -> None:
        raise StoreError("s3://bucket/out/x: cannot be written, in 60 s of tries: SlowDown: Reduce your request rate")

    monkeypatch.setattr("jobs.rerank.rerank", fail)
    assert main([str(place / "config.yaml")]) == 1
    assert capsys.readouterr().err == (
        "rayrank: s3://bucket/out/x: cannot be written, in 60 s of tries: SlowDown: Reduce your request rate; "
        "what was scored is kept, and the same command goes on from there\n"
    )
