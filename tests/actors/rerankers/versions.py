"""The outputs of each version of each reranker for fixed texts and fixed numbers, recorded in versions.json.

    python -m tests.actors.rerankers.versions

records what the file lacks: new versions, families and variants. Its entries stay: a change to one is a new version.
(Where the texts and numbers below changed, and no reranker did, take the entries out of the file first.)
"""

import hashlib
import json
import math
import sys
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from actors.rerankers import RERANKERS, Reranker, Settings
from actors.rerankers.contract import FollowUp, Prompt, Reply, Request, Unscored
from actors.rerankers.tokenizer import Tokenizer
from pipeline.input.pairs import make_pairs
from tests.actors.rerankers.byte_tokenizer import CONTEXT, WORDS, save_byte_tokenizer
from tests.actors.rerankers.variants import NUMBERS, TEXTS, VARIANTS, VECTOR_SIZES, WRITTEN

Answer = Callable[[FollowUp, int], list[Reply]]  # what is asked, and how many replies there were before
FILE = Path(__file__).with_name("versions.json")
COMMAND = "python -m tests.actors.rerankers.versions"


@cache
def make_tokenizer(family: str) -> Tokenizer:
    """The same on every machine, of CONTEXT tokens, with the labels of a family. For t5 it is one of a model with an
    encoder and a decoder."""
    more: dict[str, Any] = {}
    if family == "t5":
        labels = {"words": [*WORDS, "true", "false"], "specials": ["<extra_id_10>"]}
        more = labels | {"is_encoder_decoder": True}
    if family in ("setwise", "pairwise"):
        more = {"words": [*WORDS, *(f"Ġ{letter}" for letter in "ABCD")]}
    with tempfile.TemporaryDirectory() as folder:
        return Tokenizer(Settings(type="any", model=save_byte_tokenizer(Path(folder), **more)), CONTEXT)


def make_settings(family: str, variant: str) -> Any:
    return RERANKERS[family].settings(type=family, model="m", **VARIANTS[family][variant])


def compute_record(family: str, variant: str) -> dict[str, Any]:
    """prompts: a hash of all that the engine is asked, as token ids. scores: what is read from fixed replies."""
    reranker, settings, tokenizer = RERANKERS[family], make_settings(family, variant), make_tokenizer(family)
    request = reranker.request(settings)
    prompts = reranker.prompt(tokenizer, settings, make_pairs(TEXTS, settings))
    asked: list[Any] = [request, tokenizer.label_ids(request.labels)]
    asked += [
        prompt if isinstance(prompt, Prompt) else "none" for prompt in prompts
    ]  # the words of a reason may change
    (first, *_), scores = prompts, list[float | None]()
    assert isinstance(first, Prompt)
    for number in range(len(WRITTEN.get(family, VECTOR_SIZES))):

        def answer(followup: FollowUp, before: int, number: int = number) -> list[Reply]:
            asked.append(followup)
            return [
                _reply(tokenizer, family, request, first, ids, followup.max_tokens, number, before + i)
                for i, ids in enumerate(followup.sequences)
            ]

        results = _rank_query if reranker.whole_query else _score_pair
        found = results(reranker, tokenizer, settings, answer)
        scores += [None if isinstance(score, Unscored) else score for score in found]
    return {"prompts": hashlib.sha256(json.dumps(asked).encode()).hexdigest()[:16], "scores": scores}


def _score_pair(reranker: Reranker, tokenizer: Tokenizer, settings: Any, answer: Answer) -> list[float | Unscored]:
    """The score of the first pair."""
    first, *_ = reranker.prompt(tokenizer, settings, make_pairs(TEXTS, settings))
    assert isinstance(first, Prompt)
    replies: list[Reply] = []
    result: Any = FollowUp(first.sequences, reranker.request(settings).max_tokens)
    while isinstance(result, FollowUp):
        replies += answer(result, len(replies))
        result = reranker.score(tokenizer, settings, replies)
    return [result]


def _rank_query(reranker: Reranker, tokenizer: Tokenizer, settings: Any, answer: Answer) -> list[float | Unscored]:
    """The scores of nine candidates of the second query."""
    seen, pairs = reranker.whole_query, make_pairs(TEXTS, settings)
    assert seen
    candidates = seen.shorten(tokenizer, settings, [pair._replace(query=pairs[1].query) for pair in pairs[:3] * 3])
    conversation = seen.rank(tokenizer, settings, candidates)
    asked, before = next(conversation), 0
    while True:
        replies = answer(asked, before)
        before += len(replies)
        try:
            asked = conversation.send([*replies])
        except StopIteration as end:
            return end.value.scores


def _reply(
    tokenizer: Tokenizer,
    family: str,
    request: Request,
    first: Prompt,
    ids: list[int],
    max_tokens: int,
    number: int,
    before: int,
) -> Reply:
    """A reply to a sequence, out of the numbers above. number: of the try; before: replies before this one."""

    def take(size: int) -> list[float]:
        return [NUMBERS[(2 * number + before + i) % len(NUMBERS)] + (3 if request.logits else 0) for i in range(size)]

    match request.task:
        case "generate" if max_tokens == 1:
            return Reply(ids, label_logprobs=np.array(take(len(request.labels))))
        case "generate":
            written = WRITTEN[family]
            text, stopped, finished = written[(number + before) % len(written)]
            tokens = tuple(tokenizer.pretrained.encode(text, add_special_tokens=False))
            return Reply(ids, 0, tokens, text, stopped, finished)
        case "likelihood":
            assert first.boundary
            return Reply(ids, token_logprobs=np.array(take(len(ids) - first.boundary), dtype=np.float32))
        case "embed":
            return Reply(ids, vector=np.array(take(4), dtype=np.float32))
        case "classify":
            return Reply(ids, vector=np.array(take(len(request.labels) or VECTOR_SIZES[number]), dtype=np.float32))


def find_differences(family: str, recorded: dict[str, Any], record: dict[str, Any]) -> str | None:
    """One line that names the difference from the record, and what to do; None where there is none."""
    wrong = ["prompts"] * (recorded["prompts"] != record["prompts"])
    wrong += ["scores"] * (not _are_close(recorded["scores"], record["scores"]))
    if not wrong:
        return None
    return (
        f"other {' and '.join(wrong)} than recorded for version {RERANKERS[family].version}: raise version of RERANKER "
        f"in actors/rerankers/{family}.py and record it again with: {COMMAND}"
    )


def _are_close(scores: list[float | None], others: list[float | None]) -> bool:
    """Whether they are the same but for the last digits, which differ between processors."""
    return len(scores) == len(others) and all(
        a is b if a is None or b is None else math.isclose(a, b, rel_tol=1e-9)
        for a, b in zip(scores, others, strict=True)
    )


def read_versions() -> dict[str, dict[str, dict[str, dict[str, Any]]]]:
    """Family -> version -> variant -> what compute_record gave."""
    return json.loads(FILE.read_text()) if FILE.exists() else {}


def record_missing() -> list[str]:
    """Records what the file lacks. Returns what stands in it and is different now, a line each."""
    versions, wrong = read_versions(), list[str]()
    for family in VARIANTS:
        recorded = versions.setdefault(family, {}).setdefault(str(RERANKERS[family].version), {})
        for variant in VARIANTS[family]:
            record = compute_record(family, variant)
            if differences := find_differences(family, recorded.setdefault(variant, record), record):
                wrong.append(f"{family} ({variant}): {differences}")
    FILE.write_text(json.dumps(versions, indent=1) + "\n")
    return wrong


if __name__ == "__main__":
    sys.exit("\n".join(record_missing()) or None)
