"""The ways in which a run is disturbed. Each takes the lab and how many of its disturbances are wanted, and yields what
came of one trial after the other."""

import shutil
import time
from collections.abc import Iterator
from functools import partial

import numpy as np

from pipeline.output.lease import Held
from tests.chaos.driver import IN_FLIGHT
from tests.chaos.growing import grow, older
from tests.chaos.lab import Kind, Lab, Outcome, Trial, Wrong
from tests.chaos.staged import staged, staged_both


def steps(lab: Lab, wanted: int) -> Iterator[Outcome]:
    """The driver is killed before and after every step it takes; `wanted` of these points, drawn, if not 0."""
    yield from _at_steps(lab, wanted, None)


def steps_again(lab: Lab, wanted: int) -> Iterator[Outcome]:
    """The same, of a run that ranks a standing result again."""
    before = lab.trial(fusion={"alpha": 0.9})
    before.run()
    yield from _at_steps(lab, wanted, before)


def _at_steps(lab: Lab, wanted: int, before: Trial | None) -> Iterator[Outcome]:
    calm = lab.calm
    if before:
        calm = _copy(lab, before)
        calm.run()
    points = [f"{when} {step}" for step in range(1, len(calm.told()) + 1) for when in ("before", "after")]
    for point in lab.draw.sample(points, wanted) if wanted else points:
        trial = _copy(lab, before)
        trial.run(-9, die_at=point)
        step = trial.told()[-1].split(" ", 2)[2]
        if trial.committed():  # a reader finds the new result whole, or the old one
            found = trial.ranked()
            if not (found.equals(lab.expected) or (before and found.equals(before.ranked()))):
                raise Wrong(f"killed {point} ({step}): a result stands that is neither the old nor the new one")
        else:
            trial.kills += 1
        trial.run()
        yield _checked(lab, trial, f"{point}: {step}", 2 * IN_FLIGHT)


def _copy(lab: Lab, before: Trial | None) -> Trial:
    trial = lab.trial()
    if before:
        shutil.copytree(before.order.config["output"]["path"], trial.order.config["output"]["path"])
        shutil.copy(before.order.folder / "given", trial.order.folder / "given")
    return trial


def points(lab: Lab, wanted: int) -> Iterator[Outcome]:
    """The driver is killed at random moments, again and again until a run comes through."""
    kills = 0
    while kills < wanted:
        trial = lab.trial()
        moments = []
        while trial.kills + kills < wanted:
            mark, seconds = lab.draw_moment()
            moments.append(f"{seconds:.2f} s after {mark}")
            if not trial.kill_at(trial.start(), mark, seconds):
                break
        else:
            trial.run()
        kills += trial.kills
        yield _checked(lab, trial, f"killed {', '.join(moments)}", trial.kills * 2 * IN_FLIGHT)


def actors(lab: Lab, wanted: int) -> Iterator[Outcome]:
    """The one of two actors that was given work last is killed, every few units."""
    kills = 0
    while kills < wanted:
        trial = lab.trial()
        driver = trial.start()
        while driver.poll() is None and trial.kills + kills < wanted:
            trial.await_work(driver, lab.draw.randint(3, 12))
            if driver.poll() is None:
                trial.kill_actors(trial.busy()[:1])
        trial.end(driver)
        kills += trial.kills
        yield _checked(lab, trial, "actors, one by one", trial.kills * IN_FLIGHT)


def _live(trial: Trial, actors: int) -> bool:
    return len(trial.actors()) == actors


def half(lab: Lab, wanted: int) -> Iterator[Outcome]:
    """Two of four actors are killed at once."""
    for _ in range(wanted):
        trial = lab.trial("AllTogether", actors=4)
        driver = trial.start()
        trial.wait_for(partial(_live, trial, 4), driver)
        trial.await_work(driver, 5)
        trial.kill_actors(trial.busy()[:2])
        trial.end(driver)
        yield _checked(lab, trial, "half of the actors at once", trial.kills * IN_FLIGHT)


def starts(lab: Lab, wanted: int) -> Iterator[Outcome]:
    """One start of an engine in five fails, and actors are killed, so that there are starts."""
    for number in range(wanted):
        trial = lab.trial("FailsToStart")
        trial.order.seed += number
        driver = trial.start()
        for _ in range(3):
            trial.await_work(driver, 8)
            if driver.poll() is None:
                trial.kill_actors(trial.busy()[:1])
        trial.end(driver)
        allowed = trial.kills * IN_FLIGHT
        yield _checked(lab, trial, f"{trial.marks('failed')} of {trial.marks('start')} starts failed", allowed)


def never(lab: Lab, wanted: int) -> Iterator[Outcome]:
    """No start succeeds: the run ends with the engine's words, and one whose engine starts goes on from there."""
    for _ in range(wanted):
        trial = lab.trial("NeverStarts")
        began = time.monotonic()
        trial.run(1)
        seconds = time.monotonic() - began
        if "no kernel image is available" not in trial.errors():
            raise Wrong(f"the engine's own words are missing: {trial.errors()}")
        trial.run(scorer="Calm")
        yield _checked(lab, trial, f"ended after {seconds:.0f} s, with the engine's words", 0)


