"""Errors that end a run, each with the exit code `jobs/rerank.py` gives for it, and lines that do not end one."""

import itertools
import re
import sys


class RunError(Exception):
    """A run ends with one clear line: the message. Anything else is a bug and shows its traceback."""

    exit_code = 1


class UsageError(RunError):
    """The config, or the schema of the input, is wrong. The message names the key, file and value."""

    exit_code = 2


class NotHere(UsageError):
    """A local file or folder that is not on this machine; the workers may have it."""


class TooManyFailed(RunError):
    """More rows than `run.max_failed` ended without a reranker score."""

    exit_code = 3


class StoreError(RunError):
    """A store or a disk failed. The message names the file, and has the store's words."""


class RefusedError(StoreError):
    """A store or a disk refused: a permission, or the credentials, are missing."""


def make_gone_error(what: object) -> RunError:
    """The error of a file of an output that was there a moment ago. what: the file, or an error that names it."""
    return RunError(f"{what}: has gone; does another run write to this output? The same command goes on from here")


def one_line(error: BaseException) -> str:
    """The message of an error, without line breaks."""
    return " ".join(str(error).split())


def read_worker_error(error: BaseException) -> RunError | None:
    """The RunError of a worker, which Ray Data brings as text; None where it was anything else."""
    kinds = {f"{kind.__module__}.{kind.__name__}": kind for kind in (RunError, UsageError, StoreError, RefusedError)}
    name, _, message = find_root_cause(error).partition(": ")
    return kinds[name](message) if name in kinds else None


def find_root_cause(error: BaseException) -> str:
    """The one line of an error that says what went wrong.

    Ray's errors hold the traceback of the worker as text, with its own remarks around it: the last line of it that
    names an exception, other than one of Ray's, is the one to show.
    """
    lines = str(error).splitlines()
    named = [i for i, line in enumerate(lines) if re.match(r"(?!ray\.)[\w.]*(Error|Exception|Interrupt)\b", line)]
    if not named:
        return f"{type(error).__name__}: {one_line(error)}"
    words = itertools.takewhile(str.strip, lines[named[-1] :])  # pydantic says what is wrong on the lines below
    return " ".join(" ".join(words).split())[:600]


def say(line: str) -> None:
    """Prints one line on stderr, known by its first word, beside a run's progress."""
    print(f"rayrank: {line}", file=sys.stderr, flush=True)
