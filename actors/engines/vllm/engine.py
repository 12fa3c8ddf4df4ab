"""vLLM's engine in this process, stepped by a thread of its own.

Sequences of several callers are in flight at once, so the engine's batch stays full across the borders of their units.
The engine runs in the process of its actor (except with tensor parallelism, where vLLM starts a process for each GPU):
nothing outlives a killed actor, and nothing is copied to another process.
"""

import itertools
import os
import tempfile
from collections import deque
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from actors.engines.contract import Deliver, EngineRequest, Watchdog
from actors.engines.load import Load
from actors.engines.thread import EngineThread
from actors.engines.vllm.arguments import FOLLOW_UP_SHARE, engine_arguments
from actors.engines.vllm.head import finish_logits
from actors.engines.vllm.version import installed
from actors.rerankers.adapter import get_adapter
from actors.rerankers.contract import Reply, Request, Unscored
from actors.rerankers.pretrained import save_neutral
from actors.rerankers.settings import Settings

ENVIRONMENT = {
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
    "VLLM_NO_USAGE_STATS": "1",
    "VLLM_LOGGING_LEVEL": "WARNING",
    "TOKENIZERS_PARALLELISM": "false",
}

# Priorities: the lower goes first. A follow-up that goes first finds its prompt still in the prefix cache.
FIRST, FOLLOW_UP = 1, 0
MAX_GATHERING_STEPS = 32  # after these, a group of one-token follow-ups is sent even if small (see FOLLOW_UP_SHARE)


