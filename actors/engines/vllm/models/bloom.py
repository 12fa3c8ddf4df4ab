"""BLOOM with the activation it was trained with: the tanh approximation of GELU, as in transformers' BloomGelu.

vLLM 0.32 computes the exact GELU instead, which changes log-probabilities by up to half a percent.
"""

from typing import Any

from vllm.config import VllmConfig
from vllm.model_executor.layers.activation import get_act_fn
from vllm.model_executor.models.bloom import BloomForCausalLM


class TanhBloom(BloomForCausalLM):
    """vLLM's BLOOM with the activation of every layer replaced."""

    def __init__(self, *, vllm_config: VllmConfig, prefix: str = ""):
        super().__init__(vllm_config=vllm_config, prefix=prefix)
        layers: Any = self.transformer.h
        for layer in layers:
            layer.mlp.gelu_impl = get_act_fn("gelu_pytorch_tanh")
