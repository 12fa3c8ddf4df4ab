"""Paths -> the files of a run, of the queries and of the corpus, with their formats."""

from dataclasses import dataclass

from pipeline.errors import UsageError, say
from pipeline.input.listing import list_inputs, read_listing
from pipeline.input.names import describe_passed_over
from pipeline.prepare.formats import detect_format, list_endings


@dataclass(frozen=True)
class Source:
    """A file. kind: "run", "queries" or "corpus". number: that of the run it belongs to. lower_is_better: of the run's
    scores."""

    kind: str
    path: str
    size: int
    format: str
    compression: str | None
    number: int = 0
    lower_is_better: bool = False


def list_sources(
    kind: str, paths: list[str], given: str | None, number: int = 0, lower_is_better: bool = False
) -> list[Source]:
    """The files of these paths: files, globs, or folders of files of one format.

    given: the format; without it the files' names show it. Raises UsageError naming the path.
    """
    found = []
    for path in paths:
        files, passed_over = read_listing([path], f"--{kind}", list_endings(kind))
        if passed_over:
            say(f"--{kind} = {path!r}: {describe_passed_over(passed_over)}")
        here = [
            Source(kind, file.path, file.size, *detect_format(kind, file.path, given), number, lower_is_better)
            for file in files
        ]
        if len(formats := {source.format for source in here}) > 1:
            hint = " (--beir for a BEIR folder)" if kind == "corpus" else ""
            raise UsageError(f"--{kind} = {path!r}: holds files of {len(formats)} formats; name them by a glob{hint}")
        found += here
    return list({source.path: source for source in found}.values())


def find_beir_files(folder: str) -> tuple[str, str]:
    """The corpus and the queries of a BEIR folder: corpus.jsonl and queries.jsonl, compressed or not."""
    paths = []
    for name in ("corpus.jsonl", "queries.jsonl"):
        there = [file.path for file in list_inputs([folder], "--beir", list_endings("corpus"))]
        found = [path for path in there if path.rpartition("/")[2].startswith(name)]
        if len(found) != 1:
            raise UsageError(f"--beir = {folder!r}: has {len(found) or 'no'} files {name}")
        paths.append(found[0])
    return paths[0], paths[1]
