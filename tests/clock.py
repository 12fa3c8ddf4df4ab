"""A clock whose time passes only while a test sleeps, so that a minute of a lease takes no time."""

import threading

from pipeline.output.lease import Clock

POLL_SECONDS = 0.002


class ManualClock(Clock):
    """`sleep` moves the time from one moment for which a thread waits to the next.

    Before it goes on, the threads that were due have done their work: they wait again, or have ended. A clock that
    nobody sleeps on suspends its threads.
    """

    def __init__(self) -> None:
        self._now = 0.0
        self._due: dict[threading.Thread, float] = {}
        self._changed = threading.Condition()

    def monotonic(self) -> float:
        return self._now

    def wait(self, event: threading.Event, seconds: float) -> bool:
        with self._changed:
            until = self._due[threading.current_thread()] = self._now + seconds
            while self._now < until and not event.is_set():
                self._changed.wait(POLL_SECONDS)
            return event.is_set()

    def sleep(self, seconds: float) -> None:
        with self._changed:
            end = self._now + seconds
            while self._now < end:
                self._now = min([end, *self._due.values()])
                self._changed.notify_all()
                while any(due <= self._now for due in self._due.values()):
                    self._changed.wait(POLL_SECONDS)
                    self._due = {thread: due for thread, due in self._due.items() if thread.is_alive()}

    def wait_for_threads(self, count: int) -> None:
        """Returns when this many threads wait: a thread that has just been started may not do so yet."""
        with self._changed:
            while len(self._due) < count:
                self._changed.wait(POLL_SECONDS)
