"""The outcome of the windows of one query, and the ranking that it makes."""

from collections.abc import Sequence

import numpy as np

from actors.rerankers.contract import WINDOW_FIGURES, Prompt, Ranking, Reply, Unscored


class Record:
    """The outcome of the windows of one query. candidates: how many it has."""

    def __init__(self, candidates: int):
        self._texts: list[list[str]] = [[] for _ in range(candidates)]
        self._reasons: list[str | None] = [None] * candidates  # why no answer about it could be read, so far
        self._read = [False] * candidates
        self._figures = dict.fromkeys(WINDOW_FIGURES, 0)

    def add(self, members: Sequence[int], prompt: Prompt | Unscored, reply: Reply | Unscored, named: int) -> None:
        """Adds a window of these candidates. named: how many of them its answer names."""
        self._figures["windows"] += 1
        self._figures["windows_partial"] += 0 < named < len(members)
        self._figures["windows_unread"] += named == 0
        self._figures["windows_shortened"] += isinstance(prompt, Prompt) and prompt.truncated
        for member in members:
            self._read[member] |= named > 0
            if isinstance(reply, Unscored):
                self._reasons[member] = reply.reason
                continue
            self._reasons[member] = f"no answer about it could be read: it names none of {len(members)} passages"
            if reply.text:
                self._texts[member].append(reply.text)

    def make_ranking(self, order: Sequence[int], scores: Sequence[float] | None = None) -> Ranking:
        """The ranking. order: the candidates, best first. scores: of the candidates as they were given; by default n
        - rank. A candidate has none if no answer about it could be read."""
        given = np.array(scores, np.float64) if scores is not None else np.empty(len(order))
        if scores is None:
            given[[*order]] = np.arange(len(order))[::-1]
        return Ranking(
            [
                Unscored(reason) if reason is not None and not read else score
                for score, read, reason in zip(given.tolist(), self._read, self._reasons, strict=True)
            ],
            ["\n".join(texts) or None for texts in self._texts],
            self._figures,
        )
