"""Input columns of any Arrow type -> the few types of a pair's fields. One rule for each type.

ids     strings as they are; dictionaries by their values; binary as UTF-8 text, or `0x` and hex where it is not;
        binary of a fixed size as `0x` and hex; UUIDs in their usual form; any other flat type as Arrow's cast to
        string writes it (12, 1.5, true, 2026-11-21). Without an id column the id is the 128-bit BLAKE2b hash of the
        text, in hex; a query's is that of its text and its instruction, where that is a column.
texts   strings, dictionaries of strings, or binary that holds UTF-8.
scores  integers, floats and decimals, as float64.
        Ids that are floats must be exact: below 2**53 (2**24 in 32 bits, 2**11 in 16), and finite.
Other extension types (JSON, ...) count as what they are stored as.
"""

import hashlib

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pt

from pipeline.config import Config
from pipeline.errors import UsageError

TEXTS = ("query", "doc", "title", "instruction")
REQUIRED = ("query", "doc", "score")
IDS = ("query_id", "doc_id")
EXACT_BELOW = {pa.float16(): 2**11, pa.float32(): 2**24, pa.float64(): 2**53}  # all whole numbers are distinct
Known = dict[
    str, tuple[pa.Field, str]
]  # column -> the first file's that has it in a type other than null, and its path


def select_columns(config: Config, schema: pa.Schema) -> dict[str, str]:
    """Logical name -> column in the files, for the columns that a run reads, given the schema of one file.

    `query_id` and `doc_id` are optional under their own names, `title` and `instruction` are read only where the
    config maps them. A mapped column must be there.
    """
    mapped = config.input.columns
    wanted = {name: config.input.column(name) for name in ("query_id", "query", "doc_id", "doc", "score")}
    wanted |= {name: mapped[name] for name in ("title", "instruction") if name in mapped}
    return {
        name: column for name, column in wanted.items() if name in mapped or name in REQUIRED or column in schema.names
    }


def describe_columns(columns: dict[str, str]) -> str:
    """Which columns are read, in words. columns: as select_columns gives them."""
    words = [f"{name} is {column!r}" for name, column in columns.items()]
    for name, text in (("query_id", "query"), ("doc_id", "doc")):
        if name not in columns:
            also = " and instruction" if name == "query_id" and "instruction" in columns else ""
            words.append(f"{name} is a hash of {text}{also}, for there is no such column")
    return ", ".join(words)


def list_named(config: Config) -> list[str]:
    """The columns in the files that a config names, or that are read under their own names."""
    logical = (*config.input.columns, *IDS, *REQUIRED)
    return [*dict.fromkeys([*map(config.input.column, logical), *select_carried(config).values()])]


def check_schema(path: str, schema: pa.Schema, columns: dict[str, str], key: str = "input.columns.") -> None:
    """Raises UsageError where a file lacks one of the columns, or has it in a type that cannot be used.

    key: the start of the user's name for the column, which ends with its logical name.
    """
    for name, column in columns.items():
        if (n := schema.names.count(column)) != 1:
            what = "has no column" if n == 0 else f"has {n} columns named"
            there = ", ".join(schema.names) or "none"
            raise UsageError(f"{path}: {what} {column!r} ({key}{name}); it has {there}")
        kind = schema.field(column).type
        if not _is_usable(name, _unwrap_type(kind)):
            wants = "a text" if name in TEXTS else "a number" if name == "score" else "an id"
            raise UsageError(f"{path}: column {column!r} ({key}{name}) is {kind}, not {wants}")


def select_carried(config: Config) -> dict[str, str]:
    """Name in the output -> column in the files, for `output.columns`: logical names, else the files' own."""
    return {name: config.input.column(name) for name in config.output.columns}


