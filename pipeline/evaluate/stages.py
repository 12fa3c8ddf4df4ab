"""The results to judge. One with stages is a result for each: what it was given, its scores, and what it made."""

from collections.abc import Collection
from typing import Any

import numpy as np
import pyarrow as pa

from pipeline.config.stages import FIRST_STAGE, GIVEN, STAGE
from pipeline.errors import UsageError
from pipeline.evaluate.result import (
    COLUMNS,
    Given,
    Result,
    fill_lowest,
    make_result,
    number_queries,
    read_judged_pairs,
    read_manifest,
    read_rest,
    select_queries,
    shorten_names,
    sort_by_ids,
)
from pipeline.input.result import has_stages
from pipeline.rows import replace_column

KEYS = ["query_id", "doc_id"]


def read_results(urls: list[str], judged: Collection[str]) -> dict[str, Result]:
    """Each result by its name; of one alone that has stages, each stage. Raises UsageError where one cannot be used."""
    names = shorten_names(urls)
    if len(set(names)) < len(names):
        raise UsageError(f"{urls}: the same result is named twice")
    if len(urls) == 1 and (stages := read_stages(urls[0], judged)):
        return {f"{names[0]}: {stage}": result for stage, result in stages.items()}
    return {name: read_judged_pairs(url, judged) for name, url in zip(names, urls, strict=True)}


def read_stages(url: str, judged: Collection[str]) -> dict[str, Result]:
    """Stage -> its result of the judged queries. It has all candidates: those that the stage did not see stand behind
    the others, in the order that they had. Empty where the result has no stages.

    Raises UsageError where a stage is gone, or was made again since the result was.
    """
    if not has_stages(read_manifest(url)):
        return {}
    _, manifest, rows = select_queries(url, [*COLUMNS, STAGE], judged)
    *before, last = manifest["stages"]
    results, given, behind = dict[str, Result](), None, rows.select(COLUMNS).slice(0, 0)
    for about in before:
        place = f"{url.rstrip('/')}/stages/{about['name']}"
        folder, own, goes_on = select_queries(place, [*COLUMNS, GIVEN], judged)
        if own["tag"] != about["tag"]:
            raise UsageError(f"{place}: was made again since {url} was; run the same command to its end first")
        rest = read_rest(folder, own, COLUMNS, judged)
        ranked = pa.concat_tables([goes_on.select(COLUMNS), rest])
        results[about["name"]] = _make_stage(place, _show_whole(own, manifest), ranked, behind, given)
        given, behind = (about["name"], goes_on), pa.concat_tables([behind, rest])
    at = np.array(rows[STAGE].to_pylist(), dtype=object) == last["name"]
    of_last, others = rows.filter(pa.array(at, pa.bool_())), rows.filter(pa.array(~at, pa.bool_()))
    results[last["name"]] = _make_stage(url, _show_whole(manifest, manifest), of_last.select(COLUMNS), others, given)
    return results


def _show_whole(own: dict[str, Any], manifest: dict[str, Any]) -> dict[str, Any]:
    """The manifest of a stage as that of a result without stages, which keeps as many documents as the whole one."""
    output = own["config"]["output"] | {"top_k": manifest["config"]["output"]["top_k"]}
    shown = own | {"config": own["config"] | {"output": output}}
    return {name: value for name, value in shown.items() if name != "stages"}


def _make_stage(
    url: str, manifest: dict[str, Any], ranked: pa.Table, behind: pa.Table, given: tuple[str, pa.Table] | None
) -> Result:
    """ranked: the rows that the stage ranked. behind: those that it did not see. given: the name of the stage before,
    and its rows that went on."""
    if not given:
        return make_result(url, manifest, sort_by_ids(ranked))
    none = pa.nulls(len(behind), pa.float64())
    for name in ("score", "rerank_score"):  # they are those of an earlier stage
        behind = replace_column(behind, name, none)
    rows = pa.concat_tables([ranked, behind.select(COLUMNS)])
    before = given[1].select([*KEYS, "rank", GIVEN]).rename_columns([*KEYS, "rank_before", GIVEN])
    rows = sort_by_ids(rows.join(before, KEYS, join_type="left outer"))
    (_, query), scores, rank = number_queries(rows), rows[GIVEN].to_numpy(), rows["rank"].to_numpy()
    first = np.where(np.isnan(scores), fill_lowest(query, scores) - rank, scores)  # those behind, in their order
    seen, rank_before = rows[GIVEN].is_valid().to_numpy(), rows["rank_before"].fill_null(0).to_numpy()
    shown = rows.select(COLUMNS).set_column(COLUMNS.index(FIRST_STAGE), FIRST_STAGE, pa.array(first))
    return make_result(url, manifest, shown, Given(given[0], np.where(seen, rank_before, rank), ~seen))
