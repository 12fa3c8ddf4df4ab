"""Errors that end a run, each with the exit code `jobs/rerank.py` gives for it."""


class RunError(Exception):
    """A run ends with one clear line: the message. Anything else is a bug and shows its traceback."""

    exit_code = 1


class UsageError(RunError):
    """The config, or the schema of the input, is wrong. The message names the key, file and value."""

    exit_code = 2


class TooManyFailed(RunError):
    """More rows than `run.max_failed` ended without a reranker score."""

    exit_code = 3


def one_line(error: BaseException) -> str:
    """What an error says, without line breaks."""
    return " ".join(str(error).split())
