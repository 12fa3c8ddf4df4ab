"""The changes that models make to the logits of their head before they are probabilities.

vLLM does it where it generates, but not in the classifier that it makes of some rows of the head (`scoring: head`).
"""

from typing import Any

import numpy as np

DIVIDES = (
    "granite",
    "granitemoe",
    "granitemoehybrid",
    "granitemoeshared",
)  # model types with a divisor, logits_scaling
# Steps of other names, which are not applied here.
OTHER_STEPS = (
    "lm_head_multiplier", "logits_scaling", "logits_soft_cap", "output_logit_soft_cap", "output_multiplier_scale",
    "logits_scale", "mup_width_multiplier",
)  # fmt: skip


def finish_logits(logits: np.ndarray, config: Any) -> np.ndarray:
    """The logits as the model gives them: soft-capped and scaled. config: of the text model, as transformers has it."""
    if cap := getattr(config, "final_logit_softcapping", None):
        logits = cap * np.tanh(logits / cap)
    scale = getattr(config, "logit_scale", None) or 1
    if config.model_type in DIVIDES:
        scale /= getattr(config, "logits_scaling", None) or 1
    return logits * scale


def find_other_steps(config: dict[str, Any], biased: bool = False) -> list[str]:
    """The keys of a model's config that name steps which finish_logits does not know, and the bias of a head that is
    `biased`, which vLLM leaves out."""
    known = {"logits_scaling"} if config.get("model_type") in DIVIDES else set()
    steps = [name for name in OTHER_STEPS if name not in known and config.get(name) not in (None, 1, 1.0)]
    return [*steps, *["a bias of its head"] * biased]
