"""One-token scoring: the job against vLLM itself and the usual ways: python benchmarks/throughput.py [--size small ...]

The same prompts, order and engine arguments on a random Qwen2, from one whose pairs cost less than what surrounds
them (`overhead`) to one that keeps the cores busy (`compute`); --gpu takes the true sizes with dummy weights.
  job     the whole pipeline in its steady state, after its first unit: read, tokenised, scored, put
  head    the job with scoring: head, which computes the labels' logits alone
  same    the job with run.deterministic: the same scores to the bit
  silent  the job with engine.disable_log_stats: no figures of vLLM's scheduling
  raw     vllm.LLM.generate given all prompts at once, tokenised beforehand, with the job's own parameters
  batches ray.data's map_batches with a synchronous LLM in an actor, in batches of --batch rows
  rayllm  ray.data.llm (vLLMEngineProcessorConfig), in batches of --batch rows, 8 of them at once
  limit   the floating point operations of these pairs at the rate of a large matrix product
The others of Ray Data are timed like the job: from their first batch to their last. Ratios are of the medians of one
run on one machine.
"""

import argparse
import os
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np
import pyarrow.parquet as pq

from actors.rerankers import RERANKERS
from actors.rerankers.contract import Pair
from actors.rerankers.label import Label
from actors.rerankers.tokenizer import Tokenizer
from benchmarks.job import paced, run_job, steady
from benchmarks.rounds import Figures, Kinds, benchmark
from benchmarks.sizes import ENGINE, ON_CPU, ON_GPU, RERANKER, SIZES, flops, pairs, save_model, save_pairs


def engine(options: argparse.Namespace) -> dict[str, Any]:
    return ENGINE | (ON_GPU if options.gpu else ON_CPU)


def build(options: argparse.Namespace, folder: Path) -> None:
    """Saves the model (on a GPU, its config alone) and the pairs."""
    size = SIZES[options.size]
    save_model(size, folder / "model", weights=not options.gpu)
    options.rows = options.rows or size.rows
    save_pairs(pairs(options.rows, size.words), folder / "pairs.parquet", options.unit_rows)


def settings(options: argparse.Namespace) -> dict[str, Any]:
    return RERANKER | {"model": str(options.folder / "model")}


def texts(options: argparse.Namespace) -> list[str]:
    pairs = pq.read_table(options.folder / "pairs.parquet").to_pylist()
    return [RERANKER["prompt"].format(query=pair["query"], doc=pair["doc"]) for pair in pairs]


def prompts(options: argparse.Namespace) -> list[list[int]]:
    """The token ids of the pairs."""
    model = Label(**settings(options))
    rows = [Pair(row["query"], row["doc"]) for row in pq.read_table(options.folder / "pairs.parquet").to_pylist()]
    made: list[Any] = RERANKERS["label"].prompt(Tokenizer(model, ENGINE["max_model_len"]), model, rows)
    return [prompt.sequences[0] for prompt in made]


def job(
    options: argparse.Namespace, scoring: str = "exact", deterministic: bool = False, stats: bool = True
) -> Figures:
    config = {
        "input": {"path": str(options.folder / "pairs.parquet")},
        "reranker": settings(options) | {"scoring": scoring},
        "engine": engine(options) | {"disable_log_stats": not stats},
        "run": {"unit_rows": options.unit_rows, "deterministic": deterministic},
    }
    units, figures = run_job(options.folder, config)
    seconds = steady(units)
    return {"seconds": seconds, "tokens/s": figures["prompt_tokens"] / seconds}


def raw(options: argparse.Namespace) -> Figures:
    from vllm import LLM

    given: list[Any] = [{"prompt_token_ids": tokens} for tokens in prompts(options)]
    llm = LLM(model=settings(options)["model"], disable_log_stats=True, **engine(options))
    params = _params(_label_ids(options))
    llm.generate(given[:8], params, use_tqdm=False)
    llm.reset_prefix_cache()
    began = time.perf_counter()
    llm.generate(given, params, use_tqdm=False)
    return {"seconds": time.perf_counter() - began}


