"""Models that vLLM gets from here, in place of its own: where its own do not compute what their authors' do, and where
more is read from them than vLLM gives, or with less work."""

from typing import Any

_own: dict[str, Any] = {}  # vLLM's, of the architectures that were replaced in this process


def register(architectures: list[str], likelihood: bool) -> None:
    """Gives vLLM, in this process, the models for these architectures. likelihood: see likelihood.py."""
    from vllm import ModelRegistry

    for name in architectures:
        if name not in ModelRegistry.models:
            if likelihood:
                raise ValueError(f"vLLM has no model of its own for {name}, and without one no query likelihood")
            continue
        own = _own.setdefault(name, ModelRegistry.models[name])
        ModelRegistry.models[name] = own
        if name == "BloomForCausalLM":
            from actors.engines.vllm.models.bloom import TanhBloom

            ModelRegistry.register_model(name, TanhBloom)
        if likelihood:
            from actors.engines.vllm.models.likelihood import with_likelihood

            ModelRegistry.register_model(name, with_likelihood(ModelRegistry.models[name].load_model_cls()))
