"""Iceberg tables, by the library `pyiceberg`: the files of a snapshot, and which rows of them are deleted.

Catalogs are those of pyiceberg's own configuration, so that no secret stands in a config. Columns go by their numbers:
a table's column may have another name in an older file.
"""

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline.config.sections import IcebergTable
from pipeline.errors import UsageError, one_line
from pipeline.input.shown import FIELD_ID, Shown, TableColumn, make_shown
from pipeline.input.table.locate import find_path

THREADS = 16
REWRITE = "have its files rewritten (rewrite_data_files), or give its rows written as plain Parquet"
Deletes = dict[str, np.ndarray]  # data file, as the table names it -> its deleted rows


def read_iceberg(table: IcebergTable) -> tuple[int, str, dict[str, Shown]]:
    """The snapshot, the table's folder, and what the table says of each of its files, by their paths.

    Raises UsageError where the library is missing, or cannot read the table.
    """
    try:
        import pyiceberg
        from pyiceberg.catalog import load_catalog
    except ImportError:
        raise UsageError(
            "input.table.format = 'iceberg': pyiceberg is not installed (in the checkout: pip install '.[tables]')"
        ) from None
    try:
        found = load_catalog(table.catalog).load_table(table.name)
        snapshot = table.snapshot
        if snapshot is None:
            if (current := found.current_snapshot()) is None:
                raise UsageError(f"input.table: {table}: has no snapshot yet, and so no rows")
            snapshot = current.snapshot_id
        scan = found.scan(snapshot_id=table.snapshot)  # without one, with the columns that the table has now
        tasks = [*scan.plan_files()]
        columns = read_columns(scan.projection(), found.name_mapping())
        deletes = read_deletes(found.io, {file for task in tasks for file in task.delete_files})
    except UsageError:
        raise
    except Exception as error:  # a catalog may raise anything
        message = one_line(error)
        mend = "it has equality deletes" if "equality delete" in message.lower() else "if the table has what it lacks"
        raise UsageError(
            f"input.table: {table}: cannot be read by pyiceberg {pyiceberg.__version__}: {message}. Catalogs are those "
            f"of pyiceberg's configuration (PYICEBERG_CATALOG__{table.catalog.upper()}__URI in the environment, or "
            f".pyiceberg.yaml); {mend}, {REWRITE}"
        ) from None
    if other := next((task.file for task in tasks if task.file.file_format.value.upper() != "PARQUET"), None):
        kind = other.file_format.value
        raise UsageError(f"input.table: {table}: {other.file_path} is {kind}, not Parquet; {REWRITE}")
    specs, shown = found.specs(), dict[str, Shown]()
    for task in tasks:
        constants = read_constants(specs[task.file.spec_id], task.file.partition, columns)
        deleted = [deletes[file.file_path].get(task.file.file_path) for file in task.delete_files]
        rows = np.concatenate([np.zeros(0, np.int64), *(rows for rows in deleted if rows is not None)])
        shown[find_path(task.file.file_path)] = make_shown(columns, constants, rows)
    return snapshot, found.location(), shown


def read_columns(schema: Any, mapping: Any) -> tuple[TableColumn, ...]:
    """The columns of a schema. mapping: the names that they have in files without numbers, where the table has it."""
    from pyiceberg.io.pyarrow import schema_to_pyarrow

    types = schema_to_pyarrow(schema)
    mapped = {one.field_id: tuple(one.names) for one in mapping.root} if mapping else {}
    return tuple(
        TableColumn(_drop_id(types.field(one.name)), one.field_id, mapped.get(one.field_id, ()), one.initial_default)
        for one in schema.fields
    )


def _drop_id(field: pa.Field) -> pa.Field:
    """The field without its own number; those of its parts stay."""
    return field.with_metadata({key: value for key, value in (field.metadata or {}).items() if key != FIELD_ID})


def read_constants(spec: Any, partition: Any, columns: Iterable[TableColumn]) -> dict[str, Any]:
    """The columns that a file's partition has as they are, with their values. A null may lie in the file."""
    from pyiceberg.transforms import IdentityTransform

    names = {column.id: column.field.name for column in columns}
    return {
        names[part.source_id]: partition[at]
        for at, part in enumerate(spec.fields)
        if isinstance(part.transform, IdentityTransform) and part.source_id in names and partition[at] is not None
    }


def read_deletes(io: Any, files: Iterable[Any]) -> dict[str, Deletes]:
    """The deletes of each of these delete files, by their paths. Each is read once."""
    files = [*files]
    with ThreadPoolExecutor(THREADS) as pool:
        found = pool.map(lambda file: _read_deletes(io, file), files)
        return {file.file_path: rows for file, rows in zip(files, found, strict=True)}


def _read_deletes(io: Any, file: Any) -> Deletes:
    """Those of a file of positions, or of one with deletion vectors (Puffin)."""
    from pyiceberg.table.deletion_vector import deletion_vectors_from_puffin_file
    from pyiceberg.table.puffin import PuffinFile

    with io.new_input(file.file_path).open() as source:
        data = source.read()
    kind = file.file_format.value.upper()
    if kind == "PUFFIN":
        vectors = deletion_vectors_from_puffin_file(PuffinFile(data))
        return {vector.referenced_data_file: vector.to_vector().to_numpy().astype(np.int64) for vector in vectors}
    if kind != "PARQUET":
        raise UsageError(f"input.table: {file.file_path}: is a delete file in {kind}, which is not read; {REWRITE}")
    rows = pq.read_table(pa.BufferReader(data), columns=["file_path", "pos"])
    paths = pc.unique(rows["file_path"]).to_pylist()
    return {path: rows.filter(pc.equal(rows["file_path"], path))["pos"].to_numpy() for path in paths}
