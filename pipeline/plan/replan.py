"""A plan whose input is not what it was: files that changed get new units, and nothing else is scored again."""

from collections.abc import Mapping, Set

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.config import Config
from pipeline.errors import UsageError
from pipeline.input.footers import first_file
from pipeline.input.listing import InputFile
from pipeline.plan.plan import Plan, plan_files, unit_rows
from pipeline.say import say

Versions = Mapping[str, tuple[int, str]]  # path of a planned file -> its size and version


def changed_files(planned: Versions, files: list[InputFile]) -> list[str]:
    """Paths of the files that are not the version that was planned. Raises UsageError where one is new, or gone."""
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


def changed_while_read(planned: Versions, files: list[InputFile]) -> list[str]:
    """Paths of the files that changed while they were read. Raises UsageError where one has gone. Files that came are
    none of this run's, and are told of."""
    if come := [file.path for file in files if file.path not in planned]:
        say(
            f"{len(come)} files came to the input while the run went on, and are not in its result: "
            f"{come[0]}{', ...' if len(come) > 1 else ''}"
        )
    return changed_files(planned, [file for file in files if file.path in planned])


def revised(plan: Plan, config: Config, files: list[InputFile], changed: list[str]) -> Plan:
    """The plan with new units for the files that changed. All others keep theirs, and so their scores.

    A file keeps its number, by which the first of two rows of one pair stands. No name of a unit comes twice, for
    that would bring old scores back.
    """
    paths = set(changed)
    one_of_the_others = next((file for file in files if file.path not in paths), files[0])  # says how ids are written
    numbers = {path: number for number, (path, _) in plan.places().items()}
    again = ((numbers[file.path], file) for file in files if file.path in paths)
    made, next_split = plan_files(
        config, again, unit_rows(config), first_file(config, one_of_the_others), plan.next_split
    )
    kept = plan.table.filter(pc.invert(pc.is_in(plan.table["path"], pa.array(changed, pa.string()))))
    table = pa.concat_tables([kept, made]).sort_by([("file", "ascending"), ("start", "ascending")])
    return Plan(table, plan.columns, plan.id, plan.revision + 1, next_split)
