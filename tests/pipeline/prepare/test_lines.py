"""pipeline/prepare/lines.py: each line of a file is read by one range of its bytes, whole."""

from collections.abc import Callable
from itertools import pairwise

import pytest

from pipeline.errors import UsageError
from pipeline.prepare.lines import find_line_number, read_blocks, read_first_line
from pipeline.prepare.sizes import Sizes
from tests.pipeline.prepare.conftest import PACK, source

TEXTS = {
    "plain": b"one\ntwo\n\nfour four\nfive\n",
    "no end": b"one\ntwo",
    "one long line": b"x" * 20 + b"\ny\n",
    "blank at the end": b"one\n\n\n",
    "only ends": b"\n\n\n",
    "empty": b"",
    "windows": b"one\r\ntwo\r\n",
    "a letter of two bytes": "né\né\n".encode(),
}


def read(path: str, start: int = 0, stop: int = 2**62, sizes: Sizes = Sizes()) -> list[bytes]:
    return [line for _, block in read_blocks(source("run", path), start, stop, sizes) for line in block]


@pytest.mark.parametrize("window", [1, 3, 1000])
@pytest.mark.parametrize("name", TEXTS)
def test_any_two_cuts_leave_each_line_to_one_range(name: str, window: int, write: Callable[..., str]) -> None:
    sizes = Sizes(window_bytes=window, line_end_bytes=max(1, window // 2))
    text = TEXTS[name]
    path = write("a.trec", text)
    expected = text.removesuffix(b"\n").split(b"\n") if text else []
    for first in range(0, len(text) + 1, 3):
        for second in range(first, len(text) + 1, 4):
            cuts = sorted({0, first, second, len(text)})
            assert [line for start, stop in pairwise(cuts) for line in read(path, start, stop, sizes)] == expected


def test_a_block_says_where_it_begins(write: Callable[..., str]) -> None:
    sizes = Sizes(window_bytes=7)
    text = TEXTS["plain"]
    path = write("a.trec", text)
    for start in range(len(text)):
        for at, block in read_blocks(source("run", path), start, len(text), sizes):
            assert text[at:].startswith(b"\n".join(block))
            assert find_line_number(source("run", path), at, sizes) == 1 + text[:at].count(b"\n")


@pytest.mark.parametrize("packed", PACK)
def test_a_packed_text_is_unpacked(packed: str, write: Callable[..., str]) -> None:
    path = write(f"a.trec{packed}", b"line\n" * 5000)
    assert read(path) == [b"line"] * 5000
    assert read_first_line(source("run", path)) == b"line"
    assert find_line_number(source("run", path), 5 * 4000) == 4001


@pytest.mark.parametrize("packed", PACK)
def test_packed_files_one_after_the_other_are_one_text(packed: str, write: Callable[..., str], tmp_path) -> None:
    (tmp_path / "both.trec").write_bytes(b"")
    joined = PACK[packed](b"one\n") + PACK[packed](b"two\n")
    path = tmp_path / f"both.trec{packed}"
    path.write_bytes(joined)
    assert read(str(path)) == [b"one", b"two"]


def test_what_cannot_be_unpacked_is_named(tmp_path) -> None:
    path = tmp_path / "a.trec.gz"
    path.write_bytes(b"no gzip at all")
    with pytest.raises(UsageError, match=f"{path}: cannot be unpacked as gzip"):
        read(str(path))
    path.write_bytes(PACK[".gz"](bytes(range(256)) * 50)[:-100])
    with pytest.raises(UsageError, match=f"{path}: cannot be unpacked as gzip"):
        read(str(path))


def test_a_byte_order_mark_is_no_text(write: Callable[..., str]) -> None:
    path = write("a.trec", b"\xef\xbb\xbfone\ntwo\n")
    assert read(path) == [b"one", b"two"]
    for cut in range(4, 11):
        assert read(path, 0, cut) + read(path, cut, 11) == [b"one", b"two"]


def test_the_first_line_may_be_long(write: Callable[..., str]) -> None:
    sizes = Sizes(line_end_bytes=4)
    assert read_first_line(source("run", write("a.trec", b"x" * 30 + b"\ny\n")), sizes) == b"x" * 30
    assert read_first_line(source("run", write("b.trec", b"x" * 30)), sizes) == b"x" * 30
