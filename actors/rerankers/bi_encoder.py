"""Cosine similarity of two texts' vectors from an embedding model (all-MiniLM, E5, GTE, Qwen3-Embedding, ...).

The score is in [-1, 1]. Token limits include the special tokens that the tokenizer adds, as max_seq_length of
sentence-transformers does; without a limit, a text is cut at the engine's max_model_len. Equal texts of a unit are
embedded once (actors/worker/pending.py).
"""

import numpy as np
from pydantic import Field

from actors.rerankers.contract import FollowUp, Pair, Prompt, Reply, Request, Reranker, Unscored
from actors.rerankers.settings import TemplateSettings
from actors.rerankers.tokenizer import Tokenizer


class BiEncoder(TemplateSettings):
    max_query_tokens: int | None = Field(default=None, ge=3)
    max_doc_tokens: int | None = Field(default=None, ge=3)


def prompt(tokenizer: Tokenizer, settings: BiEncoder, pairs: list[Pair]) -> list[Prompt | Unscored]:
    texts = [settings.fill_templates(pair.query, pair.doc) for pair in pairs]
    queries = tokenizer.encode_alone([query for query, _ in texts], settings.max_query_tokens)
    docs = tokenizer.encode_alone([doc for _, doc in texts], settings.max_doc_tokens)
    return [
        Prompt([query, doc], p.truncated or cut_q or cut_d)
        for p, (query, cut_q), (doc, cut_d) in zip(pairs, queries, docs, strict=True)
    ]


def score(tokenizer: Tokenizer, settings: BiEncoder, replies: list[Reply]) -> float | Unscored | FollowUp:
    query, doc = (np.asarray(reply.vector, dtype=np.float64) for reply in replies)
    return float(query @ doc / (np.linalg.norm(query) * np.linalg.norm(doc)))


RERANKER = Reranker(
    settings=BiEncoder,
    request=lambda settings: Request("embed"),
    prefix_side=lambda settings: "query",
    unit_rows=8192,
    prompt=prompt,
    score=score,
)
