"""One-token scoring: the job against vLLM itself and the usual ways: python benchmarks/throughput.py [--size small ...]

The same prompts, order and engine arguments on a random Qwen2, from one whose pairs cost less than what surrounds
them (`overhead`) to one that keeps the cores busy (`compute`); --gpu takes the true sizes with dummy weights.
  job     the whole pipeline in its steady state, after its first unit: read, tokenised, scored, put
  head    the job with scoring: head, which computes the labels' logits alone
  raw     vllm.LLM.generate given all prompts at once, tokenised beforehand, with the job's own parameters: the limit
  batches ray.data's map_batches with a synchronous LLM in an actor, in batches of --batch rows
  rayllm  ray.data.llm (vLLMEngineProcessorConfig), in batches of --batch rows, 8 of them at once
The others of Ray Data are timed like the job: from their first batch to their last. Ratios are of the medians of one
run on one machine.
"""

import argparse
import os
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from actors.contract import Pair
from actors.rerankers import RERANKERS
from actors.rerankers.label import Label
from actors.scorer import Scorer
from actors.tokens import Encoder
from benchmarks.rounds import Kinds, add_options, in_turns, report, run_one, steady
from benchmarks.timed import timed, times
from tests import tiny

# hidden size, layers, heads of 64 for keys and values, width of the feed-forward, vocabulary; rows; words of a document
SIZES = {
    "overhead": ((128, 2, 1, 256, 2048), 12_000, 8),
    "small": ((256, 4, 2, 1024, 32_768), 3000, 40),
    "compute": ((512, 8, 4, 2048, 32_768), 600, 60),
    "0.5B": ((896, 24, 2, 4864, 151_936), 20_000, 110),
    "4B": ((2560, 36, 8, 9728, 151_936), 4000, 110),
    "7B": ((3584, 28, 4, 18_944, 152_064), 3000, 110),
}
ENGINE: dict[str, Any] = {"max_model_len": 1024, "max_num_seqs": 256, "max_num_batched_tokens": 2048}
ON_CPU = {"dtype": "float32", "enforce_eager": True, "kv_cache_memory_bytes": 2**30}
ON_GPU = {"dtype": "bfloat16", "load_format": "dummy", "max_num_seqs": 1024, "max_num_batched_tokens": 16_384}
RERANKER: dict[str, Any] = {
    "type": "label",
    "prompt": "{query}\n{doc}\nIs it about that?",
    "labels": {" yes": 1.0, " no": 0.0},
    "score": "probability",
}


def engine(options: argparse.Namespace) -> dict[str, Any]:
    return ENGINE | (ON_GPU if options.gpu else ON_CPU)


def build(options: argparse.Namespace, folder: Path) -> None:
    """Saves the model (on a GPU, its config alone) and the pairs."""
    from transformers import Qwen2Config, Qwen2ForCausalLM

    (hidden, layers, heads, width, vocabulary), rows, words = SIZES[options.size]
    config = Qwen2Config(
        vocab_size=vocabulary,
        hidden_size=hidden,
        intermediate_size=width,
        num_hidden_layers=layers,
        num_attention_heads=hidden // 64,
        num_key_value_heads=heads,
        max_position_embeddings=2048,
        tie_word_embeddings=True,
        architectures=["Qwen2ForCausalLM"],
    )
    (config if options.gpu else Qwen2ForCausalLM(config)).save_pretrained(folder / "model")
    tokenizer = tiny.qwen2_tokenizer()
    tokenizer.save_pretrained(folder / "model")
    rng = np.random.default_rng(0)
    known = [word for word in tokenizer.get_vocab() if word.isascii() and word.isalpha()]
    docs = [" ".join(rng.choice(known, words)) for _ in range(options.rows or rows)]
    queries = [" ".join(rng.choice(known, 6)) for _ in range(-(-len(docs) // 100))]
    table = {"query": [queries[i // 100] for i in range(len(docs))], "doc": docs, "score": [0.0] * len(docs)}
    pq.write_table(pa.table(table), folder / "pairs.parquet", row_group_size=options.unit_rows)


def settings(options: argparse.Namespace) -> dict[str, Any]:
    return RERANKER | {"model": str(options.folder / "model")}


def texts(options: argparse.Namespace) -> list[str]:
    pairs = pq.read_table(options.folder / "pairs.parquet").to_pylist()
    return [RERANKER["prompt"].format(query=pair["query"], doc=pair["doc"]) for pair in pairs]


def job(options: argparse.Namespace, **more: str) -> float:
    from pipeline.config import parse
    from pipeline.run import rerank

    run = Path(tempfile.mkdtemp(dir=options.folder))
    figures = rerank(
        parse(
            {
                "input": {"path": str(options.folder / "pairs.parquet")},
                "reranker": settings(options) | more,
                "engine": engine(options),
                "output": {"path": str(run / "out")},
                "run": {"unit_rows": options.unit_rows},
            }
        ),
        timed(Scorer, run / "times"),
    )
    assert figures["unscored"] == 0, figures
    return steady([(unit.put, unit.rows) for unit in times(run / "times")])


def raw(options: argparse.Namespace) -> float:
    from vllm import LLM

    model = Label(**settings(options))
    encoder = Encoder(model, ENGINE["max_model_len"])
    pairs = [Pair(row["query"], row["doc"]) for row in pq.read_table(options.folder / "pairs.parquet").to_pylist()]
    made: list[Any] = RERANKERS["label"].prompt(encoder, model, pairs)
    prompts: list[Any] = [{"prompt_token_ids": prompt.sequences[0]} for prompt in made]
    print(f"{np.mean([len(prompt.sequences[0]) for prompt in made]):.0f} tokens a pair")
    llm = LLM(model=model.model, disable_log_stats=True, **engine(options))
    params = _params(encoder.label_ids(RERANKERS["label"].request(model).labels))
    llm.generate(prompts[:8], params, use_tqdm=False)
    llm.reset_prefix_cache()
    began = time.perf_counter()
    llm.generate(prompts, params, use_tqdm=False)
    return time.perf_counter() - began


def batches(options: argparse.Namespace) -> float:
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
    return steady(_arrivals(scored, options.batch))


def rayllm(options: argparse.Namespace) -> float:
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
    return steady(_arrivals(processor(_rows(options)), options.batch))


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
    return Encoder(model).label_ids(RERANKERS["label"].request(model).labels)


def _arrivals(dataset: Any, batch: int) -> list[tuple[float, int]]:
    return [(time.time(), len(rows["score"])) for rows in dataset.iter_batches(batch_size=batch, prefetch_batches=0)]


KINDS: Kinds = {"job": job, "head": partial(job, scoring="head"), "raw": raw, "batches": batches, "rayllm": rayllm}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--size", choices=SIZES, default="small")
    parser.add_argument("--rows", type=int, help="pairs; some seconds' worth for each size")
    parser.add_argument("--unit-rows", type=int, default=500)
    parser.add_argument("--batch", type=int, default=500, help="rows of a batch of Ray Data's")
    parser.add_argument("--gpu", action="store_true", help="one GPU, bfloat16, dummy weights")
    add_options(parser, KINDS, rounds=5)
    options = parser.parse_args()
    options.rows = options.rows or SIZES[options.size][1]
    if options.one:
        run_one(KINDS, options)
    with tempfile.TemporaryDirectory() as name:
        build(options, Path(name))
        report(options, in_turns(options, Path(name)))


if __name__ == "__main__":
    main()
