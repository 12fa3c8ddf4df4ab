"""The file of the highest round holds."""

from pipeline.plan.rounds import MOST, Newest, find_newest, find_next_rounds, name_round, parse_name, parse_round


def test_a_round_has_a_name_from_which_both_parts_are_parsed() -> None:
    assert [name_round("000001-0002", number) for number in (0, 1, 12)] == [
        "000001-0002",
        "000001-0002.r1",
        "000001-0002.r12",
    ]
    for name in ("000001-0002", "000001-0002.r1", "000001-0002.r1.parquet", "000001-0002.transient"):
        assert parse_name(name) == "000001-0002"
    assert [parse_round(name) for name in ("000001-0002", "000001-0002.r1", "000001-0002.r12")] == [0, 1, 12]


def test_the_highest_round_holds_and_says_whether_it_is_worth_another_try() -> None:
    files = [
        "a.parquet",
        "a.r1.parquet",
        "a.transient",
        "b.parquet",
        "b.r9.parquet",
        "b.r10.parquet",
        "b.r10.transient",
    ]
    assert find_newest(files) == {
        "a": Newest("a.r1.parquet", 1, False),
        "b": Newest("b.r10.parquet", 10, True),
    }


def test_a_mark_without_its_file_and_other_files_are_ignored() -> None:
    assert find_newest(["a.transient", "notes.csv", "merged/a.parquet", ".put-12", "a.r1.parquet.bak"]) == {}


def test_units_without_scores_are_put_and_those_worth_another_try_a_few_times_more() -> None:
    files = ["done.parquet", "again.parquet", "again.transient", f"enough.r{MOST}.parquet", f"enough.r{MOST}.transient"]
    assert find_next_rounds(["done", "new", "again", "enough"], find_newest(files)) == {"new": 0, "again": 1}
