"""A result and judgements -> training data: one file for each part of the result, which has whole queries."""

import json
import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.config.stages import STAGE
from pipeline.errors import UsageError
from pipeline.evaluate.qrels import read_qrels
from pipeline.input.result import has_stages, read_finished_result, read_queries
from pipeline.storage.folder import Folder, check_writable
from pipeline.storage.urls import open_url
from pipeline.training.choose import FEWER, SAMPLES, Candidate, Choice, Group, choose
from pipeline.training.shapes import ENCODERS, SHAPES

FIGURES = "figures.yaml"  # in JSON, which is YAML; FlagEmbedding takes every *.json of a folder for training data
TEXTS = ("query", "doc")


@dataclass(frozen=True)
class Arguments:
    """result: the output.path of a run. positives: a file of judgements. least_grade: of a positive. shape, file: keys
    of SHAPES and ENCODERS. score: the column of the result that is the teacher's. query, doc: the columns of its texts.
    """

    result: str
    positives: str
    output: str
    shape: str = "triplet"
    file: str = "parquet"
    score: str = "rerank_score"
    least_grade: int = 1
    query: str = "query"
    doc: str = "doc"


def write_training_data(arguments: Arguments, choice: Choice = Choice()) -> dict[str, Any]:
    """Writes a result's groups. Returns figures, which are the last file that is written: how many queries, groups and
    rows there are, and how many of what was dropped, by reason.

    It holds the candidates of one part of the result in memory. Raises UsageError where an argument, the result or the
    judgements are wrong, or the output holds something.
    """
    _check(arguments, choice)
    output, manifest = Folder(arguments.output), read_finished_result(Folder(arguments.result))
    check_writable("--output", arguments.output)
    if there := output.names():
        raise UsageError(f"--output = {arguments.output!r}: holds something else ({there[0]})")
    qrels = read_qrels(arguments.positives)
    positives = {
        query: {doc for doc, grade in docs.items() if grade >= arguments.least_grade} for query, docs in qrels.items()
    }
    sums, dropped = Counter(queries=0, groups=0, rows=0), Counter[str]()
    stage = manifest["stages"][-1]["name"] if has_stages(manifest) else None
    seen = set[str]()
    parts = [Folder(arguments.result).path(part) for part in manifest["parts"]]
    columns = _find_columns(arguments, parts[0], stage, _find_title(manifest))
    put = list[str]()
    try:
        for number, part in enumerate(parts):
            rows = list[dict[str, Any]]()
            for query_id, text, candidates in _read_candidates(arguments, part, columns, stage, dropped):
                sums["queries"] += 1
                seen.add(query_id)
                if text is None:
                    dropped["queries without a text"] += 1
                    continue
                group = _choose(query_id, text, candidates, positives.get(query_id, set()), choice, dropped)
                if group:
                    sums["groups"] += 1
                    rows += SHAPES[arguments.shape](group)
            sums["rows"] += len(rows)
            if rows:
                put.append(f"part-{number:05d}.{arguments.file}")
                output.put_new(put[-1], ENCODERS[arguments.file](rows))
        if not seen & positives.keys():
            ids = f"there {min(positives)!r}, here {min(seen, default=None)!r}"
            raise UsageError(f"{arguments.positives}: none of its queries are in the result; {ids}")
        if not put:
            reasons = ", ".join(f"{count:,} x {reason}" for reason, count in (+dropped).most_common())
            raise UsageError(f"{arguments.result}: none of its {sums['queries']:,} queries has a group: {reasons}")
    except BaseException:
        output.delete(put)  # else the same command with another argument would meet them
        raise
    dropped["queries that are judged and not in the result"] += len(positives.keys() - seen)
    sums[FEWER] = dropped.pop(FEWER, 0)
    figures = {"output": arguments.output, **sums, "dropped": dict((+dropped).most_common())}
    about = figures | {"from": asdict(arguments), "choice": asdict(choice), "tag": manifest["tag"]}
    output.put_new(FIGURES, json.dumps(about, indent=1).encode())
    return figures


def _choose(query_id: str, *given: Any) -> Group | None:
    try:
        return choose(query_id, *given)
    except ValueError as error:
        raise UsageError(f"--relative-margin: {error} (query {query_id!r}); --margin takes any scores") from None


