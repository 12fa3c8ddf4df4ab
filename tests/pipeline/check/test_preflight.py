"""The findings of --check: good, wrong, and not looked at."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from s3fs import S3FileSystem

from pipeline.check.preflight import check, remove_new_folders
from pipeline.check.survey import survey
from pipeline.config import Config, parse
from pipeline.errors import UsageError
from pipeline.storage.folder import Folder, check_writable

PAIR = {"query": ["q"], "doc": ["d"], "score": [1.0]}


@pytest.fixture
def config(minilm: str, tmp_path: Path, write_pairs: Callable) -> Callable[..., Config]:
    def make(**sections: Any) -> Config:
        values: dict[str, Any] = {
            "input": {"path": write_pairs(**PAIR)},
            "reranker": {"type": "bi_encoder", "model": minilm},
            "output": {"path": str(tmp_path / "out")},
        }
        return parse({name: values.get(name, {}) | sections.get(name, {}) for name in {**values, **sections}})

    return make


def test_where_all_is_at_hand_all_is_checked(config: Callable, tmp_path: Path) -> None:
    good, unknown = survey(config())
    assert [line.split()[-1] for line in unknown] == ["GPUs"]
    assert any("1 input file(s)" in line for line in good) and any("tokenizer" in line for line in good)
    assert not (tmp_path / "out").exists(), "a check leaves nothing behind"


@pytest.mark.parametrize("place", ["~/new/out", "file://{home}/new/out", "new/out", "{home}/new/../new/out/"])
def test_the_probe_leaves_nothing_however_the_place_is_written(
    place: str, config: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.chdir(home)
    given = config(output={"path": place.format(home=home)})
    with remove_new_folders(given):
        check_writable("output.path", given.output.path)
        assert (home / "new" / "out").is_dir()
    assert list(home.iterdir()) == []


@pytest.mark.parametrize(
    ("link", "to", "path", "output"),
    [
        ("link", "out/ranked", "link", "out"),
        ("link", "out", "link/ranked/*.parquet", "out"),
        ("out", "real", "real/ranked", "out"),
        ("link", "in", "in", "link/out"),
    ],
)
def test_links_between_input_and_output_are_seen_through(
    link: str, to: str, path: str, output: str, config: Callable, tmp_path: Path
) -> None:
    for folder in ("out/ranked", "real/ranked", "in"):
        if not folder.startswith(link):
            (tmp_path / folder).mkdir(parents=True)
            pq.write_table(pa.table(PAIR), tmp_path / folder / "part.parquet")
    (tmp_path / link).symlink_to(tmp_path / to)
    given = config(input={"path": f"{tmp_path}/{path}"}, output={"path": f"{tmp_path}/{output}"})
    with pytest.raises(UsageError, match=r"output\.path = .* lies in input\.path"):
        check(given)


def test_a_run_that_begins_beside_the_probe_keeps_its_folder(config: Callable, tmp_path: Path) -> None:
    with remove_new_folders(config(output={"path": str(tmp_path / "new" / "out")})):
        Folder(str(tmp_path / "new")).put(".lease", b"")
        Folder(str(tmp_path / "new" / "out")).put("other", b"")
        (tmp_path / "new" / "out" / "other").unlink()
    assert [path.name for path in (tmp_path / "new").iterdir()] == [".lease"]


@pytest.fixture
def no_credentials(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_ENDPOINT_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    S3FileSystem.clear_instance_cache()  # file systems of other tests have credentials
    yield
    S3FileSystem.clear_instance_cache()  # and those of this one have none


def test_what_is_on_other_machines_is_not_checked(config: Callable, no_credentials: None) -> None:
    _, unknown = survey(config(input={"path": "s3://nowhere/pairs"}, output={"path": "s3://nowhere/ranked"}))
    assert any(line.startswith("input.path = 's3://nowhere/pairs': cannot be listed") for line in unknown)
    assert any(line.startswith("output.path = 's3://nowhere/ranked': cannot write there") for line in unknown)
    _, unknown = survey(config(input={"path": "/none.parquet"}, reranker={"model": "/none"}))
    assert any("no such file or directory" in line for line in unknown)
    assert any("no such folder" in line for line in unknown)


@pytest.mark.parametrize(
    ("wrong", "line"),
    [
        ({"input": {"columns": {"doc": "text"}}}, "has no column 'text'"),
        ({"engine": {"max_seqs": 1}}, "engine.max_seqs = 1: vLLM .* has no such engine argument"),
        (
            {"engine": {"type": "transformers", "enforce_eager": True}},
            "engine.enforce_eager = True: transformers .* has no such engine argument",
        ),
        ({"engine": {"max_model_len": 0}}, "engine.max_model_len = 0: should be a whole number"),
    ],
)
def test_what_is_wrong_is_an_error_of_both(config: Callable, wrong: dict, line: str) -> None:
    for look in (check, survey):
        with pytest.raises(UsageError, match=line):
            look(config(**wrong))


def test_what_takes_a_tokenizer_to_see_is_an_error_of_survey(config: Callable) -> None:
    with pytest.raises(UsageError, match="has no chat template"):
        survey(config(reranker={"type": "lb"}, engine={"convert": "none"}))


def test_every_run_is_checked_without_a_tokenizer(config: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*given: Any) -> None:
        raise AssertionError("a tokenizer is loaded")

    monkeypatch.setattr("pipeline.check.model.load_tokenizer", refuse)
    monkeypatch.setattr("actors.rerankers.tokenizer.Tokenizer.__init__", refuse)
    given = config()
    checked = check(given)
    assert [file.path for file in checked.files] == given.input.path
    assert checked.scores.url == f"{given.output.path}/scores/{checked.fingerprint}"


def test_a_run_and_those_that_go_on_from_its_scores_have_one_id(config: Callable, tmp_path: Path) -> None:
    first = check(config()).run_id
    assert check(config(fusion={"alpha": 0.9}, run={"unit_rows": 3})).run_id == first
    assert check(config(reranker={"max_doc_tokens": 9})).run_id != first
    assert check(config(output={"path": str(tmp_path / "other")})).run_id != first


def test_an_output_that_cannot_be_made_is_an_error(config: Callable, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for look in (check, survey):
        with pytest.raises(UsageError, match=r"output\.path = .* cannot write there"):
            look(config(output={"path": str(tmp_path / "file" / "out")}))
