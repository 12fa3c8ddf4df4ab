"""`input.table`: the files that a version of a Delta or Iceberg table has, and what the table says of each.

They are the same `InputFile`s that a listing gives, with size and version from the store; `shown` has what the table
says beyond that. The libraries of the formats are imported here alone, and only where a config asks for a table.
"""

from pipeline.config.sections import DeltaTable, Table
from pipeline.errors import UsageError
from pipeline.input.listing import InputFile
from pipeline.input.table.delta import read_delta
from pipeline.input.table.iceberg import read_iceberg
from pipeline.input.table.locate import locate


def list_table(table: Table) -> tuple[Table, list[InputFile]]:
    """The table with its version pinned: the newest, where none was given; and the files of it, by their paths.

    Raises UsageError where the table cannot be read, in one line with what to do.
    """
    version, root, shown = read_delta(table) if isinstance(table, DeltaTable) else read_iceberg(table)
    pinned = table.model_copy(update={"version" if isinstance(table, DeltaTable) else "snapshot": version})
    if not shown:
        raise UsageError(f"input.table: {pinned}: has no files")
    files = locate(root, shown)
    if gone := sorted(shown.keys() - files.keys()):
        raise UsageError(
            f"input.table: {pinned}: {gone[0]} is gone from the store ({len(gone)} such files); were old versions "
            "removed (VACUUM, expire_snapshots)? Choose a newer one"
        )
    return pinned, [files[path] for path in sorted(files)]


def locate_files(table: Table, paths: list[str]) -> list[InputFile]:
    """The files of these paths as they are now, without those that are gone."""
    root = table.path if isinstance(table, DeltaTable) else None
    return [*locate(root, dict.fromkeys(paths)).values()]
