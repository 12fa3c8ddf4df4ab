"""Rerankers of whole queries against vLLM itself: python benchmarks/windows.py [--type first --rows 20000 ...]

A hundred candidates a query, in windows of 20, each 10 further up: nine windows, one after the other.
  job        Ray Data, one actor: many queries at once, each at its own pace
  batches    vllm.LLM.generate with nine batches, each of which has one window of every query; what rank_llm does
Both make the same prompts by the same code, and ask for the same tokens. Each is timed from its first query to its last
ranking, with the engine loaded; rounds take turns, and the ratios are of the medians. `below half` is the share of the
time in which the engine had less than half a batch of the job, the end of the run left out.
"""

import argparse
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from actors.rerankers import RERANKERS
from actors.rerankers.contract import Pair, Reply
from actors.rerankers.tokenizer import Tokenizer
from actors.worker.queries import PendingQueries
from benchmarks.job import run_job
from benchmarks.reasoning import watched
from benchmarks.rounds import Figures, Kinds, benchmark
from benchmarks.sizes import ON_CPU, SIZES, pairs, save_model, save_pairs

CANDIDATES = 100


def build(options: argparse.Namespace, folder: Path) -> None:
    save_model(SIZES[options.size], folder / "model")
    columns = pairs(options.rows, options.words, docs_a_query=CANDIDATES)
    columns["query_id"] = [f"q{row // CANDIDATES}" for row in range(options.rows)]
    save_pairs(columns, folder / "pairs.parquet", options.unit_rows)


def section(options: argparse.Namespace) -> dict[str, Any]:
    """The `reranker` section."""
    more = {"max_new_tokens": options.new_tokens} if options.type == "listwise" else {}
    return {"type": options.type, "model": str(options.folder / "model"), **more}


def engine(options: argparse.Namespace) -> dict[str, Any]:
    """The `engine` section."""
    return ON_CPU | {"max_model_len": 2048, "max_num_seqs": options.seqs, "max_num_batched_tokens": 4096}


def job(options: argparse.Namespace) -> Figures:
    config = {
        "input": {"path": str(options.folder / "pairs.parquet")},
        "reranker": section(options),
        "engine": engine(options),
        "run": {"unit_rows": options.unit_rows},
        "fusion": {"method": "none"},
    }
    (options.folder / "depths").unlink(missing_ok=True)
    units, figures = run_job(options.folder, config, watched(options.folder / "depths"))
    began, end = min(unit.came for unit in units), units[-1].put
    depths = [map(float, line.split()) for line in (options.folder / "depths").read_text().splitlines()]
    inside = [depth for at, depth in depths if began <= at <= began + 0.9 * (end - began)]
    low = sum(depth < options.seqs / 2 for depth in inside)
    return {"seconds": end - began, "below half": low / len(inside), "windows": figures["windows"]["windows"]}


def generate(options: argparse.Namespace) -> Figures:
    """Seconds of vllm.LLM.generate, in a process of its own."""
    import numpy as np
    import pyarrow.parquet as pq
    from vllm import LLM, SamplingParams

    reranker = RERANKERS[options.type]
    settings = reranker.settings(**section(options))
    tokenizer, request = Tokenizer(settings, engine(options)["max_model_len"]), reranker.request(settings)
    ids = tokenizer.label_ids(request.labels)
    params = SamplingParams(temperature=0, max_tokens=request.max_tokens, logprob_token_ids=ids or None)
    mode: Any = {"scheduling_policy": "priority"} if request.max_tokens > 1 else {}
    llm = LLM(model=settings.model, disable_log_stats=True, **engine(options), **mode)
    warm_up: list[Any] = [{"prompt_token_ids": [1, 2, 3]}] * 8
    llm.generate(warm_up, params, use_tqdm=False)
    rows = pq.read_table(options.folder / "pairs.parquet").to_pylist()
    rows.sort(key=lambda row: (row["query_id"], -row["score"]))
    began = time.time()
    assert reranker.whole_query
    short = reranker.whole_query.shorten(tokenizer, settings, [Pair(row["query"], row["doc"]) for row in rows])
    queries = [short[at : at + CANDIDATES] for at in range(0, len(short), CANDIDATES)]
    pending = PendingQueries(queries, partial(reranker.whole_query.rank, tokenizer, settings), writes=False)
    asked, windows = pending.first, 0
    while asked:
        windows += len(asked)
        prompts: list[Any] = [{"prompt_token_ids": ask.tokens} for ask in asked]
        outputs = llm.generate(prompts, params, use_tqdm=False)
        then = []
        for ask, output in zip(asked, outputs, strict=True):
            answer = output.outputs[0]
            last = answer.logprobs[-1] if ids and answer.logprobs else {}
            labels = np.array([last[i].logprob for i in ids]) if ids else None
            then += pending.take(ask.number, Reply(ask.tokens, text=answer.text, label_logprobs=labels))
        asked = then
    return {"seconds": time.time() - began, "below half": 0.0, "windows": windows}


KINDS: Kinds = {"job": job, "batches": generate}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--type", choices=("first", "listwise"), default="listwise")
    parser.add_argument("--size", choices=SIZES, default="overhead")
    parser.add_argument("--rows", type=int, default=200 * CANDIDATES, help=f"{CANDIDATES} a query")
    parser.add_argument("--words", type=int, default=12, help="of a document")
    parser.add_argument("--new-tokens", type=int, default=100, help="of an answer of listwise")
    parser.add_argument("--unit-rows", type=int, default=1000)
    parser.add_argument("--seqs", type=int, default=64, help="max_num_seqs: what the engine runs at once")
    benchmark(parser, KINDS, build, rounds=3)


if __name__ == "__main__":
    main()
