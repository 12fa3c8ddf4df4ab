"""Models that vLLM gets from here, in place of its own, where its own do not compute what their authors' do."""

from typing import Any


def register(architectures: list[str]) -> None:
    """Gives vLLM, in this process, the models that it needs from here for one of these architectures."""
    if "BloomForCausalLM" in architectures:
        from vllm import ModelRegistry

        from actors.engine_models.bloom import TanhBloom

        model: Any = TanhBloom
        ModelRegistry.register_model("BloomForCausalLM", model)