def _find_title(manifest: dict[str, Any]) -> str | None:
    """The input column of the titles that the reranker read before its documents; None where it read none."""
    return manifest.get("config", {}).get("input", {}).get("columns", {}).get("title")


def _check(arguments: Arguments, choice: Choice) -> None:
    for name, value, known in (
        ("--format", arguments.shape, SHAPES),
        ("--file", arguments.file, ENCODERS),
        ("--sample", choice.sample, SAMPLES),
    ):
        if value not in known:
            raise UsageError(f"{name} = {value!r}: known are {', '.join(known)}")
    if choice.negatives < 1:
        raise UsageError(f"--negatives = {choice.negatives}: should be 1 or more")
    if not 1 <= choice.ranks[0] <= choice.ranks[1]:
        raise UsageError(f"--ranks = {choice.ranks[0]} {choice.ranks[1]}: should be two ranks, the smaller one first")
    for name, margin in (("--margin", choice.margin), ("--min-positive-score", choice.least_positive)):
        if margin is not None and not math.isfinite(margin):
            raise UsageError(f"{name} = {margin}: should be a number")
    if choice.margin is not None and choice.margin < 0:
        raise UsageError(
            f"--margin = {choice.margin}: should be 0 or more, else negatives may score above the positive"
        )
    if choice.relative_margin is not None and not 0 <= choice.relative_margin <= 1:
        raise UsageError(f"--relative-margin = {choice.relative_margin}: should be a share, from 0 to 1")


def _find_columns(arguments: Arguments, part: str, stage: str | None, title: str | None) -> dict[str, str]:
    """Which columns are read, by what they are: query, doc, score, and title where there is one; and others by their
    own names. Raises UsageError where the result's parts lack one. part: the URL of one of them. title: see
    _find_title."""
    fs, path = open_url(part)
    with fs.open(path, "rb") as file:
        there = pq.ParquetFile(file).schema_arrow
    wanted = {"query": arguments.query, "doc": arguments.doc, "score": arguments.score}
    for name, column in wanted.items():
        if column not in there.names and name in TEXTS:
            raise UsageError(
                f"{part}: has no column {column!r} for the {name}; output.columns=[query,doc] in the run's config "
                f"carries both, and scores nothing again (--{name}-column names another)"
            )
        if column not in there.names or (name == "score" and not pa.types.is_floating(there.field(column).type)):
            raise UsageError(f"--score = {column!r}: {part} has no such column of numbers")
    if title:  # it may have been carried by its logical name, or by its own
        carried = next((name for name in ("title", title) if name in there.names), None)
        if not carried:
            raise UsageError(
                f"{part}: has no column of titles, which the reranker read before documents (input.columns.title = "
                f"{title!r}); output.columns=[query,doc,title] in the run's config carries them, and scores nothing "
                "again"
            )
        wanted["title"] = carried
    return wanted | {name: name for name in ("query_id", "doc_id", "rank", *([STAGE] if stage else []))}


def _read_candidates(
    arguments: Arguments, part: str, columns: dict[str, str], stage: str | None, dropped: Counter[str]
) -> Iterator[tuple[str, str | None, list[Candidate]]]:
    """query_id, query and candidates of each query of a part. columns: see _find_columns. stage: the one whose scores
    count."""
    for query in read_queries(part, [*dict.fromkeys(columns.values())]):
        rows = query.to_pylist()
        candidates = [
            Candidate(row["doc_id"], _read_doc(row, columns), row["rank"], row[columns["score"]])
            for row in rows
            if stage is None or row[STAGE] == stage
        ]
        dropped["candidates that the last stage did not see"] += len(rows) - len(candidates)
        text = next((found for row in rows if (found := _decode(row[columns["query"]])) is not None), None)
        yield rows[0]["query_id"], text, candidates


def _read_doc(row: dict[str, Any], columns: dict[str, str]) -> str | None:
    """A document as the reranker read it: its title first, unless that is blank."""
    doc, title = _decode(row[columns["doc"]]), _decode(row[columns["title"]]) if "title" in columns else None
    return f"{title} {doc}" if doc is not None and title and not title.isspace() else doc


def _decode(text: str | bytes | None) -> str | None:
    """Binary columns hold UTF-8, or their rows had no score (docs/input.md)."""
    return text.decode(errors="replace") if isinstance(text, bytes) else text
