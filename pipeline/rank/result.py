"""From the score files of a run to the task that writes one part of its result."""

import hashlib
import json
from dataclasses import replace
from typing import Any

from pipeline.check.preflight import Checked
from pipeline.cluster.contract import Cluster
from pipeline.config import Config
from pipeline.config.stages import Position
from pipeline.input.columns import select_carried
from pipeline.input.footers import FirstFile
from pipeline.input.listing import InputFile
from pipeline.plan.queries import sees_queries
from pipeline.plan.units import Coverage, hash_version
from pipeline.rank.carry import select_carried_schema
from pipeline.rank.gather import gather_carried
from pipeline.rank.merge import count_buckets, merge_scores
from pipeline.rank.part import RankBucket, WritePart
from pipeline.rank.staged import make_finish
from pipeline.score.files import look_up_sizes
from pipeline.sizes import Sizes

RESULT_VERSION = 2  # raised when the same scores make another result, so that no older one stands for it


def compute_result_id(
    config: Config, files: list[InputFile], coverage: Coverage, position: Position | None = None
) -> str:
    """The hash, 12 hex digits, of what makes a result from scores. It is in the names of the parts."""
    used = [[found.name for found in coverage.score_files(hash_version(file))] for file in files]
    what = [RESULT_VERSION, used, config.fusion.model_dump(), config.input.duplicates]
    what += ["lower is better"] if config.input.lower_is_better else []
    what += [config.output.model_dump(exclude={"path"}), select_carried(config)]
    what += describe_shown(config, files)
    if position:
        what += [position.stage.name, position.is_last, [before.about["tag"] for before in position.before]]
    return hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()[:12]


def describe_shown(config: Config, files: list[InputFile]) -> list[Any]:
    """The parts of a table's description that make another result of the same scores: which rows are deleted, and which
    columns are carried. Empty for a plain folder."""
    what: list[Any] = []
    deleted = {file.path: file.shown.deleted for file in files if file.shown and file.shown.deleted}
    if deleted:
        what += [{path: hashlib.sha256(packed).hexdigest() for path, packed in deleted.items()}]
    columns = next((file.shown.columns for file in files if file.shown), None)
    if columns is not None:
        carried = {*select_carried(config).values()}
        what += [[column.identity, str(column.field.type)] for column in columns if column.field.name in carried]
    return what


def count_parts(config: Config, rows: list[int], sizes: Sizes, position: Position | None = None) -> int:
    """The parts of a result: in all stages as many as in the first. rows: of each input file."""
    if position and position.before:
        return position.before[-1].about["parts"]
    return count_buckets(sum(rows), sizes, config.output.explain, bool(select_carried(config)))


def prepare_parts(
    checked: Checked,
    first: FirstFile,
    files: list[InputFile],
    rows: list[int],
    coverage: Coverage,
    cluster: Cluster,
    sizes: Sizes,
) -> WritePart:
    """The task that writes a part. Merges scores, and gathers carried columns, before.

    first: of the input. rows: of each file. Raises RunError where a score file has gone.
    """
    config, merged, position = checked.config, checked.merged, checked.position
    used = [(number, found) for number, file in enumerate(files) for found in coverage.score_files(hash_version(file))]
    stored = look_up_sizes(checked.all_scores, used)
    result_id = compute_result_id(config, files, coverage, position)
    explain, buckets = config.output.explain, count_parts(config, rows, sizes, position)
    rank = RankBucket(
        read=merge_scores(checked.all_scores, merged, stored, buckets, explain, cluster, sizes),
        fusion=config.fusion,
        top_k=config.output.top_k,
        duplicates=config.input.duplicates,
        lower_is_better=config.input.lower_is_better,
        whole_query=sees_queries(config),
        deleted={number: file.shown.deleted for number, file in enumerate(files) if file.shown and file.shown.deleted},
    )

    def prepare(rank: RankBucket, columns: dict[str, str]) -> WritePart:
        carried = None
        if columns:
            schema, name = select_carried_schema(columns, first), result_id + (" rest" if rank.rest else "")
            by_bucket = checked.is_later_stage
            carried = gather_carried(rank, schema, files, rows, merged, buckets, name, cluster, sizes, by_bucket)
        return WritePart(
            rank=carried.rank if carried else rank,
            output=checked.output,
            files=files,
            columns=columns,
            read_carried=carried.read_carried if carried else None,
            explain=explain,
            result_id=result_id,
            finish=make_finish(position, rank.rest) if position else None,
        )

    columns = select_carried(config)
    write = prepare(rank, columns)
    if position is None or position.is_last:
        return write
    shown = {name: columns[name] for name in position.carried}
    return replace(write, rest=prepare(replace(rank, rest=True), shown))
