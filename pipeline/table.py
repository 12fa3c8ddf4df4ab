"""Re-ranks a table that is in memory, for notebooks and tests: the whole run, by way of files that go away again."""

import tempfile
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pyarrow.types as pt

from actors.worker.actor import Scorer
from pipeline.config import Config, load, parse
from pipeline.errors import UsageError, one_line
from pipeline.input.columns import IDS, REQUIRED, select_carried
from pipeline.input.result import read_result
from pipeline.run import rerank as run
from pipeline.storage.folder import Folder


def rerank(table: Any, config: Any, *overrides: str, scorer: type = Scorer) -> Any:
    """The ranked rows, as a table of the same kind: see docs/output.md for its columns.

    table: of Arrow, pandas or Polars, with the columns of docs/input.md.
    config: the path of a YAML file, or its sections as a dictionary, or a `Config`; its `input.path`, `input.table`
    and `output.path` are ignored, and may be left out of a dictionary. overrides: `dotted.key=value`, behind a path.
    Raises what jobs/rerank.py ends with: UsageError, TooManyFailed or RunError, each with one line that says why.
    """
    with tempfile.TemporaryDirectory(prefix="rayrank-") as folder:
        pairs, output = f"{folder}/pairs.parquet", f"{folder}/output"
        parsed = _set_paths(config, overrides, pairs, output)
        _write(_select_used(table, parsed), pairs)
        run(parsed, scorer)
        manifest = read_result(Folder(output))
        assert manifest
        ranked = pa.concat_tables(pq.read_table(Path(output, part)) for part in manifest["parts"])
    return _convert_like(table, ranked)


def _select_used(table: Any, config: Config) -> pa.Table:
    """The columns in use, in types that files can have; no other column is looked at.

    Raises UsageError, naming the column, where one is missing or holds values that Arrow cannot take.
    """
    names, columns = _open(table)
    needed = {config.input.column(name): f"input.columns.{name}" for name in (*REQUIRED, *config.input.columns)}
    needed |= {column: "output.columns" for column in select_carried(config).values() if column not in needed}
    used = {config.input.column(name): f"input.columns.{name}" for name in IDS} | needed
    for column, key in needed.items():
        if column not in names:
            raise UsageError(f"the table has no column {column!r} ({key}); it has {', '.join(map(str, names))}")
    arrays, found = [], [name for name in names if name in used]
    for name, read in zip(names, columns, strict=True):
        if name in used:
            try:
                column = read()
                arrays.append(column.cast(column.type.value_type) if pt.is_dictionary(column.type) else column)
            except (pa.ArrowException, TypeError, ValueError, OverflowError) as error:
                raise UsageError(f"the table: column {name!r} ({used[name]}): {one_line(error)}") from None
    return pa.Table.from_arrays(arrays, found)


def _open(table: Any) -> tuple[list[Any], list[Callable[[], Any]]]:
    """The names of a table's columns, and what gives each of them as an Arrow array.

    Raises UsageError for what is no table of Arrow, pandas or Polars.
    """
    module, kind = type(table).__module__.partition(".")[0], type(table).__name__
    if isinstance(table, pa.Table | pa.RecordBatch):
        return table.column_names, [partial(table.column, at) for at in range(table.num_columns)]
    if (module, kind) == ("pandas", "DataFrame"):
        levels = [name for name in table.index.names if name is not None and name not in table.columns]
        table = table.reset_index(level=levels) if levels else table  # an index with a name is a column, too
        return [*table.columns], [partial(_convert_pandas, table, at) for at in range(table.shape[1])]
    if (module, kind) == ("polars", "DataFrame"):
        return table.columns, [partial(_convert_polars, column) for column in table.get_columns()]
    mend = "; give what its collect() gives" if kind == "LazyFrame" else ""
    raise UsageError(f"the table is a {module}.{kind}, and should be a table of Arrow, pandas or Polars{mend}")


def _convert_pandas(frame: Any, at: int) -> Any:
    return pa.array(frame.iloc[:, at], from_pandas=True)


def _convert_polars(column: Any) -> Any:
    """Python objects one by one: Polars would give where they are in memory."""
    return pa.array(column.to_list()) if str(column.dtype) == "Object" else column.to_arrow()


def _write(table: pa.Table, path: str) -> None:
    try:
        pq.write_table(table, path)
    except pa.ArrowException as error:  # of a type that Parquet does not have, in a carried column
        raise UsageError(f"the table: {one_line(error)}") from None


def _set_paths(config: Any, overrides: tuple[str, ...], pairs: str, output: str) -> Config:
    if overrides and isinstance(config, Config | Mapping):
        raise TypeError("overrides go with the path of a config; change the config itself")
    if isinstance(config, Config):
        places = {"input": config.input.model_copy(update={"path": [pairs], "table": None})}
        return config.model_copy(update=places | {"output": config.output.model_copy(update={"path": output})})
    if isinstance(config, Mapping):
        paths = {"input": pairs, "output": output}
        sections = {name: {**config.get(name, {})} | {"path": path} for name, path in paths.items()}
        sections["input"].pop("table", None)
        return parse({**config} | sections)
    return load(str(config), [*overrides, f"input.path={pairs}", "input.table=null", f"output.path={output}"])


def _convert_like(table: Any, ranked: pa.Table) -> Any:
    """The ranked rows in the form of `table`'s library."""
    match type(table).__module__.partition(".")[0]:
        case "pandas":
            return ranked.to_pandas()
        case "polars":
            import polars

            return polars.from_arrow(ranked)
        case _:
            return ranked
