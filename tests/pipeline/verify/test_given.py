"""Scores that were made elsewhere."""

import json
import math
from pathlib import Path

import pyarrow as pa
import pytest

from pipeline.errors import UsageError
from pipeline.verify.given import find_known, look_up, open_scores
from tests.results import ranked, write_result

ROWS = pa.table({"query_id": ["1", "1", "q", "q"], "doc_id": ["a", "2", "a", "b"]})


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (['{"query_id": "1", "doc_id": "a", "score": 0.5}'], [0.5, None, None, None]),
        (['{"query_id": 1, "doc_id": 2, "score": -3, "more": [1]}', ""], [None, -3.0, None, None]),
        (['{"score": 1e-7, "doc_id": "b", "query_id": "q"}', '{"query_id":"q","doc_id":"b","score":1e-7}'],
         [None, None, None, 1e-7]),
        (['{"query_id": "q", "doc_id": "a", "score": null}'], [None, None, math.nan, None]),
    ],
)  # fmt: skip
def test_lines_of_json(lines: list[str], expected: list[float | None], tmp_path: Path) -> None:
    path = tmp_path / "scores.jsonl"
    path.write_text("\n".join(lines))
    given = open_scores(str(path))
    scores, known = look_up(given, ROWS), find_known(given, ROWS)
    assert known.tolist() == [score is not None for score in expected]
    for found, score in zip(scores.tolist(), expected, strict=True):
        assert found == score or (math.isnan(found) and (score is None or math.isnan(score)))


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("q d 0.5", "line 2: the line: Invalid JSON"),
        ("[1, 2, 3]", "line 2: the line: Input should be an object"),
        ('{"query_id": "q", "score": 1}', "line 2: doc_id: Field required"),
        ('{"query_id": "q", "doc_id": "d", "score": "high"}', "line 2: score: Input should be a valid number"),
        ('{"query_id": "q", "doc_id": "d", "score": "0.5"}', "line 2: score: Input should be a valid number"),
        ('{"query_id": "q", "doc_id": "d", "score": NaN}', "line 2: "),
        ('{"query_id": 1.5, "doc_id": "d", "score": 1}', "line 2: query_id: Input should be a valid string"),
        ('{"query_id": "1", "doc_id": "a", "score": 0.6}', "document 'a' has score 0.6, and 0.5 further up"),
    ],
)
def test_a_line_that_is_wrong_is_named(line: str, words: str, tmp_path: Path) -> None:
    path = tmp_path / "scores.jsonl"
    path.write_text(json.dumps({"query_id": "1", "doc_id": "a", "score": 0.5}) + f"\n{line}\n")
    with pytest.raises(UsageError, match=words) as error:
        open_scores(str(path))
    assert str(error.value).startswith(f"--against {path}: ") and "\n" not in str(error.value)


def test_an_empty_file_holds_no_scores(tmp_path: Path) -> None:
    (tmp_path / "scores.jsonl").write_text("\n\n")
    with pytest.raises(UsageError, match=r"scores.jsonl: holds no scores"):
        open_scores(str(tmp_path / "scores.jsonl"))


def test_a_result_gives_its_rerankers_scores(tmp_path: Path) -> None:
    rows = ranked({"1": {"a": (7.0, 0.5), "2": (8.0, None)}, "q": {"b": (9.0, -2.0)}})
    write_result(tmp_path / "out", rows)
    given = open_scores(str(tmp_path / "out"))
    scores, known = look_up(given, ROWS), find_known(given, ROWS)
    assert known.tolist() == [True, True, False, True]
    assert [scores[0], scores[3]] == [0.5, -2.0] and math.isnan(scores[1])


@pytest.mark.parametrize("name", ["nothing", "folder", "folder/of/none"])
def test_what_holds_no_result_is_refused(name: str, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(UsageError, match=f"{name}: no committed result"):
        look_up(open_scores(str(tmp_path / name)), ROWS)
