"""How many rows an input has, as far as that is known while it is scored."""

from pipeline.cluster.contract import Cluster
from pipeline.input.footers import count_rows
from pipeline.input.listing import InputFile
from pipeline.plan.units import Coverage, hash_version
from pipeline.plan.work import Work
from pipeline.sizes import Sizes


class Total:
    """The rows of an input. Score files say it of their own input files; the footers of the others are read here, by a
    task on the cluster where they are many.

    rows: of all files, or about how many, without those that a table has deleted. scored: those that have scores
    already. exact: whether `rows` is no estimate.
    """

    def __init__(self, files: list[InputFile], coverage: Coverage, work: Work, sizes: Sizes):
        versions = [hash_version(file) for file in files]
        counts = [coverage.count_rows(version) for version in versions]
        unknown = [file for file, count in zip(files, counts, strict=True) if count is None]
        self._known = known = sum(filter(None, counts)) - sum(file.deleted_rows for file in files)
        self.scored = coverage.count_scored(versions) - sum(_count_deleted(file, coverage) for file in files)
        self.exact = len(unknown) <= sizes.first_footers
        if self.exact:
            self.rows = known + sum(count_rows(work.config, unknown, work.first))
            return
        sampled = unknown[:: -(-len(unknown) // sizes.sampled_footers)]
        rows = sum(count_rows(work.config, sampled, work.first))
        self.rows = known + round(rows * sum(file.size for file in unknown) / sum(file.size for file in sampled))
        self._work, self._unknown = work, unknown

    def begin(self, cluster: Cluster) -> None:
        """Begins to read the footers that are left."""
        if not self.exact:
            self._counting = cluster.start(count_rows, self._work.config, self._unknown, self._work.first)

    def update(self) -> bool:
        """Whether the number of rows has become exact since this was asked last."""
        if self.exact or not self._counting.is_ready():
            return False
        self.wait()
        return True

    def wait(self) -> None:
        """Returns when every footer was read. Raises UsageError where a file cannot be used."""
        if not self.exact:
            self.rows, self.exact = self._known + sum(self._counting.wait()), True


def _count_deleted(file: InputFile, coverage: Coverage) -> int:
    """The rows of a file that have score files, and are deleted from its table."""
    version = hash_version(file)
    if not file.shown or not file.shown.deleted or (rows := coverage.count_rows(version)) is None:
        return 0
    missing = coverage.find_missing(version, 0, rows)
    return file.deleted_rows - sum(int(file.shown.find_deleted(part.start, part.stop).sum()) for part in missing)
