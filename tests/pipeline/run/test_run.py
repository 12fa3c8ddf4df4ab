"""Whole runs with the real MiniLM tokenizer and a scorer of known scores in place of the engine."""

import json
import os
import threading
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import pipeline.output.tidy
from pipeline.errors import RunError, StoreError, TooManyFailed, UsageError
from pipeline.input.result import read_result
from pipeline.storage.folder import Folder
from tests.pipeline.conftest import ROWS, SMALL, Interrupted, Run, pairs, ranked, score_files, write


def test_the_result_does_not_depend_on_how_the_work_is_spread(tmp_path: Path, run: Run, run_on_ray: Run) -> None:
    table = pairs()
    results = []
    for here, files, actors, unit_rows in [
        (run, 1, 1, 8192),
        (run_on_ray, 7, 2, 29),
        (run, 50, 1, 3),
    ]:
        name = f"{files}-{actors}-{unit_rows}"
        path = write(table, tmp_path / "in" / name, files)
        figures = here(path, name, workers={"count": actors}, run={"unit_rows": unit_rows})
        assert figures["rows"] == ROWS == figures["ranked"] + figures["rejected"]
        results.append(ranked(str(tmp_path / name)))
    assert all(result.equals(results[0]) for result in results[1:])
    assert results[0]["rerank_score"].null_count == 7


def test_a_second_run_scores_only_what_is_missing(tmp_path: Path, run: Run) -> None:
    path = write(pairs(), tmp_path / "in", 3)
    first = run(path, run={"unit_rows": 50})
    before = ranked(str(tmp_path / "out"))
    assert first["scored_now"] == ROWS - 7  # the pair that is there twice is scored twice, and ranked once
    units = score_files(tmp_path / "out")
    kept = {file: file.stat().st_mtime_ns for file in units}
    lost = [units[0], units[7]]
    lost_texts = [pq.read_table(file)["rerank_score"].drop_null() for file in lost]
    for file in [*lost, tmp_path / "out" / "_SUCCESS"]:
        file.unlink()
    second = run(path, run={"unit_rows": 20})  # what is missing is cut by it, and nothing else
    assert second["scored_now"] == sum(map(len, lost_texts))
    assert (first["units_now"], second["units_now"]) == (len(units), 2 * 3)
    assert ranked(str(tmp_path / "out")).equals(before)
    assert all(file.stat().st_mtime_ns == kept[file] for file in units if file not in lost)


def test_another_fusion_scores_nothing_and_leaves_no_stale_part(tmp_path: Path, run: Run) -> None:
    path = write(pairs(), tmp_path / "in", 2)
    run(path)
    for fusion, top_k in [({"alpha": 0.7}, None), ({"method": "rrf"}, None), ({"method": "rrf"}, 3)]:
        figures = run(path, fusion=fusion, output={"top_k": top_k})
        assert figures["scored_now"] == 0
        manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
        files = {str(file.relative_to(tmp_path / "out")) for file in (tmp_path / "out").glob("r*/*.parquet")}
        assert files == {*manifest["parts"], *manifest["rejects"]}
    assert max(ranked(str(tmp_path / "out"))["rank"].to_pylist()) == 3


def test_a_reader_at_any_moment_finds_a_whole_result_or_none(tmp_path: Path, run: Run) -> None:
    path = write(pairs(), tmp_path / "in", 2)
    run(path)
    output, stop, seen, broken = tmp_path / "out", threading.Event(), set(), []

    def read_for_ever() -> None:
        while not stop.is_set():
            manifest = read_result(Folder(str(output)))
            if manifest:
                seen.add(manifest["tag"])
                try:
                    rows = sum(pq.read_metadata(output / part).num_rows for part in manifest["parts"])
                except FileNotFoundError:  # a newer result took its place meanwhile, and says so
                    if read_result(Folder(str(output))) == manifest:
                        broken.append(manifest["tag"])
                    continue
                if rows != manifest["figures"]["ranked"]:
                    broken.append(manifest["tag"])

    reader = threading.Thread(target=read_for_ever)
    reader.start()
    for alpha in (0.1, 0.5, 0.9):
        run(path, fusion={"alpha": alpha})
    stop.set()
    reader.join()
    assert not broken
    assert len(seen) >= 3


