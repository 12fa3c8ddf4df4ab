"""A run never writes a secret anywhere, runs code that came with a model, or writes outside of its output."""

import json
import os
import re
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.check.model import check_model_files, check_tokenizer
from pipeline.config import Config, parse
from pipeline.errors import UsageError
from tests.conftest import ROOT
from tests.pipeline.bad_files import flip, write_damaged
from tests.pipeline.kinds import make_row, write

SECRETS = {
    "AWS_ACCESS_KEY_ID": "PLANTEDACCESSKEYID01",
    "AWS_SECRET_ACCESS_KEY": "planted/secret+access/key/02",
    "AWS_SESSION_TOKEN": "planted-session-token-03",
    "HF_TOKEN": "hf_plantedplantedplantedplantedpla04",
    "DATABASE_PASSWORD": "planted-password-05",
}

# Four jobs on one Ray: one that ends well, one over a damaged file, one whose worker fails, and one that S3 refuses.
JOBS = """
import json, os, sys
import ray
os.umask(0o027)
from jobs import rerank as job, status
from pipeline.run import rerank
from tests.fakes import KnownScorer

class Failing(KnownScorer):
    async def score_prompts(self, prompts):
        raise KeyError("no such thing")

good, damaged, bucket, output = sys.argv[1:]
ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=True)
def run(scorer, *overrides):
    job.rerank = lambda config: rerank(config, scorer)
    return job.main([os.environ["CONFIG"], *overrides])
codes = [
    run(KnownScorer, f"input.path={bucket}/good.parquet", f"output.path={output}"),
    run(KnownScorer, f"input.path={damaged}", f"output.path={bucket}/damaged"),
    run(Failing, f"input.path={good}", f"output.path={bucket}/failing"),
    run(KnownScorer, "input.path=s3://no-such-bucket/x", f"output.path={bucket}/missing"),
    run(KnownScorer, f"input.path={good}", "output.path=s3://no-such-bucket/out"),
    run(KnownScorer, f"input.path=s3://a:{os.environ['DATABASE_PASSWORD']}@b/c", f"output.path={output}"),
    status.main([output]), status.main([f"{bucket}/failing"]),
    status.main([f"s3://a:{os.environ['DATABASE_PASSWORD']}@b/c"]),
]
print("codes", *codes)
"""


@dataclass(frozen=True)
class Jobs:
    """said: stdout and stderr. places: the folders that hold all they wrote, Ray's logs among them."""

    codes: list[int]
    said: str
    places: list[Path]
    output: Path


@pytest.fixture(scope="module")
def jobs(tmp_path_factory: pytest.TempPathFactory, minilm: str, s3_server: str) -> Iterator[Jobs]:
    import s3fs

    folder = tmp_path_factory.mktemp("security")
    rows = [make_row(f"d{i}", i) for i in range(40)]
    good = write(folder / "in" / "good.parquet", pa.Table.from_pylist(rows))
    bad = write_damaged(folder / "in" / "damaged.parquet", flip, compression="gzip")
    s3 = s3fs.S3FileSystem()
    s3.put(str(good), "bucket/security/good.parquet")
    values = {
        "input": {"path": "given"},
        "reranker": {"type": "bi_encoder", "model": minilm},
        "engine": {"max_model_len": 256},
        "output": {"path": "given"},
    }
    (folder / "config.yaml").write_text(json.dumps(values))
    ray = Path(tempfile.mkdtemp(prefix="rr"))  # a short name: the kernel allows sockets no more
    try:
        done = subprocess.run(
            [sys.executable, "-c", JOBS, good, bad, "s3://bucket/security", folder / "out"],
            cwd=ROOT,
            env=os.environ
            | SECRETS
            | {"PYTHONPATH": str(ROOT), "RAY_TMPDIR": str(ray), "CONFIG": f"{folder}/config.yaml"},
            capture_output=True,
            text=True,
            timeout=250,
        )
        s3.get("bucket/security", str(folder / "s3"), recursive=True)
        codes = re.findall(r"^codes (.*)$", done.stdout, re.MULTILINE)
        assert codes, done.stderr
        yield Jobs([*map(int, codes[0].split())], done.stdout + done.stderr, [folder, ray], folder / "out")
    finally:
        shutil.rmtree(ray)


def text(path: Path) -> str:
    """The content of a file, that of compressed columns included."""
    unpacked = repr(pq.read_table(path).to_pydict()) if path.suffix == ".parquet" and "damaged" not in path.name else ""
    return path.read_bytes().decode(errors="replace") + unpacked


def test_the_jobs_came_out_as_meant(jobs: Jobs) -> None:
    assert jobs.codes == [0, 2, 1, 2, 2, 2, 0, 2, 2], jobs.said
    assert (jobs.output / "manifest.json").exists()


