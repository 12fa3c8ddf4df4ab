"""The pairs of a unit that wait for the engine: the sequences to ask for, and the pairs that need each reply.

Equal sequences of a unit are asked for once, and equal prompts are scored once. A pair is scored as soon as its own
replies are there, without waiting for the rest of the unit.
"""

import math
from collections.abc import Callable, Sequence

import numpy as np

from actors.engines.contract import EngineRequest
from actors.rerankers.contract import WINDOW_FIGURES, FollowUp, Prompt, Reply, Unscored

# equal_prompts: pairs whose prompt another pair of the unit has, for which it was scored.
# label_replies: replies with the labels' probabilities. label_share: the sum, over these, of what the labels hold.
FIGURES: dict[str, float] = dict.fromkeys(
    ("prompt_tokens", "cached_tokens", "new_tokens", "equal_prompts", "label_replies", "label_share", *WINDOW_FIGURES),
    0,
)


class Pending:
    """The prompts of a unit and their scores so far.

    prompts: one for each pair, with their sequences as arrays. max_tokens: the most tokens to generate for a first
    request. score: makes the score from the replies for a pair, or the next requests. probabilities: whether the
    labels' log-probabilities are to be summed up.
    first: the requests to begin with. figures: sums over all replies. left: distinct prompts without a score yet.
    """

    def __init__(
        self,
        prompts: Sequence[Prompt],
        max_tokens: int,
        score: Callable[[list[Reply]], float | Unscored | FollowUp],
        probabilities: bool = True,
    ):
        self.first: list[EngineRequest] = []
        self.figures = dict(FIGURES)
        self._score, self._probabilities = score, probabilities
        self._asked = 0
        self._waiting: dict[int, list[_Job]] = {}
        sequences: dict[tuple[bytes, int | None], int] = {}
        jobs: dict[tuple[int, ...], _Job] = {}
        self._jobs: list[_Job] = []  # one for each pair
        for prompt in prompts:
            numbers = []
            for tokens in prompt.sequences:
                key = tokens.tobytes(), prompt.boundary
                if key not in sequences:
                    sequences[key] = self._asked
                    self.first.append(EngineRequest(self._asked, tokens.tolist(), prompt.boundary, max_tokens))
                    self._asked += 1
                numbers.append(sequences[key])
            if tuple(numbers) not in jobs:
                jobs[tuple(numbers)] = self._wait(_Job(), numbers)
            self._jobs.append(jobs[tuple(numbers)])
        self.left = len(jobs)
        self.figures["equal_prompts"] = len(prompts) - len(jobs)

    def take(self, number: int, reply: Reply | Unscored) -> list[EngineRequest]:
        """Takes a reply. Returns the requests that follow from it."""
        if isinstance(reply, Reply):
            count_reply(self.figures, reply, self._probabilities)
        asks = []
        for job in self._waiting.pop(number):
            job.replies[number] = reply
            if len(job.replies) == len(set(job.numbers)):
                asks += self._go_on(job)
        return asks

    def scores(self) -> list[float | Unscored]:
        """The score of each pair, in their order."""
        return [job.score for job in self._jobs]

    def texts(self) -> list[str | None]:
        """The text that the model wrote for each pair, a line for each generation; None where it wrote none."""
        return ["\n".join(job.texts) or None for job in self._jobs]

    def _wait(self, job: "_Job", numbers: list[int]) -> "_Job":
        job.numbers, job.replies = numbers, {}
        for number in set(numbers):
            self._waiting.setdefault(number, []).append(job)
        return job

    def _go_on(self, job: "_Job") -> list[EngineRequest]:
        """Scores a job whose replies are all there. Returns the requests that it needs next, if any."""
        fresh = [job.replies[number] for number in job.numbers]
        refused = [reply for reply in fresh if isinstance(reply, Unscored)]
        job.known += [reply for reply in fresh if isinstance(reply, Reply)]
        job.texts += [reply.text for reply in fresh if isinstance(reply, Reply) and reply.text]
        result = refused[0] if refused else self._score(job.known)
        if isinstance(result, FollowUp):
            asks = [
                EngineRequest(self._asked + i, tokens, None, result.max_tokens, follows=True)
                for i, tokens in enumerate(result.sequences)
            ]
            self._asked += len(asks)
            self._wait(job, [ask.number for ask in asks])
            return asks
        if isinstance(result, float) and not math.isfinite(result):
            result = Unscored(f"the model's score is {result}")
        job.score = result
        job.known, job.replies = [], {}
        self.left -= 1
        return []


def count_reply(figures: dict[str, float], reply: Reply, probabilities: bool) -> None:
    """Adds the tokens of a reply to figures, and what its labels hold. probabilities: whether they have some."""
    figures["prompt_tokens"] += len(reply.prompt)
    figures["cached_tokens"] += reply.cached_tokens
    figures["new_tokens"] += len(reply.tokens)
    if probabilities and reply.label_logprobs is not None:
        figures["label_replies"] += 1
        figures["label_share"] += float(np.exp(reply.label_logprobs).sum())


class _Job:
    """A distinct prompt.

    numbers, replies: the requests that it waits for, and their replies so far. known: the replies before those. texts:
    what the model wrote in all of them.
    """

    numbers: list[int]
    replies: dict[int, Reply | Unscored]

    def __init__(self) -> None:
        self.known: list[Reply] = []
        self.texts: list[str] = []
        self.score: float | Unscored = Unscored("not asked yet")
