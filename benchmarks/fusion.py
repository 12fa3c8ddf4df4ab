"""Fusion and ranking against DuckDB: python benchmarks/fusion.py [--rows 50000000 --files 6000 --queries 500000 ...]

The same score files, written as the job writes them, of which a few pairs per mille have no score:
  job      the job's own stages merge and fuse, on a local Ray with two CPUs: from listing the files to the last part
  duckdb   one SQL statement with two threads, from the files to one Parquet file; ids come once a query, so that
           the statement does without the job's search for duplicates, and it need not sort its result
  quarter  the job on the first quarter of the files
Each is a process of its own, rounds take turns, and ratios are of the medians. Memory is the resident set: of DuckDB's
process, and of the largest of the job's workers. Needs DuckDB: pip install duckdb
"""

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from functools import partial
from multiprocessing import Pool
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np
import pyarrow as pa

from benchmarks.job import find_largest_worker
from pipeline.cluster.ray_cluster import RayCluster
from pipeline.config import Fusion
from pipeline.plan.units import Unit, Version, name_score_file, parse_score_file
from pipeline.rank.merge import count_buckets, merge_scores
from pipeline.rank.part import RankBucket, WritePart
from pipeline.score.files import SCHEMA, StoredScores, encode_scores
from pipeline.sizes import Sizes
from pipeline.storage.folder import Folder

ALPHA, CORES, FAILED = 0.2, 2, 0.003
STEP, DOCS = 89_989, 9_000_000  # without a common factor, so a query's documents differ
SQL = """
COPY (
  WITH pairs AS (SELECT * FROM read_parquet({files}) WHERE kind <> 'reject'),
  spread AS (
    SELECT query_id, avg(first_stage_score) AS first_mean, nullif(stddev_pop(first_stage_score), 0) AS first_std,
      avg(rerank_score) AS rerank_mean, nullif(stddev_pop(rerank_score), 0) AS rerank_std
    FROM pairs WHERE rerank_score IS NOT NULL GROUP BY query_id
  ),
  fused AS (
    SELECT pairs.*, CASE WHEN rerank_score IS NOT NULL THEN
      {alpha} * coalesce((first_stage_score - first_mean) / first_std, 0)
      + (1 - {alpha}) * coalesce((rerank_score - rerank_mean) / rerank_std, 0) END AS score
    FROM pairs LEFT JOIN spread USING (query_id)
  )
  SELECT query_id, doc_id,
    (row_number() OVER (
      PARTITION BY query_id ORDER BY score DESC NULLS LAST, first_stage_score DESC, doc_id
    ))::INTEGER AS rank,
    score, first_stage_score, rerank_score, reason
  FROM fused
) TO '{out}' (FORMAT parquet, COMPRESSION zstd)
"""
COMPARE = """
WITH a AS (SELECT * FROM read_parquet('{job}') WHERE hash(query_id) % 200 = 0),
  b AS (SELECT * FROM read_parquet('{duckdb}') WHERE hash(query_id) % 200 = 0)
SELECT (SELECT count(*) FROM read_parquet('{job}')), (SELECT count(*) FROM read_parquet('{duckdb}')), count(*),
  count(*) FILTER (a.rank = b.rank AND coalesce(abs(a.score - b.score) < 1e-9, (a.score IS NULL) = (b.score IS NULL)))
FROM a FULL JOIN b USING (query_id, doc_id)
"""


