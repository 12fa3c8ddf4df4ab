"""Texts that are not UTF-8, recognised by their first bytes."""

import codecs

from pipeline.errors import UsageError

MARKS = {  # UTF-32's little-endian mark begins with UTF-16's
    codecs.BOM_UTF32_LE: "UTF-32",
    codecs.BOM_UTF32_BE: "UTF-32",
    codecs.BOM_UTF16_LE: "UTF-16",
    codecs.BOM_UTF16_BE: "UTF-16",
}
LOOKED_AT = 64  # bytes


def check_utf8(path: str, head: bytes) -> None:
    """Raises UsageError where the first bytes of a text show that it is UTF-16 or UTF-32, with or without a byte order
    mark. A mark of UTF-8 is none of these."""
    encoding = next((name for mark, name in MARKS.items() if head.startswith(mark)), None)
    head = head[:LOOKED_AT]
    for start in (0, 1):  # half of the bytes of a Latin text are zero
        if not encoding and len(head) > 3 and not any(head[start::2]) and any(head):
            encoding = "UTF-16 or UTF-32"
    if encoding:
        name = encoding.partition(" ")[0]
        raise UsageError(
            f"{path}: line 1: is {encoding}, not UTF-8; write it again, for example with iconv -f {name} -t UTF-8"
        )
