"""Our own versions of some of vLLM's models: to compute what the authors' code computes, or to read likelihoods."""

from typing import Any

_originals: dict[str, Any] = {}  # vLLM's own models of the architectures replaced in this process


def register(architectures: list[str], likelihood: bool) -> None:
    """Makes vLLM use our models for these architectures, in this process, until the next call for them.

    likelihood: whether likelihoods will be read (see likelihood.py). Raises ValueError where they will, and vLLM has no
    model for the architecture.
    """
    from vllm import ModelRegistry

    for name in architectures:
        if name not in ModelRegistry.models:
            if likelihood:
                raise ValueError(f"vLLM has no model of its own for {name}, and without one no query likelihood")
            continue
        original = _originals.setdefault(name, ModelRegistry.models[name])
        ModelRegistry.models[name] = original
        if name == "BloomForCausalLM":
            from actors.engines.vllm.models.bloom import TanhBloom

            ModelRegistry.register_model(name, TanhBloom)
        if likelihood:
            from actors.engines.vllm.models.likelihood import with_likelihood

            ModelRegistry.register_model(name, with_likelihood(ModelRegistry.models[name].load_model_cls()))
