"""Cuts sequences into batches of like lengths, so that little of a batch is padding."""

from collections.abc import Sequence

MAX_PADDING = 0.2


def cut_batches(
    lengths: Sequence[int], limits: Sequence[tuple[Sequence[int], int]], max_padding: float = MAX_PADDING
) -> list[list[int]]:
    """The indices of sequences in batches, the longest first. A batch has one sequence at least, whatever its size.

    lengths: tokens of each. limits: in each, a size of every sequence, and how much the largest size in a batch times
    the number of its sequences may be. max_padding: the share of a batch's positions.
    """
    batches: list[list[int]] = []
    for i in sorted(range(len(lengths)), key=lambda i: lengths[i], reverse=True):
        if batches and _has_room(batches[-1], i, lengths, limits, max_padding):
            batches[-1].append(i)
        else:
            batches.append([i])
    return batches


def _has_room(
    batch: list[int],
    more: int,
    lengths: Sequence[int],
    limits: Sequence[tuple[Sequence[int], int]],
    max_padding: float,
) -> bool:
    together = [*batch, more]
    padded = lengths[batch[0]] * len(together)
    if padded - sum(lengths[i] for i in together) > max_padding * padded:
        return False
    return all(max(sizes[i] for i in together) * len(together) <= most for sizes, most in limits)
