"""Lines of a preparation beside its figures: how it read the columns, and what looks like a mistake in the input."""

from collections import Counter
from collections.abc import Iterator

from pipeline.input.match import describe_taken
from pipeline.prepare.formats import KINDS


def name_taken(kind: str, name: str, column: str) -> str:
    """The name of the count of the rows of a kind in which this column was taken for `name`."""
    return f"{kind}.{name}={column}"


def describe_columns(counts: Counter[str], kind: str, given: dict[str, str]) -> str:
    """Which columns of other names were taken for a kind's own; empty where there is nothing to tell.

    counts: with those of `name_taken`. given: the columns that the user named.
    """
    taken = {}
    for name in KINDS[kind]:
        prefix = name_taken(kind, name, "")
        taken[name] = {count.removeprefix(prefix): rows for count, rows in counts.items() if count.startswith(prefix)}
    return describe_taken(kind, taken, {key.removeprefix(f"{kind}.") for key in given})


def describe_rows(counts: Counter[str], drops_identical: bool, excluded: str | None) -> Iterator[str]:
    """Lines about rows of the runs that may be no candidates by the rules of their collection."""
    identical = counts["identical_rows"]
    if identical and not drops_identical:
        yield (
            f"in {identical:,} rows of the runs the document has the id of its query; if it is the query itself, as in "
            "ArguAna and Quora, --drop-identical-ids leaves it out"
        )
    if excluded and counts["excluded_rows"] == drops_identical * identical:
        yield f"--excluded = {excluded!r}: leaves out no row of the runs; are the ids written alike?"


def describe_ids(counts: Counter[str], what: str, rows: int, output: str) -> Iterator[str]:
    """Lines about ids that hardly meet, or that have several texts.

    what: "queries" or "docs". rows: how many rows of the runs were looked up. output: the URL of the shards.
    """
    table, id, unknown = (
        ("queries", "query_id", counts["unknown_query_rows"])
        if what == "queries"
        else ("corpus", "doc_id", counts["unknown_doc_rows"])
    )
    if rows < 2 * unknown < 2 * rows:
        yield (
            f"{unknown:,} of {rows:,} rows of the runs have a {id} that is not in the {table}; "
            f"are the ids written alike? {output}/_unknown lists them"
        )
    if conflicting := counts[f"conflicting_{what}"]:
        yield (
            f"{conflicting:,} of {counts[f'repeated_{what}']:,} rows of the {table} that repeat a {id} have another "
            "text; the first one is used"
        )
