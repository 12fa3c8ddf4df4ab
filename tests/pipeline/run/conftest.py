"""Places on each kind of store, and a model that sees whole queries."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from pipeline.storage.folder import Folder
from tests.pipeline.conftest import Run
from tests.pipeline.run.stores import Place

# For tests whose runs on S3 take ten seconds and more, and of which others show there that a run works on it.
S3_SLOW = pytest.mark.parametrize(
    "place", ["local", "seconds", pytest.param("s3", marks=pytest.mark.slow)], indirect=True
)


@pytest.fixture(params=["local", "s3", "seconds"])
def place(request: pytest.FixtureRequest, tmp_path: Path, run: Run) -> Place:
    """A place on each kind of store. The outputs of the last one lie on the local disk."""
    if request.param == "s3":
        request.getfixturevalue("s3_server")
        return Place(Folder(f"s3://bucket/{tmp_path.name}/in"), f"s3://bucket/{tmp_path.name}", run)
    if request.param == "seconds":
        return Place(Folder(f"seconds://{tmp_path.name}/in"), str(tmp_path), run)
    return Place(Folder(f"{tmp_path}/in"), str(tmp_path), run)


@pytest.fixture
def local(tmp_path: Path, run: Run) -> Place:
    return Place(Folder(f"{tmp_path}/in"), str(tmp_path), run)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory, minilm: str) -> dict[str, Any]:
    """The reranker section of a model that writes, as far as files say: a tokenizer, and no weights."""
    folder = tmp_path_factory.mktemp("model")
    for name in ("tokenizer.json", "tokenizer_config.json", "vocab.txt"):
        shutil.copy(Path(minilm, name), folder)
    about = {"architectures": ["Qwen2ForCausalLM"], "model_type": "qwen2", "max_position_embeddings": 512}
    (folder / "config.json").write_text(json.dumps(about))
    (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": 102}))
    return {"type": "listwise", "model": str(folder), "prompt": "{query} {passages}"}
