"""A file of a model that holds no JSON, or JSON of another kind, is refused by its own name."""

import json
import shutil
from pathlib import Path

import pytest
from transformers import AutoModel

from pipeline.check.model import check_model_files, check_tokenizer
from pipeline.check.weights import check_weights
from pipeline.config import parse
from pipeline.errors import UsageError
from tests import tiny

ST = "sentence_transformers.models."
CUT, COMMA, EMPTY = '{"a": "b', '{"a": 1,}', ""


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = Path(tiny.bert(tmp_path_factory.mktemp("bert")))
    AutoModel.from_pretrained(folder).save_pretrained(folder)
    modules = [{"type": ST + "Transformer", "path": ""}, {"type": ST + "Pooling", "path": "1_Pooling"}]
    (folder / "modules.json").write_text(json.dumps(modules))
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling" / "config.json").write_text('{"pooling_mode_mean_tokens": true}')
    return folder


def look(folder: Path) -> None:
    reranker = {"type": "bi_encoder", "model": str(folder)}
    config = parse({"input": {"path": "p"}, "reranker": reranker, "output": {"path": "o"}})
    check_weights(config, check_tokenizer(check_model_files(config)))


def test_the_folder_is_sound(bert: Path) -> None:
    look(bert)


@pytest.mark.parametrize(
    ("name", "text", "line"),
    [
        ("config.json", COMMA, "is no JSON"),
        ("config.json", EMPTY, "is no JSON"),
        ("config.json", "[]", "should hold a JSON object"),
        ("tokenizer.json", CUT, "is no JSON"),
        ("tokenizer.json", "[1]", "should hold a JSON object"),
        ("tokenizer_config.json", COMMA, "is no JSON"),
        ("special_tokens_map.json", CUT, "is no JSON"),
        ("generation_config.json", CUT, "is no JSON"),
        ("sentence_bert_config.json", COMMA, "is no JSON"),
        ("config_sentence_transformers.json", "5", "should hold a JSON object"),
        ("modules.json", CUT, "is no JSON"),
        ("modules.json", "{}", "should hold a JSON list"),
        ("modules.json", '["Transformer"]', "should be a list of modules with type and path"),
        ("1_Pooling/config.json", EMPTY, "is no JSON"),
        ("model.safetensors.index.json", CUT, "is no JSON"),
        ("model.safetensors.index.json", "[]", "should hold a JSON object"),
        ("model.safetensors.index.json", '{"weight_map": {}}', "has no weight_map"),
    ],
)
def test_a_broken_file_is_named(name: str, text: str, line: str, bert: Path, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(bert, folder)
    (folder / name).write_text(text)
    with pytest.raises(UsageError, match=f"^{folder / name}: {line}"):
        look(folder)
