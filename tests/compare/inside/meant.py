"""The differences from the old tree that are meant, by what they are of: both trees are looked at without them.

A file in scores/ is a unit of a version of a file in place of a unit of a stored plan, so:
"""

import re
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

# The folder of scores has the engine's version in its name, and files in it say which rows of which file they hold.
NAMES = [
    (r"(?<=scores/)[0-9a-f]{16}(-\w+-[\d.]+)?(?=/|$)", "PRINT"),
    (r"(?<=PRINT/)\d{6,}-\d{4,}(\.r\d+)?(?=\.parquet)", "UNIT"),
    (r"(?<=PRINT/)[0-9a-f]{16}-[0-9a-f]{16}-\d+-\d{10}-\d{10}(-\d+)?(\.transient)?(?=\.parquet)", "UNIT"),
]
# No file says which rows they hold, or that some may be scored once more.
GONE_FILES = re.compile(r"scores/PRINT/(plan(\.r\d+)?\.parquet|.*\.transient)")
# In a score file: no number of its file and no plan, but the hashes of a row's texts.
SCORE_COLUMNS = {"file", "texts", "query_text"}
SCORE_METADATA = {"plan"}
# In the manifest: no plan, but the score files that were used, the run's id, what changed, and which columns and files
# were read; the rows and version of each file.
MANIFEST_KEYS = {"plan", "units", "run", "changes", "columns", "passed_over", "table"}
INPUT_KEYS = {"rows", "version"}
# Among the figures: rows that are equal to another, and rows without a score for a reason that may pass; queries that
# are odd; what is known of labels, passages and windows; scores taken over, equal prompts, rows out of time or deleted.
FIGURES = {"equal", "transient", "several_texts", "in_order", "contrary", "label_share", "passages", "windows"}
FIGURES |= {"reused", "equal_prompts", "late", "deleted"}
# In the config: new keys. `stages` is a list, and none in what both trees can do.
CONFIG_KEYS = {
    "run": {"on_gone", "retry_failed", "accept", "min_label_share", "reuse", "until"},
    "input": {"duplicates", "lower_is_better", "table"},
    "reranker": {"adapter", "adapter_revision", "passages"},
}
# With this one rows without a score for a reason that may pass are scored again, which the old tree does unasked.
RETRY = "retry_failed"
# In jobs/status.py --json: the units of the input are not known.
STATUS_KEYS = {"units_put": "units", "rows_put": "rows_scored"}
# And where all rows have scores, the reasons are those of the result, by kind, and no more those of the score files.
STATUS_OF_ALL = {"reasons"}
# Among the reasons of rejects: rows that are equal in every column used have one of their own.
REASONS = {"equal to an earlier row": "duplicate of an earlier row with the same query_id and doc_id"}


def name_file(name: str) -> str:
    for pattern, word in NAMES:
        name = re.sub(pattern, word, name)
    return name


def is_gone(name: str) -> bool:
    """Whether a file, by the name that name_file gives it, is one that there is no more."""
    return GONE_FILES.fullmatch(name) is not None


def is_of_no_rows(path: Path) -> bool:
    """Whether a file of an output is the score file of an input file without rows, which had none before."""
    return bool(re.search(r"/scores/[^/]+/.+-0-0{10}-0{10}\.parquet$", str(path)))


def rows(table: pa.Table, name: str) -> pa.Table:
    """The rows of a file of an output. name: as name_file gives it."""
    if name.endswith("UNIT.parquet"):
        return table.select([column for column in table.column_names if column not in SCORE_COLUMNS])
    if "rejects/" in name:
        reasons = table["reason"]
        for new, old in REASONS.items():
            reasons = pc.if_else(pc.equal(reasons, new), old, reasons)
        return table.set_column(table.column_names.index("reason"), "reason", reasons)
    return table


def without(values: dict[str, Any], keys: set[str]) -> dict[str, Any]:
    return {key: value for key, value in values.items() if key not in keys}


def config(values: dict[str, Any]) -> dict[str, Any]:
    values = {name: section for name, section in values.items() if (name, section) != ("stages", [])}
    return {name: without(section, CONFIG_KEYS.get(name, set())) for name, section in values.items()}


def status(values: dict[str, Any]) -> dict[str, Any]:
    """The entry about the scores of a fingerprint, in the form of the new tree."""
    if "units_put" in values:
        values = {STATUS_KEYS.get(key, key): value for key, value in values.items() if key != "units"}
    if "looked_into" in values and values["rows_scored"] == values["rows"]:
        values = without(values, STATUS_OF_ALL)
    return values


def figures(values: dict[str, Any]) -> dict[str, Any]:
    return without(values, FIGURES)


def manifest(values: dict[str, Any]) -> dict[str, Any]:
    known = without(values, MANIFEST_KEYS)
    known["figures"], known["config"] = figures(values["figures"]), config(values["config"])
    known["input"] = [without(file, INPUT_KEYS) for file in values.get("input", [])]
    counts: dict[str, int] = {}
    for reason, count in values["reasons"].items():
        counts[REASONS.get(reason, reason)] = counts.get(REASONS.get(reason, reason), 0) + count
    known["reasons"] = counts
    return known
