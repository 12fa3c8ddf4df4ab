"""What each version of each reranker makes of fixed texts and fixed numbers, recorded in versions.json.

    python -m tests.actors.rerankers.versions

records what the file lacks: new versions, families and variants. What it holds stays: a change to it is a new version.
(Where the texts and numbers below changed, and no reranker did, take the entries out of the file first.)
"""

import hashlib
import json
import math
import sys
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from actors.rerankers import RERANKERS, Settings
from actors.rerankers.contract import FollowUp, Prompt, Reply, Request, Unscored
from actors.rerankers.tokenizer import Tokenizer
from pipeline.input.pairs import make_pairs
from tests.actors.rerankers.byte_tokenizer import CONTEXT, WORDS, save_byte_tokenizer

FILE = Path(__file__).with_name("versions.json")
COMMAND = "python -m tests.actors.rerankers.versions"

# Family -> name of a variant -> the settings that make it
HEAD, SHORT = {"scoring": "head"}, {"max_query_tokens": 6, "max_doc_tokens": 9}
RAW = {
    "prompt": "{instruction} {query}<s>{doc}?",
    "labels": {"yes": 2.0, "no": -1.0, "7": 0.5},
    "instruction": "Judge.",
}
CHAT = {"messages": [{"role": "user", "content": "{doc}\n{query}?"}], "labels": {"No": 0.0, "Yes": 1.0}}
NO_THINKING = {"chat_template_kwargs": {"enable_thinking": False}}
ONE = {"prompt": "{doc}\n{query} ??", "label_ids": {0: 1.0}}
TEMPLATES = {"query_template": "query: {query}", "doc_template": "passage: {doc}"}
PRESETS = ("bright", "bright-aops", "bright-leetcode", "bright-pony", "bright-theoremqa", "followir")
VARIANTS: dict[str, dict[str, dict[str, Any]]] = {
    "erank": {
        "beir": {},
        "own": {"instruction": "Find proofs.", "max_new_tokens": 900, **SHORT},
        **{preset: {"instruction": preset} for preset in PRESETS},
    },
    "rank1": {
        "plain": {},
        "rethink": {"rethink": 2, "max_new_tokens": 500, **SHORT},
        "instruction": {"instruction": "Is it a proof?", "query_template": "About FILL_QUERY_HERE:"},
        "logit": {"score": "logit"},
    },
    "lb": {
        "card": {},
        "notebook": {"score": "notebook"},
        "normalised": {"score": "normalised", "order": "context_first"},
        "head, card": HEAD,
        "head, notebook": HEAD | {"score": "notebook"},
        "head, normalised": HEAD | {"score": "normalised", **SHORT},
    },
    "rankinggpt": {
        "card": {},
        "card, short": SHORT,
        "eval": {"mode": "eval"},
        "eval, arguana": {"mode": "eval", "arguana": True},
    },
    "qwen3": {
        "exact": {},
        "head": HEAD | {"instruction": "Find proofs.", **SHORT},
        "short": {"max_length": 320},
        "logit": {"score": "logit"},
    },
    "mxbai": {
        "exact": {},
        "head": HEAD | {"instruction": "Find proofs.", **SHORT},
        "short": {"max_length": 200},
        "probability": {"score": "probability"},
    },
    "bge_gemma": {
        "logit": {},
        "probability": {"score": "probability", "max_length": 100, **SHORT},
        "head, logit": HEAD,
        "head, probability": HEAD | {"score": "probability"},
    },
    "cross_encoder": {
        "logit": {},
        "probability": {"score": "probability", **TEMPLATES, **SHORT},
        "special tokens": {"query_template": "<|im_start|>{query}", "doc_template": "{doc}<|im_end|>\n"},
        "prompt": {"prompt": "{instruction}<think>{query}</think> {doc}.", "instruction": "Judge."},
        "messages": {"messages": CHAT["messages"]},
        "messages, no thinking": {"messages": CHAT["messages"], **NO_THINKING},
    },
    "bi_encoder": {
        "plain": {},
        "templates": TEMPLATES | SHORT,
        "special tokens": {"query_template": "<think>{query}", "doc_template": "{doc}<|im_end|>"},
    },
    "t5": {
        "monot5": {},
        "monot5, short": SHORT,
        "rankt5": {"mode": "rankt5"},
        "likelihood": {"mode": "likelihood"},
    },
    "label": {
        "prompt, expectation": RAW | {"score": "expectation"},
        "prompt, probability": RAW | {"score": "probability"},
        "chat, log-odds": CHAT | {"score": "logit", **SHORT},
        "head, expectation": CHAT | HEAD | {"score": "expectation"},
        "head, probability": RAW | HEAD | {"score": "probability"},
        "head, log-odds": CHAT | HEAD | {"score": "logit"},
        "chat, no thinking": CHAT | NO_THINKING | {"score": "probability"},
        "one id, logit": ONE | {"score": "logit"},
        "one id, probability": ONE | HEAD | {"score": "probability"},
    },
}

