"""Sequence-classification models that vLLM runs: bge-reranker-v2-m3, ms-marco-MiniLM, ModernBERT rerankers, RankLLaMA.

Query and document are encoded as the tokenizer encodes a pair; only the document is cut, to the engine's
max_model_len. Of a model with one label the score is its logit; of one with two, the second's over the first's. It
has no bounds. `score: probability` is the sigmoid of that, what sentence-transformers and vLLM give by default.
RankLLaMA is published as an adapter: merge it into its base first, and give it its templates.
"""

from typing import Literal

import numpy as np

from actors.rerankers.contract import FollowUp, Pair, Prompt, Reply, Request, Reranker, Unscored
from actors.rerankers.settings import TemplateSettings, TextSettings
from actors.rerankers.templates import shortened
from actors.rerankers.tokenizer import Tokenizer


class CrossEncoder(TextSettings, TemplateSettings):
    score: Literal["logit", "probability"] = "logit"


def prompt(tokenizer: Tokenizer, settings: CrossEncoder, pairs: list[Pair]) -> list[Prompt | Unscored]:
    short = shortened(tokenizer, pairs, settings.max_query_tokens, settings.max_doc_tokens)
    texts = [settings.in_template(pair.query, pair.doc) for pair in short]
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
    shared=lambda settings: "query",
    unit_rows=8192,
    prompt=prompt,
    score=score,
)