def test_a_result_with_its_texts_is_a_valid_input(tmp_path: Path, run: Run) -> None:
    path = write(pairs(), tmp_path / "in", 3)
    run(path, output={"columns": ["query", "doc"], "top_k": 2})
    first = ranked(str(tmp_path / "out")).to_pylist()
    texts = {(row["query_id"], row["doc_id"]): (row["query"], row["doc"]) for row in reversed(pairs().to_pylist())}
    assert [(row["query"], row["doc"]) for row in first] == [texts[row["query_id"], row["doc_id"]] for row in first]
    figures = run(str(tmp_path / "out" / "ranked"), "second")
    second = ranked(str(tmp_path / "second")).to_pylist()
    assert figures["rows"] == len(first)
    assert {(row["query_id"], row["doc_id"], row["first_stage_score"]) for row in second} == {
        (row["query_id"], row["doc_id"], row["score"]) for row in first
    }


def test_too_many_failures_commit_nothing_and_say_why(tmp_path: Path, run: Run) -> None:
    path = write(pairs(), tmp_path / "in", 1)
    with pytest.raises(TooManyFailed, match=r"7 of 700 rows have no reranker score"):
        run(path, run={"max_failed": 0.0099})
    with pytest.raises(TooManyFailed, match=r"7 x document is empty, 1 x duplicate"):
        run(path, run={"max_failed": 0.0101})  # the scores alone would pass; with the duplicate it is too many
    assert read_result(Folder(str(tmp_path / "out"))) is None
    assert run(path, run={"max_failed": 0.02})["scored_now"] == 0


def test_rows_without_ids_are_known_by_their_texts(tmp_path: Path, run: Run) -> None:
    table = pairs().drop_columns(["query_id", "doc_id"])
    figures = run(write(table, tmp_path / "in", 2))
    assert figures["queries"] == len(set(table["query"].to_pylist()))
    assert {len(name) for name in ranked(str(tmp_path / "out"))["doc_id"].to_pylist()} == {32}


def test_an_input_without_rows_gives_an_empty_result(tmp_path: Path, run: Run) -> None:
    figures = run(write(pairs().slice(0, 0), tmp_path / "in", 1), output={"columns": ["doc"]})
    assert figures["rows"] == 0
    assert ranked(str(tmp_path / "out")).column_names[:3] == ["query_id", "doc_id", "rank"]


def test_other_scores_under_the_same_output_are_refused_unless_told(tmp_path: Path, run: Run) -> None:
    path = write(pairs(), tmp_path / "in", 1)
    run(path)
    with pytest.raises(UsageError, match=r"run.on_existing=restart"):
        run(path, reranker={"max_doc_tokens": 4})
    figures = run(path, reranker={"max_doc_tokens": 4}, run={"on_existing": "restart"})
    assert figures["scored_now"] == ROWS - 7
    (folder,) = {file.parent.name for file in score_files(tmp_path / "out")}
    manifest = read_result(Folder(str(tmp_path / "out")))
    assert manifest and folder == manifest["fingerprint"]


def test_scores_made_again_make_parts_again(tmp_path: Path, run: Run) -> None:
    """A score file that is gone, or was deleted to be scored again: what it came to before must not stand."""
    path = write(pairs(), tmp_path / "in", 1)
    run(path)
    expected = ranked(str(tmp_path / "out"))
    score_files(tmp_path / "out")[0].unlink()
    (part,) = (tmp_path / "out" / "ranked").iterdir()
    pq.write_table(expected.slice(5), part)
    assert run(path)["scored_now"] == ROWS - 7
    assert ranked(str(tmp_path / "out")).equals(expected)


def test_score_files_of_another_version_are_never_ranked(tmp_path: Path, run: Run) -> None:
    path = write(pairs(), tmp_path / "in", 1)
    run(path)
    (unit,) = score_files(tmp_path / "out")
    late = unit.read_bytes()
    pq.write_table(pairs(650), tmp_path / "in" / "000.parquet")
    run(path)
    assert not unit.exists()
    unit.write_bytes(late)  # by a driver that was thought dead
    assert run(path, fusion={"alpha": 0.3})["rows"] == 650
    run(path, "fresh", fusion={"alpha": 0.3})
    assert ranked(str(tmp_path / "out")).equals(ranked(str(tmp_path / "fresh")))


