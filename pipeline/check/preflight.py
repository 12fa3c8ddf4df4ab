"""Finds what is wrong before Ray or a model starts. Every problem is a UsageError of one line.

Every run begins with `check`, which takes a moment; one that has pairs to score loads the tokenizer next
(pipeline/check/model.py).
"""

import hashlib
import os
import re
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from errno import EEXIST, ENOTEMPTY
from pathlib import Path

from fsspec.utils import glob_translate

from actors.engines import get_engine
from pipeline.check.fingerprint import compute_fingerprint
from pipeline.check.model import check_model_files
from pipeline.cluster.demand import check_relative
from pipeline.config import Config
from pipeline.config.sections import DeltaTable
from pipeline.config.stages import GIVEN, STAGE, Position
from pipeline.errors import UsageError, say
from pipeline.input.columns import (
    IDS,
    check_carried,
    check_schema,
    name_id_forms,
    select_carried,
)
from pipeline.input.footers import FirstFile, read_first_file
from pipeline.input.hive import add_folder_columns
from pipeline.input.listing import InputFile, Listing, read_listing
from pipeline.input.names import describe_passed_over
from pipeline.input.shown import identify_columns
from pipeline.input.table import list_table
from pipeline.input.versions import add_footer_hashes
from pipeline.input.web import check_web_servers
from pipeline.storage.folder import Folder, check_writable
from pipeline.storage.urls import is_local, make_absolute

LATE_FOLDER = "late-"  # and a fingerprint


@dataclass(frozen=True)
class Checked:
    """A run whose config, first input file and model's files have been found good; its paths are absolute.

    passed_over: glob -> how many files are not read for their names, and would be by this glob. position: of a run that
    is one stage of several."""

    config: Config
    files: list[InputFile]
    fingerprint: str
    passed_over: Counter[str] = field(default_factory=Counter)
    position: Position | None = None

    @property
    def output(self) -> Folder:
        return Folder(self.config.output.path)

    @property
    def is_later_stage(self) -> bool:
        """Whether its input is the result of a stage before it."""
        return self.position is not None and self.position.number > 0

    @property
    def run_id(self) -> str:
        """Stands for the run, and for those that go on from its scores, in metrics, logs and the manifest."""
        return hashlib.sha256(f"{self.config.output.path} {self.fingerprint}".encode()).hexdigest()[:16]

    @property
    def all_scores(self) -> Folder:
        """Under any fingerprint."""
        return self.output.below("scores")

    @property
    def scores(self) -> Folder:
        """Those that the run puts."""
        return self.all_scores.below(self.fingerprint)

    @property
    def late_folder(self) -> str:
        """Where, below all scores, files stand for rows that were not scored in time (pipeline/score/deadline.py)."""
        return LATE_FOLDER + self.fingerprint

    def name_below_all(self, score_file: str) -> str:
        """The name of one of the run's own score files below the folder of all scores."""
        return f"{self.fingerprint}/{score_file}"

    @property
    def merged(self) -> Folder:
        """The folder of files made of scores on the way to a result; they are deleted when that is committed."""
        return self.scores.below("merged")


def check(config: Config, position: Position | None = None) -> Checked:
    """Checks a run, which may be one stage of several, against its input, its model's files, its output and the
    installed engine."""
    check_relative(config)
    config = make_paths_absolute(config)
    config, (listed, passed_over) = list_input(config)
    if passed_over:
        say(describe_passed_over(passed_over))
    files = add_footer_hashes(listed)
    first = check_input(config, files)
    check_output_place(config)
    check_writable("output.path", config.output.path)
    config = _check_scoring(config)
    columns = identify_columns(files[0].shown, first.columns)
    fingerprint = compute_fingerprint(config, columns, name_id_forms(first.columns, first.known))
    return Checked(config, files, fingerprint, passed_over, position)


def check_ahead(config: Config, position: Position) -> Checked:
    """Checks a later stage of a run before its input is there. The columns of that are known."""
    check_relative(config)
    config = _check_scoring(make_paths_absolute(config))
    columns = {name: name for name in IDS} | config.input.columns
    return Checked(config, [], compute_fingerprint(config, columns), position=position)


def _check_scoring(config: Config) -> Config:
    """The config with its model's revision pinned. Raises UsageError where model or engine are no good."""
    try:
        check_engine(config)
    except LookupError as error:
        raise UsageError(str(error)) from None
    return check_model_files(config)


