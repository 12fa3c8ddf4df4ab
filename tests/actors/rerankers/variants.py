"""The inputs of recorded versions: variants of each reranker, fixed texts, and answers of models."""

from typing import Any

import pyarrow as pa

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
GRADED = {
    "prompt": "{instruction} {query}<s>{doc}?",
    "instruction": "Judge.",
    "answer": r"(?i)grade: *(\w+)",
    "values": {"0": 0.0, "1": 1.0, "2": 2.5, "no": -1.0},
}
WINDOW = {"window": 4, "stride": 1}
PASSAGES = "<s>{num} for {query}: {passages}\nBest:"
ALL = {"messages": [{"role": "user", "content": PASSAGES}]}
TURNS = {
    "messages": [
        {"role": "user", "content": "{num} for {query}"},
        {"role": "user", "content": "[{i}] {passage}"},
        {"role": "assistant", "content": "Received [{i}]."},
        {"role": "user", "content": "Rank them."},
    ]
}
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
    "written": {
        "value": GRADED,
        "expected": GRADED | {"score": "expected", "stop": ["."], "max_new_tokens": 30, **SHORT},
        "chat, no thinking": GRADED
        | {"prompt": None, "messages": CHAT["messages"], "instruction": None, **NO_THINKING},
    },
    "listwise": {
        "default": {},
        "raw": WINDOW | {"prompt": PASSAGES, "passage": "<{i}> {passage}", "separator": "; ", "ties": "="},
        "turns": WINDOW | TURNS | {"answer_after": "<answer>", "max_passage_characters": 40, "fix_text": False},
        "last line": {"answer_line": "last", "title": "{title}: ", "max_query_tokens": 6, "max_passage_tokens": 9},
        "no thinking": ALL | NO_THINKING | {"max_new_tokens": 30, "max_passage_words": 5},
    },
    "first": {
        "default": {},
        "raw": WINDOW | {"prompt": PASSAGES, "passage": "<{i}> {passage}", "separator": "; ", "title": "{title}: "},
        "turns": WINDOW | TURNS | {"max_passage_characters": 40, "fix_text": False},
        "tokens": {"max_query_tokens": 6, "max_passage_tokens": 9},
        "no thinking": ALL | NO_THINKING | {"max_passage_words": 5},
    },
    "setwise": {
        "default": {},
        "raw": {"prompt": PASSAGES, "passage": "<{i}> {passage}", "separator": "; ", "children": 2, "k": 4},
        "written": ALL | {"max_new_tokens": 30, "passage": "[{i}] {passage}", "max_passage_words": 5},
        "shuffled": ALL
        | NO_THINKING
        | {
            "max_new_tokens": 30,
            "shuffle": True,
            "answer_pattern": r"best: (\d)",
            "max_passage_characters": 40,
        },
        "turns": TURNS | {"title": "{title}: ", "max_query_tokens": 6, "max_passage_tokens": 9, "fix_text": True},
    },
    "pairwise": {
        "allpair": {},
        "heapsort": {"method": "heapsort", "k": 4, "max_query_tokens": 6, "max_passage_tokens": 9},
        "raw": {"prompt": PASSAGES, "passage": "<{i}> {passage}", "separator": "; ", "title": "{title}: "},
        "turns": TURNS | {"method": "heapsort", "max_passage_characters": 40, "fix_text": True},
        "no thinking": ALL | NO_THINKING | {"max_passage_words": 5},
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
# A model's answer, the stop text it ends with, and whether it is complete
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
    "listwise": [
        ("[3] > [1] > [2] = [4]", None, True),
        ("<think>[4] is it</think>\nSo:\n[2] > [\uff19] > [1", None, False),
        ("I cannot rank them.", None, True),
        ("[9] > [4]\n<answer>[2] = [1] > [4]\n[4] > [3] = [2]", None, True),
    ],
    "written": [
        ("<think>Grade: 0, or 2?</think>\n**Grade: 2.**", None, True),
        ("grade: 1, no: grade: No", ".", True),
        ("grade: 7", None, True),
        ("grade: 1 and th", None, False),
    ],
    "setwise": [
        ("<think>Best: 3</think> <Answer>[2]</Answer> Best: 2", None, True),
        ("I cannot say.", None, True),
        ("<answer> 3 </answer> best: 1", None, True),
        ("<answer>[9]</answer> best: 4", None, False),
    ],
}
