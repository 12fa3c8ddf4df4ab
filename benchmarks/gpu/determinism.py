"""How far a pair's score moves with the pairs that are scored beside it, with run.deterministic and without."""

import os
from functools import partial
from typing import Any

import numpy as np

from actors.engines import get_engine
from actors.engines.vllm.engine import ENVIRONMENT
from actors.rerankers import RERANKERS
from actors.rerankers.tokenizer import load_tokenizer
from actors.worker.pending import Pending
from actors.worker.watchdog import Watchdog
from benchmarks.gpu.engines import (
    STALL_SECONDS,
    Machine,
    describe_engine,
    engine_arguments,
    keep_vllm_engines,
    make_prompts,
    make_settings,
)
from benchmarks.sizes import RERANKER, pairs

KEYS: dict[str, dict[str, Any]] = {
    "label": {name: value for name, value in RERANKER.items() if name != "type"} | {"score": "logit"},
    "rankinggpt": {},
}
# Name -> the reranker's type, and run.deterministic.
COMPANY = {
    "deterministic": ("label", True),
    "company": ("label", False),
    "deterministic-likelihood": ("rankinggpt", True),
    "company-likelihood": ("rankinggpt", False),
}


def compare_company(name: str, machine: Machine) -> dict[str, Any]:
    """Scores the same pairs four times: all at once; in sevens from the end, first with their beginnings in the prefix
    cache and then without; and all at once again."""
    kind, deterministic = COMPANY[name]
    os.environ.update(ENVIRONMENT)
    from tests.parity import run_pending

    settings = make_settings(kind, "small" if machine.tiny else "compute", machine, **KEYS[kind])
    arguments = engine_arguments(
        machine,
        dtype="float32" if machine.device == "cpu" else "bfloat16",
        enforce_eager=True,
        max_model_len=1024,
        max_num_seqs=128,
        kv_cache_memory_bytes=2**30,
    )
    rows = 56 if machine.tiny else 280
    columns = pairs(rows, 60, docs_a_query=20)
    made = make_prompts(settings, arguments, [*zip(columns["query"], columns["doc"], strict=True)]).made
    tokenizer, request = load_tokenizer(settings, arguments["max_model_len"]), RERANKERS[kind].request(settings)
    with keep_vllm_engines() as engines:
        label_ids = tokenizer.label_ids(request.labels)
        engine = get_engine(arguments).build_engine(
            settings, arguments, request, label_ids, STALL_SECONDS, Watchdog(), deterministic
        )

    def score(groups: list[list[int]]) -> np.ndarray:
        scores = np.empty(rows)
        for group in groups:
            pending = Pending(
                [made[i] for i in group], request.max_tokens, partial(RERANKERS[kind].score, tokenizer, settings)
            )
            run_pending(pending, engine)
            scores[group] = pending.scores()
        return scores

    everything = [*range(rows)]
    sevens = [everything[::-1][i : i + 7] for i in range(0, rows, 7)]
    together = score([everything])
    others = {"sevens_cached": score(sevens)}
    engines[0].reset_prefix_cache()
    others["sevens_fresh"] = score(sevens)
    engines[0].reset_prefix_cache()
    others["the_same_again"] = score([everything])
    return judge(together, others, deterministic) | {"dtype": arguments["dtype"]} | describe_engine(engines[0])


def judge(together: np.ndarray, others: dict[str, np.ndarray], deterministic: bool) -> dict[str, Any]:
    """The facts about scores in different company: to be good they are the same to the bit, or, where they need not be
    deterministic, nine in ten of them move by less than a tenth of their standard deviation."""
    moved = {how: np.abs(scores - together) for how, scores in others.items()}
    same_bits = not any(off.any() for off in moved.values())
    little = all(np.quantile(off, 0.9) < together.std() / 10 for off in moved.values())
    return {
        "ok": bool(np.isfinite(together).all() and together.std() > 0 and (same_bits if deterministic else little)),
        "rows": len(together),
        "spread": float(together.std()),
        "same_bits": same_bits,
        **{how: {"max": float(off.max()), "rows": int((off > 0).sum())} for how, off in moved.items()},
    }
