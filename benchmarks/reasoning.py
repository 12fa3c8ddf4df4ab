"""The job against vLLM itself on reasoning of very unequal lengths: python benchmarks/reasoning.py [--rows 1260 ...]

The same rank1 prompts, on a model whose answers are 10 to 200 tokens long and, one in twenty, without an end:
  job         Ray Data, one actor: units of rows, first and second requests side by side
  reference   vllm.LLM.generate with the settings of rank1's authors: all prompts at once, logprobs=20 on every token,
              then what is unfinished as a second batch
  own         vllm.LLM.generate with the job's own sampling parameters: all prompts at once, then every reading of the
              two labels as a second batch
Each is timed from its first prompt to its last score, with the engine loaded; rounds take turns, and the ratios are
of the medians. They are of one machine and one run. The job's first seconds, in which its tokenising processes start
on the engine's cores, are part of its time: with few rows they are most of the difference.
"""

import argparse
import json
import sys
import threading
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from actors.rerankers.contract import Pair, Prompt
from actors.rerankers.rank1 import LABELS, RERANKER, STOP, Rank1
from actors.rerankers.tokenizer import Tokenizer
from actors.worker.actor import Scorer
from benchmarks.job import run_job
from benchmarks.lengths import build
from benchmarks.rounds import Figures, Kinds, benchmark
from benchmarks.sizes import save_pairs

ENGINE: dict[str, Any] = {
    "dtype": "float32",
    "enforce_eager": True,
    "max_model_len": 1024,
    "kv_cache_memory_bytes": 2**30,
}
NEW_TOKENS = 240
EVERY = 0.1


def job(options: argparse.Namespace) -> Figures:
    """Seconds from the first unit to the last put; of them those with less than half a batch in the engine, and those
    of these that came after half of the units were put: the tail."""
    pairs = texts(options)
    columns: dict[str, list[Any]] = {
        "query": [q for q, _ in pairs],
        "doc": [d for _, d in pairs],
        "score": [0.0] * len(pairs),
    }
    save_pairs(columns, options.folder / "pairs.parquet", options.unit_rows)
    config = {
        "input": {"path": str(options.folder / "pairs.parquet")},
        "reranker": {"type": "rank1", "model": str(options.folder / "model"), "max_new_tokens": NEW_TOKENS},
        "engine": ENGINE | {"max_num_seqs": options.seqs},
        "run": {"unit_rows": options.unit_rows},
    }
    (options.folder / "depths").unlink(missing_ok=True)
    units, _ = run_job(options.folder, config, watched(options.folder / "depths"))
    began, end, middle = min(unit.came for unit in units), units[-1].put, units[len(units) // 2].put
    depths = [map(float, line.split()) for line in (options.folder / "depths").read_text().splitlines()]
    low = [at for at, depth in depths if began <= at <= end and depth < options.seqs / 2]
    return {
        "seconds": end - began,
        "below half": len(low) * EVERY,
        "in the tail": sum(at > middle for at in low) * EVERY,
    }


def watched(path: Path) -> type:
    """A scorer that adds a line to the file `path` every EVERY seconds: the time, and the sequences in its engine."""

    class Watched(Scorer):
        def __init__(self, *args: Any, **settings: Any):
            super().__init__(*args, **settings)
            threading.Thread(target=self._sample, daemon=True).start()

        def _sample(self) -> None:
            engine: Any = self._engine
            with open(path, "a", buffering=1) as file:
                while True:
                    file.write(f"{time.time()} {len(engine._running)}\n")
                    time.sleep(EVERY)

    return Watched


def texts(options: argparse.Namespace) -> list[tuple[str, str]]:
    """Rows in a fixed order in which short and long answers are mixed."""
    words = list(json.loads((options.folder / "words.json").read_text()).values())  # of each length
    return [(f"{i // 50}", f"{i} 1 2 3{words[i * 8 % len(words)]} 4 5 6") for i in range(options.rows)]


def generate(options: argparse.Namespace) -> Figures:
    """Seconds of vllm.LLM.generate, in a process of its own."""
    from vllm import LLM, SamplingParams

    model = Rank1(type="rank1", model=str(options.folder / "model"), max_new_tokens=NEW_TOKENS)
    tokenizer = Tokenizer(model, ENGINE["max_model_len"])
    made = RERANKER.prompt(tokenizer, model, [Pair(*pair) for pair in texts(options)])
    prompts: list[Any] = [{"prompt_token_ids": prompt.sequences[0]} for prompt in made if isinstance(prompt, Prompt)]
    llm = LLM(model=model.model, max_num_seqs=options.seqs, disable_log_stats=True, **ENGINE)
    ids = tokenizer.label_ids(LABELS)
    usual: dict[str, Any] = {
        "temperature": 0,
        "max_tokens": NEW_TOKENS,
        "stop": list(STOP),
        "skip_special_tokens": False,
    }
    llm.generate(prompts[:8], SamplingParams(**usual), use_tqdm=False)
    llm.reset_prefix_cache()
    began = time.time()
    second: list[Any] = []
    if options.one == "reference":
        outputs = llm.generate(prompts, SamplingParams(logprobs=20, **usual), use_tqdm=False)
        for prompt, output in zip(prompts, outputs, strict=True):
            answer = output.outputs[0]
            if not answer.logprobs or not all(i in answer.logprobs[-1] for i in ids):
                second.append(
                    {"prompt_token_ids": tokenizer.append(prompt["prompt_token_ids"], f"\n{answer.text}\n</think>")}
                )
        forced = SamplingParams(
            temperature=0, max_tokens=1, logprobs=20, allowed_token_ids=ids, skip_special_tokens=False
        )
        llm.generate(second, forced, use_tqdm=False)
    else:
        outputs = llm.generate(prompts, SamplingParams(**usual), use_tqdm=False)
        for prompt, output in zip(prompts, outputs, strict=True):
            tokens = list(output.outputs[0].token_ids)
            second.append({"prompt_token_ids": prompt["prompt_token_ids"] + tokens[:-1]})
        llm.generate(second, SamplingParams(temperature=0, max_tokens=1, logprob_token_ids=ids), use_tqdm=False)
    return {"seconds": time.time() - began}


KINDS: Kinds = {"job": job, "reference": generate, "own": generate}


def build_model(options: argparse.Namespace, folder: Path) -> None:
    """Saves the model, and the word that makes it answer at each length."""
    words = build(folder / "model", options.hidden, options.layers, options.vocabulary)
    (folder / "words.json").write_text(json.dumps(words))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1260)
    parser.add_argument("--unit-rows", type=int, default=30)
    parser.add_argument("--seqs", type=int, default=32, help="max_num_seqs: what the engine runs at once")
    parser.add_argument("--hidden", type=int, default=256)
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--vocabulary", type=int, default=32768)
    benchmark(parser, KINDS, build_model, rounds=3)


if __name__ == "__main__":
    main()
