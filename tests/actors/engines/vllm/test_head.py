"""Logits of some rows of a head, finished as transformers finishes those of the whole vocabulary."""

from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from actors.engines.vllm.head import find_other_steps, finish_logits

SMALL: dict[str, Any] = {
    "vocab_size": 50,
    "hidden_size": 16,
    "intermediate_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "head_dim": 8,
    "initializer_range": 1.0,
    "pad_token_id": 0,
}


@pytest.mark.parametrize(
    ("kind", "more"),
    [
        ("gemma2", {"final_logit_softcapping": 3.0}),
        ("gemma2", {"final_logit_softcapping": None}),
        ("cohere", {"logit_scale": 0.0625}),
        ("cohere2", {"logit_scale": 2.5, "sliding_window": 8}),
        ("granite", {"logits_scaling": 8.0}),
        ("qwen2", {}),
    ],
)
def test_logits_are_those_of_transformers(kind: str, more: dict[str, Any]) -> None:
    config = AutoConfig.for_model(kind, **SMALL | more)
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(config).eval()
    ids = torch.tensor([[3, 14, 15, 9]])
    with torch.no_grad():
        right = model(ids).logits[0, -1, [7, 8, 9]].numpy()
        hidden = model.model(ids).last_hidden_state[0, -1]
        raw = (model.lm_head.weight[[7, 8, 9]] @ hidden).numpy()
    np.testing.assert_allclose(finish_logits(raw, config), right, rtol=1e-5)
    assert find_other_steps(config.to_dict()) == []


@pytest.mark.parametrize(
    ("config", "steps"),
    [
        ({"model_type": "falcon_h1", "lm_head_multiplier": 0.04}, ["lm_head_multiplier"]),
        ({"model_type": "recurrent_gemma", "logits_soft_cap": 30.0}, ["logits_soft_cap"]),
        ({"model_type": "hyperclovax", "logits_scaling": 0.1}, ["logits_scaling"]),
        ({"model_type": "falcon_h1", "lm_head_multiplier": 1.0, "logits_scaling": None}, []),
    ],
)
def test_other_steps_are_found(config: dict[str, Any], steps: list[str]) -> None:
    assert find_other_steps(config) == steps
