"""Cosine similarity of two texts' vectors from an embedding model (all-MiniLM, E5, GTE, Qwen3-Embedding, ...).

Equal texts inside a unit are embedded once (the engine's side sees to that for every reranker). Token limits count
the tokenizer's own special tokens, as sentence-transformers' max_seq_length does; without one, a text is cut at the
engine's max_model_len. The score is in [-1, 1].
"""

import numpy as np
from pydantic import Field

from actors.contract import Again, Pair, Prompt, Reply, Request, Reranker, TemplateSettings, Unscored
from actors.tokens import Encoder


class BiEncoder(TemplateSettings):
    max_query_tokens: int | None = Field(default=None, ge=3)
    max_doc_tokens: int | None = Field(default=None, ge=3)


def prompt(encoder: Encoder, settings: BiEncoder, pairs: list[Pair]) -> list[Prompt | Unscored]:
    texts = [settings.in_template(pair.query, pair.doc) for pair in pairs]
    queries = encoder.encode_alone([query for query, _ in texts], settings.max_query_tokens)
    docs = encoder.encode_alone([doc for _, doc in texts], settings.max_doc_tokens)
    return [
        Prompt([query, doc], p.truncated or cut_q or cut_d)
        for p, (query, cut_q), (doc, cut_d) in zip(pairs, queries, docs, strict=True)
    ]


def score(encoder: Encoder, settings: BiEncoder, replies: list[Reply]) -> float | Unscored | Again:
    query, doc = (np.asarray(reply.vector, dtype=np.float64) for reply in replies)
    return float(query @ doc / (np.linalg.norm(query) * np.linalg.norm(doc)))


RERANKER = Reranker(
    settings=BiEncoder,
    request=lambda settings: Request("embed"),
    shared=lambda settings: "query",
    unit_rows=8192,
    prompt=prompt,
    score=score,
)
