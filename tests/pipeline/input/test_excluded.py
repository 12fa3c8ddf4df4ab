"""Documents that a collection's rules leave out, in every form in which its files list them."""

import json
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.errors import UsageError
from pipeline.input.excluded import LeftOut, read_excluded

SAME = {"q1": {"d1", "d2"}, "q2": set(), "7": {"d7"}}
EXAMPLES = [
    {"query": "one", "id": "q1", "excluded_ids": ["d1", "d2"], "gold_ids": ["d9"]},
    {"query": "two", "id": "q2", "excluded_ids": ["N/A"], "gold_ids": ["d8"]},
    {"query": "three", "id": "7", "excluded_ids": ["d7"], "gold_ids": []},
]
FORMS = {
    "BRIGHT's examples in JSONL": "".join(json.dumps(row) + "\n" for row in EXAMPLES),
    "BRIGHT's examples in Parquet": pa.Table.from_pylist(EXAMPLES),
    "a query in several rows, and ids that are numbers": '{"qid": "q1", "excluded_ids": ["d1"]}\n'
    '{"qid": "q1", "excluded_ids": ["d2"]}\n{"qid": "q2", "excluded_ids": []}\n{"qid": 7, "excluded_ids": ["d7"]}\n',
}


def write(path: Path, content: str | pa.Table) -> str:
    if isinstance(content, str):
        path.write_text(content)
    else:
        pq.write_table(content, path)
    return str(path)


@pytest.mark.parametrize("form", FORMS)
def test_every_form_reads_the_same(form: str, tmp_path: Path) -> None:
    assert read_excluded(write(tmp_path / "examples", FORMS[form])) == SAME


WRONG = {
    "one id": ('{"qid": 1, "excluded_ids": "d1"}', "examples: line 1: has 'd1' for the excluded ids"),
    "a null": ('{"qid": 1, "excluded_ids": ["d1", null]}', "examples: line 1: has null, which is not an id"),
    "none": ('{"qid": 1, "excluded_ids": ["N/A"]}', "examples: excludes no document"),
    "no query": (pa.table({"excluded_ids": [["d1"]]}), "examples: has no column 'query_id' or "),
    "two ids": ('{"qid": 1, "query-id": 1, "excluded_ids": []}', "examples: line 1: has 'query-id' and 'qid' "),
    "text": ("q1 d1\n", "examples: line 1: is not JSON"),
    "no file": (None, "examples: cannot read --excluded: "),
}


@pytest.mark.parametrize("what", WRONG)
def test_wrong_files_are_one_line(what: str, tmp_path: Path) -> None:
    content, says = WRONG[what]
    path = str(tmp_path / "examples") if content is None else write(tmp_path / "examples", content)
    with pytest.raises(UsageError) as error:
        read_excluded(path)
    assert says in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize("identical", [False, True])
@pytest.mark.parametrize("listed", [{}, {"a": frozenset("bc"), "z": frozenset("a")}, {"b": frozenset("b")}])
def test_rows_that_are_left_out(identical: bool, listed: dict[str, frozenset[str]]) -> None:
    rows = pd.DataFrame([(query, doc) for query in "abc" for doc in "abcd"], columns=["query", "doc"])
    expected = rows.apply(lambda row: row.doc in listed.get(row.query, ()), axis=1)
    expected |= identical & (rows["query"] == rows["doc"])
    found = LeftOut(identical, listed).find(pa.array(rows["query"]), pa.array(rows["doc"]))
    assert found.tolist() == expected.tolist()
