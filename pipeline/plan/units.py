"""The names of units, which say what they are: so which rows have scores follows from a listing of the score files.

<file>-<version>-<rows>-<first>-<stop>[-<retry>][.transient].parquet

file, version: hashes of a file's URL, and of its size and version. rows: of the whole file. first, stop: the unit's
rows of it. retry: given where some rows of the unit without it were scored once more: the file has those rows alone.
`.transient`: some of the unit's rows have no score for a reason that may pass.
"""

import hashlib
import re
from collections import defaultdict
from collections.abc import Iterable
from typing import NamedTuple

from pipeline.errors import RunError
from pipeline.input.listing import InputFile
from pipeline.storage.folder import Folder

ENDING, TRANSIENT_MARK = ".parquet", ".transient"
FINGERPRINT = r"[0-9a-f]{16}-[a-z]+-\d+\.\d+"  # the name of a folder of score files
FINGERPRINT_0_1 = r"[0-9a-f]{16}"  # of rayrank 0.1: numbers that a stored plan gave a meaning
NAME = re.compile(r"(?:[^/]+/)?([0-9a-f]{16})-([0-9a-f]{16})-(\d+)-(\d+)-(\d+)(?:-(\d+))?(\.transient)?\.parquet")


class Version(NamedTuple):
    """A version of a file, by hashes."""

    file: str
    version: str


class Unit(NamedTuple):
    """Rows of a version of a file: first <= row < stop. retry: 0, or which further try of some of them it is."""

    of: Version
    rows: int
    first: int
    stop: int
    retry: int = 0

    @property
    def name(self) -> str:
        """The name of its score file, without what the scores add to it."""
        retry = f"-{self.retry}" if self.retry else ""
        return f"{self.of.file}-{self.of.version}-{self.rows}-{self.first:010d}-{self.stop:010d}{retry}"

    @property
    def size(self) -> int:
        return self.stop - self.first


class ScoreFile(NamedTuple):
    """A score file that is there. name: with its fingerprint's folder before it. transient: whether some of its rows
    have no score for a reason that may pass."""

    name: str
    unit: Unit
    transient: bool


def name_score_file(unit: str, transient: bool) -> str:
    """The name of a unit's score file. unit: its name."""
    return unit + (TRANSIENT_MARK if transient else "") + ENDING


def hash_version(file: InputFile) -> Version:
    """The hashes that stand for a file as it was listed."""
    return Version(_hash(file.path), _hash(f"{file.size} {file.version}"))


def parse_score_file(name: str) -> ScoreFile | None:
    """The score file of this name; None where it is no name of one."""
    if not (found := NAME.fullmatch(name)):
        return None
    file, version, rows, first, stop, retry, mark = found.groups()
    unit = Unit(Version(file, version), int(rows), int(first), int(stop), int(retry or 0))
    return ScoreFile(name, unit, mark is not None)


def parse_unit(name: str) -> Unit:
    """The unit of this name."""
    found = parse_score_file(name + ENDING)
    assert found, name
    return found.unit


def find_present(scores: Folder, units: list[str]) -> set[str]:
    """The units among these that have a score file. A file that was put just now may be missing where listings lag."""
    names = {name_score_file(unit, transient): unit for unit in units for transient in (False, True)}
    found = scores.find_present([*names], _find_prefix(units))
    return {names[name] for name in found}


def look_up_score_files(scores: Folder, units: Iterable[str]) -> list[str]:
    """The names of the score files of these units. Each is asked for by itself: listings lag behind."""
    names = (name_score_file(unit, transient) for unit in units for transient in (False, True))
    return [name for name in names if scores.size(name) is not None]


def _find_prefix(units: list[str]) -> str:
    """The beginning that the names of units of one file share."""
    first, last = min(units), max(units)
    same = next((at for at, pair in enumerate(zip(first, last, strict=False)) if pair[0] != pair[1]), len(first))
    return first[:same]


class Coverage:
    """Which rows of which versions of files have score files. names: of all files there are."""

    def __init__(self, names: Iterable[str] = ()):
        self._files: defaultdict[Version, list[ScoreFile]] = defaultdict(list)
        self._names: set[str] = set()
        self.add(names)

    def add(self, names: Iterable[str]) -> None:
        """Adds score files; names of other files are passed over."""
        for name in {*names} - self._names:
            if found := parse_score_file(name):
                self._files[found.unit.of].append(found)
                self._names.add(name)

    def score_files(self, version: Version) -> list[ScoreFile]:
        """Those of a version of a file, by their first row."""
        return sorted(self._files.get(version, []), key=lambda file: (file.unit.first, file.name))

    def versions(self) -> set[Version]:
        return {*self._files}

    def count_rows(self, version: Version) -> int | None:
        """The rows of a version of a file; None where no score file says it."""
        files = self._files.get(version)
        return files[0].unit.rows if files else None

    def count_scored(self, versions: Iterable[Version]) -> int:
        """The rows of these versions of files that have score files."""
        known = [(version, self.count_rows(version) or 0) for version in versions]
        return sum(rows - sum(map(len, self.find_missing(version, 0, rows))) for version, rows in known)

    def find_missing(self, version: Version, first: int, stop: int) -> list[range]:
        """The rows from `first` to before `stop` that have no score file, as ranges in their order."""
        missing, at = [], first
        for _, unit, _ in self.score_files(version):
            if unit.retry:  # has some rows of its range alone
                continue
            if unit.first > at:
                missing.append(range(at, min(unit.first, stop)))
            at = max(at, unit.stop)
            if at >= stop:
                break
        if at < stop:
            missing.append(range(at, stop))
        return [rows for rows in missing if rows]

    def find_failed(self, version: Version) -> list[ScoreFile]:
        """Those of a version of a file with rows that have no score for a reason that may pass, and all that overlap
        with them, which may have the scores of these rows."""
        files = self.score_files(version)
        failed = [(file.unit.first, file.unit.stop) for file in files if file.transient]
        return [
            file for file in files if any(file.unit.first < stop and first < file.unit.stop for first, stop in failed)
        ]

    def is_complete(self, version: Version) -> bool:
        """Whether every row of a version of a file has a score file, and there is one, if it has none."""
        rows = self.count_rows(version)
        return rows is not None and not self.find_missing(version, 0, rows)


def count_rows_of_all(coverage: Coverage, files: list[InputFile]) -> list[int]:
    """The rows of each file. Raises RunError where some of them have no score file."""
    rows = []
    for file in files:
        version = hash_version(file)
        if not coverage.is_complete(version):
            raise RunError(
                f"{file.path}: score files of it have gone; does another run write to this output? The same command "
                "goes on from here"
            )
        rows.append(coverage.count_rows(version) or 0)
    return rows


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]
