"""Columns of every type that an input may have, drawn by a seed."""

import datetime
import decimal
import random
import uuid
from typing import Any

import pyarrow as pa

TEXT = "a of the wing heat flow shock layer search engine rank query document tensor ray Zürich 東京 naïve [SEP] ½"
WORDS = TEXT.split()
ODD_TEXTS = [None, "", " \t\n\u3000", "\ufeffmark", "before\0after", "\u202e\u05e9\u05dc", "\U0001f469\u200d\U0001f52c"]
ODD_TEXTS += ["[CLS] [SEP] <|im_end|>", "word " * 400, ".", "e\u0301 z\u0351\u036b", "bell \x07 \x1b[31m"]
# Ids that one file may have beside another: they are written the same way.
MIXING_IDS = ["string", "large", "int64", "int32", "binary", "dictionary", "view"]
OTHER_IDS = ["uuid", "float", "bool", "date", "timestamp", "decimal", "fixed", "bytes", "uint8"]
TEXTS = ["string", "large", "view", "binary", "dictionary"]
SCORES = ["float64", "float32", "int64", "int8", "decimal", "float16"]


def ids(kind: str, numbers: list[int | None]) -> pa.Array:
    """Numbers as ids of a type. None is a null; in binary of no text, some are the bytes of Latin 1."""
    made: dict[str, tuple[Any, pa.DataType]] = {
        "string": (lambda n: str(n), pa.string()),
        "large": (lambda n: str(n), pa.large_string()),
        "view": (lambda n: str(n), pa.string_view()),
        "int64": (lambda n: n, pa.int64()),
        "int32": (lambda n: n, pa.int32()),
        "uint8": (lambda n: n % 256, pa.uint8()),
        "binary": (lambda n: str(n).encode(), pa.binary()),
        "bytes": (lambda n: f"é{n}".encode("latin-1" if n % 3 else "utf-8"), pa.binary()),
        "dictionary": (lambda n: str(n), pa.string()),
        "uuid": (lambda n: uuid.UUID(int=n * 2**64 + n).bytes, pa.uuid()),
        "float": (lambda n: n / 4, pa.float64()),
        "bool": (lambda n: n % 2 == 0, pa.bool_()),
        "date": (lambda n: datetime.date(2026, 1, 1) + datetime.timedelta(n), pa.date32()),
        "timestamp": (lambda n: datetime.datetime(2026, 1, 1) + datetime.timedelta(hours=n), pa.timestamp("us")),
        "decimal": (lambda n: decimal.Decimal(n) / 4, pa.decimal128(12, 2)),
        "fixed": (lambda n: n.to_bytes(4, "big"), pa.binary(4)),
    }
    make, type_ = made[kind]
    array = pa.array([None if number is None else make(number) for number in numbers], type_)
    return array.dictionary_encode() if kind == "dictionary" else array


def texts(kind: str, values: list[str | None]) -> pa.Array:
    types = {"large": pa.large_string(), "view": pa.string_view()}
    if kind == "binary":
        return pa.array([None if text is None else text.encode() for text in values], pa.binary())
    array = pa.array(values, types.get(kind, pa.string()))
    return array.dictionary_encode() if kind == "dictionary" else array


def scores(kind: str, values: list[float | None]) -> pa.Array:
    """First-stage scores. Types without NaN, infinities and huge numbers have nulls in their place."""
    if kind in ("float64", "float32", "float16"):
        types = {"float64": pa.float64(), "float32": pa.float32(), "float16": pa.float16()}
        return pa.array(values, pa.float64()).cast(types[kind])
    whole = [round(value * 4) if value is not None and abs(value) < 1e15 else None for value in values]
    if kind == "decimal":
        return pa.array([None if n is None else decimal.Decimal(n) / 8 for n in whole], pa.decimal128(20, 3))
    return pa.array([n if n is None or kind == "int64" else n % 100 for n in whole], getattr(pa, kind)())


def extra(kind: str, rows: int, draw: random.Random) -> pa.Array:
    """A column to be carried."""
    numbers = [draw.randrange(50) if draw.random() > 0.1 else None for _ in range(rows)]
    made: dict[str, Any] = {
        "numbers": lambda: pa.array(numbers, pa.int16()),
        "words": lambda: pa.array([None if n is None else WORDS[n % len(WORDS)] for n in numbers]),
        "coded": lambda: pa.array([None if n is None else f"c{n % 5}" for n in numbers]).dictionary_encode(),
        "lists": lambda: pa.array([None if n is None else list(range(n % 4)) for n in numbers], pa.list_(pa.int64())),
        "structs": lambda: pa.array([None if n is None else {"a": n, "b": [str(n)]} for n in numbers]),
        "times": lambda: pa.array(numbers, pa.int64()).cast(pa.timestamp("ms", tz="UTC")),
        "blobs": lambda: pa.array([None if n is None else bytes([n, 255]) for n in numbers], pa.binary()),
    }
    return made[kind]()


EXTRAS = ["numbers", "words", "coded", "lists", "structs", "times", "blobs"]


def sentence(draw: random.Random, longest: int = 12) -> str:
    return " ".join(draw.choices(WORDS, k=draw.randint(1, longest)))
