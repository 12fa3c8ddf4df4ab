"""How a job ends: its exit code, and one line on stderr where it could not do what it was asked for.

A RunError is its message and its exit code (pipeline/errors.py). Any other error and an interrupt are code 1, with a
line for those that the job names in `caught`; the others end the process as Python does.
"""

import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass

from pipeline.errors import RunError, StoreError, find_root_cause


@dataclass
class Ending:
    """The words of one job's line.

    name: its first word. caught: exceptions besides RunError that end in a line. advice: the last words of the line of
    such an exception, what remains and how to go on; a job may change it while it runs. resumable: the advice holds
    after the failure of a store, too. subject: the input that a line about a bug names, instead of a traceback above
    the line.
    """

    name: str = "rayrank"
    caught: tuple[type[BaseException], ...] = ()
    advice: str = ""
    resumable: bool = False
    subject: str = ""

    def run(self, job: Callable[[], int]) -> int:
        """Calls the job and returns its exit code, or that of what it raises."""
        try:
            return job()
        except RunError as error:
            self._say(str(error), self.resumable and isinstance(error, StoreError))
            return error.exit_code
        except self.caught as error:
            if isinstance(error, KeyboardInterrupt | SystemExit):
                self._say("interrupted", True)
                return 1
            if not self.subject:
                traceback.print_exc()
            self._say(f"{self.subject}: {find_root_cause(error)}".removeprefix(": "), True)
            return 1

    def _say(self, words: str, with_advice: bool) -> None:
        advice = f"; {self.advice}" if with_advice and self.advice else ""
        line = " ".join(words.splitlines())  # names in it may hold line breaks
        print(f"{self.name}: {line}{advice}", file=sys.stderr)
