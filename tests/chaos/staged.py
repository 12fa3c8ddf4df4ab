"""Kinds of trials of runs in three stages, of which the last one sees all candidates of a query together."""

import shutil
from collections.abc import Iterator
from typing import Any

from tests import tiny
from tests.chaos.driver import IN_FLIGHT
from tests.chaos.lab import MARKS, Lab, Outcome, Trial, Wrong
from tests.conftest import minilm_folder

ENGINE = {"dtype": "float32", "enforce_eager": True, "max_model_len": 256}


def staged(lab: Lab, wanted: int) -> Iterator[Outcome]:
    """The driver is killed at random moments of any stage, again and again until a run comes through."""
    calm = _run_calm(lab)
    seconds = float(calm.told()[-1].split()[0]) - calm.since(MARKS[0])
    kills = 0
    while kills < wanted:
        trial = _begin(lab)
        moments = []
        while trial.kills + kills < wanted:
            moments.append(lab.draw.uniform(0, seconds))
            if not trial.kill_at(trial.start(), MARKS[0], moments[-1]):
                break
        else:
            trial.run()
        kills += trial.kills
        done = ", ".join(f"{moment:.2f}" for moment in moments)
        yield _check(trial, calm, f"killed {done} s after the start", trial.kills * 2 * IN_FLIGHT)


def staged_both(lab: Lab, wanted: int) -> Iterator[Outcome]:
    """Two drivers work at the same time, as if one had slept while the other took its lease."""
    calm = _run_calm(lab)
    for _ in range(wanted):
        trial = _begin(lab)
        codes = trial.run_both(lab.draw.uniform(0, 4))
        yield _check(trial, calm, f"two without a lease, exit codes {codes}", len(trial.given()))


def _run_calm(lab: Lab) -> Trial:
    calm = _begin(lab)
    calm.run()
    return calm


def _begin(lab: Lab) -> Trial:
    trial = lab.trial(scorer="ByStage")
    model = lab.folder / "writer"
    if not model.exists():
        tiny.qwen2(model)
    whole = {"type": "listwise", "model": str(model), "window": 4, "stride": 2}
    config = trial.order.config
    workers = config.pop("workers")
    del config["reranker"], config["engine"]
    config["stages"] = [
        {"name": "fast", "reranker": _pairwise(100), "top_k": 30, "engine": ENGINE, "workers": workers},
        {"name": "better", "reranker": _pairwise(101), "top_k": 10, "engine": ENGINE, "workers": workers},
        {"name": "whole", "reranker": whole, "engine": ENGINE | {"max_model_len": 2048}, "workers": workers},
    ]
    return trial


def _pairwise(max_doc_tokens: int) -> dict[str, Any]:
    return {"type": "bi_encoder", "model": minilm_folder(), "max_doc_tokens": max_doc_tokens}


def _check(trial: Trial, calm: Trial, what: str, allowed: int) -> Outcome:
    """Raises Wrong unless the result is the undisturbed run's, with `allowed` units given again at most, and a further
    run gives an actor nothing."""
    again = trial.again()
    if again > allowed:
        raise Wrong(f"{again} units were scored again, more than the {allowed} in flight: {what}")
    given = trial.given()
    if not trial.ranked().equals(calm.ranked()):
        raise Wrong(f"the result is not that of the undisturbed run: {what}")
    trial.run()
    if trial.given() != given or not trial.ranked().equals(calm.ranked()):
        raise Wrong(f"a further run scored {(trial.given() - given).total()} units: {what}")
    shutil.rmtree(trial.order.folder)
    return Outcome(what, trial.kills, again, allowed)
