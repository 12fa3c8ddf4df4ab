"""Tokens of a run's prompts, from those of drawn rows: made by the same code, with the same tokenizer, as the run's."""

from collections import defaultdict, deque
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import numpy as np

from actors.rerankers import RERANKERS, Settings
from actors.rerankers.contract import Pair, Prompt, Reply, Unscored
from actors.rerankers.passages import make_prompts
from actors.rerankers.tokenizer import Tokenizer
from actors.worker.queries import PendingQueries
from pipeline.estimate.draw import DrawnUnit
from pipeline.input.pairs import make_pairs
from pipeline.score.candidates import Given, order_candidates, split_queries

Z_95 = 1.96  # of a confidence of 95%
BOTH_SIDES = ("query", "doc")


@dataclass(frozen=True)
class Sample:
    """The prompts of the drawn rows, in figures.

    units: number of units read. prompts: number of prompts of their drawn rows; those of windows where a reranker sees
    whole queries, and then `windows` is how many there are for a row.
    per_row: tokens that the engine is asked to take for a row of the input, on average; prompts that are equal inside
    a unit count once, rows without a prompt 0. error: half of its confidence interval.
    lengths: tokens of each pair, all sequences of all its passages together. longest: tokens of the longest single
    sequence.
    truncated: share of the prompts that lost a part of their text. known, unusable: share of all rows that
    have a score by their texts, and for each reason of those that can have none.
    single: share of queries with one row in their unit. tied: share of units in each query of which all first-stage
    scores are equal. repeated: share of rows that get as far as a prompt, and whose ids were there before in their
    unit, in a row that is not equal. Shares of rows and of prompts are means over the units, as `per_row` is.
    """

    units: int
    prompts: int
    per_row: float
    error: float
    lengths: np.ndarray
    longest: int
    truncated: float
    known: float
    unusable: dict[str, float]
    single: float
    tied: float
    repeated: float
    windows: float = 0


class _Asked(NamedTuple):
    """The requests to the engine for the drawn rows of a unit. tokens: of each row. lengths: of each prompt. longest:
    of a single sequence. truncated: rows whose text was cut. reasons: of the rows that have no prompt."""

    tokens: np.ndarray
    lengths: list[int]
    longest: int
    truncated: int
    reasons: list[str]


def sample_tokens(
    units: Iterable[DrawnUnit],
    tokenizer: Tokenizer,
    settings: Settings,
    whole: bool,
    given: Given = Given(),
) -> Sample:
    """Makes the prompts of drawn rows. whole: the units are all that there are, and not drawn from more.
    given: the ranking in whose order a reranker of whole queries sees candidates.

    The mean of a stratified sample where they are all, of a cluster sample else (Cochran, Sampling Techniques, 5.3
    and 9A.1): then the units' own means, of which each holds many rows, give the interval.
    """
    windows = RERANKERS[settings.type].whole_query is not None
    seen = [] if windows else _find_sides(tokenizer, settings)
    means, errors, totals = [], [], []
    lengths: list[int] = []
    reasons: dict[str, float] = defaultdict(float)
    longest = queries = single = tied = drawn_rows = 0
    rows = made = truncated = repeated = known = 0.0
    for unit in units:
        if windows:
            asked = _ask_windows(unit, tokenizer, settings, given)
        else:
            asked = _ask_pairs(unit, tokenizer, settings, seen)
        size = len(asked.tokens)
        row = 1.0 if whole else 1 / unit.total  # the weight of one; the draw has weighed the unit by its rows already
        drawn = row * unit.ok / max(1, size)
        for reason, count in unit.unusable.items():
            reasons[reason] += row * count
        for reason in asked.reasons:
            reasons[reason] += drawn
        lengths += asked.lengths
        longest, drawn_rows = max(longest, asked.longest), drawn_rows + size
        made += drawn * (size - len(asked.reasons))
        truncated += drawn * asked.truncated
        share = unit.ok / unit.total
        totals.append(unit.total)
        means.append(share * asked.tokens.mean() if size else 0.0)
        rest = 1 - size / unit.ok if unit.ok else 0.0
        errors.append(share**2 * asked.tokens.var(ddof=1) / size * rest if size > 1 else 0.0)
        queries, single = queries + len(unit.per_query), single + int((unit.per_query == 1).sum())
        tied += unit.tied
        rows, repeated, known = rows + row * unit.total, repeated + row * unit.repeated, known + row * unit.known
    if whole:
        weights = np.array(totals) / sum(totals)
        per_row, variance = float(weights @ means), float(weights**2 @ errors)
    else:
        per_row, variance = float(np.mean(means)), float(np.var(means, ddof=1) / len(means))
    return Sample(
        units=len(totals),
        prompts=len(lengths),
        per_row=per_row,
        error=Z_95 * variance**0.5,
        lengths=np.array(lengths, dtype=np.int64),
        longest=longest,
        truncated=truncated / made if made else 0.0,
        known=known / rows,
        unusable={reason: reasons[reason] / rows for reason in sorted(reasons, key=reasons.__getitem__, reverse=True)},
        single=single / max(1, queries),
        tied=tied / max(1, len(totals)),
        repeated=repeated / rows,
        windows=len(lengths) / max(1, drawn_rows) if windows else 0,
    )


