"""A verification on one page: sample -> prompts -> token ids -> the engine's scores -> the reference's -> verdict."""

from collections import Counter
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa

from actors.rerankers import RERANKERS
from actors.rerankers.contract import Unscored
from actors.rerankers.passages import make_prompts
from actors.rerankers.tokenizer import Tokenizer
from pipeline.check.model import check_tokenizer
from pipeline.check.preflight import check, remove_new_folders
from pipeline.check.weights import check_weights
from pipeline.config import Config
from pipeline.errors import UsageError, say
from pipeline.estimate.memory import estimate_memory
from pipeline.input.pairs import make_pairs
from pipeline.score.order import group_by_prefix
from pipeline.verify.compare import compare
from pipeline.verify.given import find_known, look_up, open_scores
from pipeline.verify.sample import draw_pairs, number_values
from pipeline.verify.score import score_apart
from pipeline.verify.tokens import compare_tokens
from pipeline.verify.verdict import Verdict, choose_tolerance
from pipeline.verify.ways import Score, Ways, make_reference
from pipeline.verify.windows import Drawn, check_letters, draw_windows

TRANSFORMERS = "transformers"
WRITES = (
    "the answers are the engine's own, written once; compared are the scores that are read from them, by the "
    "probabilities of the labels behind the same answers"
)
SAME = "the engine is transformers itself, so that a reference by transformers shares its code and its faults"


def verify(
    config: Config,
    against: str = TRANSFORMERS,
    wanted: int = 200,
    seed: int = 0,
    tolerance: float | None = None,
    score: Score = score_apart,
) -> Verdict:
    """Scores a sample of a config's own input in several ways, and compares them. It writes nothing, and starts no Ray.

    against: TRANSFORMERS, or the place of scores that were made elsewhere (given.py). wanted: pairs, two at least.
    tolerance: see Comparison.differences; by default that of the precision. score: see score.py. Raises UsageError as a
    run does, and where there is no such reference; RunError where an engine fails.
    """
    check_letters(config.reranker)
    with remove_new_folders(config):
        checked = check(config)
    config = checked.config
    given = None if against == TRANSFORMERS else open_scores(against)
    reference = None if given else make_reference(config)
    tokenizer = check_tokenizer(config)
    if left := check_weights(config, tokenizer):
        say(f"not checked: {left}")
    if not RERANKERS[config.reranker.type].whole_query:
        keep = partial(find_known, given) if given else None
        drawn = _prompt(tokenizer, config, draw_pairs(checked, wanted, seed, keep))
    elif given:
        raise UsageError(f"--against {against}: has scores of pairs, and what is compared here are letters of windows")
    else:
        drawn = draw_windows(checked, tokenizer, wanted, seed)
    rows, prompts, lines = drawn.rows, drawn.prompts, [*drawn.lines]
    sequences = [[ids.tolist() for prompt in passages for ids in prompt.sequences] for passages in prompts]
    ids = compare_tokens(tokenizer, config.reranker, [ids for pair in sequences for ids in pair])
    ways, precision, exact = Ways(config, prompts, seed, score), estimate_memory(config).dtype, None
    scores = {name: found[drawn.places] for name, found in ways.score_engine().items()}
    if given:
        scores[against] = look_up(given, rows)
    if reference:
        lines += [SAME] if config.engine.get("type") == TRANSFORMERS else []
        exact = ways.score_exactly(reference, precision).take(drawn.places)
        scores[f"{TRANSFORMERS} in {exact.precision}"] = exact.scores
    (_, own), *others = scores.items()
    queries = number_values(rows["query_id"])
    rounding = None
    if exact and exact.rounded is not None:
        rounding = compare(f"({TRANSFORMERS} in {precision})", exact.rounded, exact.scores, queries)
    return Verdict(
        config=config,
        rows=rows,
        tokens=np.array([sum(map(len, pair)) for pair in sequences])[drawn.owners],
        ids=ids,
        scores=scores,
        comparisons=[compare(name, own, other, queries) for name, other in others],
        rounding=rounding,
        precision=precision,
        tolerance=choose_tolerance(precision, rounding) if tolerance is None else tolerance,
        lines=lines + ways.lines,
    )


def _prompt(tokenizer: Tokenizer, config: Config, drawn: pa.Table) -> Drawn:
    """The rows that have prompts, in the order in which a run scores them."""
    settings, reranker = config.reranker, RERANKERS[config.reranker.type]
    rows = group_by_prefix(drawn, reranker.prefix_side(settings))
    made = make_prompts(reranker, tokenizer, settings, make_pairs(rows, settings))
    reasons = Counter(prompt.reason.partition(":")[0] for prompt in made if isinstance(prompt, Unscored))
    prompts = [[_as_arrays(passage) for passage in prompt] for prompt in made if not isinstance(prompt, Unscored)]
    if len(prompts) < 2:
        raise UsageError(f"input.path: of {len(made)} pairs drawn {len(prompts)} have a prompt: {dict(reasons)}")
    lines = [f"{count} of the pairs that were drawn have no prompt: {reason}" for reason, count in reasons.items()]
    if reranker.request(settings).max_tokens > 1:
        lines.append(WRITES)
    rows = rows.filter(pa.array([not isinstance(prompt, Unscored) for prompt in made]))
    return Drawn(rows, prompts, lines, np.arange(len(rows)), np.arange(len(rows)))


def _as_arrays(prompt: Any) -> Any:
    return prompt._replace(sequences=[np.asarray(ids, np.int32) for ids in prompt.sequences])