class Engine(EngineThread):
    """A vLLM engine for one kind of request.

    label_ids: the tokens of request.labels in this model's vocabulary.
    stall_seconds: with work in hand, `watchdog` ends the process if no sequence is taken or finished for this long.
    deterministic: a sequence's numbers do not depend on the sequences computed beside it. CUDA: vLLM's batch-invariant
    kernels, for models that have them. CPU: one sequence at a time, without the prefix cache.
    """

    def __init__(
        self,
        settings: Settings,
        arguments: dict[str, Any],
        request: Request,
        label_ids: list[int],
        stall_seconds: float,
        watchdog: Watchdog,
        deterministic: bool = False,
    ):
        for name, value in ENVIRONMENT.items():
            os.environ.setdefault(name, value)
        one_by_one = deterministic and installed().cpu
        if deterministic and not one_by_one:
            os.environ["VLLM_BATCH_INVARIANT"] = "1"
        super().__init__(request, stall_seconds, watchdog)
        self._label_ids = label_ids
        self._params = lru_cache(maxsize=4096)(self._make_params)  # equal ones are shared; vLLM takes a copy
        self._ids = map(str, itertools.count())
        # Queued here and not in vLLM, which steps between two requests that it is given.
        self._queued: deque[tuple[EngineRequest, Deliver]] = deque()
        self._follow_ups: list[tuple[EngineRequest, Deliver]] = []  # of one token, until there are enough for a group
        self._gathering_steps_left = MAX_GATHERING_STEPS
        self._running: dict[str, tuple[EngineRequest, Deliver]] = {}  # in vLLM, by vLLM's request id
        self._follow_ups_running = 0  # those of one token
        given = engine_arguments(settings, arguments, request, label_ids, one_by_one)
        with tempfile.TemporaryDirectory(prefix="rayrank-tokenizer-") as folder:
            if not settings.trust_remote_code:
                save_neutral(settings, Path(folder))
                given |= {"tokenizer": folder, "tokenizer_revision": None}
            self._start(given, get_adapter(settings))

    def _build(self, arguments: dict[str, Any], adapter: Settings | None) -> None:
        from vllm import EngineArgs
        from vllm.exceptions import VLLMValidationError
        from vllm.v1.engine.llm_engine import LLMEngine

        from actors.engines.vllm.loading import load_from_nan
        from actors.engines.vllm.statistics import Statistics, find_statistics

        self._refusals = (ValueError, VLLMValidationError)  # in older versions the second is a ValueError
        given = EngineArgs(**load_from_nan(arguments, adapter))
        self._engine = LLMEngine.from_engine_args(given, stat_loggers=[Statistics])
        self._statistics = find_statistics(self._engine)
        config = self._engine.vllm_config
        self._context = config.model_config.max_model_len
        self._model_config = config.model_config.hf_text_config
        self._by_priority = config.scheduler_config.policy == "priority"
        # How many sequences vLLM holds: all that can run, and if they are short the next ones too.
        share = 2 if self._request.max_tokens == 1 else 1 - FOLLOW_UP_SHARE
        self._at_once = max(1, int(config.scheduler_config.max_num_seqs * share))

    def load(self) -> Load:
        """See actors/engines/contract.py."""
        return super().load()._replace(scheduling=self._statistics.last if self._statistics else None)

    def _accept(self, request: EngineRequest, deliver: Deliver) -> None:
        if request.one_token_follow_up:
            self._follow_ups.append((request, deliver))
        else:
            (self._queued.appendleft if request.follows else self._queued.append)((request, deliver))

    def _step(self) -> None:
        self._submit_work()
        if not self._running:
            return
        self._gathering_steps_left -= 1
        with self._busy:
            outputs = [output for output in self._engine.step() if output.finished]
        if outputs:
            self._expect_progress()
        replies = [(output.request_id, self._read(output)) for output in outputs]
        self._finish([(request_id, reply) for request_id, reply in replies if reply])
        for request_id in (request_id for request_id, reply in replies if not reply):
            request, deliver = self._running.pop(request_id)
            self._submit(request._replace(skip_cache=True), deliver)

    def _submit_work(self) -> None:
        """Submits what vLLM can run soon."""
        enough = len(self._follow_ups) >= max(1, self._at_once * FOLLOW_UP_SHARE) or self._gathering_steps_left <= 0
        if enough or not (self._queued or self._running):
            for request, deliver in self._follow_ups:
                self._submit(request, deliver)
            self._follow_ups, self._gathering_steps_left = [], MAX_GATHERING_STEPS
        while self._queued and len(self._running) - self._follow_ups_running < self._at_once:
            self._submit(*self._queued.popleft())

    def _submit(self, request: EngineRequest, deliver: Deliver) -> None:
        request_id = next(self._ids)
        self._running[request_id] = request, deliver
        self._follow_ups_running += request.one_token_follow_up
        try:
            self._add(request_id, request)
        except self._refusals as error:  # vLLM cannot take the prompt, e.g. it is longer than max_model_len
            reason = f"vLLM refused the prompt: {' '.join(str(error).split())[:300]}"
            self._finish([(request_id, Unscored(reason))])
        self._expect_progress()

    def _add(self, request_id: str, request: EngineRequest) -> None:
        priority = (FOLLOW_UP if request.follows else FIRST) if self._by_priority else 0
        prompt: Any = {"type": "token", "prompt_token_ids": request.tokens}
        one_token = request.max_tokens == 1
        params = self._params(request.boundary, request.skip_cache, one_token, self._max_new_tokens(request))
        self._engine.add_request(request_id, prompt, params, priority=priority)

    def _make_params(self, boundary: int | None, skip_cache: bool, one_token: bool, max_tokens: int) -> Any:
        """vLLM's parameters of a request. Label probabilities are computed only if one token is generated."""
        from vllm import PoolingParams, SamplingParams
        from vllm.sampling_params import RequestOutputKind

        request = self._request
        if request.task in ("embed", "classify"):
            types = {"compressed_token_type_ids": boundary} if boundary else None
            return PoolingParams(task=request.task, use_activation=request.task == "embed", extra_kwargs=types)
        if request.task == "likelihood":
            from actors.engines.vllm.models.likelihood import TASK

            return PoolingParams(task=TASK, extra_kwargs={"boundary": boundary}, skip_reading_prefix_cache=skip_cache)
        last = RequestOutputKind.FINAL_ONLY
        if one_token:
            return SamplingParams(
                temperature=0, max_tokens=1, logprob_token_ids=self._label_ids, detokenize=False, output_kind=last
            )
        return SamplingParams(
            temperature=0,
            max_tokens=max_tokens,
            stop=list(request.stop),
            skip_special_tokens=False,
            output_kind=last,
        )

    def _read(self, output: Any) -> Reply | None:
        """The reply; None if the prefix cache held rows that are needed, so that the request has to be repeated."""
        request, _ = self._running[output.request_id]
        cached = output.num_cached_tokens or 0
        if self._request.task == "likelihood":
            logprobs = output.outputs.data.numpy()
            lost = np.isnan(logprobs).any() and not request.skip_cache
            return None if lost else Reply(request.tokens, cached, token_logprobs=logprobs)
        if hasattr(output.outputs, "data"):
            vector = output.outputs.data.float().numpy()
            if self._label_ids:
                vector = finish_logits(vector, self._model_config)
            return Reply(request.tokens, cached, vector=vector)
        completion = output.outputs[0]
        tokens = tuple(completion.token_ids)
        if request.max_tokens == 1:
            last = completion.logprobs[-1]
            logprobs = np.array([last[token].logprob for token in self._label_ids])
            return Reply(request.tokens, cached, tokens, label_logprobs=logprobs)
        stopped = completion.stop_reason if isinstance(completion.stop_reason, str) else None
        text = completion.text + (stopped or "")
        if completion.finish_reason == "stop" and not stopped:
            tokens = tokens[:-1]  # without the end token, which is not in the text either
        return Reply(request.tokens, cached, tokens, text, stopped, completion.finish_reason == "stop")

    def _finish(self, replies: list[tuple[str, Reply | Unscored]]) -> None:
        """Delivers replies to what vLLM had in hand, given by its request ids."""
        done = [(*self._running.pop(request_id), reply) for request_id, reply in replies]
        self._follow_ups_running -= sum(request.one_token_follow_up for request, _, _ in done)
        self._deliver(done)