def check_carried(columns: dict[str, str], path: str, schema: pa.Schema, known: Known) -> None:
    """Raises UsageError where a file lacks a carried column, or has it in another type than an earlier file. A column
    of nulls alone goes with any."""
    for name, column in columns.items():
        if (n := schema.names.count(column)) != 1:
            what = "has no column" if n == 0 else f"has {n} columns named"
            raise UsageError(f"output.columns: {path} {what} {column!r} for {name!r}; it has {', '.join(schema.names)}")
        kind = make_carried_field(schema.field(column)).type
        try:
            pa.nulls(0, kind).take(pa.array([], pa.int64()))
        except pa.ArrowNotImplementedError:
            what = f"column {column!r} is {kind} in {path}, a type whose rows Arrow cannot take"
            raise UsageError(f"output.columns: {what}: it cannot be carried") from None
        if column in known and not pt.is_null(kind):
            field, where = known[column]
            if kind != (other := make_carried_field(field).type):
                raise UsageError(f"output.columns: column {column!r} is {kind} in {path}, and {other} in {where}")


def make_carried_field(field: pa.Field) -> pa.Field:
    """The type in which a column is carried: dictionaries become their values, as the dictionaries of two files differ,
    and texts become large strings, as one bucket may have more than the 2 GiB that the other string types can hold."""
    kind = field.type.value_type if pt.is_dictionary(field.type) else field.type
    large = {pa.string(): pa.large_string(), pa.binary(): pa.large_binary()}
    large |= {
        pa.string_view(): pa.large_string(),
        pa.binary_view(): pa.large_binary(),
    }  # Arrow cannot take rows from views
    return pa.field(field.name, large.get(kind, kind))


def check_same_ids(path: str, schema: pa.Schema, known: Known, columns: dict[str, str]) -> None:
    """Raises UsageError where the ids of two files would become different strings: 1 and 1.0, or ms and us."""
    for name in IDS:
        if name in columns and columns[name] in known:
            kind, (field, where) = schema.field(columns[name]).type, known[columns[name]]
            if not pt.is_null(kind) and _name_id_form(kind) != _name_id_form(field.type):
                raise UsageError(
                    f"{path}: column {columns[name]!r} (input.columns.{name}) is {kind}, and {field.type} in {where}"
                )


def name_id_forms(columns: dict[str, str], known: Known) -> dict[str, str]:
    """Logical name -> form of the ids in it, but for ids of whole numbers or texts. Files whose scores are in one
    result have the same."""
    kinds = {name: known[columns[name]][0].type for name in IDS if columns.get(name) in known}
    forms = {name: form for name, kind in kinds.items() if (form := _name_id_form(kind)) != "plain"}
    if "instruction" in columns and "query_id" not in columns:
        forms["query_id"] = "hash of query and instruction"
    return forms


def _name_id_form(kind: pa.DataType) -> str:
    """The form in which ids of a type are written, the same for whole numbers and texts."""
    if kind == pa.uuid():
        return "uuid"
    kind = _unwrap_type(kind)
    return "plain" if _is_text(kind) or pt.is_integer(kind) else str(kind)


def _unwrap_type(kind: pa.DataType) -> pa.DataType:
    if isinstance(kind, pa.BaseExtensionType):
        return kind.storage_type
    return kind.value_type if pt.is_dictionary(kind) else kind


def _is_usable(name: str, kind: pa.DataType) -> bool:
    if pt.is_null(kind):
        return True
    if name in TEXTS:
        return _is_text(kind)
    if name == "score":
        return pt.is_integer(kind) or pt.is_floating(kind) or pt.is_decimal(kind)
    if pt.is_nested(kind):
        return False
    try:
        as_ids(pa.array([], kind))
    except pa.ArrowException:  # e.g. a time zone that this machine does not know
        return False
    return True


def _is_text(kind: pa.DataType) -> bool:
    return pt.is_string(kind) or pt.is_large_string(kind) or _has_name(kind, "string_view") or _is_binary(kind)


def _is_binary(kind: pa.DataType) -> bool:
    return pt.is_binary(kind) or pt.is_large_binary(kind) or _has_name(kind, "binary_view")


def _has_name(kind: pa.DataType, name: str) -> bool:
    return str(kind) == name


