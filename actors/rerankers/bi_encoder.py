"""Cosine similarity of two texts' vectors from an embedding model (all-MiniLM, E5, GTE, Qwen3-Embedding, ...).

The score is in [-1, 1]. Token limits include the special tokens that the tokenizer adds, as max_seq_length of
sentence-transformers does; without a limit, a text is cut at the engine's max_model_len. Special tokens of a template
are special. Equal texts of a unit are embedded once (actors/worker/pending.py).
"""

import numpy as np
from pydantic import Field

from actors.rerankers.contract import FollowUp, Pair, Prompt, Reply, Request, Reranker, Unscored
from actors.rerankers.settings import TemplateSettings
from actors.rerankers.split import split_template
from actors.rerankers.templates import fill_template
from actors.rerankers.tokenizer import DOC, Tokenizer


class BiEncoder(TemplateSettings):
    max_query_tokens: int | None = Field(default=None, ge=3)
    max_doc_tokens: int | None = Field(default=None, ge=3)


def prompt(tokenizer: Tokenizer, settings: BiEncoder, pairs: list[Pair]) -> list[Prompt | Unscored]:
    query, doc = settings.query_template.replace("{query}", DOC), settings.doc_template.replace("{doc}", DOC)
    queries = _encode(tokenizer, query, [pair.query for pair in pairs], settings.max_query_tokens)
    docs = _encode(tokenizer, doc, [pair.doc for pair in pairs], settings.max_doc_tokens)
    prompts: list[Prompt | Unscored] = []
    for pair, one, other in zip(pairs, queries, docs, strict=True):
        if isinstance(one, Prompt) and isinstance(other, Prompt):
            cut = pair.truncated or one.truncated or other.truncated
            prompts.append(Prompt(one.sequences + other.sequences, cut))
        else:
            prompts.append(one if isinstance(one, Unscored) else other)
    return prompts


def _encode(tokenizer: Tokenizer, template: str, texts: list[str], most: int | None) -> list[Prompt | Unscored]:
    """Each text in its template, where DOC stands for it, as a sequence of its own."""
    pieces = split_template(tokenizer, template)
    if template.endswith(DOC) and all(isinstance(piece, str) for piece in pieces):
        encoded = tokenizer.encode_alone([template.replace(DOC, text) for text in texts], most)
        return [Prompt([ids], cut) for ids, cut in encoded]
    before, after = tokenizer.ids_around
    room, pairs = min(most or tokenizer.limit, tokenizer.limit), [Pair("", text) for text in texts]
    return fill_template(tokenizer, [*before, *pieces, *after], pairs, room, needed=DOC)


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
    version=2,
)
