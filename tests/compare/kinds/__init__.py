"""The kinds of cases, by name."""

from collections.abc import Callable

from ..case import Cases, Place
from . import bad, check, door, jobs, killed, minilm, resume, runs

KINDS: dict[str, Callable[[Place], Cases]] = {
    "check": check.cases,
    "bad": bad.cases,
    "resume": resume.cases,
    "runs": runs.cases,
    "killed": killed.cases,
    "jobs": jobs.cases,
    "door": door.cases,
    "minilm": minilm.cases,
}
