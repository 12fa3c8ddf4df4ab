"""What share of the probability a reranker's labels hold: little of it hints at a wrong prompt, or wrong labels."""

from collections.abc import Mapping

ENOUGH = 256  # replies, for a mean that says something while others are to come


def describe_label_share(sums: Mapping[str, float], least: float, enough: int) -> str:
    """A line where the labels hold less than `least` on average; empty where they do not, or it is not known of at
    least `enough` replies.

    sums: label_replies, and label_share, of the units scored so far (actors/worker/pending.py).
    """
    replies = sums["label_replies"]
    if replies < enough or (share := sums["label_share"] / replies) >= least:
        return ""
    return (
        f"in {replies:,.0f} replies the labels hold {share:.2%} of the probability on average: the model would rather "
        "write something else; are prompt and labels those it was trained on? (run.min_label_share)"
    )
