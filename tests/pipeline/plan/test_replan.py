"""Files that changed get new units; all others keep theirs."""

from collections.abc import Callable
from typing import Any

import pytest

from pipeline.config import Config
from pipeline.errors import UsageError
from pipeline.input.listing import InputFile, list_inputs
from pipeline.plan.plan import Plan, make_plan
from pipeline.plan.replan import find_changed, find_changed_while_read, revise_plan

Make = Callable[..., Config]


def pairs(rows: int, **columns: list[Any]) -> dict[str, list[Any]]:
    texts: list[Any] = [f"text {i}" for i in range(rows)]
    return {"query": texts, "doc": texts, "score": [1.0] * rows} | columns


@pytest.fixture
def three(write_pairs: Any) -> list[str]:
    return [write_pairs(f"in/{name}.parquet", **pairs(5)) for name in "abc"]


def plan(config: Config) -> Plan:
    return make_plan(config, list_inputs(config.input.path), 2)


def list_units(made: Plan) -> dict[str, list[tuple[str, int, int, int]]]:
    """File -> for each of its units: name, start, stop, and the number of the file."""
    found: dict[str, list[tuple[str, int, int, int]]] = {}
    for row in made.units.to_pylist():
        unit = row["unit"], row["start"], row["stop"], row["file"]
        found.setdefault(row["path"].rpartition("/")[2], []).append(unit)
    return found


def test_an_unchanged_input_has_no_changed_files(three: list[str], make_config: Make) -> None:
    made = plan(make_config(three))
    assert (
        find_changed(made.versions(), list_inputs(three))
        == find_changed(made.versions(), list_inputs(three[::-1]))
        == []
    )
    assert find_changed_while_read(made.versions(), list_inputs(three)) == []


def test_a_file_of_another_size_or_version_has_changed(three: list[str], make_config: Make, write_pairs: Any) -> None:
    made, (a, b, c) = plan(make_config(three)), list_inputs(three)
    assert find_changed(made.versions(), [a, InputFile(b.path, b.size, "another version"), c]) == [b.path]
    write_pairs("in/c.parquet", **pairs(6))
    assert find_changed(made.versions(), list_inputs(three)) == [c.path]
    assert find_changed_while_read(made.versions(), list_inputs(three)) == [c.path]


def test_new_and_missing_files_are_refused_by_name(three: list[str], make_config: Make) -> None:
    made, (a, b, c) = plan(make_config(three)), list_inputs(three)
    d = InputFile(f"{three[0]}.d.parquet", 1, "1")
    for message, files in {f"{b.path}: is gone since": [a, c], f"{d.path}: is new since": [a, b, c, d]}.items():
        with pytest.raises(UsageError) as error:
            find_changed(made.versions(), files)
        assert str(error.value).startswith(f"{message} the scores under this output were begun")


@pytest.mark.parametrize("name", "abc")
def test_only_a_changed_file_gets_new_units_and_it_keeps_its_number(
    name: str, three: list[str], make_config: Make, write_pairs: Any
) -> None:
    config = make_config(three, run={"unit_rows": 2})
    made = plan(config)
    path = write_pairs(f"in/{name}.parquet", **pairs(3))
    revised = revise_plan(made, config, list_inputs(three), [path])
    number = "abc".index(name)
    changed = {f"{name}.parquet": [("000003-0000", 0, 2, number), ("000003-0001", 2, 3, number)]}
    assert list_units(revised) == list_units(made) | changed
    assert [*list_units(revised)] == ["a.parquet", "b.parquet", "c.parquet"], "in the order of the input"
    assert (revised.id, revised.revision) == (made.id, 1)
    assert find_changed(revised.versions(), list_inputs(three)) == []
    assert Plan.from_bytes(revised.to_bytes()).units.equals(revised.units)


def test_no_name_of_a_unit_is_used_twice(three: list[str], make_config: Make, write_pairs: Any) -> None:
    config = make_config(three, run={"unit_rows": 2})
    made, seen = plan(config), set[str]()
    for rows in (4, 0, 5):
        path = write_pairs("in/c.parquet", **pairs(rows))
        made = revise_plan(made, config, list_inputs(three), [path])
        names = {name for name, *_ in list_units(made).get("c.parquet", [])}
        assert len(names) == (rows + 1) // 2 and not names & seen
        seen |= names
    assert (made.revision, made.rows) == (3, 15)


def test_all_files_may_change_at_once(three: list[str], make_config: Make, write_pairs: Any) -> None:
    config = make_config(three, run={"unit_rows": 2})
    made = plan(config)
    for name in "abc":
        write_pairs(f"in/{name}.parquet", **pairs(2))
    revised = revise_plan(made, config, list_inputs(three), find_changed(made.versions(), list_inputs(three)))
    assert [name for units in list_units(revised).values() for name, *_ in units] == [
        "000003-0000",
        "000004-0000",
        "000005-0000",
    ]


def test_a_changed_file_must_still_fit_the_others(three: list[str], make_config: Make, write_pairs: Any) -> None:
    config = make_config(three)
    made = plan(config)
    path = write_pairs("in/b.parquet", **pairs(2, query_id=["1", "2"]))
    with pytest.raises(
        UsageError, match=r"b\.parquet: has a column 'query_id' for query_id, but .*a\.parquet has none"
    ):
        revise_plan(made, config, list_inputs(three), [path])
