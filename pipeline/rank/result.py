"""From the score files of a run to the task that writes one part of its result."""

import hashlib
import json

from pipeline.check.preflight import Checked
from pipeline.cluster.contract import Cluster
from pipeline.config import Config
from pipeline.input.columns import select_carried
from pipeline.input.footers import FirstFile
from pipeline.input.listing import InputFile
from pipeline.plan.units import Coverage, ScoreFile, hash_version
from pipeline.rank.carry import select_carried_schema
from pipeline.rank.gather import gather_carried
from pipeline.rank.merge import count_buckets, merge_scores
from pipeline.rank.part import RankBucket, WritePart
from pipeline.score.files import StoredScores, make_gone_error
from pipeline.sizes import Sizes

RESULT_VERSION = 2  # raised when the same scores make another result, so that no older one stands for it


def compute_result_id(config: Config, files: list[InputFile], coverage: Coverage) -> str:
    """The hash, 12 hex digits, of what makes a result from scores. It is in the names of the parts."""
    used = [[found.name for found in coverage.score_files(hash_version(file))] for file in files]
    what = [RESULT_VERSION, used, config.fusion.model_dump(), config.input.duplicates]
    what += ["lower is better"] if config.input.lower_is_better else []
    what += [config.output.model_dump(exclude={"path"}), select_carried(config)]
    return hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()[:12]


def count_parts(config: Config, rows: list[int], sizes: Sizes) -> int:
    """The parts of a result. rows: of each input file."""
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
    config, merged = checked.config, checked.merged
    used = [(number, found) for number, file in enumerate(files) for found in coverage.score_files(hash_version(file))]
    result_id = compute_result_id(config, files, coverage)
    explain, columns, buckets = config.output.explain, select_carried(config), count_parts(config, rows, sizes)
    rank = RankBucket(
        read=merge_scores(checked.all_scores, merged, _look_up_sizes(checked, used), buckets, explain, cluster, sizes),
        fusion=config.fusion,
        top_k=config.output.top_k,
        duplicates=config.input.duplicates,
        lower_is_better=config.input.lower_is_better,
    )
    carried = None
    if columns:
        schema = select_carried_schema(columns, first)
        carried = gather_carried(rank, schema, files, rows, merged, buckets, result_id, cluster, sizes)
    return WritePart(
        rank=carried.rank if carried else rank,
        output=checked.output,
        files=files,
        columns=columns,
        read_carried=carried.read_carried if carried else None,
        explain=explain,
        result_id=result_id,
    )


def _look_up_sizes(checked: Checked, used: list[tuple[int, ScoreFile]]) -> list[StoredScores]:
    """The score files, each with the number of its input file, as they are to be read."""
    try:
        sizes = checked.all_scores.sizes([found.name for _, found in used], checked.all_scores.files())
    except FileNotFoundError as error:
        raise make_gone_error(error) from None
    return [StoredScores(found, number, sizes[found.name]) for number, found in used]
