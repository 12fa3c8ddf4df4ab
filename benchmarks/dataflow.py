"""The dataflow alone, with a scorer that costs nothing: python benchmarks/dataflow.py [--rows 3000000 ...]

Narrow rows (a query and a document of one word each) are read, tokenised, sent to actors, put, fused and ranked; the
actors hold no engine. What it shows is how fast an engine could be before the pipeline holds it up, on all cores of
this machine: pairs/s from the first unit that is done to the last, and of the whole run.
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.rounds import Kinds, add_options, in_turns, report, run_one, steady
from benchmarks.timed import timed, times
from tests import tiny
from tests.fakes import FreeScorer


def build(options: argparse.Namespace, folder: Path) -> None:
    """Saves a tokenizer with the config of a model, and the pairs in eight files."""
    from transformers import Qwen2Config

    Qwen2Config(architectures=["Qwen2ForCausalLM"]).save_pretrained(folder / "model")
    tiny.qwen2_tokenizer().save_pretrained(folder / "model")
    (folder / "model" / "model.safetensors").touch()  # no engine reads it
    (folder / "pairs").mkdir()
    for i, part in enumerate(np.array_split(np.arange(options.rows), 8)):
        words = pa.array(part).cast(pa.string())
        queries = pa.array(part // 100).cast(pa.string())
        table = {"query_id": queries, "query": queries, "doc_id": words, "doc": words, "score": part.astype(float)}
        pq.write_table(pa.table(table), folder / "pairs" / f"{i}.parquet", row_group_size=100_000)


def job(options: argparse.Namespace) -> float:
    from pipeline.config import parse
    from pipeline.run import rerank

    run = Path(tempfile.mkdtemp(dir=options.folder))
    figures = rerank(
        parse(
            {
                "input": {"path": str(options.folder / "pairs")},
                "reranker": {
                    "type": "label",
                    "model": str(options.folder / "model"),
                    "prompt": "{query} {doc}",
                    "labels": {"yes": 1.0, "no": 0.0},
                    "score": "probability",
                },
                "engine": {"max_model_len": 256},
                "workers": {"count": options.actors},
                "output": {"path": str(run / "out")},
            }
        ),
        timed(FreeScorer, run / "times"),
    )
    assert figures["ranked"] == options.rows, figures
    print(json.dumps(figures["seconds"]))
    return steady([(unit.put, unit.rows) for unit in times(run / "times")])


KINDS: Kinds = {"job": job}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rows", type=int, default=3_000_000)
    parser.add_argument("--actors", type=int, default=1, help="they take no CPU of Ray's")
    add_options(parser, KINDS, rounds=3)
    options = parser.parse_args()
    if options.one:
        run_one(KINDS, options)
    with tempfile.TemporaryDirectory() as name:
        build(options, Path(name))
        report(options, in_turns(options, Path(name)))


if __name__ == "__main__":
    main()
