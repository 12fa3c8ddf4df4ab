"""The cost of a run, from its manifest."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Cost:
    """The pairs and tokens of the run that scored last, its seconds of scoring (with the start of the engines), and its
    workers (the most that an autoscaling pool may have, so that all that follows from them is an upper bound)."""

    pairs: int
    seconds: float
    workers: int
    gpus: float | None
    pairs_per_second: float
    tokens_per_pair: float
    cached_share: float
    worker_hours_per_million: float


def read_cost(manifest: dict[str, Any]) -> Cost | None:
    """None for a result that was ranked from scores that were there: its manifest does not say how they were made."""
    figures, workers = manifest["figures"], manifest["config"]["workers"]
    pairs, seconds = figures["scored_now"], figures["seconds"].get("score")
    if not pairs or not seconds:
        return None
    prompt, count = figures["prompt_tokens"], workers["count"][1]
    return Cost(
        pairs=pairs,
        seconds=seconds,
        workers=count,
        gpus=workers["num_gpus"],
        pairs_per_second=figures["pairs_per_second"],
        tokens_per_pair=(prompt + figures["new_tokens"]) / pairs,
        cached_share=figures["cached_tokens"] / prompt if prompt else 0.0,
        worker_hours_per_million=seconds * count / 3600 / pairs * 1e6,
    )
