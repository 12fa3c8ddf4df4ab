"""Revises a plan when its input has changed: changed files get new units, and nothing else is scored again."""

from collections.abc import Mapping, Set

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.config import Config
from pipeline.errors import UsageError, say
from pipeline.input.footers import read_first_file
from pipeline.input.listing import InputFile
from pipeline.input.parquet import SPLIT_BYTES
from pipeline.plan.plan import Plan, plan_files, unit_rows

Versions = Mapping[str, tuple[int, str]]  # path of a planned file -> its size and version


def find_changed(planned: Versions, files: list[InputFile]) -> list[str]:
    """Paths of the files that have changed since they were planned. Raises UsageError where one is new, or gone."""
    listed = {file.path: (file.size, file.version) for file in files}
    check_same_files(planned.keys(), listed.keys())
    return [path for path in listed if planned[path] != listed[path]]


def check_same_files(planned: Set[str], listed: Set[str]) -> None:
    """Raises UsageError where a file of the input is new since it was planned, or gone."""
    for path in sorted(planned ^ listed):
        raise UsageError(
            f"{path}: is {'new' if path in listed else 'gone'} since the scores under this output were begun; "
            "choose another output.path, or run.on_existing=restart to throw those scores away"
            + (", or name the other files alone in input.path to go on without it" if path in listed else "")
        )


def find_changed_while_read(planned: Versions, files: list[InputFile]) -> list[str]:
    """Paths of the files that changed while they were read. Raises UsageError where one is gone.

    New files do not belong to this run; a line on stderr says that there are some.
    """
    if new := [file.path for file in files if file.path not in planned]:
        say(
            f"{len(new)} files came to the input while the run went on, and are not in its result: "
            f"{new[0]}{', ...' if len(new) > 1 else ''}"
        )
    return find_changed(planned, [file for file in files if file.path in planned])


def revise_plan(
    plan: Plan, config: Config, files: list[InputFile], changed: list[str], split_bytes: int = SPLIT_BYTES
) -> Plan:
    """The plan with new units for the files that changed. All other files keep their units, and so their scores.

    A file keeps its number, which decides which row is kept where a pair comes twice. No unit gets a name that a unit
    had before, which would bring old scores back.
    """
    paths = set(changed)
    unchanged = next((file for file in files if file.path not in paths), files[0])  # shows how ids are written
    numbers = {path: number for number, (path, _) in plan.places().items()}
    numbered = ((numbers[file.path], file) for file in files if file.path in paths)
    first = read_first_file(config, unchanged)
    made, next_split = plan_files(config, numbered, unit_rows(config), first, plan.next_split, split_bytes=split_bytes)
    kept = plan.table.filter(pc.invert(pc.is_in(plan.table["path"], pa.array(changed, pa.string()))))
    table = pa.concat_tables([kept, made]).sort_by([("file", "ascending"), ("start", "ascending")])
    return Plan(table, plan.columns, plan.id, plan.revision + 1, next_split)
