"""pipeline/prepare/sources.py: which files are meant."""

from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.errors import UsageError
from pipeline.prepare.sources import find_beir_files, list_sources


def names(kind: str, *paths: str, format: str | None = None) -> list[tuple[str, str]]:
    return [(Path(source.path).name, source.format) for source in list_sources(kind, list(paths), format)]


def test_files_folders_and_globs(write: Callable[..., str], tmp_path: Path) -> None:
    for name in ("a.jsonl", "b.jsonl.gz", "_c.jsonl", "readme.md"):
        write(f"corpus/{name}", "{}")
    write("more.tsv", "d\tx")
    folder = str(tmp_path / "corpus")
    assert names("corpus", folder) == [("a.jsonl", "jsonl"), ("b.jsonl.gz", "jsonl")]
    assert names("corpus", f"{folder}/*.gz", str(tmp_path / "more.tsv")) == [
        ("b.jsonl.gz", "jsonl"),
        ("more.tsv", "tsv"),
    ]
    assert names("corpus", folder, f"{folder}/a.jsonl") == names("corpus", folder)  # named twice, read once


@pytest.mark.parametrize(
    "files, told",
    [
        ("a.jsonl b.jsonl.gz", ""),
        ("a.jsonl readme.md", "1 that {folder}/*.md would read"),
        ("a.jsonl sub/b.json5 c.jsonl.xz _d.jsonl", "1 that {folder}/*.xz would read"),
    ],
)
def test_files_that_are_passed_over_for_their_names_are_told(
    files: str, told: str, write: Callable[..., str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in files.split():
        write(f"corpus/{name}", "{}")
    list_sources("corpus", [str(tmp_path / "corpus")], None)
    said = capsys.readouterr().err
    start = f"rayrank: --corpus = '{tmp_path}/corpus': files passed over: "
    assert said.startswith(start) == bool(told) and told.format(folder=tmp_path / "corpus") in said


def test_a_file_without_an_ending_needs_its_format(write: Callable[..., str]) -> None:
    path = write("bm25", "q Q0 d 1 1 t\n")
    assert names("run", path, format="trec") == [("bm25", "trec")]
    with pytest.raises(UsageError, match="--run-format"):
        names("run", path)


def test_a_folder_of_several_formats_is_refused(write: Callable[..., str], tmp_path: Path) -> None:
    for name in ("corpus.jsonl", "queries.jsonl", "qrels/test.tsv"):
        write(f"scifact/{name}", "{}")
    with pytest.raises(UsageError, match=r"holds files of 2 formats; name them by a glob .*--beir"):
        list_sources("corpus", [str(tmp_path / "scifact")], None)


def test_a_path_without_files_is_named_by_its_argument(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=f"--queries = '{tmp_path}/none.tsv': no such file or directory"):
        list_sources("queries", [str(tmp_path / "none.tsv")], None)
    with pytest.raises(UsageError, match=f"--corpus = '{tmp_path}': no file with a name in .jsonl, .jsonl.gz"):
        list_sources("corpus", [str(tmp_path)], None)


def test_a_beir_folder(write: Callable[..., str], tmp_path: Path) -> None:
    for name in ("corpus.jsonl.zst", "queries.jsonl", "qrels/test.tsv"):
        write(f"scifact/{name}", "{}")
    folder = str(tmp_path / "scifact")
    assert find_beir_files(folder) == (f"{folder}/corpus.jsonl.zst", f"{folder}/queries.jsonl")
    write("scifact/corpus.jsonl", "{}")
    with pytest.raises(UsageError, match="has 2 files corpus"):
        find_beir_files(folder)
    (tmp_path / "scifact/queries.jsonl").unlink()
    (tmp_path / "scifact/corpus.jsonl").unlink()
    with pytest.raises(UsageError, match="has no files queries"):
        find_beir_files(folder)
