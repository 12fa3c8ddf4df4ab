"""How many tokens a model has positions for: as many as transformers' model takes before it looks beyond its table."""

from typing import Any

import pytest
import torch
from transformers import AutoConfig, AutoModel

from actors.rerankers.tokenizer import BEHIND_PADDING, count_positions

SMALL = {"vocab_size": 99, "hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1}
MORE: dict[str, dict[str, Any]] = {
    "longformer": {"attention_window": [4]},
    "luke": {"entity_vocab_size": 9},
    "xmod": {"languages": ["en_XX"], "default_language": "en_XX"},
    "layoutlmv3": {"visual_embed": False, "coordinate_size": 1, "shape_size": 2},
}
# Models of these need boxes or paths of a page with each text.
PAGES = {"lilt", "markuplm", "layoutlmv3"}


def longest(config: Any) -> int:
    """The most tokens that the model takes."""
    torch.manual_seed(0)
    model = AutoModel.from_config(config).eval()
    for length in range(12, 41):
        try:
            with torch.no_grad():
                model(input_ids=torch.full((1, length), 7))
        except (IndexError, RuntimeError):
            return length - 1
    return 40


@pytest.mark.parametrize("padding", [None, 1, 5])
@pytest.mark.parametrize("kind", sorted(BEHIND_PADDING - PAGES))
def test_positions_behind_the_padding_are_those_that_transformers_has(kind: str, padding: int | None) -> None:
    about = SMALL | {"max_position_embeddings": 36} | MORE.get(kind, {})
    if kind == "mpnet" and padding == 5:
        return  # its positions begin at 2 whatever its padding is, which all that were published have at 1
    config = AutoConfig.for_model(kind, **about | ({} if padding is None else {"pad_token_id": padding}))
    written = about | {"model_type": kind, "pad_token_id": padding}
    assert count_positions(written) == longest(config)


@pytest.mark.parametrize("kind", ["bert", "electra", "ernie", "qwen2"])
def test_other_families_have_all_that_they_declare(kind: str) -> None:
    about = SMALL | {"max_position_embeddings": 36, "num_key_value_heads": 1}
    assert longest(AutoConfig.for_model(kind, **about)) >= 36
    assert count_positions(about | {"model_type": kind}) is None
