"""Writes answers: greedy generation for a batch of prompts, each up to its own limit, end token or stop text."""

from collections.abc import Callable, Collection
from typing import Any, NamedTuple

import torch
import transformers
from tokenizers import decoders

from actors.engines.transformers.forward import Sequences, pad
from actors.rerankers.contract import Reply


class Ends(NamedTuple):
    """The ends of an answer: ids of end tokens, which are no part of it, and stop texts, which are."""

    tokens: Collection[int]
    texts: tuple[str, ...]


def write(
    model: Any, tokenizer: Any, prompts: Sequences, limits: list[int], ends: Ends, progress: Callable[[], object]
) -> list[Reply]:
    """The answers. tokenizer: of the tokenizers library. limits: the most tokens of each. progress: called for each
    token that a batch gets."""
    answers = [_Answer(tokenizer, prompt, limit, ends) for prompt, limit in zip(prompts, limits, strict=True)]
    ids, mask = pad(prompts, 0, not model.config.is_encoder_decoder, model.device)
    model.generate(
        input_ids=ids,
        attention_mask=mask,
        generation_config=transformers.GenerationConfig(do_sample=False, max_new_tokens=max(limits), pad_token_id=0),
        stopping_criteria=[_Follower(answers, progress)],
    )
    return [answer.reply() for answer in answers]


class _Follower(transformers.StoppingCriteria):
    """Hands each row's new token to its answer, and says which rows are done."""

    def __init__(self, answers: "list[_Answer]", progress: Callable[[], object]):
        self._answers, self._progress = answers, progress

    def __call__(self, input_ids: torch.Tensor, scores: Any, **unused: Any) -> torch.Tensor:
        self._progress()
        for answer, token in zip(self._answers, input_ids[:, -1].tolist(), strict=True):
            if not answer.done:
                answer.take(token)
        return torch.tensor([answer.done for answer in self._answers], device=input_ids.device)


class _Answer:
    """The answer to one prompt so far. A character whose bytes are not all there yet is not in the text."""

    def __init__(self, tokenizer: Any, prompt: list[int], limit: int, ends: Ends):
        self._tokenizer, self._prompt, self._limit, self._ends = tokenizer, prompt, limit, ends
        self._stream = decoders.DecodeStream(ids=prompt, skip_special_tokens=False)
        self._tokens: list[int] = []
        self._text = ""
        self._stopped: str | None = None
        self._finished = self.done = False

    def take(self, token: int) -> None:
        """Takes the next token."""
        if token in self._ends.tokens:
            self._finished = self.done = True
            return
        self._tokens.append(token)
        new = self._stream.step(self._tokenizer, token) or ""
        self._text += new
        self._stop(len(new))
        self._finished = self._stopped is not None
        self.done = self._finished or len(self._tokens) >= self._limit

    def _stop(self, new: int) -> None:
        """Ends the text with the stop text that is complete first, if its `new` last characters complete one."""
        found = []
        for stop in self._ends.texts if new else ():
            at = self._text.find(stop, max(0, len(self._text) - new - len(stop) + 1))
            if at >= 0:
                found.append((at + len(stop), stop))
        if found:
            end, self._stopped = min(found, key=lambda pair: pair[0])
            self._text = self._text[:end]

    def reply(self) -> Reply:
        return Reply(self._prompt, 0, tuple(self._tokens), self._text, self._stopped, self._finished)