def test_no_secret_is_in_anything_that_was_written(jobs: Jobs) -> None:
    files = [path for place in jobs.places for path in place.rglob("*") if stat.S_ISREG(path.lstat().st_mode)]
    names = {path.name for path in files}
    assert {"manifest.json", "_SUCCESS", "raylet.out", "gcs_server.out"} <= names
    found = [(str(path), name) for path in files for name, secret in SECRETS.items() if secret in text(path)]
    assert not found
    assert not [name for name, secret in SECRETS.items() if secret in jobs.said]
    assert "no such thing" in jobs.said  # what went wrong is said all the same


def test_all_a_run_writes_lies_in_its_output_by_the_names_of_the_docs(jobs: Jobs) -> None:
    score = r"scores/[0-9a-f]{16}-vllm-\d+\.\d+/[0-9a-f]{16}-[0-9a-f]{16}-\d+-\d{10}-\d{10}\.parquet"
    layout = re.compile(rf"manifest\.json|_SUCCESS|(ranked|rejects)/part-\d{{5}}-[0-9a-f]{{12}}\.parquet|{score}")
    for written in (jobs.output, jobs.places[0] / "s3" / "damaged", jobs.places[0] / "s3" / "failing"):
        files = [str(path.relative_to(written)) for path in written.rglob("*") if path.is_file()]
        assert all(map(layout.fullmatch, files)), files
        assert bool(files) == (written == jobs.output), files  # the other two failed before a unit was scored
    assert {path.name for path in jobs.places[0].iterdir()} == {"in", "config.yaml", "out", "s3"}


def test_the_umask_decides_who_may_read(jobs: Jobs) -> None:
    """Also in Ray's workers, which put scores and parts. The jobs ran under 027."""
    modes = {(path.is_dir(), oct(path.stat().st_mode & 0o777)) for path in jobs.output.rglob("*")}
    assert modes == {(False, "0o640"), (True, "0o750")}


# Code that comes with a model

BOMB = "import pathlib; pathlib.Path({!r}).write_text('it ran')\n"


def with_code(minilm: str, folder: Path) -> Path:
    """A model whose config and tokenizer are classes of a file that comes with it; the file leaves a mark when run."""
    model, mark = folder / "model", folder / "mark"
    shutil.copytree(minilm, model)
    (model / "code.py").write_text(BOMB.format(str(mark)) + "class Config: pass\nclass Tokenizer: pass\n")
    for name, table in (
        (
            "config.json",
            {"model_type": "theirs", "auto_map": {"AutoConfig": "code.Config", "AutoModel": "code.Config"}},
        ),
        (
            "tokenizer_config.json",
            {"tokenizer_class": "Tokenizer", "auto_map": {"AutoTokenizer": ["code.Tokenizer", None]}},
        ),
    ):
        values: dict[str, Any] = json.loads((model / name).read_text()) | table
        (model / name).write_text(json.dumps(values))
    return mark


def test_code_that_comes_with_a_model_runs_only_where_the_config_says_so(minilm: str, tmp_path: Path) -> None:
    mark = with_code(minilm, tmp_path)

    def config(**more: Any) -> Config:
        reranker = {"type": "bi_encoder", "model": str(tmp_path / "model")} | more
        return parse({"input": {"path": "p"}, "reranker": reranker, "output": {"path": "o"}})

    with pytest.raises(UsageError, match=r"reranker\.model = .*comes with Python code of its own") as error:
        check_tokenizer(check_model_files(config()))
    assert "\n" not in str(error.value)
    assert not mark.exists()
    with pytest.raises(UsageError, match="cannot load its tokenizer"):  # for its classes are empty
        check_tokenizer(check_model_files(config(trust_remote_code=True)))
    assert mark.exists()


PICKLED = """
import os, sys, torch
from pathlib import Path
class Bomb:
    def __reduce__(self):
        return (Path.touch, (Path(sys.argv[2]),))
model = Path(sys.argv[1])
(model / "model.safetensors").unlink()
torch.save({"embeddings.word_embeddings.weight": Bomb()}, model / "pytorch_model.bin")
if sys.argv[3] == "plain":
    torch.load(model / "pytorch_model.bin", weights_only=False)
    sys.exit()
from actors.rerankers.contract import Request
from actors.engines.vllm.engine import Engine
from actors.worker.watchdog import Watchdog
from actors.rerankers.bi_encoder import BiEncoder
Engine(BiEncoder(type="bi_encoder", model=str(model)), {"max_model_len": 256}, Request("embed"), [], 60, Watchdog())
"""


@pytest.mark.slow
@pytest.mark.parametrize("how", ["plain", "engine"])
def test_code_in_pickled_weights_does_not_run(how: str, minilm: str, tmp_path: Path) -> None:
    model, mark = tmp_path / "model", tmp_path / "mark"
    shutil.copytree(minilm, model)
    command: list[str | Path] = [sys.executable, "-c", PICKLED, model, mark, how]
    done = subprocess.run(command, cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True)
    assert mark.exists() == (how == "plain"), done.stderr  # the bomb is one
    if how == "engine":
        assert done.returncode != 0 and "Weights only load failed" in done.stderr