def list_input(config: Config) -> tuple[Config, Listing]:
    """The config with the version of its table pinned, and the files of the input. Raises UsageError where a web server
    sends whole files alone; one request to each."""
    if config.input.table:
        table, files = list_table(config.input.table)
        config = config.model_copy(update={"input": config.input.model_copy(update={"table": table})})
        return config, Listing(files, Counter())
    listing = read_listing(config.input.path)
    check_web_servers((file.path, file.size) for file in listing.files)
    return config, listing._replace(files=add_folder_columns(config, listing.files))


def check_input(config: Config, files: list[InputFile]) -> FirstFile:
    """The first file. Raises UsageError where it lacks a column in use."""
    first = read_first_file(config, files)
    check_schema(first.path, first.schema, first.columns)
    _check_comparable(first)
    check_carried(select_carried(config), first.path, first.schema, first.known)
    return first


def _check_comparable(first: FirstFile) -> None:
    """Raises UsageError where the first-stage score is that of several stages at once."""
    there = {*first.schema.names}
    if first.columns["score"] == "score" and {STAGE, "rank", "rerank_score"} <= there and GIVEN not in there:
        raise UsageError(
            f"{first.path}: is of a result with stages, whose column 'score' (input.columns.score) compares within "
            "one stage alone; input.columns.score=rank input.lower_is_better=true takes its order"
        )


def make_paths_absolute(config: Config) -> Config:
    """Ray's workers have a working folder of their own, so local paths are made absolute here."""
    try:
        output = config.output.model_copy(update={"path": make_absolute(config.output.path)})
    except (ValueError, ImportError) as error:
        raise UsageError(f"output.path = {config.output.path!r}: {error}") from None
    try:
        run = config.run.model_copy(update={"reuse": [make_absolute(path) for path in config.run.reuse]})
    except (ValueError, ImportError) as error:
        raise UsageError(f"run.reuse = {config.run.reuse!r}: {error}") from None
    reranker = config.reranker
    for key in ("model", "adapter"):
        if os.path.isdir(folder := os.path.expanduser(getattr(reranker, key) or "")):
            reranker = reranker.model_copy(update={key: os.path.abspath(folder)})
    return config.model_copy(update={"output": output, "reranker": reranker, "run": run})


def check_output_place(config: Config) -> None:
    output = config.output.path
    if not is_local(output) and any(char in output for char in "*?["):
        raise UsageError(f"output.path = {output!r}: must not have any of * ? [ in it")
    paths = [("input.path", path) for path in config.input.path]
    if isinstance(config.input.table, DeltaTable):
        paths = [("input.table.path", config.input.table.path)]
    for key, path in paths:
        places = [(make_absolute(path), output)]
        if is_local(path) and is_local(output):  # links may lead from one to the other
            places.append((os.path.realpath(places[0][0]), os.path.realpath(output)))
        if any(_overlaps(*pair) for pair in places):
            raise UsageError(
                f"output.path = {output!r} lies in {key} = {path!r}, or that in it: "
                "a run would read its own output, or delete its input"
            )


@contextmanager
def remove_new_folders(config: Config) -> Iterator[None]:
    """Removes, afterwards, the folders of a local output that were made to see whether it can be written, unless a run
    beside it has put something there meanwhile."""
    output = make_paths_absolute(config).output.path
    missing = [path for path in (Path(output), *Path(output).parents) if is_local(output) and not path.exists()]
    try:
        yield
    finally:
        for path in missing:  # the innermost first
            try:
                if path.is_dir():
                    path.rmdir()
            except FileNotFoundError:  # another check beside it was first
                continue
            except OSError as error:
                if error.errno not in (ENOTEMPTY, EEXIST):
                    raise
                break


def _overlaps(place: str, output: str) -> bool:
    """Whether a file, directory or glob of the input holds a run's output, or lies in what a run writes."""
    written = [f"{output}/{name}" for name in ("ranked", "rejects", "scores")]
    if any(f"{place}/".startswith(f"{folder}/") for folder in written):
        return True
    part = f"{output}/ranked/part-00000.parquet"
    parents = [part[:i] for i, char in enumerate(part) if char == "/"]  # what a glob matches is read with all below it
    return place.rstrip("/") in parents or any(re.match(glob_translate(place), at) for at in [part, *parents, *written])


def check_engine(config: Config) -> None:
    engine = get_engine(config.engine)
    version, known = engine.installed().version, {"type", *engine.argument_names()}
    for name in config.engine:
        if name not in known:
            raise UsageError(
                f"engine.{name} = {config.engine[name]!r}: {engine.name} {version} has no such engine argument"
            )
