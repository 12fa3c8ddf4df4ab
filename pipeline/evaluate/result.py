"""A committed result, read as in docs/output.md: `_SUCCESS`, the manifest it names, the parts the manifest names.

Only the judged queries of a result are read, whatever its size, and texts only of the queries that are shown.
"""

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds

from pipeline.config import Fusion
from pipeline.errors import UsageError, one_line
from pipeline.input.excluded import LeftOut
from pipeline.input.result import MANIFEST, SUCCESS, has_stages, read_result
from pipeline.storage.folder import Folder
from pipeline.storage.urls import make_absolute, open_url

COLUMNS = ["query_id", "doc_id", "rank", "score", "first_stage_score", "rerank_score"]


class Given(NamedTuple):
    """The ranking that a stage was given. stage: the one that made it. rank: of each pair, in it. unseen: whether the
    pair did not go on from there."""

    stage: str
    rank: np.ndarray
    unseen: np.ndarray


@dataclass(frozen=True)
class Result:
    """The judged queries of a result.

    query_ids: those that were found, ascending by bytes. The arrays have one value for each pair, sorted by query_id,
    then doc_id, by bytes: `query` (the index of its query in query_ids), `docs` (ids), `rank`, `score` (the fused
    one), `first`, `rerank`, and `scored`; where a pair has no reranker score, `rerank` and `score` are nan. met:
    whether a pair has a first-stage score; those that a run beside an ensemble brought have their query's lowest one.
    left_out: pairs that were left out of these, so that ranks have gaps. Scores of a result with stages compare within
    a stage alone: in their place `rerank` and `score` are n - rank, n the candidates of the query, and all pairs are
    `scored`. given: of a later stage (pipeline.evaluate.stages), whose `first` are the scores that it was given.
    """

    url: str
    manifest: dict[str, Any]
    query_ids: list[str]
    query: np.ndarray
    docs: np.ndarray
    rank: np.ndarray
    score: np.ndarray
    first: np.ndarray
    rerank: np.ndarray
    scored: np.ndarray
    met: np.ndarray
    left_out: int = 0
    given: Given | None = None

    @property
    def queries(self) -> np.ndarray:
        """The query_id of each pair."""
        return np.array(self.query_ids, dtype=object)[self.query]

    @property
    def unscored(self) -> int:
        """Pairs that the reranker was asked about, and that have no score."""
        unseen = self.given.unseen if self.given else False
        return int((~self.scored & ~np.asarray(unseen)).sum())

    @property
    def fusion(self) -> Fusion:
        if has_stages(self.manifest):
            return Fusion(method="none")
        return Fusion.model_validate(self.manifest["config"]["fusion"])

    @property
    def top_k(self) -> int | None:
        return self.manifest["config"]["output"]["top_k"]


def read_judged_pairs(url: str, judged: Collection[str]) -> Result:
    """Reads the pairs of the judged queries. Raises UsageError where no committed result stands, or none of them is
    in it."""
    folder, manifest, rows = select_queries(url, COLUMNS, judged)
    if not len(rows):
        raise UsageError(
            f"{url}: has none of the {len(judged):,} judged queries ({min(judged)!r}, ...); are the ids written alike? "
            f"The result has {_show_an_id(folder, manifest)}"
        )
    return make_result(url, manifest, sort_by_ids(rows))


def make_result(url: str, manifest: dict[str, Any], rows: pa.Table, given: Given | None = None) -> Result:
    """A result of these rows, which are sorted by their ids."""
    query_ids, query = number_queries(rows)
    numbers = {name: rows[name].to_numpy() for name in COLUMNS[2:]}
    scored = rows["rerank_score"].is_valid().to_numpy()
    if has_stages(manifest):
        numbers["score"] = numbers["rerank_score"] = np.bincount(query)[query] - numbers["rank"].astype(float)
        scored = np.ones(len(rows), dtype=bool)
    return Result(
        url=url,
        manifest=manifest,
        query_ids=query_ids,
        query=query,
        docs=np.array(rows["doc_id"].to_pylist(), dtype=object),
        rank=numbers["rank"],
        score=numbers["score"],
        first=fill_lowest(query, numbers["first_stage_score"]),
        rerank=numbers["rerank_score"],
        scored=scored,
        met=~np.isnan(numbers["first_stage_score"]),
        given=given,
    )


def sort_by_ids(rows: pa.Table) -> pa.Table:
    """The rows by query_id, then doc_id, by bytes."""
    return rows.sort_by([("query_id", "ascending"), ("doc_id", "ascending")]).combine_chunks()


def number_queries(rows: pa.Table) -> tuple[list[str], np.ndarray]:
    """The queries in the order of first sight, and the index of each row's query among them."""
    coded = rows["query_id"].combine_chunks().dictionary_encode()
    return coded.dictionary.to_pylist(), coded.indices.to_numpy().astype(np.int64)


