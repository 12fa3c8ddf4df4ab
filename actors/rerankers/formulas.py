"""The values of `reranker.score`. Each word means the same in every family that reads labels or a classifier's logits.

A formula takes the labels' values and their log-probabilities over the full vocabulary, or their logits, both of shape
(labels,). With two labels or more, both give the same `probability` and `logit`; one label alone needs its logit.
"""

from collections.abc import Callable

import numpy as np

Formula = Callable[[np.ndarray, np.ndarray], float]


def expectation(values: np.ndarray, logprobs: np.ndarray) -> float:
    """sum of value * p, with p over the full vocabulary: all other tokens have the value 0."""
    return float(values @ np.exp(logprobs))


def probability(values: np.ndarray, logits: np.ndarray) -> float:
    """sum of value * p, with p over the labels alone (their softmax). For the values 1 and 0: p_1 / (p_1 + p_0).

    One label alone stands against a logit of 0, so that p is its sigmoid.
    """
    if len(logits) == 1:
        values, logits = np.append(values, 0), np.append(logits, 0)
    p = np.exp(logits - logits.max())
    return float(values @ p / p.sum())


def logit(values: np.ndarray, logits: np.ndarray) -> float:
    """The logit of one label; of two, that of the higher value minus the other: ln(p_1 / p_0). Unbounded."""
    if len(logits) == 1:
        return float(logits[0])
    return float(logits[values.argmax()] - logits[values.argmin()])


SCORES: dict[str, Formula] = {"expectation": expectation, "probability": probability, "logit": logit}