def as_bytes(column: pa.Array) -> pa.Array:
    """The bytes of texts, as large binary."""
    return _flatten(column).cast(pa.large_binary())


def as_text(column: pa.Array) -> tuple[pa.Array, pa.Array]:
    """Large strings, and a mask of the values that are not UTF-8 (null in the strings)."""
    binary = as_bytes(column)
    try:
        return binary.cast(pa.large_string()), pa.repeat(False, len(binary))
    except pa.ArrowInvalid:
        strings = pa.array([_decode(value) for value in binary.to_pylist()], pa.large_string())
        return strings, pc.and_(pc.is_null(strings), pc.is_valid(binary))


def as_ids(column: pa.Array) -> pa.Array:
    """Ids as strings; null stays null."""
    if column.type == pa.uuid():
        return pa.array([value and str(value) for value in column.to_pylist()], pa.string())
    column = _flatten(column)
    if pt.is_fixed_size_binary(column.type):
        return pa.array([None if value is None else "0x" + value.hex() for value in column.to_pylist()], pa.string())
    if not _is_text(column.type):
        return column.cast(pa.string())
    strings, broken = as_text(column)
    if not pc.any(broken).as_py():
        return strings.cast(pa.string())
    raw = column.cast(pa.binary()).to_pylist()
    return pa.array([_decode(value) or (value and "0x" + value.hex()) for value in raw], pa.string())


def check_exact_ids(
    path: str,
    column: pa.Array,
    first_row: int,
    name: str,
    logical: str,
    key: str = "input.columns.",
    deleted: np.ndarray | None = None,
) -> None:
    """Raises UsageError where an id is a float that may stand for several whole numbers, or for none.

    column: some values of the column `name` of a file. first_row: the number of the first of them in that file. key:
    the start of the user's name for the column, which ends with its logical name. deleted: which of the rows do not
    count.
    """
    if column.type not in EXACT_BELOW:
        return
    exact = pc.less(pc.abs(column.cast(pa.float64())), EXACT_BELOW[column.type])  # NaN is not
    if deleted is not None:
        exact = pc.or_(exact, pa.array(deleted))
    if (at := pc.index(exact, False).as_py()) >= 0:
        raise UsageError(
            f"{path}: row {first_row + at}: column {name!r} ({key}{logical}) is {column.type}, and has "
            f"{column[at].as_py()!r}: from {EXACT_BELOW[column.type]} on such a number may stand for several ids; "
            "write ids as whole numbers or strings"
        )


def as_scores(column: pa.Array) -> pa.Array:
    """First-stage scores as float64; null stays null."""
    return _flatten(column).cast(pa.float64(), safe=False)


def read_query_ids(batch: pa.RecordBatch, columns: dict[str, str]) -> pa.Array:
    """The id of each row's query, as strings; null where it has none. columns: as select_columns gives them."""
    if "query_id" in columns:
        return as_ids(batch[columns["query_id"]])
    texts = {name: as_text(batch[columns[name]])[0] for name in ("query", "instruction") if name in columns}
    return hash_ids(texts["query"], texts.get("instruction"))


def hash_ids(texts: pa.Array, instructions: pa.Array | None = None) -> pa.Array:
    """The 128-bit BLAKE2b hash of each text, in hex; null stays null. With an instruction that is not null, the hash of
    that hash and the instruction."""
    hashes = {text: _hash(text) for text in texts.unique().to_pylist() if text is not None}
    ids = [hashes.get(text) for text in texts.to_pylist()]
    if instructions is not None:
        asked = zip(ids, instructions.to_pylist(), strict=True)
        ids = [id if id is None or instruction is None else _hash(id + instruction) for id, instruction in asked]
    return pa.array(ids, pa.string())


def _hash(text: str) -> str:
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def _flatten(column: pa.Array) -> pa.Array:
    if isinstance(column, pa.ExtensionArray):
        return column.storage
    return column.dictionary_decode() if pt.is_dictionary(column.type) else column


def _decode(value: bytes | None) -> str | None:
    try:
        return None if value is None else value.decode()
    except UnicodeDecodeError:
        return None
