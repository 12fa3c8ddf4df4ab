"""Which room may import which (docs: CONTRIBUTING.md), and that no file imports itself by way of others."""

import ast
from graphlib import TopologicalSorter

import pytest

from tests.conftest import ROOT

TOP = {
    "credentials",
    "errors",
    "fusion",
    "mteb",
    "rows",
    "run",
    "sizes",
    "table",
}  # files of pipeline/
DOORS = {"chain", "run", "table", "mteb"}  # those that stand above all rooms
# A room may import the files at the top that are no doors, itself, and these.
ROOMS: dict[str, set[str]] = {
    "config": set(),
    "storage": set(),
    "cluster": {"config", "storage"},
    "input": {"config", "storage"},
    "check": {"config", "storage", "cluster", "input"},
    "plan": {"config", "storage", "cluster", "input", "check"},
    "score": {"config", "storage", "cluster", "input", "check", "plan"},
    "rank": {"config", "storage", "cluster", "input", "check", "plan", "score"},
    "output": {"config", "storage", "input", "check", "plan"},
}
# These may import every room below, but of each other only the ones named here.
ABOVE: dict[str, set[str]] = {
    "prepare": set(),
    "estimate": set(),
    "evaluate": set(),
    "ensemble": {"prepare"},
    "verify": {"estimate", "evaluate"},
    "training": {"evaluate"},
    "judge": {"evaluate", "prepare"},
}
ACTORS: dict[str, set[str]] = {
    "rerankers": set(),
    "engines": {"rerankers"},
    "worker": {"rerankers", "engines"},
}


def files() -> dict[str, set[str]]:
    """Module -> the modules of pipeline, actors and jobs that it imports."""
    found = {}
    for top in ("pipeline", "actors", "jobs"):
        for path in (ROOT / top).rglob("*.py"):
            name = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
            found[name] = path
    imports = {}
    for name, path in found.items():
        used = set()
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                used |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                inner = {f"{node.module}.{alias.name}" for alias in node.names}
                used |= {one if one in found else node.module for one in inner}
        imports[name] = used
    return imports


IMPORTS = files()


def room(module: str) -> str:
    """The room of a module of pipeline or actors, or the name of a file at the top."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else ""


@pytest.mark.parametrize("module", [name for name in IMPORTS if name.startswith("pipeline.")])
def test_a_room_of_the_pipeline_imports_those_below_it(module: str) -> None:
    here = room(module)
    for used in IMPORTS[module]:
        if not used.startswith("pipeline."):
            continue
        there = room(used)
        if here in DOORS or there == here:
            continue
        if here in TOP:
            allowed = TOP - DOORS
        elif here in ABOVE:
            allowed = (TOP - DOORS) | {*ROOMS} | ABOVE[here]
        else:
            allowed = (TOP - DOORS) | ROOMS[here]
        assert there in allowed, f"{module} imports {used}"


@pytest.mark.parametrize("module", [name for name in IMPORTS if name.startswith("actors.")])
def test_a_room_of_the_actors_imports_those_below_it(module: str) -> None:
    for used in IMPORTS[module]:
        assert not used.startswith(("pipeline", "jobs")), f"{module} imports {used}"
        if used.startswith("actors.") and room(used) != room(module):
            assert room(used) in ACTORS[room(module)], f"{module} imports {used}"


@pytest.mark.parametrize("module", IMPORTS)
def test_an_engine_is_known_in_its_own_folder_alone(module: str) -> None:
    for used in IMPORTS[module]:
        if not module.startswith("actors.engines.vllm"):
            assert used.split(".")[0] != "vllm", f"{module} imports vLLM"
        for engine in ("actors.engines.vllm", "actors.engines.transformers"):
            inside = module.startswith(engine) or module == "actors.engines"  # whose table they are
            assert inside or not used.startswith(engine), f"{module} imports {used}: ask actors.engines.get_engine"


@pytest.mark.parametrize("module", IMPORTS)
def test_the_libraries_of_tables_are_known_in_their_room_alone(module: str) -> None:
    for used in IMPORTS[module]:
        inside = module.startswith("pipeline.input.table")
        assert inside or used.split(".")[0] not in ("deltalake", "pyiceberg"), f"{module} imports {used}"


def test_no_file_imports_itself_by_way_of_others() -> None:
    TopologicalSorter(IMPORTS).prepare()  # raises CycleError, with the cycle
