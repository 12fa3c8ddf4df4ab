"""`jobs/rerank.py CONFIG --check`, and how each config is read, for every config that the old tree has."""

from ..case import OUT, TREE, Case, Cases, Place, job, minilm
from .resume import write_pairs


def cases(place: Place) -> Cases:
    here = write_pairs(place.below("pairs"), 20, 2)
    paths = [f"input.path={here}", f"output.path={OUT}"]
    for path in sorted((place.old / "configs").glob("*.yaml")):
        name = f"configs/{path.name}"
        reads = {"do": "load", "path": f"{TREE}/{name}", "overrides": ["fusion.alpha=0.5", "workers.count=[1, 3]"]}
        model = "reranker.model=" + minilm()  # which has no chat template, and not the labels of most
        steps = [job("rerank", name, "--check", *paths), job("rerank", name, "--check", *paths, model), reads]
        yield Case(path.stem, [*steps, job("rerank", "--check", name, "input.path=/nowhere", f"output.path={OUT}")])
