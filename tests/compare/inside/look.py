"""An output as data that can be compared: every file of it, with names that are drawn at random masked."""

import hashlib
import json
import re
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from . import meant

WHOLE = 3000  # rows of a table that are shown; of a longer one the first of them, and digests of its columns
NEVER_THE_SAME = ("written", "tag", "fingerprint")
OF_TIME = ("seconds", "pairs_per_second", "spilled_bytes")
OF_THIS_RUN = ("scored_now", "units_now", "prompt_tokens", "cached_tokens", "new_tokens")
NAMES = [(r"(?<=part-\d{5})-[0-9a-f]{12}(?=\.parquet)", "-TAG"), (r"\.put-.*", ".put-X")]


def look(output: str, late: bool = False) -> dict[str, Any]:
    """The content of the output folder. late: a run was killed before, so how much the last one did is its own."""
    folder = Path(output)
    files = {name: path for name, path in _name_files(folder).items() if not meant.is_gone(name)}
    if late:
        files = {name: path for name, path in files.items() if not name.endswith(".put-X")}  # what the killed one left
    tables = {name: _table(path, name) for name, path in files.items() if name.endswith(".parquet")}
    known: dict[str, Any] = {"layout": sorted(files.keys() - {"_SUCCESS"}), "success": "_SUCCESS" in files}
    known["tables"] = tables
    if "manifest.json" in files:
        data = files["manifest.json"].read_bytes()
        try:
            values = json.loads(data)
        except ValueError:  # it was written in between, by no run
            return known | {"manifest": data.decode()}
        known["manifest"], known["note"] = manifest(values, late), {"fingerprint": values["fingerprint"]}
        known["indented"] = data == json.dumps(values, indent=1).encode()
        if "_SUCCESS" in files:
            known["sealed"] = hashlib.sha256(data).hexdigest() == files["_SUCCESS"].read_text().strip()
    return known


def _name_files(folder: Path) -> dict[str, Path]:
    """Masked name -> file. Those that share a masked name (two parts of one number) are numbered by their content."""
    found: dict[str, list[Path]] = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not meant.is_of_no_rows(path):
            found.setdefault(masked(str(path.relative_to(folder))), []).append(path)
    return {
        name if number == 0 else f"{number} {name}": path
        for name, paths in found.items()
        for number, path in enumerate(sorted(paths, key=lambda path: _content(path, name)))
    }


def _content(path: Path, name: str) -> Any:
    return shown(_rows(pq.ParquetFile(path), name)) if name.endswith("UNIT.parquet") else path.read_bytes()


def manifest(values: dict[str, Any], late: bool) -> dict[str, Any]:
    """A manifest without what no two runs share; `keys` are all of its keys, in their order."""
    values = meant.manifest(values)
    kept = {key: value for key, value in values.items() if key not in NEVER_THE_SAME}
    kept["figures"] = figures(values["figures"], late)
    kept["parts"] = [masked(name) for name in values["parts"]]
    kept["rejects"] = [masked(name) for name in values["rejects"]]
    return {"keys": [*values], "steps": [] if late else [*values["figures"]["seconds"]], **kept}


def figures(values: dict[str, Any], late: bool = False) -> dict[str, Any]:
    """The figures of a run without its times."""
    values, left_out = meant.figures(values), OF_TIME + (OF_THIS_RUN if late else ())
    return {"keys": [*values]} | {key: value for key, value in values.items() if key not in left_out}


def masked(name: str) -> str:
    for pattern, word in NAMES:
        name = re.sub(pattern, word, name)
    return meant.name_file(name)


def _table(path: Path, name: str) -> dict[str, Any]:
    """The rows of a Parquet file, and how it is written."""
    file = pq.ParquetFile(path)
    rows, about = _rows(file, name), file.metadata
    columns = [about.row_group(0).column(i) for i in range(about.num_columns)] if about.num_row_groups else []
    columns = [column for column in columns if column.path_in_schema.split(".")[0] in rows.column_names]
    known: dict[str, Any] = {
        "schema": str(rows.schema.remove_metadata()),
        "metadata": sorted({key.decode() for key in file.schema_arrow.metadata or {}} - meant.SCORE_METADATA),
        "groups": [about.row_group(i).num_rows for i in range(about.num_row_groups)],
        "written": [f"{c.path_in_schema} {c.compression} {c.encodings} {c.is_stats_set}" for c in columns],
        "rows": shown(rows.slice(0, WHOLE)),
    }
    if "ranked/" in name:
        known["bytes"] = hashlib.sha256(path.read_bytes()).hexdigest()
    if len(rows) > WHOLE:
        known["digests"] = {name: digest(rows[name]) for name in dict.fromkeys(rows.column_names)}
    return known


def _rows(file: pq.ParquetFile, name: str) -> pa.Table:
    return meant.rows(file.read(), name)


def shown(rows: pa.Table) -> list[str]:
    """Each row as text that tells 1 from 1.0, null from NaN and one float from the next."""
    lists = [rows.column(i).to_pylist() for i in range(rows.num_columns)]
    return [repr(row) for row in zip(*lists, strict=True)] if lists else []


def digest(column: pa.ChunkedArray) -> str:
    """A hash of a column's values, however they are cut into chunks."""
    return hashlib.sha256(repr(column.to_pylist()).encode()).hexdigest()[:16]
