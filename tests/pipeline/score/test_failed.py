"""Rows without a score are counted while a run goes on; those that are equal count once."""

import json
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from pipeline.errors import RunError
from pipeline.score.failed import FailedRows, count_repeats
from pipeline.score.files import SCHEMA, encode_scores
from pipeline.score.write import UnitStats
from pipeline.storage.folder import Folder

KINDS = ["ok", "permanent", "transient", "reject"]


def put(folder: Folder, name: str, rows: list[dict[str, Any]]) -> UnitStats:
    folder.put(name, encode_scores(pa.Table.from_pylist(rows, SCHEMA)))
    failed = [row["kind"] for row in rows]
    return UnitStats(
        unit=name,
        file=name,
        rows=len(rows),
        failed=failed.count("permanent") + failed.count("transient"),
        rejected=failed.count("reject"),
        reasons=json.dumps({}),
        prompt_tokens=0,
        cached_tokens=0,
        new_tokens=0,
        seconds=0,
    )


def draw(seed: int, rows: int) -> pd.DataFrame:
    """Rows of which many are equal."""
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "query_id": [f"q{n}" for n in rng.integers(0, 3, rows)],
            "doc_id": [f"d{n}" for n in rng.integers(0, 4, rows)],
            "texts": [int(n).to_bytes(4, "little") * 4 for n in rng.integers(0, 40, rows)],
            "first_stage_score": rng.integers(0, 2, rows).astype(float),
            "kind": rng.choice(KINDS, rows),
        }
    )


@pytest.mark.parametrize("seed", range(3))
def test_repeats_are_those_of_pandas(seed: int, tmp_path: Any) -> None:
    folder, rows = Folder(str(tmp_path)), draw(seed, 500)
    for number in range(5):
        put(folder, f"{number}", rows[number * 100 : number * 100 + 100].to_dict("records"))
    names = [f"{number}" for number in range(5)]
    failed = rows[rows.kind.isin(["permanent", "transient"])].drop(columns="kind")
    assert count_repeats(folder, names) == failed.duplicated().sum() > 0
    share = 1 + len(failed) // 100
    sampled = failed[[int.from_bytes(text[:4], "little") % share == 0 for text in failed.texts]]
    assert count_repeats(folder, names, sample=100) == share * sampled.duplicated().sum() > 0


def test_files_are_read_only_where_too_many_seem_to_have_failed(tmp_path: Any) -> None:
    folder = Folder(str(tmp_path))
    row = {"query_id": "q", "doc_id": "d", "texts": b"t" * 16, "first_stage_score": 1.0, "kind": "permanent"}
    failed = FailedRows(folder)
    failed.add(put(folder, "a", [row] * 4))
    folder.delete(["a"])
    assert not failed.exceed(4)
    with pytest.raises(RunError, match=f"^{tmp_path}/a: has gone; does another run write to this output"):
        failed.exceed(3)
    put(folder, "a", [row] * 4)
    assert not failed.exceed(3)
    failed.add(put(folder, "b", [row, row | {"doc_id": "other"}, row | {"kind": "ok"}]))
    assert failed.rows == 3 and not failed.exceed(2) and failed.rows == 2
    failed.add(put(folder, "c", [row | {"kind": "reject"}] * 2))
    assert failed.exceed(3) and not failed.exceed(4)
