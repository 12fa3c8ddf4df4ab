"""The only file that knows vLLM: an engine in this process, stepped by a thread of its own.

Units of several callers are in flight at once, so the engine's batch stays full across their borders. The engine
runs in the process of its actor (but for tensor parallelism, where vLLM starts one for each GPU): nothing outlives a
killed actor, and nothing is copied to another process.
"""

import itertools
import os
import queue
import threading
from collections import deque
from concurrent.futures import Future
from functools import lru_cache
from typing import Any

import numpy as np

from actors.engines.contract import Deliver, EngineDied, EngineRequest, Watched
from actors.engines.load import Busy, Load
from actors.engines.vllm.arguments import READINGS, engine_arguments
from actors.engines.vllm.facts import installed
from actors.rerankers.contract import Reply, Request, Unscored
from actors.rerankers.settings import Settings

ENVIRONMENT = {
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
    "VLLM_NO_USAGE_STATS": "1",
    "VLLM_LOGGING_LEVEL": "WARNING",
    "TOKENIZERS_PARALLELISM": "false",
}

FIRST, FOLLOW_UP = 1, 0  # priorities: the lower comes first, and finds its prompt still in the prefix cache
GATHERING_STEPS = 32  # after which one-token follow-ups are given to vLLM, be they ever so few (see READINGS)


