"""`from pipeline import rerank`: tables of three libraries, and configs in every form, with MiniLM in vLLM."""

from typing import Any

import pyarrow.parquet as pq

from ..case import TREE, Case, Cases, Place, Step, config, minilm
from .resume import pairs


def cases(place: Place) -> Cases:
    here = place.below("tables")
    pq.write_table(pairs(60), here / "pairs.parquet")
    pq.write_table(pairs(20).drop_columns(["doc"]), here / "no-doc.parquet")
    pq.write_table(pairs(20).drop_columns(["query_id", "doc_id"]), here / "no-ids.parquet")

    def step(table: str, kind: str, config: Any, *overrides: str) -> Step:
        return {
            "do": "door",
            "table": f"{here}/{table}.parquet",
            "kind": kind,
            "config": config,
            "overrides": overrides,
        }

    sections = config("not looked at", run={"max_failed": 0.1}, output={"path": "nowhere", "top_k": 3})
    less = {name: sections[name] for name in ("reranker", "engine", "run")}
    demo = f"{TREE}/configs/demo.yaml"
    model = f"reranker.model={minilm()}"
    yield Case("arrow, sections", [step("pairs", "arrow", sections)])
    yield Case("pandas, sections without paths", [step("pairs", "pandas", less)])
    yield Case("polars, a file with overrides", [step("pairs", "polars", demo, model, "run.max_failed=0.1")])
    yield Case("arrow without ids, rrf", [step("no-ids", "arrow", less | {"fusion": {"method": "rrf"}})])
    wrong: dict[str, Step] = {
        "no document": step("no-doc", "arrow", less),
        "too many failed": step("pairs", "arrow", less | {"run": {"max_failed": 0}}),
        "an unknown key": step("pairs", "pandas", less | {"fusion": {"weight": 1}}),
        "overrides beside sections": step("pairs", "arrow", less, "fusion.alpha=1"),
        "a file that is not there": step("pairs", "polars", "nowhere.yaml"),
        "a wrong override": step("pairs", "polars", demo, "fusion.alpha=2"),
    }
    for name, one in wrong.items():
        yield Case(name, [one])