def hangs(lab: Lab, wanted: int) -> Iterator[Outcome]:
    """An actor stands still three times; its watchdog ends it."""
    for _ in range(wanted):
        trial = lab.trial("Hangs")
        trial.run()
        trial.kills = trial.marks("hung")
        yield _checked(lab, trial, "an actor hung", trial.kills * IN_FLIGHT)


def two(lab: Lab, wanted: int) -> Iterator[Outcome]:
    """Two drivers are started together: one holds the output, and the other says so or comes after it."""
    for _ in range(wanted):
        trial = lab.trial()
        first, second = trial.start(), trial.start()
        codes = sorted([first.wait(), second.wait()])
        if codes not in ([0, 0], [0, Held.exit_code]):
            raise Wrong(f"exit codes {codes}: {trial.errors()}")
        yield _checked(lab, trial, f"two at once, exit codes {codes}", 0)


def both(lab: Lab, wanted: int) -> Iterator[Outcome]:
    """Two drivers work at the same time, as if one had slept while the other took its lease."""
    for _ in range(wanted):
        trial = lab.trial()
        codes = trial.run_both(lab.draw.uniform(0, 2))
        yield _checked(lab, trial, f"two without a lease, exit codes {codes}", len(trial.given()))


def nodes(lab: Lab, wanted: int) -> Iterator[Outcome]:
    """A node of a cluster of three goes away, actors and all, and another one comes."""
    from ray.cluster_utils import Cluster

    for _ in range(wanted):
        cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
        try:
            workers = [cluster.add_node(num_cpus=2) for _ in range(2)]
            cluster.wait_for_nodes()
            trial = lab.trial(actors=3, workers={"num_cpus": 1})
            driver = trial.start(address=cluster.address)
            trial.wait_for(partial(_live, trial, 3), driver)
            trial.await_work(driver, 5)
            if driver.poll() is not None:
                raise Wrong(f"the run ended before a node was gone: {trial.errors()}")
            before = len(trial.actors())
            drivers = (trial.order.folder / "node").read_text()  # Ray chooses it; that it goes is another kind
            doomed = next(node for node in workers if node.node_id != drivers)
            cluster.remove_node(doomed, allow_graceful=False)
            trial.kills += 1
            time.sleep(1)
            gone = before - len(trial.actors())
            cluster.add_node(num_cpus=2)
            trial.end(driver)
        finally:
            cluster.shutdown()
        yield _checked(lab, trial, f"a node with {gone} actors went, and one came", gone * IN_FLIGHT)


def engine(lab: Lab, wanted: int) -> Iterator[Outcome]:
    """vLLM itself, killed while it computes."""
    yield from _engines(lab, wanted, "RealEngine", "a real engine was killed")


def engine_hangs(lab: Lab, wanted: int) -> Iterator[Outcome]:
    """vLLM itself, of which one step never ends; its watchdog ends it."""
    yield from _engines(lab, wanted, "HangingEngine", "a step of a real engine hung")


def _engines(lab: Lab, wanted: int, scorer: str, what: str) -> Iterator[Outcome]:
    calm = lab.trial("RealEngine", actors=1)
    calm.run()
    for _ in range(wanted):
        trial = lab.trial(scorer, actors=1, run={"stall_seconds": 10})
        driver = trial.start()
        if scorer == "RealEngine":
            trial.await_work(driver, lab.draw.randint(8, 20))
            trial.kill_actors(trial.busy())
        trial.end(driver)
        trial.kills += trial.marks("hung")
        _check_close(trial, calm)
        yield Outcome(what, trial.kills, trial.again(), trial.kills * IN_FLIGHT)


def _check_close(trial: Trial, calm: Trial) -> None:
    keys = [("query_id", "ascending"), ("doc_id", "ascending")]
    got, expected = trial.ranked().sort_by(keys), calm.ranked().sort_by(keys)
    for column in ("query_id", "doc_id", "first_stage_score", "reason"):
        if not got[column].equals(expected[column]):
            raise Wrong(f"{column} is not that of the undisturbed run")
    first, second = (np.array(table["rerank_score"].to_pylist(), dtype=float) for table in (got, expected))
    if not np.allclose(first, second, rtol=0, atol=1e-5, equal_nan=True):
        raise Wrong("scores are not those of the undisturbed run")


def _checked(lab: Lab, trial: Trial, what: str, allowed: int) -> Outcome:
    trial.check(lab, allowed)
    outcome = Outcome(what, trial.kills, trial.again(), allowed)
    shutil.rmtree(trial.order.folder)
    return outcome


KINDS: dict[str, Kind] = {
    kind.__name__: kind
    for kind in [
        *(steps, steps_again, points),
        *(actors, half, starts, never, hangs, nodes),
        *(two, both),
        *(grow, older),
        *(staged, staged_both),
        *(engine, engine_hangs),
    ]
}
