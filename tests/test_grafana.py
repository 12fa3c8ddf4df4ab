"""The Grafana dashboard: whole, and of metrics that there are. tests/pipeline/score/test_scrape.py scrapes them."""

import json
import re
from typing import Any

import pytest

from pipeline.score.metrics import COUNTERS, GAUGES, HISTOGRAMS
from tests.conftest import ROOT

SCRAPED = {
    *(f"ray_{name}_total" for name in COUNTERS),
    *(f"ray_{name}" for name in GAUGES),
    *(f"ray_{name}_bucket" for name in HISTOGRAMS),
}


def dashboard() -> dict[str, Any]:
    return json.loads((ROOT / "configs/grafana/rayrank.json").read_text())


def queried() -> set[str]:
    """The metrics of every query of the dashboard, as Prometheus knows them."""
    queries = [target["expr"] for panel in dashboard()["panels"] for target in panel["targets"]]
    queries += [str(variable["query"]) for variable in dashboard()["templating"]["list"]]
    return {name for query in queries for name in re.findall(r"\bray_\w+", query)}


def test_it_shows_all_metrics_and_no_others() -> None:
    assert queried() == SCRAPED


def test_every_panel_asks_the_chosen_datasource_about_the_chosen_runs() -> None:
    chosen = {"type": "prometheus", "uid": "${datasource}"}
    variables = {variable["name"]: variable["type"] for variable in dashboard()["templating"]["list"]}
    assert variables == {"datasource": "datasource", "run": "query"}
    for panel in dashboard()["panels"]:
        assert panel["datasource"] == chosen
        for target in panel["targets"]:
            assert target["datasource"] == chosen
            names, filters = re.findall(r"\bray_\w+", target["expr"]), target["expr"].count('{run=~"$run"}')
            assert len(names) == filters > 0


def test_rows_without_a_score_are_totals() -> None:
    """A reason's counter begins with its first row, for which neither rate nor increase shows anything."""
    (query,) = [
        target["expr"] for panel in dashboard()["panels"] for target in panel["targets"] if "failures" in target["expr"]
    ]
    assert query == 'sum by (reason) (ray_rayrank_failures_total{run=~"$run"})'


def test_panels_do_not_overlap_and_have_names_of_their_own() -> None:
    panels = dashboard()["panels"]
    for what in ("id", "title"):
        assert len({panel[what] for panel in panels}) == len(panels)
    taken = [
        (x, y)
        for at in (panel["gridPos"] for panel in panels)
        for x in range(at["x"], at["x"] + at["w"])
        for y in range(at["y"], at["y"] + at["h"])
    ]
    assert len(taken) == len(set(taken)) and max(x for x, _ in taken) < 24


@pytest.mark.parametrize("key", ["uid", "title", "schemaVersion"])
def test_it_can_be_provisioned(key: str) -> None:
    """A provisioned dashboard keeps its uid, and has no id of the instance it was made in."""
    assert dashboard()[key] and "id" not in dashboard() and "__inputs" not in dashboard()
