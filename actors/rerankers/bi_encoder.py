"""Cosine similarity of two texts' vectors from an embedding model (all-MiniLM, E5, GTE, Qwen3-Embedding, ...).

Equal texts inside a unit are embedded once (the engine's side sees to that for every reranker). Token limits count
the tokenizer's own special tokens, as sentence-transformers' max_seq_length does; without one, a text is cut at the
engine's max_model_len. The score is in [-1, 1].
"""

import numpy as np
from pydantic import Field, field_validator

from actors.contract import Again, Pair, Prompt, Reply, Request, Reranker, Settings, Unscored
from actors.tokens import Encoder


class BiEncoder(Settings):
    max_query_tokens: int | None = Field(default=None, ge=3)
    max_doc_tokens: int | None = Field(default=None, ge=3)
    query_template: str = "{query}"
    doc_template: str = "{doc}"

    @field_validator("query_template", "doc_template")
    @classmethod
    def _holds_its_text(cls, template: str, info) -> str:
        hole = "{" + info.field_name.removesuffix("_template") + "}"
        if hole not in template:
            raise ValueError(f"must contain {hole}")
        return template


def prompt(encoder: Encoder, settings: BiEncoder, pairs: list[Pair]) -> list[Prompt | Unscored]:
    queries = encoder.encode_alone(
        [settings.query_template.replace("{query}", p.query) for p in pairs], settings.max_query_tokens
    )
    docs = encoder.encode_alone([settings.doc_template.replace("{doc}", p.doc) for p in pairs], settings.max_doc_tokens)
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