def fill_lowest(query: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """The scores, with the lowest of its query, or 0 where that has none, in place of each nan."""
    lowest = np.full(query.max() + 1, np.inf)
    np.fmin.at(lowest, query, scores)
    return np.where(np.isnan(scores), np.where(np.isinf(lowest), 0, lowest)[query], scores)


def leave_out(result: Result, rule: LeftOut) -> Result:
    """A result without the pairs that a rule of its collection leaves out. Raises UsageError where none remains."""
    kept = np.flatnonzero(~rule.find(pa.array(result.queries, pa.string()), pa.array(result.docs, pa.string())))
    if not len(kept):
        raise UsageError(f"{result.url}: --drop-identical-ids and --excluded leave out all of its judged pairs")
    numbers, query = np.unique(result.query[kept], return_inverse=True)
    names = "docs", "rank", "score", "first", "met", "rerank", "scored"
    columns = {name: getattr(result, name)[kept] for name in names}
    given = result.given and Given(result.given.stage, result.given.rank[kept], result.given.unseen[kept])
    query_ids = [result.query_ids[number] for number in numbers]
    left_out = len(result.docs) - len(kept)
    return replace(result, query_ids=query_ids, query=query, **columns, given=given, left_out=left_out)


def read_texts(result: Result, queries: Collection[str]) -> tuple[dict[str, str], dict[tuple[str, str], str]]:
    """Texts of these queries and of their documents: query_id -> text, and (query_id, doc_id) -> text.

    They are empty where the result does not carry them. Raises UsageError where another result has taken its place.
    """
    config = result.manifest["config"]
    mapped = config["input"]["columns"]
    carried = {mapped.get(name, name): name for name in config["output"]["columns"]}
    columns = {name: carried[column] for name in ("query", "doc") if (column := mapped.get(name, name)) in carried}
    wanted = ["query_id", "doc_id", *columns.values()]
    _, manifest, rows = select_queries(result.url, wanted, queries)
    if manifest["tag"] != result.manifest["tag"]:
        raise UsageError(f"{result.url}: another result has taken its place while it was read; start again")
    texts = rows.to_pydict()
    pairs = list(zip(texts["query_id"], texts["doc_id"], strict=True))
    query = texts[columns["query"]] if "query" in columns else []
    doc = texts[columns["doc"]] if "doc" in columns else []
    by_query = {pair[0]: _to_text(text) for pair, text in zip(pairs, query, strict=bool(query))}
    return by_query, {pair: _to_text(text) for pair, text in zip(pairs, doc, strict=bool(doc))}


def _to_text(value: Any) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else "" if value is None else str(value)


def shorten_names(urls: list[str]) -> list[str]:
    """For each path or URL its last two parts, or as many as distinguish it from the others."""
    parts = [url.rstrip("/").split("/") for url in urls]
    for depth in range(2, max(2, *map(len, parts)) + 1):
        names = ["/".join(part[-depth:]) for part in parts]
        if len(set(names)) == len(names):
            break
    return names


def select_queries(url: str, columns: list[str], queries: Collection[str]) -> tuple[Folder, dict[str, Any], pa.Table]:
    """The rows of some queries. A reader that finds a part gone starts again from `_SUCCESS`."""
    manifest = read_manifest(url)
    folder = Folder(make_absolute(url))
    while True:
        try:
            return folder, manifest, _read_rows(folder, manifest, columns, pc.field("query_id").isin(sorted(queries)))
        except FileNotFoundError as error:
            before, manifest = manifest, read_manifest(url)
            if manifest == before:
                raise UsageError(f"{url}: a part that the manifest names is gone: {one_line(error)}") from None
        except (OSError, ValueError, ImportError) as error:
            raise UsageError(f"{url}: cannot be read: {one_line(error)}") from None


def read_manifest(url: str) -> dict[str, Any]:
    """The manifest of a result. Raises UsageError where no committed result stands."""
    try:
        return _read_manifest(url, Folder(make_absolute(url)))
    except (OSError, ValueError, ImportError) as error:
        raise UsageError(f"{url}: cannot be read: {one_line(error)}") from None


def _read_manifest(url: str, folder: Folder) -> dict[str, Any]:
    if manifest := read_result(folder):
        return manifest
    there = folder.find_present([MANIFEST, SUCCESS], "")
    raise UsageError(
        f"{url}: no committed result: "
        + (
            "_SUCCESS and manifest.json do not belong together; a run is replacing it, or one of them was changed"
            if len(there) == 2
            else "_SUCCESS is missing; a run is at work there, or did not end"
            if MANIFEST in there
            else "there is no manifest.json; a result is known by its run's output.path"
        )
    )


def _read_rows(folder: Folder, manifest: dict[str, Any], columns: list[str], wanted: pc.Expression | None) -> pa.Table:
    fs, root = open_url(folder.url)
    paths = [f"{root}/{part}" for part in manifest["parts"]]
    return ds.dataset(paths, filesystem=fs, format="parquet").to_table(columns=columns, filter=wanted)


def read_rest(folder: Folder, manifest: dict[str, Any], columns: list[str], queries: Collection[str]) -> pa.Table:
    """The rows of some queries that did not go on from a stage. Raises UsageError where they are gone."""
    wanted = pc.field("query_id").isin(sorted(queries))
    try:
        return _read_rows(folder, manifest | {"parts": manifest["rest"]}, columns, wanted)
    except FileNotFoundError as error:
        raise UsageError(f"{folder.url}: a file that the manifest names is gone: {one_line(error)}") from None


def _show_an_id(folder: Folder, manifest: dict[str, Any]) -> str:
    fs, root = open_url(folder.url)
    parts = ds.dataset([f"{root}/{part}" for part in manifest["parts"]], filesystem=fs, format="parquet")
    ids = parts.head(1, columns=["query_id"])["query_id"].to_pylist()
    return f"{ids[0]!r}, ..." if ids else "no rows at all"