def test_a_result_stands_though_what_is_left_over_cannot_be_deleted(
    tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    def fails(*unused: Any) -> None:
        raise StoreError("ranked/x: cannot be deleted: 503")

    with monkeypatch.context() as patch:
        patch.setattr(pipeline.output.tidy, "list_temporary", fails)
        assert run(write(pairs(), tmp_path / "in", 1))["ranked"] == ROWS - 1
    assert read_result(Folder(str(tmp_path / "out")))
    assert "rayrank: the result stands; what is left over goes with the next run: ranked/x" in capsys.readouterr().err


@pytest.mark.parametrize("fault", ["too many failed", "a column that a file lacks", "a file that changes meanwhile"])
def test_a_result_stands_where_the_next_one_cannot_be_made(fault: str, tmp_path: Path, run: Run) -> None:
    path = write(pairs(), tmp_path / "in", 2)
    first = pq.read_table(f"{path}/000.parquet")
    pq.write_table(first.append_column("more", first["doc"]), f"{path}/000.parquet")
    run(path)
    before = ranked(str(tmp_path / "out"))
    touch = Interrupted(before_writing=lambda: os.utime(f"{path}/001.parquet", (1, 1)))
    faults: dict[str, tuple[type[RunError], dict[str, Any]]] = {
        "too many failed": (TooManyFailed, {"fusion": {"alpha": 0.9}, "run": {"max_failed": 0}}),
        "a column that a file lacks": (UsageError, {"output": {"columns": ["more"]}}),
        "a file that changes meanwhile": (RunError, {"fusion": {"alpha": 0.9}, "cluster": touch}),
    }
    error, settings = faults[fault]
    with pytest.raises(error):
        run(path, **settings)
    assert ranked(str(tmp_path / "out")).equals(before)


@pytest.mark.parametrize("files", [1, 4])
def test_equal_rows_do_not_end_a_run_while_it_scores(files: int, tmp_path: Path, run: Run) -> None:
    """An outer join leaves such rows."""
    empty = pairs().slice(5, 1)
    assert empty["doc"].to_pylist() == [""]
    path = write(pa.concat_tables([pairs(), *[empty] * 99]), tmp_path / "in", files)
    figures = run(path, run={"max_failed": 8 / 799, "unit_rows": 30})
    assert (figures["unscored"], figures["equal"]) == (7, 99)
    with pytest.raises(TooManyFailed):
        run(path, "fewer", run={"max_failed": 7 / 799, "unit_rows": 30})


def test_a_commit_deletes_only_what_a_run_writes(tmp_path: Path, run: Run) -> None:
    path = write(pairs(), tmp_path / "in", 1)
    for name in ("ranked/notes.csv", "scores/notes.csv"):
        (tmp_path / "out" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "out" / name).write_text("mine")
    run(path)
    run(path, fusion={"alpha": 0.7}, run={"on_existing": "restart"})
    assert (tmp_path / "out" / "ranked" / "notes.csv").exists()
    assert (tmp_path / "out" / "scores" / "notes.csv").exists()


def test_a_result_that_stands_is_held_to_the_share_of_failures_too(tmp_path: Path, run: Run) -> None:
    path = write(pairs(), tmp_path / "in", 1)
    run(path)
    again = run(path)
    assert (again["scored_now"], again["prompt_tokens"], again["ranked"]) == (0, 0, ROWS - 1)
    with pytest.raises(TooManyFailed):
        run(path, run={"max_failed": 0})


def test_the_same_from_and_to_s3(tmp_path: Path, run: Run, run_on_ray: Run) -> None:
    import s3fs

    path = write(pairs(), tmp_path / "in", 3)
    run(path, output={"columns": ["query", "doc"]}, more={"sizes": SMALL})
    s3 = s3fs.S3FileSystem()
    s3.put(path, "bucket/in", recursive=True)
    to_s3 = {"path": "s3://bucket/out", "columns": ["query", "doc"]}
    run_on_ray("s3://bucket/in", run={"unit_rows": 99}, output=to_s3, more={"sizes": SMALL})
    assert not s3.glob("bucket/out/scores/*/merged/*")
    s3.get("bucket/out", str(tmp_path / "from-s3"), recursive=True)
    assert ranked(str(tmp_path / "from-s3")).equals(ranked(str(tmp_path / "out")))
