"""`from pipeline import rerank`: a table in, the ranked table out, of the same kind."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pandas
import polars
import pyarrow as pa
import pytest

import pipeline
from pipeline import table
from pipeline.cluster.in_process import InProcess
from pipeline.config import Config
from pipeline.errors import TooManyFailed, UsageError
from tests.conftest import ROOT
from tests.fakes import KnownScorer
from tests.pipeline.conftest import pairs, ranked, write


def test_the_result_is_that_of_the_job(
    tmp_path: Path,
    run: Callable[..., dict],
    make_config: Callable[..., Config],
    minilm: str,
    one_ray: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = write(pairs(), tmp_path / "in", 1)
    run(path)
    expected = ranked(str(tmp_path / "out"))
    config = make_config("not looked at", run={"max_failed": 0.1})
    got = table.rerank(pairs(), config, scorer=KnownScorer)
    assert isinstance(got, pa.Table) and got.equals(expected)

    monkeypatch.setattr(table, "run", partial(table.run, cluster=InProcess()))  # the same without Ray's ten seconds
    sections = {"reranker": {"type": "bi_encoder", "model": minilm}, "run": {"max_failed": 0.1}}
    sections["engine"] = {"dtype": "float32", "enforce_eager": True, "max_model_len": 256}
    frame = table.rerank(pairs().to_pandas(), sections, scorer=KnownScorer)
    assert isinstance(frame, pandas.DataFrame)
    pandas.testing.assert_frame_equal(frame, expected.to_pandas())

    overrides = [f"reranker.model={minilm}", "run.max_failed=0.1"]
    overrides += ["reranker.max_query_tokens=null", "reranker.max_doc_tokens=null"]
    polar = table.rerank(polars.from_arrow(pairs()), ROOT / "configs/demo.yaml", *overrides, scorer=KnownScorer)
    assert isinstance(polar, polars.DataFrame)
    carried = {"query", "doc"} & set(polar.columns)  # the demo's config has them carried
    assert polar.drop(carried).to_arrow().cast(expected.schema).equals(expected)


@pytest.mark.parametrize(
    ("rows", "error", "says"),
    [
        ({"query": ["q"], "score": [1.0]}, UsageError, "has no column 'doc'"),
        ({"query": ["q"], "doc": [""], "score": [1.0]}, TooManyFailed, "1 x document is empty"),
    ],
)
def test_what_is_wrong_is_said_as_the_job_says_it(
    rows: dict[str, list[Any]], error: type, says: str, make_config: Callable[..., Config], one_ray: None
) -> None:
    with pytest.raises(error, match=says):
        table.rerank(pa.table(rows), make_config("not looked at"), scorer=KnownScorer)


def test_a_config_keeps_its_settings(make_config: Callable[..., Config], monkeypatch: pytest.MonkeyPatch) -> None:
    """erank has limits of tokens by default, which None takes away."""
    given = make_config(
        "not looked at",
        reranker={"type": "erank", "max_doc_tokens": None, "max_query_tokens": None},
        output={"top_k": 3},
        fusion={"alpha": 0.5},
    )
    taken: list[Config] = []
    monkeypatch.setattr(table, "run", lambda config, scorer: taken.append(config))
    with pytest.raises(AssertionError):  # no result was made
        table.rerank(pairs(), given, scorer=KnownScorer)
    assert taken[0].reranker == given.reranker and taken[0].fusion == given.fusion
    assert taken[0].output == given.output.model_copy(update={"path": taken[0].output.path})


def test_it_is_what_the_package_has_at_its_door(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table, "rerank", lambda *given: given)
    assert pipeline.rerank("rows", "configs/demo.yaml", "fusion.alpha=0.5") == (
        "rows", "configs/demo.yaml", "fusion.alpha=0.5"
    )  # fmt: skip
