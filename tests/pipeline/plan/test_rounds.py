"""Of files that follow one another the last one holds."""

from pipeline.plan.rounds import MOST, Newest, base, newest, next_rounds, round_of, stem


def test_a_stem_is_a_name_and_its_round() -> None:
    assert [stem("000001-0002", number) for number in (0, 1, 12)] == [
        "000001-0002",
        "000001-0002.r1",
        "000001-0002.r12",
    ]
    for name in ("000001-0002", "000001-0002.r1", "000001-0002.r1.parquet", "000001-0002.transient"):
        assert base(name) == "000001-0002"
    assert [round_of(name) for name in ("000001-0002", "000001-0002.r1", "000001-0002.r12")] == [0, 1, 12]


def test_the_highest_round_holds_and_knows_whether_it_is_worth_another_try() -> None:
    files = [
        "a.parquet",
        "a.r1.parquet",
        "a.transient",
        "b.parquet",
        "b.r9.parquet",
        "b.r10.parquet",
        "b.r10.transient",
    ]
    assert newest(files) == {
        "a": Newest("a.r1.parquet", 1, False),
        "b": Newest("b.r10.parquet", 10, True),
    }


def test_a_mark_without_its_file_and_files_of_others_say_nothing() -> None:
    assert newest(["a.transient", "notes.csv", "merged/a.parquet", ".put-12", "a.r1.parquet.bak"]) == {}


def test_what_has_no_scores_is_put_and_what_is_worth_it_put_again_a_few_times() -> None:
    files = ["done.parquet", "again.parquet", "again.transient", f"enough.r{MOST}.parquet", f"enough.r{MOST}.transient"]
    assert next_rounds(["done", "new", "again", "enough"], newest(files)) == {"new": 0, "again": 1}
