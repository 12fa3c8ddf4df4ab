"""Kinds of trials whose input files come, change and go, between one run and the next or beside one."""

import os
import random
import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline.input.listing import list_inputs
from pipeline.input.versions import add_footer_hashes
from pipeline.plan.units import hash_version, parse_score_file, parse_unit
from pipeline.storage.folder import Folder
from tests.chaos.driver import IN_FLIGHT
from tests.chaos.lab import Lab, Outcome, Trial, Wrong
from tests.pipeline.conftest import pairs

FILES, FILE_ROWS = 4, 300  # at first
UNIT_ROWS = (30, 50, 70)  # one of them is drawn for each run
WHOLE_SECOND = 1_700_000_000  # the last change of every file, where times tell nothing


class Input:
    """Files that come, change and go. coarse: whether all of them have one time of last change, in whole seconds."""

    def __init__(self, folder: Path, draw: random.Random, coarse: bool):
        self.folder, self._draw, self._coarse = folder, draw, coarse
        self._put = 0
        folder.mkdir()
        for number in range(FILES):
            self._write(f"{number:03d}")

    def change(self) -> str:
        """Puts new files, writes some again, deletes some: at least one of all this. Returns what it did."""
        names = sorted(path.stem for path in self.folder.glob("*.parquet"))
        again, gone = self._draw.sample(names, 2) if len(names) > 2 else (names[0], "")
        done = list[str]()
        while not done:
            for what in self._draw.sample(["came", "changed", "went"], self._draw.randint(1, 3)):
                if what == "came":
                    new = f"{self._draw.randrange(1000):03d}-{self._put}"
                    self._write(new)
                    done.append(f"{new} came")
                elif what == "changed":
                    self._write(again)
                    done.append(f"{again} changed")
                elif gone:
                    (self.folder / f"{gone}.parquet").unlink()
                    done.append(f"{gone} went")
        return ", ".join(done)

    def _write(self, name: str) -> None:
        """A file that no other one before is equal to. It appears whole."""
        self._put += 1
        rows = pairs(FILE_ROWS)
        docs = pc.binary_join_element_wise(rows["doc"], f"of {self._put:04d}", " ")
        docs = pc.if_else(pc.equal(rows["doc"], ""), "", docs)
        ids = pc.binary_join_element_wise(rows["doc_id"], name, "-")
        rows = rows.set_column(3, "doc", docs).set_column(2, "doc_id", ids)
        path = self.folder / f"{name}.parquet"
        pq.write_table(rows, path.with_suffix(".new"), row_group_size=13)
        if self._coarse:
            os.utime(path.with_suffix(".new"), (WHOLE_SECOND, WHOLE_SECOND))
        path.with_suffix(".new").replace(path)


def grow(lab: Lab, wanted: int) -> Iterator[Outcome]:
    """The driver is killed at random moments, and files come, change or go before the next one. Half of the trials
    begin with a result; units have other sizes from run to run; some stores give times in whole seconds alone."""
    kills = 0
    while kills < wanted:
        trial, files, coarse = _begin(lab)
        done = ["whole seconds"] if coarse else []
        if lab.draw.random() < 0.5:
            trial.run(config=_draw_config(lab, trial))
            done.append("a result")
            done.append(files.change())
        killed = 0
        for _ in range(min(lab.draw.randint(1, 4), wanted - kills)):
            mark, seconds = lab.draw_moment()
            if trial.kill_at(trial.start(config=_draw_config(lab, trial)), mark, seconds):
                killed += 1
                done.append(f"killed {seconds:.2f} s after {mark}")
            done.append(files.change())
        trial.run(config=_draw_config(lab, trial))
        kills += killed
        yield _check(lab, trial, files, "; ".join(done), killed, killed * 2 * IN_FLIGHT)


def older(lab: Lab, wanted: int) -> Iterator[Outcome]:
    """Two drivers work at the same time, of which the first has a listing from before files came, changed or went. The
    scores of the other one stay, whichever ends last."""
    for _ in range(wanted):
        trial, files, coarse = _begin(lab)
        if lab.draw.random() < 0.5:
            trial.run(config=_draw_config(lab, trial))
            files.change()
        first = trial.start(lease=False, config=_draw_config(lab, trial))
        trial.await_work(first, 1)
        done = files.change()
        second = trial.start(lease=False, config=_draw_config(lab, trial))
        codes = [first.wait(), second.wait()]
        if not {*codes} <= {0, 1}:
            raise Wrong(f"exit codes {codes}: {trial.errors()}")
        trial.run()
        if codes[1] == 0 and (scored := trial.figures()["scored_now"]):
            raise Wrong(f"{scored} pairs were scored again that the driver with the newer listing had scored: {done}")
        what = f"two without a lease, exit codes {codes}{', whole seconds' if coarse else ''}: {done}"
        yield _check(lab, trial, files, what, 0, len(trial.given()))


def _begin(lab: Lab) -> tuple[Trial, Input, bool]:
    trial = lab.trial()
    coarse = lab.draw.random() < 0.3
    files = Input(trial.order.folder / "in", lab.draw, coarse)
    trial.order.config["input"] = {"path": str(files.folder)}
    trial.order.config["run"]["on_gone"] = "drop"
    return trial, files, coarse


def _draw_config(lab: Lab, trial: Trial) -> dict[str, Any]:
    config = trial.order.config
    return config | {"run": config["run"] | {"unit_rows": lab.draw.choice(UNIT_ROWS)}}


def _check(lab: Lab, trial: Trial, files: Input, what: str, kills: int, allowed: int) -> Outcome:
    """Raises Wrong unless the result is that of a run from nothing over the files that are there, with rows of no more
    than `allowed` units given to an actor once more, and a further run has nothing to score."""
    calm = lab.trial(input={"path": str(files.folder)})
    calm.run()
    if not trial.ranked().equals(calm.ranked()):
        raise Wrong(f"the result is not that of a run from nothing: {what}")
    again = count_rows_again(trial.given())
    if again > allowed * max(UNIT_ROWS):
        raise Wrong(f"{again} rows were scored again, more than those of the {allowed} units in flight: {what}")
    trial.run()
    if (scored := trial.figures()["scored_now"]) or not trial.ranked().equals(calm.ranked()):
        raise Wrong(f"a further run scored {scored} pairs: {what}")
    if stale := list_stale(trial, files):
        raise Wrong(f"scores of other versions of the result's files are left: {stale[0]}; {what}")
    for done in (trial, calm):
        shutil.rmtree(done.order.folder)
    return Outcome(what, kills, -(-again // max(UNIT_ROWS)), allowed)


def count_rows_again(given: Counter[str]) -> int:
    """How many rows too many actors were given. given: unit -> how often."""
    rows: Counter[tuple[Any, int]] = Counter()
    for name, times in given.items():
        unit = parse_unit(name)
        rows.update({(unit.of, row): times for row in range(unit.first, unit.stop)})
    return rows.total() - len(rows)


def list_stale(trial: Trial, files: Input) -> list[str]:
    """The score files of other versions of the input's files."""
    used = {of.file: of for of in map(hash_version, add_footer_hashes(list_inputs([str(files.folder)])))}
    names = Folder(trial.order.config["output"]["path"]).below("scores").files()
    found = [score_file for name in names if (score_file := parse_score_file(name))]
    return [file.name for file in found if used.get(file.unit.of.file, file.unit.of) != file.unit.of]