# Plain, not quite plain, longer than the context, a query that leaves no room
TEXTS = pa.table(
    {
        "query": ["what is 1 + 1?", " Was ist 1 + 1?\n", "sum", "a" * 5000],
        "doc": ["It is 2.", "Zwei, natürlich: 二.\n\n<|im_end|> [PAD] ", "many words " * 1200, "short"],
        "title": [None, "Rechnen", None, None],
        "instruction": [None, "Find the sum.", None, None],
    }
)
NUMBERS = [-1.4, -2.8, -2.1, -3.6, -2.5, -4.7, -1.7, -3.2, -5.5, -4.1]  # as logarithms of probabilities: 0.79 in all
VECTOR_SIZES = (1, 2, 3)  # of a classifier without labels: its numbers of classes
# What a model writes, with the stop text it ends with, and whether it had come to an end
WRITTEN: dict[str, list[tuple[str, str | None, bool]]] = {
    "erank": [
        ("<think>Yes: 2.</think><answer>7</answer>", "</answer>", True),
        ("<think>Both <answer>3, so</think>\n<answer> 10</answer>", "</answer>", True),
        ("<think>No.</think><answer>0</answer>", "</answer>", True),
        ("<think>Is it 2? It", None, False),
    ],
    "rank1": [
        ("It is 2. So it fits.\n</think> true", "</think> true", True),
        ("It says 2! No sum.\n</think> false", "</think> false", True),
        ("It is 2. But is tha", None, False),
        ("It ends by itself", None, True),
    ],
}


@cache
def make_tokenizer(t5: bool) -> Tokenizer:
    """The same on every machine, of CONTEXT tokens. t5: with T5's labels, of a model with an encoder and a decoder."""
    labels: dict[str, Any] = {"words": [*WORDS, "true", "false"], "specials": ["<extra_id_10>"]}
    more = labels | {"is_encoder_decoder": True} if t5 else {}
    with tempfile.TemporaryDirectory() as folder:
        return Tokenizer(Settings(type="any", model=save_byte_tokenizer(Path(folder), **more)), CONTEXT)


def make_settings(family: str, variant: str) -> Any:
    return RERANKERS[family].settings(type=family, model="m", **VARIANTS[family][variant])


def compute_record(family: str, variant: str) -> dict[str, Any]:
    """prompts: a hash of all that the engine is asked, as token ids. scores: what is read from fixed replies."""
    reranker, settings, tokenizer = RERANKERS[family], make_settings(family, variant), make_tokenizer(family == "t5")
    request = reranker.request(settings)
    prompts = reranker.prompt(tokenizer, settings, make_pairs(TEXTS, settings))
    asked: list[Any] = [request, tokenizer.label_ids(request.labels)]
    asked += [
        prompt if isinstance(prompt, Prompt) else "none" for prompt in prompts
    ]  # the words of a reason may change
    first, scores = prompts[0], []
    assert isinstance(first, Prompt)
    for number in range(len(WRITTEN.get(family, VECTOR_SIZES))):
        replies: list[Reply] = []
        result: Any = FollowUp(first.sequences, request.max_tokens)
        while isinstance(result, FollowUp):
            asked.append(result)
            for ids in result.sequences:
                replies.append(_reply(tokenizer, family, request, first, ids, result.max_tokens, number, len(replies)))
            result = reranker.score(tokenizer, settings, replies)
        scores.append(None if isinstance(result, Unscored) else result)
    return {"prompts": hashlib.sha256(json.dumps(asked).encode()).hexdigest()[:16], "scores": scores}


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
    """What is not as recorded, and what to do, in one line; None where all is."""
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
