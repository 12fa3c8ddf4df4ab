"""An input's splits as a run cuts them: what tests of splits, and of what is read through them, share."""

from collections.abc import Callable, Iterable
from typing import Any

from pipeline.config import Config
from pipeline.input.footers import FirstFile, read_first_file
from pipeline.input.listing import InputFile, list_inputs
from pipeline.plan.splits import Split, cut_splits
from pipeline.plan.units import Coverage
from pipeline.plan.work import select_work
from pipeline.sizes import Sizes


def write_inputs(write_pairs: Callable[..., str], rows: Iterable[int]) -> list[InputFile]:
    """One file for each number of rows, as they are listed."""
    paths = []
    for number, count in enumerate(rows):
        texts: list[Any] = [f"text {number}"] * count
        paths.append(write_pairs(f"in/{number}.parquet", query=texts, doc=texts, score=[1.0] * count))
    return list_inputs(paths)


def cut_input(
    config: Config, sizes: Sizes = Sizes(), names: Iterable[str] = (), failed: Iterable[int] = ()
) -> tuple[list[Split], FirstFile]:
    """The splits of all tasks, in their order, and the first file.

    names: of the score files that are there. failed: rows that have no score for a reason that may pass.
    """
    files = list_inputs(config.input.path)
    first = read_first_file(config, files)
    work = select_work(config, first, files, Coverage(names), sizes, config.run.retry_failed)
    parts = [part for task in range(work.tasks) for part in work.read_parts(task)]
    return [split for part in parts for split in cut_splits(part, config, first, {*failed}, sizes)], first