class Engine:
    """A vLLM engine for one kind of request.

    label_ids: the tokens of request.labels in this model's vocabulary.
    stall_seconds: with work in hand and no sequence taken or finished for so long, `watchdog` ends the process.
    deterministic: a sequence's numbers do not depend on what runs beside it: with vLLM's batch-invariant kernels on
    CUDA, where it has them, and on CPU one sequence at a time, nothing of which comes from the prefix cache.
    """

    def __init__(
        self,
        settings: Settings,
        arguments: dict[str, Any],
        request: Request,
        label_ids: list[int],
        stall_seconds: float,
        watchdog: Watched,
        deterministic: bool = False,
    ):
        for name, value in ENVIRONMENT.items():
            os.environ.setdefault(name, value)
        one_by_one = deterministic and installed().cpu
        if deterministic and not one_by_one:
            os.environ["VLLM_BATCH_INVARIANT"] = "1"
        self._stall_seconds, self._watchdog = stall_seconds, watchdog
        self._request, self._label_ids = request, label_ids
        self._params = lru_cache(maxsize=4096)(self._make_params)  # equal ones are shared; vLLM takes a copy
        self._names = map(str, itertools.count())
        self._asked: queue.SimpleQueue[tuple[list[EngineRequest], Deliver]] = queue.SimpleQueue()
        self._held: deque[tuple[EngineRequest, Deliver]] = (
            deque()
        )  # here, for vLLM steps between the requests it is given
        self._readings: list[tuple[EngineRequest, Deliver]] = []
        self._steps_left = GATHERING_STEPS
        self._reading = 0  # of those in vLLM
        self._waiting: dict[str, tuple[EngineRequest, Deliver]] = {}
        self._busy = Busy()
        built: Future[None] = Future()
        given = engine_arguments(settings, arguments, request, label_ids, one_by_one)
        threading.Thread(target=self._run, args=(given, built), daemon=True, name="engine").start()
        built.result()

    def ask(self, requests: list[EngineRequest], deliver: Deliver) -> None:
        """Takes sequences, from any thread. `deliver` gets the numbered replies, those of one step at a time, in the
        engine's thread; Unscored where vLLM refuses a sequence; or EngineDied."""
        self._asked.put((requests, deliver))

    def load(self) -> Load:
        """How busy it is; from any thread."""
        return Load(len(self._held) + len(self._readings) + len(self._waiting), self._busy.seconds)

    def _run(self, arguments: dict[str, Any], built: Future[None]) -> None:
        """One thread builds the engine and steps it.

        Each thread that computes has an OpenMP team of its own, and where these are more threads than cores, libgomp
        puts them to sleep after every operation: a fifth of a CPU engine's speed.
        """
        try:
            from vllm import EngineArgs
            from vllm.exceptions import VLLMValidationError
            from vllm.v1.engine.llm_engine import LLMEngine

            self._refusals = (ValueError, VLLMValidationError)  # the second was once a kind of the first
            self._engine = LLMEngine.from_engine_args(EngineArgs(**arguments))
            config = self._engine.vllm_config
            self._context = config.model_config.max_model_len
            self._by_priority = config.scheduler_config.policy == "priority"
            # In vLLM at once: the sequences that run, and of short ones the next ones too.
            beside = 2 if self._request.max_tokens == 1 else 1 - READINGS
            self._at_once = max(1, int(config.scheduler_config.max_num_seqs * beside))
        except BaseException as error:
            built.set_exception(error)
            return
        built.set_result(None)
        self._loop()

    def _loop(self) -> None:
        try:
            while True:
                self._take()
                if self._waiting:
                    self._steps_left -= 1
                    with self._busy:
                        outputs = [output for output in self._engine.step() if output.finished]
                    if outputs:
                        self._watchdog.expect(self._stall_seconds)
                    replies = [(output.request_id, self._read(output)) for output in outputs]
                    self._deliver([(name, reply) for name, reply in replies if reply])
                    for name in (name for name, reply in replies if not reply):
                        ask, deliver = self._waiting.pop(name)
                        self._give(ask._replace(fresh=True), deliver)
        except BaseException as error:  # a dead engine: every unit it holds must learn of it, and every later one
            self._watchdog.rest()
            died = EngineDied(f"{type(error).__name__}: {error}")
            for deliver in {deliver for _, deliver in [*self._held, *self._readings, *self._waiting.values()]}:
                deliver(died)
            while True:
                self._asked.get()[1](died)

    def _take(self) -> None:
        """Gives vLLM what it can soon run; waits for work where there is none."""
        while not self._asked.empty() or not (self._held or self._readings or self._waiting):
            if not (self._held or self._readings or self._waiting):
                self._watchdog.rest()
            requests, deliver = self._asked.get()
            for ask in requests:
                if ask.reads:
                    self._readings.append((ask, deliver))
                else:
                    (self._held.appendleft if ask.follows else self._held.append)((ask, deliver))
            self._watchdog.expect(self._stall_seconds)
        enough = len(self._readings) >= max(1, self._at_once * READINGS) or self._steps_left <= 0
        if enough or not (self._held or self._waiting):
            for ask, deliver in self._readings:
                self._give(ask, deliver)
            self._readings, self._steps_left = [], GATHERING_STEPS
        while self._held and len(self._waiting) - self._reading < self._at_once:
            self._give(*self._held.popleft())

    def _give(self, ask: EngineRequest, deliver: Deliver) -> None:
        name = next(self._names)
        self._waiting[name] = ask, deliver
        self._reading += ask.reads
        try:
            self._add(name, ask)
        except self._refusals as error:  # of a prompt it cannot take, e.g. a longer one than max_model_len
            reason = f"vLLM refused the prompt: {' '.join(str(error).split())[:300]}"
            self._deliver([(name, Unscored(reason))])
        self._watchdog.expect(self._stall_seconds)

    def _add(self, name: str, ask: EngineRequest) -> None:
        priority = (FOLLOW_UP if ask.follows else FIRST) if self._by_priority else 0
        prompt: Any = {"type": "token", "prompt_token_ids": ask.tokens}
        params = self._params(ask.boundary, ask.fresh, ask.max_tokens == 1, self._room(ask))
        self._engine.add_request(name, prompt, params, priority=priority)

    def _room(self, ask: EngineRequest) -> int:
        """Tokens that may be generated: as asked for, or what the context leaves."""
        return max(1, min(ask.max_tokens, self._context - len(ask.tokens) - self._request.spare))

    def _make_params(self, boundary: int | None, fresh: bool, one_token: bool, room: int) -> Any:
        """What vLLM is asked for. Probabilities are asked for only where one token is."""
        from vllm import PoolingParams, SamplingParams
        from vllm.sampling_params import RequestOutputKind

        request = self._request
        if request.task in ("embed", "classify"):
            types = {"compressed_token_type_ids": boundary} if boundary else None
            return PoolingParams(task=request.task, use_activation=request.task == "embed", extra_kwargs=types)
        if request.task == "likelihood":
            from actors.engines.vllm.models.likelihood import TASK

            return PoolingParams(task=TASK, extra_kwargs={"boundary": boundary}, skip_reading_prefix_cache=fresh)
        last = RequestOutputKind.FINAL_ONLY
        if one_token:
            return SamplingParams(
                temperature=0, max_tokens=1, logprob_token_ids=self._label_ids, detokenize=False, output_kind=last
            )
        return SamplingParams(
            temperature=0,
            max_tokens=room,
            stop=list(request.stop),
            skip_special_tokens=False,
            output_kind=last,
        )

    def _read(self, output: Any) -> Reply | None:
        """The reply; None where the prefix cache held what is to be read, so that the ask must be done afresh."""
        ask, _ = self._waiting[output.request_id]
        cached = output.num_cached_tokens or 0
        if self._request.task == "likelihood":
            logprobs = output.outputs.data.numpy()
            lost = np.isnan(logprobs).any() and not ask.fresh
            return None if lost else Reply(ask.tokens, cached, token_logprobs=logprobs)
        if hasattr(output.outputs, "data"):
            return Reply(ask.tokens, cached, vector=output.outputs.data.float().numpy())
        completion = output.outputs[0]
        tokens = tuple(completion.token_ids)
        if ask.max_tokens == 1:
            last = completion.logprobs[-1]
            logprobs = np.array([last[token].logprob for token in self._label_ids])
            return Reply(ask.tokens, cached, tokens, label_logprobs=logprobs)
        stopped = completion.stop_reason if isinstance(completion.stop_reason, str) else None
        text = completion.text + (stopped or "")
        if completion.finish_reason == "stop" and not stopped:
            tokens = tokens[:-1]  # the end token, which the text does not have either
        return Reply(ask.tokens, cached, tokens, text, stopped, completion.finish_reason == "stop")

    def _deliver(self, replies: list[tuple[str, Reply | Unscored]]) -> None:
        """Hands each caller its replies, all of a step at once."""
        callers: dict[Deliver, list[tuple[int, Reply | Unscored]]] = {}
        for name, reply in replies:
            ask, deliver = self._waiting.pop(name)
            self._reading -= ask.reads
            callers.setdefault(deliver, []).append((ask.number, reply))
        for deliver, own in callers.items():
            deliver(own)
