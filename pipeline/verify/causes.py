"""The usual causes of a difference of scores, by its pattern."""

import numpy as np

EXACT = 1e-3  # within which one scoring is a function of the other
SAME_ORDER, LITTLE = 0.98, 0.1  # rank correlation, and a relative difference, up to which a rounding is likely


def explain(
    scores: np.ndarray, others: np.ndarray, differences: np.ndarray, tokens: np.ndarray, tolerance: float
) -> str:
    """One line. scores, others: float64, nan without a score. differences: see Comparison. tokens: of each pair."""
    both = ~np.isnan(differences)
    if both.sum() < 3:
        return "there are too few pairs to say why"
    own, other, off, tokens = scores[both], others[both], differences[both], tokens[both]
    if _are_alike(_sigmoid(own), other):
        return "the others are the sigmoid of these scores: one of the two is a logit, or the sigmoid is taken twice"
    if _are_alike(_sigmoid(other), own):
        return "these scores are the sigmoid of the others: one of the two is a logit, or the sigmoid is taken twice"
    if _are_alike(-own, other) or _are_alike(1 - own, other):
        return "the others are these scores turned round: the labels stand in the other order"
    slope, constant = np.polyfit(own, other, 1) if own.std() else (0.0, 0.0)
    if slope > 0 and _are_alike(slope * own + constant, other):
        added = f", and {constant:.4g} more" if abs(constant) > EXACT * other.std() else ""
        return (
            f"the others are {slope:.4g} times these scores{added}: a scale, a temperature, or another formula for the "
            "same logits"
        )
    if (least := _find_length(tokens, off > tolerance)) is not None:
        return f"only pairs of {least} tokens or more differ: a text is cut elsewhere, or the context is shorter"
    same = _correlate_ranks(own, other)
    if same < -0.5:
        return "the two rank the other way round: the labels stand in the other order, or one is a distance"
    if same > SAME_ORDER and off.max() < LITTLE:
        return (
            "small differences of all pairs: half precision in a part (dtype, kv_cache_dtype, quantization, weights "
            "that were saved so), another attention backend, or another formula of an activation"
        )
    return (
        "large differences: another tokenizer, a template that is missing or was changed, other labels (' yes' is not "
        "'yes'), a begin token too many or too few, or other weights (an adapter that was not merged)"
    )


def _find_length(tokens: np.ndarray, off: np.ndarray) -> int | None:
    """The length from which on nearly all pairs are off and below which none is; None where there is no such one."""
    least = tokens[off].min() if off.any() else 0
    below, above = tokens < least, tokens >= least
    return int(least) if below.mean() >= 0.2 and off[above].mean() > 0.8 else None


def _are_alike(one: np.ndarray, other: np.ndarray) -> bool:
    return bool(np.all(np.abs(one - other) <= EXACT * (np.abs(other) + other.std())))


def _sigmoid(scores: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-np.clip(scores, -500, 500)))


def _correlate_ranks(one: np.ndarray, other: np.ndarray) -> float:
    """Spearman's, with ties in the order of the pairs."""
    first, second = (np.argsort(np.argsort(values, kind="stable")) for values in (one, other))
    return float(np.corrcoef(first, second)[0, 1])
