"""Sequence-classification models that vLLM runs: bge-reranker-v2-m3, ms-marco-MiniLM, ModernBERT rerankers, RankLLaMA.

Query and document are encoded as the tokenizer encodes a pair; only the document is cut, to the engine's
max_model_len. The score is the logit of a model with one label, or the second logit minus the first of a model with
two; unbounded. `score: probability` is its sigmoid, the default of sentence-transformers and vLLM.
RankLLaMA is published as an adapter: merge it into its base model first, and set its two templates.
"""

from typing import Literal

import numpy as np

from actors.rerankers.contract import FollowUp, Pair, Prompt, Reply, Request, Reranker, Unscored
from actors.rerankers.settings import TemplateSettings, TextSettings
from actors.rerankers.templates import shorten_pairs
from actors.rerankers.tokenizer import Tokenizer


class CrossEncoder(TextSettings, TemplateSettings):
    score: Literal["logit", "probability"] = "logit"


def prompt(tokenizer: Tokenizer, settings: CrossEncoder, pairs: list[Pair]) -> list[Prompt | Unscored]:
    short = shorten_pairs(tokenizer, pairs, settings.max_query_tokens, settings.max_doc_tokens)
    texts = [settings.fill_templates(pair.query, pair.doc) for pair in short]
    prompts: list[Prompt | Unscored] = []
    for pair, (ids, types, needed) in zip(short, tokenizer.encode_pairs(texts), strict=True):
        if ids is None:
            prompts.append(
                Unscored(f"prompt does not fit: {needed} tokens without the document, room for {tokenizer.limit}")
            )
        else:
            boundary = types.index(1) if 1 in types else None
            prompts.append(Prompt([ids], pair.truncated or needed > tokenizer.limit, boundary))
    return prompts


def score(tokenizer: Tokenizer, settings: CrossEncoder, replies: list[Reply]) -> float | Unscored | FollowUp:
    logits = np.asarray(replies[0].vector, dtype=np.float64)
    if len(logits) > 2:
        return Unscored(f"the model has {len(logits)} labels; cross_encoder reads one or two")
    logit = float(logits[-1] - (logits[0] if len(logits) == 2 else 0))
    return logit if settings.score == "logit" else float(1 / (1 + np.exp(-logit)))


RERANKER = Reranker(
    settings=CrossEncoder,
    request=lambda settings: Request("classify"),
    prefix_side=lambda settings: "query",
    unit_rows=8192,
    prompt=prompt,
    score=score,
)
