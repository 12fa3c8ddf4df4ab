"""Which of a file's columns stands for which name. One of the usual names is taken; of two that fit, none is."""

from collections.abc import Container, Iterable, Mapping, Sequence
from typing import NamedTuple

from pipeline.errors import UsageError


class Usual(NamedTuple):
    """Where a name is found. key: with which the user names its column. fallback: columns that count only where none of
    the others is there, and that stand for nothing else. optional: the name may have no column."""

    key: str
    columns: tuple[str, ...]
    fallback: tuple[str, ...] = ()
    optional: bool = False


class Unmatched(ValueError):
    """No column, or more than one, fits a name. The message says which, and has no file in it."""


def match_columns(usual: Mapping[str, Usual], there: Sequence[str]) -> dict[str, str]:
    """Name -> column, for the names that have one. there: the columns of the file, in any order.

    Raises Unmatched where a column is missing, or can only be guessed.
    """
    found = {name: [column for column in names.columns if column in there] for name, names in usual.items()}
    taken = {column for columns in found.values() for column in columns}
    for name, names in usual.items():
        found[name] = found[name] or [column for column in names.fallback if column in there and column not in taken]
    for name, columns in found.items():
        key = usual[name].key
        if len(columns) > 1:
            raise Unmatched(f"has {' and '.join(map(repr, columns))} for {name}; choose one with --column {key}=...")
        if columns and there.count(columns[0]) > 1:
            raise Unmatched(
                f"has {there.count(columns[0])} columns {columns[0]!r}, for {name}; choose with --column {key}=..."
            )
        if columns and columns[0] in usual[name].fallback:
            for other in found.keys() - {name}:
                if found[other] == columns:
                    keys = f"--column {key}=... or --column {usual[other].key}=..."
                    raise Unmatched(f"has {columns[0]!r}, which fits {name} and {other}; say which it is with {keys}")
        if not columns and not usual[name].optional:
            known = " or ".join(map(repr, usual[name].columns + usual[name].fallback))
            raise Unmatched(f"has no column {known} for {name} (--column {key}=...)")
    return {name: columns[0] for name, columns in found.items() if columns}


def describe_taken(what: str, taken: Mapping[str, Mapping[str, int]], given: Container[str]) -> str:
    """Which columns of other names were taken, such as "corpus: doc_id is 'docid', doc is 'text'"; empty if none.

    taken: name -> column -> rows. given: names whose columns the user named, which need no telling.
    """
    told = []
    for name, columns in taken.items():
        if name in given or columns.keys() <= {name}:
            continue
        several = len(columns) > 1
        which = [f"{column!r}" + several * f" in {rows:,} rows" for column, rows in sorted(columns.items())]
        told.append(f"{name} is {' and '.join(which)}")
    return f"{what}: {', '.join(told)}" if told else ""


def parse_columns(pairs: Sequence[str], names: Iterable[str], others: Iterable[str] = ()) -> dict[str, str]:
    """Name -> column, of the values NAME=COLUMN of `--column`. others: names that are known, too, and not listed.

    Raises UsageError for a name that is not known, or given twice.
    """
    columns: dict[str, str] = {}
    for pair in pairs:
        name, _, column = pair.partition("=")
        if name not in {*names, *others} or not column:
            raise UsageError(f"--column {name}: give NAME=COLUMN, with one of {', '.join(names)} for NAME")
        if columns.setdefault(name, column) != column:
            raise UsageError(f"--column {name}: is given as {columns[name]!r} and as {column!r}")
    return columns
