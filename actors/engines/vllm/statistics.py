"""The figures of vLLM's scheduler after each step, where `disable_log_stats` is false."""

from typing import Any

from vllm.v1.metrics.loggers import PrometheusStatLogger

from actors.engines.load import Scheduling


class Statistics(PrometheusStatLogger):
    """Keeps the last figures of the scheduler, and sums its preemptions.

    vLLM adds its own metrics of Prometheus, which nobody scrapes here, unless it is given a kind of them: so this is
    one, without any of what they do.
    """

    def __init__(self, vllm_config: Any = None, engine_indexes: Any = None):
        self.last = Scheduling(running=0, waiting=0, cache_share=0.0, preemptions=0)

    def record(
        self, scheduler_stats: Any, iteration_stats: Any, mm_cache_stats: Any = None, engine_idx: int = 0
    ) -> None:
        """Called by vLLM after each step. iteration_stats: None where no sequence went on in it."""
        preempted = iteration_stats.num_preempted_reqs if iteration_stats else 0
        self.last = Scheduling(
            running=scheduler_stats.num_running_reqs,
            waiting=scheduler_stats.num_waiting_reqs + scheduler_stats.num_skipped_waiting_reqs,
            cache_share=scheduler_stats.kv_cache_usage,
            preemptions=self.last.preemptions + preempted,
        )

    def log_engine_initialized(self) -> None:
        """Says nothing."""

    log = log_engine_initialized


def find_statistics(engine: Any) -> Statistics | None:
    """Those of an LLMEngine; None where it keeps none."""
    loggers = engine.logger_manager.stat_loggers if engine.logger_manager else []
    return next((logger for logger in loggers if isinstance(logger, Statistics)), None)
