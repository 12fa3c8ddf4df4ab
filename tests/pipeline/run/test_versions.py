"""A file that changes while it is read, and is put back as it was: no score, and no text, of the one goes under the
name of the other."""

import os
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pyarrow as pa
import pytest

import pipeline.storage.urls
from pipeline.errors import RunError
from pipeline.storage.urls import is_local
from tests.pipeline.conftest import SMALL, Interrupted
from tests.pipeline.run.conftest import S3_SLOW
from tests.pipeline.run.stores import A, B, C, Place, say_otherwise

SETTINGS: dict[str, Any] = {"run": {"unit_rows": 30}, "output": {"columns": ["doc"]}}
SIZES = {
    "few": SMALL,
    "many": replace(SMALL, fetching_buckets=1),
}  # buckets that fetch their columns, or have them gathered


def put_at(place: Place, table: pa.Table, time: int | None) -> None:
    """Puts B, or what stands in its place. time: in ns, of B on a local disk."""
    place.put(b=table)
    if time:
        os.utime(f"{place.input.url}/b.parquet", ns=(time, time))


def put_b(place: Place) -> Callable[[], None]:
    """Puts B, and gives what puts it back."""
    place.put(b=B)
    time = os.stat(f"{place.input.url}/b.parquet").st_mtime_ns if is_local(place.input.url) else None
    return lambda: put_at(place, B, time)


@contextmanager
def before_reads(happens: dict[int, Callable[[], None]]) -> Iterator[list[str]]:
    """Within the block something happens before the first, second, ... read of the input. Yields what was read."""
    read, reads = pipeline.storage.urls.read_exact, list[str]()

    def read_later(fs: Any, path: str, *more: Any) -> bytes:
        happens.get(len(reads), lambda: None)()
        reads.append(path)
        return read(fs, path, *more)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pipeline.storage.urls, "read_exact", read_later)
        yield reads


@S3_SLOW
@pytest.mark.parametrize("buckets", [*SIZES])
def test_whenever_it_is_replaced_and_put_back_the_result_is_that_of_one_version(place: Place, buckets: str) -> None:
    settings = SETTINGS | {"more": {"sizes": SIZES[buckets]}}
    place.put(a=A, c=C)
    put_back = put_b(place)
    with before_reads({}) as reads:
        place.run("calm", **settings)
    calm, noticed = place.ranked("calm"), 0
    print(len(reads), "reads:", reads)
    rng = random.Random(16)
    for trial in range(2 if place.input.url.startswith("s3") else 6):  # a run on S3 takes seconds
        replaced = rng.randrange(len(reads))
        # A store that cannot be asked for a version may answer all requests of one read from another one, unnoticed.
        back = replaced + rng.randrange(4 if place.input.url.startswith("seconds") else 1, 40)
        put_back()
        with before_reads({replaced: lambda: place.put(b=say_otherwise(B)), back: put_back}):
            try:
                place.run(f"{trial}", **settings)
            except RunError as error:
                assert "b.parquet: has changed while the run read it" in str(error)
                noticed += 1
        put_back()
        place.run(f"{trial}", **settings)
        assert place.ranked(f"{trial}").equals(calm), (replaced, back)
    assert noticed > 0


@S3_SLOW
@pytest.mark.parametrize("buckets", [*SIZES])
def test_texts_of_another_version_are_not_carried(place: Place, buckets: str) -> None:
    settings = SETTINGS | {"more": {"sizes": SIZES[buckets]}}
    place.put(a=A, c=C)
    put_back = put_b(place)
    place.run("calm", **settings)
    with pytest.raises(RunError, match=r"b\.parquet: has changed while the run read it"):
        place.run(**settings, cluster=Interrupted(after_scoring=lambda: place.put(b=say_otherwise(B))))
    put_back()
    place.run(**settings)
    assert place.ranked().equals(place.ranked("calm"))
