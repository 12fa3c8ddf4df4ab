"""Sequence-classification models that vLLM runs: bge-reranker-v2-m3, ms-marco-MiniLM, ModernBERT rerankers, RankLLaMA.

Query and document are encoded as the tokenizer encodes a pair, each in its template; or, for models that were trained
on one text (llama-nemotron-rerank, Qwen3-Reranker and zerank as classifiers), both stand in a `prompt` or in `messages`
of the config (described.py). Special tokens of templates are special. Only the document is cut, to the engine's
max_model_len. The score is the logit of a model with one label, or the second logit minus the first of a model with
two; unbounded. `score: probability` is its sigmoid, the default of sentence-transformers and vLLM.
RankLLaMA is an adapter of a language model: set its two templates, and the architecture by engine.hf_overrides.
"""

from typing import Literal

import numpy as np
from pydantic import model_validator

from actors.rerankers.contract import FollowUp, Pair, Prompt, Reply, Request, Reranker, Unscored
from actors.rerankers.described import DescribedSettings, make_template
from actors.rerankers.formulas import SCORES
from actors.rerankers.settings import TemplateSettings, TextSettings
from actors.rerankers.split import split_template
from actors.rerankers.templates import Template, encode_piece, fill_template, shorten_pairs
from actors.rerankers.tokenizer import DOC, QUERY, Tokenizer

VALUES = np.array([0, 1])  # of two labels; one label alone has the second


class CrossEncoder(TextSettings, DescribedSettings, TemplateSettings):
    score: Literal["logit", "probability"] = "logit"

    @model_validator(mode="after")
    def _check_one_form(self) -> "CrossEncoder":
        if self.has_text and (self.query_template, self.doc_template) != ("{query}", "{doc}"):
            raise ValueError(
                "reranker.prompt (or messages) is one text, and reranker.query_template and doc_template are a pair of "
                "them: give one of the two"
            )
        return self

    @property
    def templates(self) -> str:
        return self.text or self.query_template + self.doc_template


def prompt(tokenizer: Tokenizer, settings: CrossEncoder, pairs: list[Pair]) -> list[Prompt | Unscored]:
    short = shorten_pairs(tokenizer, pairs, settings.max_query_tokens, settings.max_doc_tokens)
    if settings.has_text:
        return fill_template(tokenizer, make_template(tokenizer, settings), short, tokenizer.limit)
    query = split_template(tokenizer, settings.query_template.replace("{query}", QUERY))
    doc = split_template(tokenizer, settings.doc_template.replace("{doc}", DOC))
    if settings.doc_template.endswith("{doc}") and not any(isinstance(piece, int) for piece in query + doc):
        return _encode_pairs(tokenizer, settings, short)
    return _fill_pairs(tokenizer, query, doc, short)


def _fill_pairs(tokenizer: Tokenizer, query: Template, doc: Template, pairs: list[Pair]) -> list[Prompt | Unscored]:
    """Prompts of templates with special tokens, or with something behind the document, which a cut must leave there."""
    before, between, after = tokenizer.ids_around_pair
    first: Template = [*before, *query, *between]
    made = fill_template(tokenizer, [*first, *doc, *after], pairs, tokenizer.limit)
    if not tokenizer.has_types:
        return made
    parts = [encode_piece(tokenizer, piece, pairs) for piece in first]
    boundaries = [sum(len(part[i][0]) for part in parts) for i in range(len(pairs))]
    return [
        each._replace(boundary=boundary) if isinstance(each, Prompt) else each
        for each, boundary in zip(made, boundaries, strict=True)
    ]


def _encode_pairs(tokenizer: Tokenizer, settings: CrossEncoder, pairs: list[Pair]) -> list[Prompt | Unscored]:
    texts = [settings.fill_templates(pair.query, pair.doc) for pair in pairs]
    prompts: list[Prompt | Unscored] = []
    for pair, (ids, types, needed) in zip(pairs, tokenizer.encode_pairs(texts), strict=True):
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
    return SCORES[settings.score](VALUES[-len(logits) :], logits)


RERANKER = Reranker(
    settings=CrossEncoder,
    request=lambda settings: Request("classify"),
    prefix_side=lambda settings: settings.first_side,
    unit_rows=8192,
    prompt=prompt,
    score=score,
    version=2,
)
