"""The scores of the pairs of tests/parity.py by transformers, on the device that is measured, in any dtype."""

from collections.abc import Callable
from typing import Any
from unittest import mock

import numpy as np
import torch

from benchmarks.sizes import RERANKER
from tests.actors.rerankers import test_bge_gemma, test_cross_encoder, test_lb, test_qwen3, test_rankinggpt
from tests.file_tokenizer import FileTokenizer
from tests.parity import PAIRS, Reference

QWEN3_LENGTH = 400


class OnDevice(Reference):
    """A causal language model by transformers, on a device."""

    def __init__(self, model: str, dtype: torch.dtype, device: str):
        super().__init__(model, dtype)
        self.model: Any = self.model.to(device).eval()  # type: ignore[arg-type]
        self._device = device

    @torch.no_grad()
    def logits(self, ids: list[int]) -> torch.Tensor:
        return self.model(input_ids=torch.tensor([ids], device=self._device)).logits[0].float().cpu()


# The folder of a model, a dtype, a device and the keys of the reranker -> the score of each pair.
Expected = Callable[[str, torch.dtype, str, dict[str, Any]], np.ndarray]


def each_pair(score: Callable[..., float], *more: Any) -> Expected:
    """The expected scores by a function `score` of a reference, a query and a document."""

    def expected(model: str, dtype: torch.dtype, device: str, keys: dict[str, Any]) -> np.ndarray:
        reference = OnDevice(model, dtype, device)
        return np.array([score(reference, *pair, *more) for pair in PAIRS])

    return expected


def lb(model: str, dtype: torch.dtype, device: str, keys: dict[str, Any]) -> np.ndarray:
    def load(model: str, dtype: torch.dtype) -> OnDevice:
        return OnDevice(model, dtype, device)

    with mock.patch.object(test_lb, "Reference", load):
        probabilities = test_lb.label_probabilities(model, "query_first", dtype)
    formula = test_lb.FORMULAS[keys.get("score", "card")]
    return np.array([formula(row) for row in probabilities])


def label(reference: Reference, query: str, doc: str) -> float:
    """The probability of yes among yes and no, for the reranker of benchmarks/sizes.py."""
    logits = reference.logits(reference.tokenizer.fill(RERANKER["prompt"], query=query, doc=doc))[-1]
    yes, no = (reference.tokenizer.id(text) for text in RERANKER["labels"])
    return float(logits[[yes, no]].softmax(0)[0])


def cross_encoder(model: str, dtype: torch.dtype, device: str, keys: dict[str, Any]) -> np.ndarray:
    name = "bert" if "[CLS]" in FileTokenizer(model).names else "xlm_roberta"
    return test_cross_encoder.expected(model, name, dtype, device)


REFERENCES: dict[str, Expected] = {
    "lb": lb,
    "label": each_pair(label),
    "qwen3": each_pair(test_qwen3.card, test_qwen3.USUAL, QWEN3_LENGTH),
    "rankinggpt": each_pair(test_rankinggpt.card),
    "bge_gemma": each_pair(test_bge_gemma.library),
    "cross_encoder": cross_encoder,
}
