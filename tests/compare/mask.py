"""Masks for printed values that no two runs share: paths of a tree, times, names that are drawn at random."""

import json
import re
from typing import Any

from .inside import meant

PRINT = r"[0-9a-f]{16}(-\w+-[\d.]+)?"  # a fingerprint, with the engine's version in the new tree
FIGURES_OF_TIME = ("seconds", "pairs_per_second", "spilled_bytes")
PATTERNS = [
    (re.compile(r"^[\d,]+ of (about )?[\d,]+ pairs \(.*\n", re.M), ""),  # the lines of a run's progress
    (re.compile(r"^(\w+ +)\d+ of \d+ part\(s\) in .*\n", re.M), ""),  # and of preparing
    (re.compile(r"^\[20\d\d-.*\blogging\.cc:.*\n", re.M), ""),  # Ray's own
    (re.compile(r"^.*\(raylet\).*\n?", re.M), ""),  # and of its node
    (re.compile(r"(?<=part\(s\) in )[\d.]+ s"), "N s"),
    (re.compile(r"(?<=part-\d{5}-)[0-9a-f]{12}(?=\.parquet)"), "TAG"),
    (re.compile(rf"(?<=scores/){PRINT}"), "PRINT"),
    (re.compile(rf"(?<=scores   ){PRINT}"), "PRINT"),
    (re.compile(r"/tmp/rayrank-\w{8}(?=/)"), "/tmp/rayrank-X"),  # where a table goes through files
    (re.compile(r'(?<=^ "seconds": )[\d.]+'), "N"),  # of preparing, as its file has it
    (re.compile(rf"(?<=\(fingerprint ){PRINT}"), "PRINT"),
    (re.compile(rf"(?<=this run's is ){PRINT}"), "PRINT"),
    (re.compile(r"\.put-[0-9a-f]+"), ".put-X"),
    (re.compile(r"process \d+ on \S+"), "process P on HOST"),
    (re.compile(r"in \d+ s of tries"), "in N s of tries"),
    (re.compile(r"0x[0-9a-f]{12}"), "0xADDRESS"),
    (re.compile(r'(?<=\.py", line )\d+'), "N"),  # of a traceback
    (re.compile(r"^  (-\S.*?|[A-Z]+) {2,}(?=\S)", re.M), r"  \1  "),  # of --help, as wide as the longest option
    (re.compile(r"^ {16,}(?=\S)", re.M), " " * 16),
    (re.compile(r"\bpid=\d+"), "pid=P"),
    (re.compile(r"\bactor_id=[0-9a-f]+"), "actor_id=A"),
]
# Messages of the new tree -> what the old one says in their place, or both in the same words.
MEANT = [
    (
        re.compile(
            r"of the input's files, since the result that stands was made: "
            r"0 came, (\d+) changed, 0 went \((.+?) first\)"
        ),
        r"\1 input files have changed, \2 first: their rows are scored anew",
    ),
    (re.compile(r"(?<=are gone; it is made )again"), "anew"),
    (re.compile(r"(?<=scores   PRINT: )[\d,]+ of [\d,]+ units, (.*)"), r"\1"),
    (re.compile(r"(?<=scores   PRINT: )(.*), in [\d,]+ units"), r"\1"),
    (
        re.compile(r"is gone from the input, and rows of it are in the result that stands \(1 such files\);.*"),
        "is GONE",
    ),
    (re.compile(r"is gone since the scores under this output were begun;.*"), "is GONE"),
    (
        re.compile(r"^rayrank: [\d,]+ rows have no score for a reason that may pass; run.retry_failed=true .*\n", re.M),
        "",
    ),
    (re.compile(r"(?<=holds scores of another model, )prompt, setting or type of ids"), "prompt or setting"),
    # More options of jobs/evaluate.py, and more forms of judgements.
    (
        re.compile(
            r"^ +\[--paired NAME\] \[--drop-identical-ids\] \[--excluded FILE\]\n"
            r" +\[--column NAME=COLUMN\]\n(?= +RESULT)",
            re.M,
        ),
        "",
    ),
    (
        re.compile(r"(?<=judgements as TREC or BEIR write them, )a\nTSV with header, JSONL or Parquet"),
        "or a TSV with header",
    ),
    (re.compile(r"^  --paired NAME  a measure over pairs of queries, .*\n", re.M), ""),
    (re.compile(r"^  --drop-identical-ids  leave out documents with the id of their query, .*\n", re.M), ""),
    (re.compile(r"^  --excluded FILE  JSONL or Parquet with query_id and excluded_ids, .*\n", re.M), ""),
    (re.compile(r"^  --column NAME=COLUMN  of the judgements, .*\n", re.M), ""),
    # Lines about the input, the files of it that are not read, and oddities in its rows.
    (re.compile(r"^rayrank: files passed over: [\d,]+ that .* would read\n", re.M), ""),
    (
        re.compile(r"^rayrank: the input has [\d,]+ files? and .*[\d,]+ rows, [\d,]+ of them scored; .*\n", re.M),
        "",
    ),
    (re.compile(r"^rayrank: [\d,]+ of [\d,]+ queries have rows with different texts under one query_id\n", re.M), ""),
    (re.compile(r"^rayrank: in [\d,]+ of [\d,]+ queries .*, the worst comes first; is lower better\? .*\n", re.M), ""),
    (re.compile(r"^rayrank: [\d,]+ of [\d,]+ rows \([\d.]+%\) are equal to another one\n", re.M), ""),
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
    for pattern, word in PATTERNS + MEANT:
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
    values = meant.manifest(values) if "format" in values else meant.status(meant.figures(values))
    hidden = {"fingerprint": "PRINT", "tag": "TAG", "written": "TIME"} | dict.fromkeys(FIGURES_OF_TIME, "TIME")
    return {key: hidden.get(key) or _timeless(value) for key, value in values.items()}
