"""Deletes the files that a standing result has no use for. If that fails, the result still stands."""

from collections.abc import Iterable
from typing import Any

from pipeline.check.preflight import LATE_FOLDER, Checked
from pipeline.errors import StoreError, say
from pipeline.input.listing import InputFile
from pipeline.input.versions import look_up
from pipeline.output.commit import RUN_FOLDERS, list_unnamed_parts
from pipeline.output.lease import Held, Lease
from pipeline.plan.units import hash_version, parse_score_file


def tidy(checked: Checked, lease: Lease, result: dict[str, Any], stored: list[str]) -> None:
    """Deletes parts of other results, merged files, scores of other versions of the result's files, and the temporary
    files of killed processes.

    stored: the score files that this run's first listing showed. Others may be another driver's work, and so may those
    of a version that is newer than this run's: they go only where the file itself is the one that the result was made
    from.
    """
    output = checked.output
    try:
        parts = list_unnamed_parts(output, result)
        merged = list_temporary(checked, {checked.fingerprint, *(name.partition("/")[0] for name in stored)})
        # After the listings: what another driver put since it took the output is in none of them.
        lease.confirm()
        output.delete(parts)
        checked.all_scores.delete([*merged, *_find_stale(result, stored)])
        output.sweep_unfinished(RUN_FOLDERS)
    except (StoreError, Held) as error:
        say(f"the result stands; what is left over goes with the next run: {error}")


def list_temporary(checked: Checked, fingerprints: Iterable[str]) -> list[str]:
    """Names of files merged from scores of these fingerprints, and of those that stood for scores not there in time,
    all below the folder of all scores."""
    folders = [folder for name in fingerprints for folder in (f"{name}/merged/", f"{LATE_FOLDER}{name}/")]
    return [name for folder in folders for name in checked.all_scores.names(folder)]


def _find_stale(result: dict[str, Any], stored: list[str]) -> list[str]:
    files = [InputFile(file["path"], file["size"], file["version"]) for file in result["input"]]
    used = {version.file: (version, file) for file in files for version in [hash_version(file)]}
    stale: dict[str, list[str]] = {}  # hash of a file's URL -> score files of its other versions
    for name in stored:
        of = found.unit.of if (found := parse_score_file(name)) else None
        if of and of.file in used and of != used[of.file][0]:
            stale.setdefault(of.file, []).append(name)
    return [name for file, names in stale.items() if look_up(used[file][1].path) == used[file][1] for name in names]
