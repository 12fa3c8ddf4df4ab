"""Re-ranks a table that is in memory, for notebooks and tests: the whole run, by way of files that go away again."""

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from actors.worker.actor import Scorer
from pipeline.config import Config, load, parse
from pipeline.input.result import read_result
from pipeline.run import rerank as run
from pipeline.storage.folder import Folder


def rerank(table: Any, config: Any, *overrides: str, scorer: type = Scorer) -> Any:
    """The ranked rows, as a table of the same kind: see docs/output.md for its columns.

    table: of Arrow, pandas or Polars, with the columns of docs/input.md.
    config: the path of a YAML file, or its sections as a dictionary, or a `Config`; its `input.path` and `output.path`
    are ignored, and may be left out of a dictionary. overrides: `dotted.key=value`, behind a path.
    Raises what jobs/rerank.py ends with: UsageError, TooManyFailed or RunError, each with one line that says why.
    """
    with tempfile.TemporaryDirectory(prefix="rayrank-") as folder:
        pairs, output = f"{folder}/pairs.parquet", f"{folder}/output"
        pq.write_table(pa.table(table), pairs)
        run(_set_paths(config, overrides, pairs, output), scorer)
        manifest = read_result(Folder(output))
        assert manifest
        ranked = pa.concat_tables(pq.read_table(Path(output, part)) for part in manifest["parts"])
    return _convert_like(table, ranked)


def _set_paths(config: Any, overrides: tuple[str, ...], pairs: str, output: str) -> Config:
    if isinstance(config, Config):
        config = config.model_dump(mode="json", exclude_none=True)
    if isinstance(config, Mapping):
        if overrides:
            raise TypeError("overrides go with the path of a config; change the dictionary itself")
        paths = {"input": pairs, "output": output}
        return parse({**config} | {name: {**config.get(name, {})} | {"path": path} for name, path in paths.items()})
    return load(str(config), [*overrides, f"input.path={pairs}", f"output.path={output}"])


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
