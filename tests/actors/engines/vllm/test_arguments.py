"""An XLMRobertaModel as transformers 5 saves it, without position_embedding_type, against transformers."""

import json
from pathlib import Path

import numpy as np
import torch
from transformers import AutoModel, AutoTokenizer

from tests import parity, tiny

TEXTS = [("read a file line by line", "open the file and iterate over it"), ("a list", "tuples are not lists")]


def test_an_embedding_model_of_transformers_5_starts(tmp_path: Path) -> None:
    folder = tiny.xlm_roberta(tmp_path)
    AutoModel.from_pretrained(folder).save_pretrained(folder)
    assert "position_embedding_type" not in json.loads((tmp_path / "config.json").read_text())
    kinds = [{"type": f"sentence_transformers.models.{name}", "path": name} for name in ("Transformer", "Pooling")]
    (tmp_path / "modules.json").write_text(json.dumps(kinds))
    (tmp_path / "Pooling").mkdir()
    (tmp_path / "Pooling" / "config.json").write_text('{"pooling_mode_mean_tokens": true}')
    scores = parity.scores(parity.score_pairs({"type": "bi_encoder", "model": folder}, {}, TEXTS))
    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModel.from_pretrained(folder, dtype=torch.float32)

    def embed(text: str) -> torch.Tensor:
        with torch.no_grad():
            return model(**tokenizer([text], return_tensors="pt")).last_hidden_state[0].mean(0)

    expected = [torch.cosine_similarity(embed(query), embed(doc), dim=0).item() for query, doc in TEXTS]
    np.testing.assert_allclose(scores, expected, rtol=1e-3)
