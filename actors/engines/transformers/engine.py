"""transformers in this process: batches of like lengths, stepped by a thread of its own.

It computes what vLLM does, for models and machines that vLLM does not run; slower, for there is no prefix cache, and a
batch of answers lasts as long as its longest.
"""

import os
import sys
from collections import deque
from typing import Any

import numpy as np

from actors.engines.contract import Deliver, EngineRequest, Watchdog
from actors.engines.thread import EngineThread
from actors.engines.transformers.batches import MAX_PADDING, cut_batches
from actors.rerankers.contract import Reply, Request, Unscored
from actors.rerankers.settings import Settings
from actors.rerankers.tokenizer import load_tokenizer

WINDOW = 2048  # sequences that are sorted by length together
BATCHED_TOKENS = {"cpu": 4096, "cuda": 16_384}  # of a batch, without max_num_batched_tokens
SEQUENCES = 256  # of a batch, without max_num_seqs
LOGITS = 2**28  # of a batch: 1 GiB in float32
CPU_CACHE_BYTES = 2**30  # of keys and values, without kv_cache_memory_bytes; on a GPU 0.4 of what is free

SLOWER = "only sequences of the same length share a batch, which takes longer"

Asked = tuple[EngineRequest, Deliver]


class Engine(EngineThread):
    """An engine of transformers for one kind of request.

    label_ids: the tokens of request.labels in this model's vocabulary.
    stall_seconds: see EngineThread; each token that a batch of answers gets is progress.
    deterministic: one sequence a batch.
    """

    def __init__(
        self,
        settings: Settings,
        arguments: dict[str, Any],
        request: Request,
        label_ids: list[int],
        stall_seconds: float,
        watchdog: Watchdog,
        deterministic: bool = False,
    ):
        os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
        super().__init__(request, stall_seconds, watchdog)
        self._label_ids = label_ids
        self._most_sequences = 1 if deterministic else arguments.get("max_num_seqs", SEQUENCES)
        self._follow_ups: list[Asked] = []
        self._queued: deque[Asked] = deque()
        self._batches: deque[list[Asked]] = deque()
        self._start(settings, arguments)

    def _build(self, settings: Settings, arguments: dict[str, Any]) -> None:
        from actors.engines.transformers.model import Model

        tokenizer = load_tokenizer(settings, arguments.get("max_model_len"))
        self._context = tokenizer.limit
        self._model = Model(settings, arguments, self._request, self._label_ids, tokenizer)
        self._max_padding = MAX_PADDING
        if self._model.sees_padding():
            self._max_padding = 0.0
            print(f"rayrank: padding changes the scores of {settings.model}: {SLOWER}", file=sys.stderr, flush=True)
        device = self._model.device
        self._batched_tokens = arguments.get("max_num_batched_tokens", BATCHED_TOKENS[device])
        self._cached_tokens = self._model.count_cached_tokens(
            arguments.get("kv_cache_memory_bytes") or (CPU_CACHE_BYTES if device == "cpu" else None)
        )

    def _accept(self, request: EngineRequest, deliver: Deliver) -> None:
        (self._follow_ups if request.follows else self._queued).append((request, deliver))

    def _step(self) -> None:
        if self._follow_ups:
            asked, self._follow_ups = self._follow_ups, []
            self._batches.extendleft(reversed(self._cut(asked)))
        elif not self._batches:
            asked = [self._queued.popleft() for _ in range(min(WINDOW, len(self._queued)))]
            self._batches.extend(self._cut(asked))
        if self._batches:
            batch = self._batches.popleft()
            with self._busy:
                replies = self._answer([request for request, _ in batch])
            self._expect_progress()
            self._deliver([(*asked, reply) for asked, reply in zip(batch, replies, strict=True)])

    def _cut(self, asked: list[Asked]) -> list[list[Asked]]:
        """Batches of sequences, those that are too long aside, which are refused."""
        sound: list[Asked] = []
        for request, deliver in asked:
            if reason := self._find_fault(request):
                self._deliver([(request, deliver, Unscored(reason))])
            else:
                sound.append((request, deliver))
        short = [each for each in sound if not self._writes(each[0])]
        long = [each for each in sound if self._writes(each[0])]
        return self._cut_alike(short) + self._cut_alike(long)

    def _cut_alike(self, asked: list[Asked]) -> list[list[Asked]]:
        requests = [request for request, _ in asked]
        lengths = [len(request.tokens) for request in requests]
        limits = [([1] * len(requests), self._most_sequences)]
        if requests and self._writes(requests[0]):
            held = [len(request.tokens) + self._max_new_tokens(request) for request in requests]
            limits.append((held, self._cached_tokens))
        else:
            limits.append((lengths, self._batched_tokens))
        if self._request.task == "likelihood":
            rows = [len(request.tokens) - (request.boundary or 0) for request in requests]
            limits.append((rows, LOGITS // self._model.vocabulary))
        return [[asked[i] for i in batch] for batch in cut_batches(lengths, limits, self._max_padding)]

    def _find_fault(self, request: EngineRequest) -> str | None:
        """The reason why a sequence is refused, if it is."""
        size, boundary, room = len(request.tokens), request.boundary or 0, self._context
        if not size:
            return "transformers refused the prompt: it is empty"
        if self._request.task == "likelihood" and not 0 < boundary < size:
            return f"transformers refused the prompt: nothing stands on one side of its boundary, {boundary}"
        if self._model.has_encoder:  # which has as much room as the decoder
            size = max(boundary, size - boundary)
        elif self._request.task == "generate":
            room -= 1  # for a new token
        if size > room:
            return f"transformers refused the prompt: it has {size} tokens, and there is room for {room}"
        return None

    def _writes(self, request: EngineRequest) -> bool:
        """Whether an answer of several tokens is asked for."""
        return self._request.task == "generate" and request.max_tokens > 1

    def _answer(self, batch: list[EngineRequest]) -> list[Reply | Unscored]:
        """The replies to a batch. One that does not fit into memory is halved."""
        try:
            return [*self._ask_model(batch)]
        except Exception as error:
            if not self._model.is_out_of_memory(error):
                raise
        self._model.free_memory()  # here, where the error holds no tensors any more
        if len(batch) == 1:
            return [Unscored(f"the sequence alone does not fit into memory: {len(batch[0].tokens)} tokens")]
        half = len(batch) // 2
        return self._answer(batch[:half]) + self._answer(batch[half:])

    def _ask_model(self, batch: list[EngineRequest]) -> list[Reply]:
        sequences = [request.tokens for request in batch]
        if self._writes(batch[0]):
            limits = [self._max_new_tokens(request) for request in batch]
            return self._model.write(sequences, limits, self._expect_progress)
        if self._request.task == "generate":
            return self._model.read_labels(sequences)
        boundaries = [request.boundary for request in batch]
        if self._request.task == "likelihood":
            return self._model.read_likelihoods(sequences, boundaries)
        vectors: np.ndarray = self._model.compute_vectors(sequences, boundaries)
        return [Reply(tokens, vector=vector) for tokens, vector in zip(sequences, vectors, strict=True)]
