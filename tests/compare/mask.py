"""What no two runs share, taken out of what is printed: paths of a tree, times, names that are drawn at random."""

import json
import re
from typing import Any

FIGURES_OF_TIME = ("seconds", "pairs_per_second", "spilled_bytes")
PATTERNS = [
    (re.compile(r"^[\d,]+ of (about )?[\d,]+ pairs \(.*\n", re.M), ""),  # the lines of a run's progress
    (re.compile(r"^(\w+ +)\d+ of \d+ part\(s\) in .*\n", re.M), ""),  # and of preparing
    (re.compile(r"^\[20\d\d-.*\blogging\.cc:.*\n", re.M), ""),  # Ray's own
    (re.compile(r"^.*\(raylet\).*\n?", re.M), ""),  # and of its node
    (re.compile(r"(?<=part\(s\) in )[\d.]+ s"), "N s"),
    (re.compile(r"(?<=part-\d{5}-)[0-9a-f]{12}(?=\.parquet)"), "TAG"),
    (re.compile(r"(?<=scores/)[0-9a-f]{16}"), "PRINT"),
    (re.compile(r"(?<=scores   )[0-9a-f]{16}"), "PRINT"),
    (re.compile(r"/tmp/rayrank-\w{8}(?=/)"), "/tmp/rayrank-X"),  # where a table goes through files
    (re.compile(r'(?<=^ "seconds": )[\d.]+'), "N"),  # of preparing, as its file has it
    (re.compile(r"(?<=\(fingerprint )[0-9a-f]{16}"), "PRINT"),
    (re.compile(r"(?<=this run's is )[0-9a-f]{16}"), "PRINT"),
    (re.compile(r"\.put-[0-9a-f]+"), ".put-X"),
    (re.compile(r"process \d+ on \S+"), "process P on HOST"),
    (re.compile(r"in \d+ s of tries"), "in N s of tries"),
    (re.compile(r"0x[0-9a-f]{12}"), "0xADDRESS"),
]


def masked(answer: Any, paths: dict[str, str]) -> Any:
    """An answer without it. paths: what stands in the text -> what is put in its place."""
    if isinstance(answer, dict):
        found: dict[str, list[Any]] = {}
        for key, value in answer.items():
            found.setdefault(_text(key, paths), []).append(masked(value, paths))
        # Files whose names differ in what is taken out of them, alone, come in an order of their own.
        return {key: values[0] if len(values) == 1 else sorted(values, key=json.dumps) for key, values in found.items()}
    if isinstance(answer, list):
        return [masked(value, paths) for value in answer]
    return _text(answer, paths) if isinstance(answer, str) else answer


def _text(text: str, paths: dict[str, str]) -> str:
    for path, word in paths.items():
        text = text.replace(path, word)
    for pattern, word in PATTERNS:
        text = pattern.sub(word, text)
    if '"seconds"' in text or '"fingerprint"' in text:
        text = "\n".join(_figures(line) for line in text.split("\n"))
    return text


def _figures(line: str) -> str:
    """A line that is one JSON object, without times."""
    try:
        values = json.loads(line)
    except ValueError:
        return line
    return json.dumps(_timeless(values)) if isinstance(values, dict) else line


def _timeless(values: Any) -> Any:
    if isinstance(values, list):
        return [_timeless(value) for value in values]
    if not isinstance(values, dict):
        return values
    hidden = {"fingerprint": "PRINT", "tag": "TAG", "written": "TIME"} | dict.fromkeys(FIGURES_OF_TIME, "TIME")
    if isinstance(values.get("plan"), dict) and "id" in values["plan"]:
        values = values | {"plan": values["plan"] | {"id": "ID"}}
    return {key: hidden.get(key) or _timeless(value) for key, value in values.items()}