def write_unit(folder: Path, options: argparse.Namespace, number: int) -> None:
    """One score file, of all rows of an input file: those that follow the rows of the file before."""
    rows = np.arange(number * options.rows // options.files, (number + 1) * options.rows // options.files)
    rng = np.random.default_rng(number)
    docs = options.rows // options.queries
    query = rows // docs
    doc = (query * 7_654_321 + rows % docs * STEP) % DOCS + 1_000_000
    failed = rng.random(len(rows)) < FAILED
    columns = {
        "row": np.arange(len(rows)),
        "texts": hashes(rng, len(rows)),
        "query_text": query,
        "query_id": ids("q", query),
        "doc_id": ids("D", doc),
        "first_stage_score": rng.gamma(4, 5, len(rows)),
        "rerank_score": pa.array(rng.random(len(rows)), mask=failed),
        "kind": np.where(failed, "permanent", "ok"),
        "reason": pa.array(np.full(len(rows), "document is empty"), mask=~failed),
        "truncated": rng.random(len(rows)) < 0.1,
    }
    unit = Unit(Version(f"{number:016x}", "0" * 16), len(rows), 0, len(rows))
    (folder / name_score_file(unit.name, transient=False)).write_bytes(encode_scores(pa.table(columns, SCHEMA)))


def hashes(rng: np.random.Generator, rows: int) -> pa.Array:
    """Bytes as random as the hashes of texts are."""
    return pa.Array.from_buffers(pa.binary(16), rows, [None, pa.py_buffer(rng.bytes(16 * rows))])


def ids(letter: str, numbers: np.ndarray) -> pa.Array:
    return pa.compute.binary_join_element_wise(letter, pa.array(numbers).cast(pa.string()), "")


def job(folder: Path, options: argparse.Namespace) -> dict[str, float]:
    import ray

    from pipeline.cluster.connect import ROOT

    environment = {"env_vars": {"PYTHONPATH": str(ROOT)}}
    ray.init("local", num_cpus=CORES, include_dashboard=False, log_to_driver=False, runtime_env=environment)
    peak, done = [0], threading.Event()
    watcher = threading.Thread(target=watch, args=(peak, done))
    watcher.start()
    began = time.perf_counter()
    scores = Folder(str(folder / "scores"))
    files = options.files if options.baseline == "job" else options.files // 4
    stored = list_stored(scores)[:files]
    rows = sum(found.file.unit.size for found in stored)
    cluster, sizes, merged_files = RayCluster(), Sizes(), scores.below("merged")
    buckets = count_buckets(rows, sizes)
    read = merge_scores(scores, merged_files, stored, buckets, False, cluster, sizes)
    task = WritePart(
        rank=RankBucket(read, Fusion(alpha=ALPHA), top_k=None),
        output=Folder(str(folder / options.baseline)),
        files=[],
        columns={},
        read_carried=None,
        explain=False,
        result_id="0" * 12,
    )
    merged = time.perf_counter()
    parts = list(cluster.run(task, range(buckets)))
    ended = time.perf_counter()
    done.set()
    watcher.join()
    merged_files.delete([*merged_files.files()])
    assert sum(part.counts.rows for part in parts) == rows
    return {"seconds": ended - began, "merge": merged - began, "rows": rows, "peak": peak[0]}


def list_stored(scores: Folder) -> list[StoredScores]:
    """The score files, in the order of the input: a file's hash here is its number."""
    sizes = {name: size for name, size in scores.files().items() if "/" not in name}
    found = [parse_score_file(name) for name in sizes]
    return [StoredScores(file, number, sizes[file.name]) for number, file in enumerate(filter(None, found))]


def watch(peak: list[int], done: threading.Event) -> None:
    """The largest resident set of a worker, without the object store's pages that it shares."""
    while not done.wait(0.1):
        peak[0] = max(peak[0], find_largest_worker())


def duckdb(folder: Path, options: argparse.Namespace) -> dict[str, float]:
    connection = connect(folder)
    (folder / "duckdb").mkdir()
    files = f"'{folder}/scores/*.parquet'"
    began = time.perf_counter()
    connection.execute(SQL.format(files=files, alpha=ALPHA, out=folder / "duckdb" / "part.parquet"))
    seconds = time.perf_counter() - began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return {"seconds": seconds, "rows": options.rows, "peak": peak}


def connect(folder: Path) -> Any:
    try:
        import duckdb
    except ImportError:
        sys.exit("this benchmark needs DuckDB: pip install duckdb")
    connection = duckdb.connect()
    connection.execute(f"SET threads = {CORES}; SET memory_limit = '8GB'; SET temp_directory = '{folder}/spill'")
    connection.execute("SET preserve_insertion_order = false")
    return connection


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rows", type=int, default=50_000_000)
    parser.add_argument("--files", type=int, default=6_000)
    parser.add_argument("--queries", type=int, default=500_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", type=Path, help="where the data goes for the time of the run: 150 bytes a row")
    parser.add_argument("--one", choices=["job", "duckdb", "quarter"], dest="baseline", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.baseline:
        run = duckdb if options.baseline == "duckdb" else job
        print(json.dumps(run(options.folder, options)))
        return
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        folder = Path(name)
        connection = connect(folder)
        (folder / "scores").mkdir()
        with Pool(CORES) as pool:
            pool.map(partial(write_unit, folder / "scores", options), range(options.files), chunksize=50)
        taken: dict[str, list[dict[str, float]]] = {"job": [], "duckdb": [], "quarter": []}
        for _ in range(options.rounds):
            for kind, figures in taken.items():
                subprocess.run(["rm", "-rf", str(folder / kind)], check=True)
                command = [sys.executable, __file__, *sys.argv[1:], "--one", kind, "--folder", name]
                done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
                figures.append(json.loads(done.stdout.splitlines()[-1]))
                one = figures[-1]
                of_it = f"  {one['merge']:.1f} s of it merging" if "merge" in one else ""
                rate, peak = one["rows"] / one["seconds"] / 1e6, one["peak"] / 2**20
                print(f"{kind:8}{one['seconds']:8.1f} s  {rate:6.2f} M rows/s  {peak:6.0f} MiB{of_it}", flush=True)
        paths = {"job": folder / "job" / "ranked" / "*.parquet", "duckdb": folder / "duckdb" / "*.parquet"}
        ours, theirs, compared, equal = connection.execute(COMPARE.format(**paths)).fetchone()
        assert ours == theirs == options.rows and compared == equal, (ours, theirs, compared, equal)
        print(f"{ours:,} rows in both; rank and score of {compared:,} compared, all equal")
    median = {kind: statistics.median(one["seconds"] for one in figures) for kind, figures in taken.items()}
    print(f"job against DuckDB: {median['job'] / median['duckdb']:.2f} times its time")
    print(f"four times the rows: {median['job'] / median['quarter']:.2f} times the time")


if __name__ == "__main__":
    main()
