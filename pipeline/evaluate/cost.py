"""What a run took, from its manifest."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Cost:
    """Of the run that scored last: pairs and tokens, wall seconds of scoring (with the start of the engines), workers
    (of an autoscaling pool the most there may be, so that what hangs on them is an upper bound) and what they took."""

    pairs: int
    seconds: float
    workers: int
    gpus: float | None
    pairs_per_second: float
    tokens_per_pair: float
    cached_share: float
    worker_hours_per_million: float


def cost(manifest: dict[str, Any]) -> Cost | None:
    """None for a result that was ranked from scores that were there: its manifest says nothing of their making."""
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
