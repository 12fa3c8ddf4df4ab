"""The whole command line in processes of its own, with MiniLM in vLLM, started from another folder than the tree's."""

from ..case import OUT, SIDE, TREE, Case, Cases, Place, Step, look, lose, minilm, shell
from .resume import write_pairs

MODEL = f"reranker.model={minilm()}"
DEMO = [f"{TREE}/jobs/rerank.py", f"{TREE}/configs/demo.yaml"]


def cases(place: Place) -> Cases:
    here = write_pairs(place.below("pairs"), 60, 2)
    for name, (overrides, later) in RUNS.items():
        paths = [f"input.path={here}", f"output.path={OUT}", MODEL, "run.max_failed=0.1"]
        steps: list[Step] = [shell(*DEMO, *paths, *overrides, cwd="/"), look()]
        for more in later:
            steps += [shell(*DEMO, *paths, *overrides, *more, cwd="/"), look()]
        yield Case(name, steps)
    relative = ["jobs/rerank.py", "configs/demo.yaml", MODEL, f"input.path={here}", f"output.path={OUT}"]
    yield Case("too many failed", [shell(*relative, "run.max_failed=0", "run.unit_rows=5")])
    yield Case("relative, and nothing to do", [shell(*relative, "input.path=[]"), shell("jobs/status.py", OUT)])
    yield Case("modules", [shell("-m", "jobs.rerank", "--help"), shell("-m", "jobs.evaluate", "--help")])
    again = [shell(*DEMO, *paths, cwd="/"), lose("d30"), shell(*DEMO, *paths, cwd="/")]
    yield Case("scores that went", [*again, look(), shell(f"{TREE}/jobs/status.py", OUT, cwd=SIDE)])


CROSS = ["reranker={type: cross_encoder, model: " + minilm() + "}"]
RUNS: dict[str, tuple[list[str], list[list[str]]]] = {
    "as it is": ([], [["fusion.method=rrf"]]),
    "minmax, top_k": (["fusion.method=minmax", "fusion.alpha=0.7", "output.top_k=2"], []),
    "small units, deterministic": (["run.unit_rows=7", "run.deterministic=true"], [["fusion.alpha=1"]]),
    "templates": (["reranker.query_template='query: {query}'", "reranker.doc_template='passage: {doc}'"], []),
    "short": (["reranker.max_doc_tokens=5", "engine.max_model_len=64"], [["reranker.max_doc_tokens=6"]]),
    "two workers": (["workers.count=2", "run.unit_rows=10"], []),
    "a wrong engine argument": (["engine.dtype=float99"], []),
    "no classifier": (CROSS, []),
}
