"""pipeline/storage/folder.py on S3 that fails: a proxy in front of the server breaks requests and connections."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any
from uuid import uuid4

import pytest
from botocore.retries.standard import ExponentialBackoff

from pipeline.errors import RefusedError, RunError, StoreError
from pipeline.storage.folder import Folder
from pipeline.storage.retry import Retries
from pipeline.storage.urls import open_url
from tests.s3_faults import (
    CONFLICT,
    CUT,
    DENIED,
    EXPIRED,
    INTERNAL,
    LAG,
    LATE,
    PASSING,
    RESET_AFTER,
    RESET_BEFORE,
    SLOW_DOWN,
    Faults,
    always,
    calm,
    first,
    in_front_of,
)

DATA = b"0123456789" * 100
SLOW = ["put_new", "read"]  # operations that meet a timeout, which takes a second
TRIES, ROUNDS = 2, 4  # botocore's, and the pipeline's
RETRIES = Retries(waits=(0.01,) * (ROUNDS - 1))


@pytest.fixture(scope="module")
def store(s3_server: str) -> Iterator[Faults]:
    retries = {"mode": "standard", "total_max_attempts": TRIES}
    with in_front_of(s3_server, read_timeout=1, retries=retries) as store:
        store.late_seconds = 1.2
        yield store


@pytest.fixture
def folder(store: Faults, monkeypatch: pytest.MonkeyPatch) -> Folder:
    """A folder with a file, and no fault yet. botocore waits for a hundredth of a second, too."""
    monkeypatch.setattr(ExponentialBackoff, "delay_amount", lambda *unused: 0.01)
    store.pick = calm
    folder = Folder(f"s3://bucket/{uuid4().hex}", RETRIES)
    folder.put("there", DATA)
    store.seen.clear()
    store.counts.clear()
    return folder


def list_operations(folder: Folder) -> dict[str, tuple[str, Callable[[], Any]]]:
    """The operations of a folder: the method of their request, and a call."""
    return {
        "put": ("PUT", partial(folder.put, "put", DATA)),
        "put_new": ("PUT", partial(folder.put_new, "new", DATA)),
        "read": ("GET", partial(folder.read, "there")),
        "read_ranges": ("GET", partial(folder.read_ranges, [("there", 1, 9), ("there", 20, 990)])),
        "files": ("GET", partial(folder.files, "there")),
        "size": ("HEAD", partial(folder.size, "there")),
        "delete": ("DELETE", partial(folder.delete, ["put"])),
        "delete_many": ("POST", partial(folder.delete, ["never", "put"])),
    }


@pytest.mark.parametrize("fault", [fault for fault in PASSING if fault != LAG])
def test_a_fault_that_passes_changes_nothing(store: Faults, folder: Folder, fault: str) -> None:
    met, results = [], {}
    for name, (method, call) in list_operations(folder).items():
        store.pick = first(fault, 1, method) if fault != LATE or name in SLOW else calm
        before = store.counts[fault]
        results[name] = call()
        if store.counts[fault] > before:
            met.append(name)
    store.pick = calm
    few = {CONFLICT: ["put_new"], CUT: ["read", "read_ranges", "files"], LATE: SLOW}
    assert met == few.get(fault, list(list_operations(folder)))
    lost_answer = fault in (RESET_AFTER, LATE)  # the repeated put finds its own file there
    assert results == {
        "put": None,
        "put_new": not lost_answer,
        "read": DATA,
        "read_ranges": [DATA[1:9], DATA[20:990]],
        "files": {"there": 1000},
        "size": 1000,
        "delete": None,
        "delete_many": None,
    }
    assert folder.files() == {"there": 1000, "new": 1000}
    assert folder.read("new") == DATA


@pytest.mark.parametrize(
    ("fault", "names", "says"),
    [
        (
            SLOW_DOWN,
            "put put_new read read_ranges files size delete delete_many",
            "(SlowDown: SlowDown, says|503: Service Unav)",
        ),
        (INTERNAL, "put read size", "(InternalError: InternalError, says|500: Int)"),
        (RESET_BEFORE, "put_new read_ranges files delete_many", "(Connection|Endpoint|HTTP).*Error: "),
        (CUT, "read read_ranges files", "(ClientPayload|HTTPClient|ConnectionClosed)Error: "),
        (CONFLICT, "put_new", "ConditionalRequestConflict: "),
    ],
)
def test_a_fault_that_stays_ends_with_one_line_after_a_bound(
    store: Faults, folder: Folder, fault: str, names: str, says: str
) -> None:
    for name in names.split():
        method, call = list_operations(folder)[name]
        store.pick = always(fault, method)
        before = store.counts[fault]
        with pytest.raises(
            StoreError, match=rf"^{folder.url}/?[a-z]*: cannot be .*, in \d s of tries: {says}"
        ) as error:
            call()
        assert not isinstance(error.value, RefusedError) and error.value.exit_code == 1
        assert "\n" not in str(error.value)
        # Two ranges are requested at once, and the failed one alone; aiohttp repeats a GET by itself where the server
        # has closed a connection that it had kept open.
        assert ROUNDS <= store.counts[fault] - before <= 3 * TRIES * ROUNDS, name
    store.pick = calm
    assert folder.read("there") == DATA


@pytest.mark.parametrize(
    ("fault", "kind", "says"),
    [
        (EXPIRED, StoreError, r"the credentials have expired \(ExpiredToken: ExpiredToken, says the proxy\)"),
        (DENIED, RefusedError, r"no permission \(AccessDenied: AccessDenied, says the proxy\)"),
        ("501 NotImplemented", StoreError, "NotImplemented: NotImplemented, says the proxy"),
    ],
)
def test_an_error_that_lasts_is_raised_after_one_request(
    store: Faults, folder: Folder, fault: str, kind: type[RunError], says: str
) -> None:
    for name in ("put", "put_new", "read", "files", "delete", "delete_many"):
        method, call = list_operations(folder)[name]
        store.pick = always(fault, method)
        store.seen.clear()
        with pytest.raises(StoreError, match=rf"cannot be \w+: {says}") as error:
            call()
        assert type(error.value) is kind
        assert len(store.seen) == 1


def test_a_server_that_says_412_in_its_own_words_has_the_file(store: Faults, folder: Folder) -> None:
    """ministack leaves out the element by which s3fs knows it."""
    store.pick = always("412 PreconditionFailed", "PUT")
    assert folder.put_new("there", b"other") is False


def test_an_upload_in_parts_whose_end_was_lost_is_there(
    store: Faults, folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """S3 does not know the upload's id any more when the request that ends it is repeated."""
    fs, _ = open_url(folder.url)
    monkeypatch.setattr(fs, "pipe_file", partial(fs.pipe_file, chunksize=5 * 2**20))
    faults = [RESET_AFTER, "404 NoSuchUpload"]
    store.pick = lambda request: (
        faults.pop(0) if faults and request.method == "POST" and "Id=" in request.path else None
    )
    assert folder.put_new("large", b"a" * 11 * 2**20) is False
    assert faults == []
    assert folder.size("large") == 11 * 2**20


# Listings that lag


def test_a_file_that_no_listing_shows_yet_is_found(store: Faults, folder: Folder) -> None:
    store.pick = always(LAG)
    folder.put_new("new", DATA)
    assert folder.files() == {}
    assert folder.size("new") == 1000
    assert folder.sizes(["there", "new"], folder.files()) == {"there": 1000, "new": 1000}
    with pytest.raises(FileNotFoundError, match=f"{folder.url}/never"):
        folder.sizes(["there", "never"], folder.files())


def test_a_file_that_is_gone_has_no_size(folder: Folder) -> None:
    assert folder.size("never") is None
    folder.put("below/a", b"1")
    assert folder.size("below") is None
    folder.delete(["there"])
    assert folder.size("there") is None
