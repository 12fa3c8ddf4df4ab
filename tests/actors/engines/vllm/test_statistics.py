"""The figures of a real vLLM's scheduling, while it has too little room for its answers."""

import time

from actors.engines.load import Scheduling
from actors.rerankers.contract import Reply, Request
from actors.rerankers.lb import LB
from tests.actors.conftest import run
from tests.actors.engines.vllm.conftest import SECONDS, build, sequences

LONG = Request(task="generate", max_tokens=160)  # five blocks more
NOTHING = Scheduling(running=0, waiting=0, cache_share=0.0, preemptions=0)


def test_sequences_that_outgrow_the_cache_are_preempted(lb_settings: LB) -> None:
    """Four prompts of 40 tokens fit into 11 blocks of 32; what is written to them does not."""
    engine = build(
        lb_settings,
        LONG,
        {"max_model_len": 320, "block_size": 32, "num_gpu_blocks_override": 11},
    )
    assert engine.load().scheduling == NOTHING
    written = run(engine, sequences(40, 4), max_tokens=160)
    seen = []
    while not written.done():
        seen.append(engine.load().scheduling)
        time.sleep(0.001)
    assert all(isinstance(reply, Reply) and reply.tokens for reply in written.result(SECONDS))
    found = [scheduling for scheduling in seen if scheduling]
    assert all(scheduling.running + scheduling.waiting <= 4 for scheduling in found)
    assert max(scheduling.running for scheduling in found) > 1
    assert max(scheduling.waiting for scheduling in found) > 0
    assert max(scheduling.cache_share for scheduling in found) > 0.8
    ended = engine.load().scheduling
    assert ended and ended.preemptions > 0
    assert ended._replace(preemptions=0) == NOTHING


def test_an_engine_that_keeps_no_statistics_says_none(lb_settings: LB) -> None:
    assert build(lb_settings, LONG, {"disable_log_stats": True}).load().scheduling is None