def _ask_pairs(unit: DrawnUnit, tokenizer: Tokenizer, settings: Settings, seen: list[tuple[str, ...]]) -> _Asked:
    prompts = make_prompts(RERANKERS[settings.type], tokenizer, settings, make_pairs(unit.rows, settings))
    asked, lengths, reasons = np.zeros(len(prompts)), list[int](), list[str]()
    longest = truncated = 0
    for i, prompt in enumerate(prompts):
        if isinstance(prompt, Unscored):
            reasons.append(prompt.reason)
            continue
        same = {side: counts[i] for side, counts in unit.same.items()}
        asked[i] = sum(_count_asked(passage, seen, same) for passage in prompt)
        sizes = [len(tokens) for passage in prompt for tokens in passage.sequences]
        lengths.append(sum(sizes))
        longest = max(longest, *sizes)
        truncated += any(passage.truncated for passage in prompt)
    return _Asked(asked, lengths, longest, truncated, reasons)


def _ask_windows(unit: DrawnUnit, tokenizer: Tokenizer, settings: Settings, given: Given) -> _Asked:
    """The windows of the drawn queries, whose tokens are shared out among their rows. Answers are made up: how many
    windows there are depends on them where candidates are sorted by comparisons."""
    whole = RERANKERS[settings.type].whole_query
    assert whole
    rows = order_candidates(unit.rows, given)
    labels = len(RERANKERS[settings.type].request(settings).labels)
    rng = np.random.default_rng(0)
    short = whole.shorten(tokenizer, settings, make_pairs(rows, settings))
    asked, lengths = np.zeros(len(rows)), list[int]()
    rank = partial(whole.rank, tokenizer, settings)
    for members in split_queries(rows):
        pending = PendingQueries([[short[i] for i in members]], rank, writes=False)
        waiting = deque(pending.first)
        while waiting:
            request = waiting.popleft()
            lengths.append(len(request.tokens))
            asked[members] += len(request.tokens) / len(members)
            text = f"<answer>[{rng.integers(1, 3)}]</answer>"
            waiting += pending.take(request.number, Reply(request.tokens, text=text, label_logprobs=rng.random(labels)))
    return _Asked(asked, lengths, max(lengths, default=0), sum(pair.truncated for pair in short), [])


def _count_asked(prompt: Prompt, seen: list[tuple[str, ...]], same: dict[tuple[str, ...], int]) -> float:
    """A prompt's share of the tokens that its unit asks the engine to take: equal sequences are asked once."""
    sides = seen if len(seen) == len(prompt.sequences) else [BOTH_SIDES] * len(prompt.sequences)
    return sum(len(tokens) / same[side] for tokens, side in zip(prompt.sequences, sides, strict=True))


def _find_sides(tokenizer: Tokenizer, settings: Settings) -> list[tuple[str, ...]]:
    """The sides of a pair that each sequence of its prompt depends on: a bi-encoder's two have one side each."""
    pairs = [Pair("one", "one", "one"), Pair("two", "one", "one"), Pair("one", "two", "one")]
    made = RERANKERS[settings.type].prompt(tokenizer, settings, pairs)
    one, *others = ([list(tokens) for tokens in prompt.sequences] for prompt in made if isinstance(prompt, Prompt))
    differs = [[before != after for before, after in zip(one, other, strict=True)] for other in others]
    depends_on = [
        tuple(side for side, moved in zip(BOTH_SIDES, flags, strict=True) if moved)
        for flags in zip(*differs, strict=True)
    ]
    return [sides or BOTH_SIDES for sides in depends_on]
