"""Where pairs may have scores already: score files of the same fingerprint, of other outputs and of earlier inputs."""

from collections.abc import Iterator
from typing import NamedTuple

from pipeline.check.fingerprint import differs_in_engine
from pipeline.check.preflight import Checked
from pipeline.errors import RunError, say
from pipeline.input.listing import InputFile
from pipeline.input.result import read_result
from pipeline.plan.units import ScoreFile, hash_version, parse_score_file
from pipeline.storage.folder import Folder


class Earlier(NamedTuple):
    """Score files of one output. scores: the folder of all its scores. reasons: whether a pair that has none, for a
    reason that stays, is known by that."""

    output: str
    scores: Folder
    files: list[ScoreFile]
    reasons: bool = False

    @property
    def rows(self) -> int:
        """At most, for files may have rows of each other."""
        return sum(file.unit.size for file in self.files)


def find_earlier(checked: Checked, files: list[InputFile], stored: list[str]) -> list[Earlier]:
    """The outputs of `run.reuse`, in its order; before them, for a later stage, its own scores of other candidates.

    files: of the input. stored: the score files in the run's own output; those of files that the input has count
    anyway. An output that is not used is named, with the reason.
    """
    mine = checked.config.output.path.rstrip("/")
    here = {hash_version(file) for file in files}
    own = [file for file in _parse(stored) if file.unit.of not in here]
    found = [Earlier(mine, checked.all_scores, own, reasons=True)] if checked.is_later_stage else []
    for path in checked.config.run.reuse:
        found += [Earlier(path, checked.all_scores, own)] if path.rstrip("/") == mine else _find_in(checked, path)
    return [earlier for earlier in found if earlier.files]


def _find_in(checked: Checked, path: str) -> Iterator[Earlier]:
    """The score files of a finished result, or of a stage of one, that are under the run's fingerprint."""
    output = Folder(path)
    try:
        result = read_result(output)
        if result is None:
            say(f"{path}: none of its scores are taken over: it has no finished result (run.reuse)")
            return
        places = {"scores": result["fingerprint"]}
        places |= {f"stages/{stage['name']}/scores": stage["fingerprint"] for stage in result.get("stages", [])[:-1]}
        usable = {place: print_ for place, print_ in places.items() if _is_usable(checked, print_)}
        if not usable:
            say(
                f"{path}: none of its scores are taken over: they are of another model, prompt or setting (fingerprint "
                f"{', '.join(places.values())}, this run's is {checked.fingerprint}; run.reuse)"
            )
            return
        found = [
            Earlier(path, scores, _parse(scores.names(f"{print_}/")))
            for place, print_ in usable.items()
            for scores in [output.below(place)]
        ]
        if not any(earlier.files for earlier in found):
            say(f"{path}: none of its scores are taken over: its score files have gone (run.reuse)")
        yield from found
    except RunError as error:  # a store that refuses, say
        say(f"{path}: none of its scores are taken over: {error} (run.reuse)")


def _is_usable(checked: Checked, fingerprint: str) -> bool:
    mine = checked.fingerprint
    return fingerprint == mine or ("engine" in checked.config.run.accept and differs_in_engine(mine, fingerprint))


def _parse(names: list[str]) -> list[ScoreFile]:
    """Those that are score files, by input file and row."""
    found = [file for name in names if (file := parse_score_file(name))]
    return sorted(found, key=lambda file: (file.unit.of, file.unit.first, file.name))
