"""Doubts about the figures of a run while it goes on: each is said once, and stops nothing."""

from collections.abc import Mapping

from pipeline.errors import say

ENOUGH = 256  # replies or windows, for a mean that says something while others are to come
MANY = 0.1  # share of windows without an answer that can be read, above which it is said at once


class Doubts:
    """Remembers which doubts were said. least_share: run.min_label_share."""

    def __init__(self, least_share: float):
        self._least, self._said = least_share, set[str]()

    def look(self, sums: Mapping[str, float], over: bool = False) -> None:
        """Says what is to be said. sums: the figures of the units scored so far. over: no others are to come."""
        self._say("labels", describe_label_share(sums, self._least, 1 if over else ENOUGH))
        unread = sums["windows_unread"] + sums["windows_partial"]
        if over or (sums["windows"] >= ENOUGH and unread > MANY * sums["windows"]):
            self._say(f"windows {over}", describe_windows(sums))

    def _say(self, what: str, line: str) -> None:
        if line and what not in self._said:
            self._said.add(what)
            say(line)


def describe_label_share(sums: Mapping[str, float], least: float, enough: int) -> str:
    """A line where the labels hold less than `least` on average: little of the probability hints at a wrong prompt, or
    wrong labels. Empty where they do not, or it is not known of at least `enough` replies.

    sums: label_replies, and label_share, of the units scored so far (actors/worker/pending.py).
    """
    replies = sums["label_replies"]
    if replies < enough or (share := sums["label_share"] / replies) >= least:
        return ""
    return (
        f"in {replies:,.0f} replies the labels hold {share:.2%} of the probability on average: the model would rather "
        "write something else; are prompt and labels those it was trained on? (run.min_label_share)"
    )


def describe_windows(sums: Mapping[str, float]) -> str:
    """A line where some windows of whole queries were not read whole, or not shown whole; empty where all were.

    sums: WINDOW_FIGURES of the contract of rerankers, of the units scored so far.
    """
    partial, unread, shortened = (sums[f"windows_{name}"] for name in ("partial", "unread", "shortened"))
    said = []
    if partial:
        said.append(f"{partial:,.0f} answers name some of their passages alone, and the others follow in their order")
    if unread:
        said.append(f"{unread:,.0f} could not be read and stay as they were; candidates of no other have no score")
    if shortened:
        said.append(f"the passages of {shortened:,.0f} were shortened, to fit engine.max_model_len")
    return f"of {sums['windows']:,.0f} windows: {'; '.join(said)}" if said else ""
