"""How large the pieces of a run are, in one place. Tests make them small; a user has no need to."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Sizes:
    """Reading, scoring and ranking, in that order."""

    split_bytes: int = 2**28  # decoded, of the columns in use: what one read task brings
    # Neighbouring splits share a task where there are more of them than `tasks`, but for those that are a good piece of
    # work by themselves: Ray Data keeps a list of tasks.
    tasks: int = 4096
    task_bytes: int = 2**26
    part_bytes: int = 2**26  # of a file, as it is stored: its parts are read by different tasks
    first_footers: int = 1000  # files, at most, whose footers are all read before the engines start; of more, the rest
    # is read while they start, and the total is estimated from a sample of
    sampled_footers: int = 32

    # In one actor: the next units wait in the engine before the tail of the last one is done. A tail of reasoning is
    # long.
    rows_in_flight: int = 8192
    candidates_in_flight: int = 32_768  # of a reranker that sees whole queries: one query has one window at a time
    least_units_in_flight: int = 4
    most_units_in_flight: int = 32

    known_rows: int = 4_000_000  # of a piece of the scores that are known by hashes of texts: 25 bytes each in memory

    bucket_rows: int = 500_000
    explained_bucket_rows: int = 50_000  # with texts of some kB each
    carried_bucket_rows: int = 100_000  # with texts of the input; more of those above some hundred million rows,
    most_carried_buckets: int = 2000  # for what a bucket reads grows with the input, and so with their number
    merged_rows: int = 1_000_000  # of a merged file: about 75 bytes each, held three times
    merged_bytes: int = 32 * 2**20  # of its score files: fewer rows where they hold what the model wrote
    fetching_buckets: int = 4  # where there are no more of them, each fetches its carried columns from the input itself
    stretch_rows: int = 1_000_000  # of a stretch of the input whose carried columns one task reads
    stretch_pieces: int = 1000  # files, or row groups of a large one
    gathered_bytes: int = 128 * 2**20  # of carried columns in memory, held three times