def limit(options: argparse.Namespace) -> Figures:
    import torch

    device, dtype, side = ("cuda", torch.bfloat16, 8192) if options.gpu else ("cpu", torch.float32, 2048)
    matrix = torch.randn(side, side, device=device, dtype=dtype)
    seconds = []
    for _ in range(20):
        began = time.perf_counter()
        (matrix @ matrix)[0, 0].item()  # which waits for the GPU
        seconds.append(time.perf_counter() - began)
    rate = 2 * side**3 / float(np.median(seconds))
    lengths = np.array([len(tokens) for tokens in prompts(options)])
    needed = flops(SIZES[options.size], lengths)
    return {"seconds": needed / rate, "TFLOP/s": rate / 1e12, "tokens a pair": float(lengths.mean())}


def batches(options: argparse.Namespace) -> Figures:
    model, arguments, ids = settings(options)["model"], engine(options), _label_ids(options)

    class Generate:
        def __init__(self) -> None:
            from vllm import LLM

            self.llm = LLM(model=model, disable_log_stats=True, **arguments)

        def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
            outputs = self.llm.generate(batch["prompt"].tolist(), _params(ids), use_tqdm=False)
            return {"score": [float(output.outputs[0].logprobs[0][ids[0]].logprob) for output in outputs]}  # type: ignore[index]

    _ray(options)
    scored = _rows(options).map_batches(
        Generate, batch_size=options.batch, concurrency=1, num_cpus=0, num_gpus=1 if options.gpu else 0
    )
    return {"seconds": paced(_arrivals(scored, options.batch))}


def rayllm(options: argparse.Namespace) -> Figures:
    from ray.data.llm import build_processor, vLLMEngineProcessorConfig

    ids = _label_ids(options)
    _ray(options)
    config = vLLMEngineProcessorConfig(
        model_source=settings(options)["model"],
        engine_kwargs=engine(options),
        batch_size=options.batch,
        max_concurrent_batches=8,
        log_engine_metrics=False,
        concurrency=1,
        accelerator_type=None,
        chat_template_stage=False,
        tokenize_stage=False,
        detokenize_stage=False,
    )
    asked = {"temperature": 0.0, "max_tokens": 1, "logprob_token_ids": ids, "detokenize": False}
    processor = build_processor(
        config,
        preprocess=lambda row: {"prompt": row["prompt"], "sampling_params": dict(asked)},
        postprocess=lambda row: {"score": row["logprobs"][0][ids[0]]["logprob"]},
    )
    return {"seconds": paced(_arrivals(processor(_rows(options)), options.batch))}


def _rows(options: argparse.Namespace) -> Any:
    """The prompts, a batch in a block: ray.data.llm would else cut batches at the ends of blocks."""
    import ray

    prompts = [{"prompt": text} for text in texts(options)]
    return ray.data.from_items(prompts, override_num_blocks=max(1, len(prompts) // options.batch))


def _ray(options: argparse.Namespace) -> None:
    """A local Ray whose actors compute with all cores, as the job's do."""
    import ray

    threads = {} if options.gpu else {"OMP_NUM_THREADS": str(os.cpu_count())}
    paths = {"PYTHONPATH": str(Path(__file__).resolve().parent.parent)}
    # ray.data.llm asks for a GPU even where vLLM has none: here that is only a number.
    ray.init(
        "local", num_gpus=1, runtime_env={"env_vars": threads | paths}, include_dashboard=False, log_to_driver=False
    )


def _params(ids: list[int]) -> Any:
    from vllm import SamplingParams

    return SamplingParams(temperature=0, max_tokens=1, logprob_token_ids=ids, detokenize=False)


def _label_ids(options: argparse.Namespace) -> list[int]:
    model = Label(**settings(options))
    return Tokenizer(model).label_ids(RERANKERS["label"].request(model).labels)


def _arrivals(dataset: Any, batch: int) -> list[tuple[float, int]]:
    return [(time.time(), len(rows["score"])) for rows in dataset.iter_batches(batch_size=batch, prefetch_batches=0)]


KINDS: Kinds = {
    "job": job,
    "head": partial(job, scoring="head"),
    "same": partial(job, deterministic=True),
    "silent": partial(job, stats=False),
    "raw": raw,
    "batches": batches,
    "rayllm": rayllm,
    "limit": limit,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", choices=SIZES, default="small")
    parser.add_argument("--rows", type=int, help="pairs; some seconds' worth for each size")
    parser.add_argument("--unit-rows", type=int, default=500)
    parser.add_argument("--batch", type=int, default=500, help="rows of a batch of Ray Data's")
    parser.add_argument("--gpu", action="store_true", help="one GPU, bfloat16, dummy weights")
    benchmark(parser, KINDS, build, rounds=5)


if __name__ == "__main__":
    main()
