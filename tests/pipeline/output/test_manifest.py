"""The manifest and its figures, for parts and sums that are written here."""

import json
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from pipeline.check.preflight import Checked
from pipeline.config import Config
from pipeline.input.listing import InputFile
from pipeline.output.manifest import build_manifest, summarize_scoring
from pipeline.plan.changes import Changes
from pipeline.rows import BucketCounts, Part

SUMS = Counter({"rows": 110, "failed": 4, "rejected": 6, "units_now": 3, "engines": 10.0, "prompt_tokens": 5000})
MINE, OTHER = "0123456789abcdef-vllm-0.32", "0123456789abcdef-vllm-0.31"
FILES = [InputFile("/in/a.parquet", 4000, "1764200000.25"), InputFile("s3://b/b.parquet", 50, "etag")]


def test_what_a_run_scored_and_at_what_rate() -> None:
    figures = summarize_scoring(SUMS, {"plan": 1.0, "score": 20.0}, 0)
    assert (figures["scored_now"], figures["units_now"], figures["prompt_tokens"]) == (100, 3, 5000)
    assert figures["pairs_per_second"] == 100 / 20
    assert figures["seconds"] == {"plan": 1.0, "score": 20.0, "engines": 10.0}


def test_a_run_that_found_all_scores_has_no_rate() -> None:
    figures = summarize_scoring(Counter(), {"plan": 1.0}, None)
    assert (figures["scored_now"], figures["units_now"], figures["pairs_per_second"]) == (0, 0, None)


@pytest.fixture
def checked(make_config: Callable[..., Config]) -> Checked:
    return Checked(make_config("/in", output={"path": "/out"}), FILES, MINE)


def test_it_says_what_the_result_was_made_from(checked: Checked) -> None:
    made: dict[str, Any] = build_manifest(
        checked,
        {"doc": "text", "doc_id": "key"},
        FILES,
        rows=[30, 12],
        changes=Changes(came=["/in/a.parquet"], changed=[], gone=["/in/x.parquet", "/in/y.parquet"]),
        units={MINE: 3, OTHER: 1},
        result_id="0123456789ab",
        parts=[
            Part("ranked/part-0.parquet", None, BucketCounts(30, 25, 4, 2, 3, 1, 1, 7, {"N x": 2}, {"odd": 4})),
            Part(
                "ranked/part-1.parquet",
                "rejects/part-1.parquet",
                BucketCounts(12, 10, 2, 1, 2, 2, 0, 5, {"N x": 3}, {"odd": 5}, late=1, deleted=3),
            ),
        ],
        scoring={"scored_now": 40},
    )
    assert json.loads(json.dumps(made)) == made, "what is read back is what was written"
    assert made["figures"] == {
        "output": "/out",
        "rows": 42,
        "queries": 6,
        "ranked": 35,
        "unscored": 3,
        "rejected": 5,
        "equal": 3,
        "transient": 1,
        "truncated": 12,
        "late": 1,
        "deleted": 3,
        "odd": 9,
        "scored_now": 40,
    }
    assert made["input"] == [
        {"path": "/in/a.parquet", "size": 4000, "version": "1764200000.25", "rows": 30},
        {"path": "s3://b/b.parquet", "size": 50, "version": "etag", "rows": 12},
    ]
    assert made["columns"] == {"query_id": None, "doc_id": "key", "doc": "text"}
    assert made["changes"] == {"came": 1, "changed": 0, "gone": 2}
    assert made["units"] == {MINE: 3, OTHER: 1} and made["fingerprint"] == MINE
    assert (made["tag"], made["reasons"]) == ("0123456789ab", {"N x": 5})
    assert made["parts"] == ["ranked/part-0.parquet", "ranked/part-1.parquet"]
    assert made["rejects"] == ["rejects/part-1.parquet"]
    assert made["run"] == checked.run_id, "the name by which metrics and logs of its workers are found"


def test_a_run_is_known_by_its_output_and_its_fingerprint(make_config: Callable[..., Config]) -> None:
    def run_id(output: str, fingerprint: str, **sections: dict) -> str:
        return Checked(make_config("/in", output={"path": output}, **sections), FILES, fingerprint).run_id

    assert run_id("/out", MINE) == run_id("/out", MINE, fusion={"alpha": 0.5}), "the scores are the same"
    assert len({run_id("/out", MINE), run_id("/out", OTHER), run_id("/out2", MINE)}) == 3
