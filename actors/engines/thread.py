"""The thread in which an engine lives: it builds the model, steps it, and hands each caller its replies."""

import queue
import threading
from abc import ABC, abstractmethod
from collections import Counter
from concurrent.futures import Future
from typing import Any

from actors.engines.contract import Deliver, EngineDied, EngineRequest, Watchdog
from actors.engines.load import Busy, Load
from actors.rerankers.contract import Reply, Request, Unscored


class EngineThread(ABC):
    """An engine that is built and stepped in one thread of its own, for callers in any thread.

    request: the kind of request that it answers.
    stall_seconds: with work in hand, `watchdog` ends the process if no sequence is taken or finished for this long.
    """

    _context: int  # the most tokens of a prompt and its answer, which `_build` finds

    def __init__(self, request: Request, stall_seconds: float, watchdog: Watchdog):
        self._request = request
        self._stall_seconds, self._watchdog = stall_seconds, watchdog
        self._incoming: queue.SimpleQueue[tuple[list[EngineRequest], Deliver]] = queue.SimpleQueue()
        self._unanswered: Counter[Deliver] = Counter()  # how many sequences each caller waits for
        self._left = 0  # their sum
        self._busy = Busy()

    def ask(self, requests: list[EngineRequest], deliver: Deliver) -> None:
        """Takes sequences and returns at once; may be called from any thread. See actors/engines/contract.py."""
        if requests:
            self._incoming.put((requests, deliver))

    def load(self) -> Load:
        """How busy the engine is; may be called from any thread."""
        return Load(self._left, self._busy.seconds)

    @abstractmethod
    def _build(self, *arguments: Any) -> None:
        """Loads the model."""

    @abstractmethod
    def _accept(self, request: EngineRequest, deliver: Deliver) -> None:
        """Takes a sequence into the engine's own queue."""

    @abstractmethod
    def _step(self) -> None:
        """Computes something of what was accepted, and delivers what is finished. There is work when it is called."""

    def _max_new_tokens(self, request: EngineRequest) -> int:
        """Tokens that may be generated: as many as asked for, or fewer where the context has less room."""
        return max(1, min(request.max_tokens, self._context - len(request.tokens) - self._request.spare))

    def _start(self, *arguments: Any) -> None:
        """Starts the thread, and returns when the engine is built. Raises what `_build` raises."""
        built: Future[None] = Future()
        threading.Thread(target=self._run, args=(built, *arguments), daemon=True, name="engine").start()
        built.result()

    def _run(self, built: Future[None], *arguments: Any) -> None:
        """Builds the engine and steps it, both in this one thread.

        Every thread that computes gets its own team of OpenMP threads. If the teams together have more threads than
        there are cores, libgomp puts them to sleep after every operation, which costs a fifth of a CPU engine's speed.
        """
        try:
            self._build(*arguments)
        except BaseException as error:
            built.set_exception(error)
            return
        built.set_result(None)
        try:
            while True:
                self._take_work()
                self._step()
        except BaseException as error:  # the engine is broken: tell everyone who waits, and everyone who asks later
            self._watchdog.rest()
            died = EngineDied(f"{type(error).__name__}: {error}")
            for deliver in [*self._unanswered]:
                deliver(died)
            while True:
                self._incoming.get()[1](died)

    def _take_work(self) -> None:
        """Accepts what was asked meanwhile; blocks while there is no work at all."""
        while not self._incoming.empty() or not self._left:
            if not self._left:
                self._watchdog.rest()
            requests, deliver = self._incoming.get()
            self._unanswered[deliver] += len(requests)
            self._left += len(requests)
            for request in requests:
                self._accept(request, deliver)
            self._expect_progress()

    def _expect_progress(self) -> None:
        """Tells the watchdog that there was progress, and that more is to come."""
        self._watchdog.expect(self._stall_seconds)

    def _deliver(self, replies: list[tuple[EngineRequest, Deliver, Reply | Unscored]]) -> None:
        """Hands each caller its replies of this step, in one call."""
        callers: dict[Deliver, list[tuple[int, Reply | Unscored]]] = {}
        for request, deliver, reply in replies:
            callers.setdefault(deliver, []).append((request.number, reply))
        for deliver, own in callers.items():
            self._left -= len(own)
            self._unanswered[deliver] -= len(own)
            if not self._unanswered[deliver]:
                del self._unanswered[deliver]
            deliver(own)
