"""The hours of scoring of a run, as a range with its formula."""

from dataclasses import dataclass

from pipeline.estimate.rate import Rate

MARGIN = 0.2  # two runs on the same machines may differ by this, on either side; ours moved by a tenth


@dataclass(frozen=True)
class Hours:
    """expected, least, most: hours of scoring of one worker. formula: their derivation, in lines."""

    expected: float
    least: float
    most: float
    formula: tuple[str, ...]


def estimate_hours(pairs: int, tokens_per_pair: float, error: float, writes: bool, rate: Rate) -> Hours:
    """pairs: that will be scored. tokens_per_pair: of the prompts, with half its confidence interval `error`.

    writes: the model generates, so that the time depends on its answers more than on the prompts' length.
    A model that writes nothing takes its time by tokens, and by pairs: where an earlier run's pairs were shorter or
    longer, the truth lies between the two.
    """
    by_pairs = [pairs / speed / 3600 for speed in rate.pairs]
    names = " to ".join(f"{speed:,.1f}" for speed in dict.fromkeys(rate.pairs))
    formula = [f"by pairs: {pairs:,} pairs / {names} pairs/s of one worker"]
    every, expected = list(by_pairs), sum(by_pairs) / 2
    if rate.prompt_tokens and not writes:
        longer = tokens_per_pair / rate.prompt_tokens
        expected *= longer
        every += [hours * (longer + sign * error / rate.prompt_tokens) for hours in by_pairs for sign in (-1, 1)]
        formula.append(
            f"by tokens: the same x {tokens_per_pair:,.1f} prompt tokens a pair / {rate.prompt_tokens:,.1f} in that run"
            " (the expected one)"
        )
    formula.append(f"range: the least less {MARGIN:.0%}, to the most and {MARGIN:.0%}")
    return Hours(expected, min(every) * (1 - MARGIN), max(every) * (1 + MARGIN), tuple(formula))
