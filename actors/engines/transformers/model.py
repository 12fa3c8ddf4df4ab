"""A model of transformers in memory, and its replies to batches of sequences."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from actors.engines.transformers.forward import Sequences, classify, compute_last_logits, compute_likelihoods
from actors.engines.transformers.loading import load_model
from actors.engines.transformers.pooling import Embedder
from actors.engines.transformers.writing import Ends, write
from actors.rerankers.contract import Reply, Request
from actors.rerankers.settings import Settings
from actors.rerankers.tokenizer import Tokenizer

FREE_SHARE = 0.4  # of a GPU's free memory, for keys and values
# How much of the largest number padding may change. In float32 it is 8e-4 to 13 with the nine of 100 architectures
# that see padding, and at most 2e-6 with all others.
ROUNDING = {torch.float32: 1e-4, torch.float16: 1e-2, torch.bfloat16: 5e-2}
PROBES = [list(range(1, 1 + count)) for count in (4, 12, 42)]  # any tokens; every vocabulary has these


class Model:
    """A model for one kind of request. device: cpu or cuda. vocabulary: the size of its head. has_encoder: an encoder
    reads the prompt, and a decoder of its own writes."""

    def __init__(
        self,
        settings: Settings,
        arguments: dict[str, Any],
        request: Request,
        label_ids: list[int],
        tokenizer: Tokenizer,
    ):
        torch.set_grad_enabled(False)  # in this thread
        self._model = load_model(settings, arguments, request)
        self._request, self._label_ids = request, label_ids
        self._backend = tokenizer.pretrained.backend_tokenizer
        self._ends = Ends(tokenizer.pretrained.convert_tokens_to_ids(tokenizer.end_tokens()), request.stop)
        self._embedder = Embedder(self._model, settings, arguments) if request.task == "embed" else None
        self.device: str = self._model.device.type
        self.has_encoder: bool = self._model.config.is_encoder_decoder
        self.vocabulary: int = self._model.config.get_text_config().vocab_size

    def read_labels(self, sequences: Sequences) -> list[Reply]:
        """Replies with the labels' log-probabilities (or logits) at the next token, and the likeliest token."""
        logits = compute_last_logits(self._model, sequences)[:, -1].float()
        found = self._select(logits if self._request.logits else logits.log_softmax(-1))
        likeliest = logits.argmax(-1).tolist()
        return [
            Reply(tokens, tokens=(token,), label_logprobs=values)
            for tokens, token, values in zip(sequences, likeliest, found, strict=True)
        ]

    def read_likelihoods(self, sequences: Sequences, boundaries: list[Any]) -> list[Reply]:
        """Replies with the log-probability of each token from the boundary on."""
        found = compute_likelihoods(self._model, sequences, boundaries)
        return [Reply(tokens, token_logprobs=values) for tokens, values in zip(sequences, found, strict=True)]

    def compute_vectors(self, sequences: Sequences, boundaries: list[int | None]) -> np.ndarray:
        """Embeddings, a classifier's logits, or those of the labels; shape (sequences, size), float32."""
        if self._embedder:
            return self._embedder.embed(sequences).cpu().numpy()
        if self._label_ids:
            return self._select(compute_last_logits(self._model, sequences)[:, -1].float())
        return classify(self._model, sequences, boundaries)

    def sees_padding(self) -> bool:
        """Whether a sequence's numbers change with the length of those beside it, as with architectures that mix
        neighbours (ConvBERT, FNet) or go from token to token (RWKV) without a regard for the mask."""
        together = self._compute(PROBES)
        alone = np.concatenate([self._compute([probe]) for probe in PROBES])
        return bool(np.abs(together - alone).max() > ROUNDING[self._model.dtype] * np.abs(alone).max())

    def _compute(self, sequences: Sequences) -> np.ndarray:
        """All numbers that the model's last layer gives; shape (sequences, numbers)."""
        if self._embedder or (self._request.task == "classify" and not self._label_ids):
            return self.compute_vectors(sequences, [None] * len(sequences))
        return compute_last_logits(self._model, sequences)[:, -1].float().cpu().numpy()

    def write(self, prompts: Sequences, limits: list[int], progress: Callable[[], object]) -> list[Reply]:
        """Replies with answers; see writing.py."""
        return write(self._model, self._backend, prompts, limits, self._ends, progress)

    def count_cached_tokens(self, size: int | None) -> int:
        """How many tokens' keys and values fit into `size` bytes; without it into a share of the GPU's free memory."""
        if size is None:
            size = int(torch.cuda.mem_get_info()[0] * FREE_SHARE)
        text = self._model.config.get_text_config()
        heads = getattr(text, "num_attention_heads", 1)
        shared = getattr(text, "num_key_value_heads", None) or heads
        each = getattr(text, "head_dim", None) or text.hidden_size // heads
        return max(1, size // (2 * text.num_hidden_layers * shared * each * self._model.dtype.itemsize))

    @staticmethod
    def is_out_of_memory(error: Exception) -> bool:
        """Whether the device, or torch on a CPU, had no memory left."""
        return isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error)

    def free_memory(self) -> None:
        """Gives back what torch keeps for later."""
        if self.device == "cuda":
            torch.cuda.empty_cache()

    def _select(self, values: torch.Tensor) -> np.ndarray:
        """The labels' columns."""
        return values[:, self._label_ids].cpu().numpy()
