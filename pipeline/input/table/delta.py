"""Delta tables, by the library `deltalake`: the files of a version, what their partitions are, and which rows of them
are deleted."""

import math
import os
import re
from typing import Any
from urllib.parse import unquote

import numpy as np
import pyarrow as pa
from s3fs import S3FileSystem

from pipeline.config.sections import DeltaTable
from pipeline.errors import UsageError, one_line
from pipeline.input.shown import Shown, TableColumn, make_shown
from pipeline.input.table.locate import find_path
from pipeline.storage.urls import is_local, make_absolute, open_url

MAPPING = "delta.columnMapping"
READ = {  # features of tables that readers must know, and that this one does
    "columnMapping",
    "deletionVectors",
    "timestampNtz",
    "typeWidening",
    "typeWidening-preview",
    "v2Checkpoint",
    "vacuumProtocolCheck",
}


def read_delta(table: DeltaTable) -> tuple[int, str, dict[str, Shown]]:
    """The version, the table's folder, and what the table says of each of its files, by their paths.

    Raises UsageError where the library is missing, or cannot read the table.
    """
    try:
        import deltalake
    except ImportError:
        raise UsageError(
            "input.table.format = 'delta': deltalake is not installed (in the checkout: pip install '.[tables]')"
        ) from None
    try:
        root = make_absolute(table.path)
        found = deltalake.DeltaTable(root, version=table.version, storage_options=make_storage_options(root))
        features = {*(found.protocol().reader_features or ())}
        columns = read_columns(found)
        files, deleted = read_files(found, root), read_deleted(found, root)
    except UsageError:
        raise
    except Exception as error:  # the library raises many kinds
        if table.version is not None and table.version > (newest := _find_newest(root)):
            raise UsageError(f"input.table: {table}: has no such version; the newest is {newest}") from None
        raise UsageError(
            f"input.table: {table}: cannot be read by deltalake {deltalake.__version__}: {_read_message(error)}. If "
            "the table has what it does not know, give its rows written as plain Parquet"
        ) from None
    kinds = {column.field.name: column.field.type for column in columns}
    for name in found.metadata().partition_columns:
        if pa.types.is_binary(kinds[name]) or pa.types.is_large_binary(kinds[name]):  # the library gives other bytes
            raise UsageError(
                f"input.table: {table}: its partition {name!r} is {kinds[name]}, which is not read; give its rows "
                "written as plain Parquet"
            )
    if unknown := sorted(features - READ):
        raise UsageError(
            f"input.table: {table}: has the feature {unknown[0]!r}, which is not known here; give its rows written as "
            "plain Parquet"
        )
    shown = {path: make_shown(columns, own, deleted.get(path, ())) for path, own in files.items()}
    return found.version(), root, shown


def _find_newest(root: str) -> float:
    """The newest version; infinity where it cannot be read."""
    import deltalake

    try:
        return deltalake.DeltaTable(root, storage_options=make_storage_options(root)).version()
    except Exception:  # the library raises many kinds; the error that led here is the one to show
        return math.inf


def _read_message(error: Exception) -> str:
    """The message of an error of the library, without its terminal colours."""
    return re.sub(r"\x1b\[[\d;]*m", "", one_line(error))


def read_columns(found: Any) -> tuple[TableColumn, ...]:
    """The columns of a version. In a table with column mapping each has a name of its own in the files, and a number;
    files go by the number where the mode is `id`."""
    mode = found.metadata().configuration.get(f"{MAPPING}.mode", "none")
    types = pa.schema(found.schema().to_arrow())
    columns = []
    for described in found.schema().fields:
        about = described.metadata if mode != "none" else {}
        name = about.get(f"{MAPPING}.physicalName", described.name)
        number = int(about[f"{MAPPING}.id"]) if mode == "id" else None
        field = types.field(described.name).remove_metadata()
        columns.append(TableColumn(field, number, (name,)))
    return tuple(columns)


def read_files(found: Any, root: str) -> dict[str, dict[str, Any]]:
    """The values of the partition of each file of a version, by its path. Paths in the log are parts of URLs."""
    actions = pa.table(found.get_add_actions())
    paths = [find_path(unquote(path), root) for path in actions["path"].to_pylist()]
    parts = actions["partition"].to_pylist() if "partition" in actions.column_names else [{}] * len(paths)
    return {path: values or {} for path, values in zip(paths, parts, strict=True)}


def read_deleted(found: Any, root: str) -> dict[str, np.ndarray]:
    """The deleted rows of each file that has some, by its path."""
    vectors: dict[str, np.ndarray] = {}
    for batch in pa.RecordBatchReader.from_stream(found.deletion_vectors()):
        for path, keep in zip(batch["filepath"].to_pylist(), batch["selection_vector"], strict=True):
            vectors[_find_below(unquote(path), root)] = np.flatnonzero(~keep.values.to_numpy(zero_copy_only=False))
    return vectors


def _find_below(uri: str, root: str) -> str:
    """The path of a file below the table's folder, of which the library may give the place that links lead to."""
    path = find_path(uri, root)
    place = os.path.realpath(root) if is_local(root) else root
    return root + path.removeprefix(place) if path.startswith(f"{place}/") else path


def make_storage_options(url: str) -> dict[str, str] | None:
    """The options with which `deltalake` finds a store as s3fs does: its endpoint, and the credentials that botocore
    finds in the environment, in ~/.aws, or by the machine's role. For other stores it looks itself."""
    if is_local(url):
        return None
    fs, _ = open_url(url)
    if not isinstance(fs, S3FileSystem):
        return None
    import botocore.session

    session = botocore.session.get_session()
    given = [os.environ.get(name) for name in ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")]
    given.append(session.get_scoped_config().get("endpoint_url"))
    endpoint = fs.endpoint_url or fs.client_kwargs.get("endpoint_url") or next(filter(None, given), "")
    options = {"AWS_REGION": session.get_config_variable("region") or "us-east-1", "AWS_ENDPOINT_URL": endpoint}
    if endpoint.startswith("http://"):
        options["AWS_ALLOW_HTTP"] = "true"
    if fs.anon:
        options["AWS_SKIP_SIGNATURE"] = "true"
    elif found := (fs.key, fs.secret, fs.token) if fs.key else session.get_credentials():
        key, secret, token = found if isinstance(found, tuple) else found.get_frozen_credentials()[:3]
        options |= {"AWS_ACCESS_KEY_ID": key, "AWS_SECRET_ACCESS_KEY": secret, "AWS_SESSION_TOKEN": token or ""}
    return {name: value for name, value in options.items() if value}
