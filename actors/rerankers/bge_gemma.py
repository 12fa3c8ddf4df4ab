"""bge-reranker-v2-gemma (BAAI): the logit of `Yes` at the one new token; unbounded.

Source: FlagEmbedding's decoder-only reranker. It tokenises <bos>, "A: query", "B: passage" and the task separately,
with line breaks between them, and cuts the query to three quarters of max_length, and the whole prompt to max_length
plus the task with its line breaks. `score: probability` is the sigmoid of the logit (`normalize=True` there).
"""

from typing import Literal

from pydantic import Field

from actors.rerankers.labelled import LabelledSettings, make_label_reranker
from actors.rerankers.templates import Capped, Template
from actors.rerankers.tokenizer import DOC, QUERY, Tokenizer

TASK = (
    "Given a query A and a passage B, determine whether the passage contains an answer to the query by providing a "
    "prediction of either 'Yes' or 'No'."
)


class BgeGemma(LabelledSettings):
    score: Literal["logit", "probability"] = "logit"
    max_length: int = Field(default=512, ge=4)


def template(tokenizer: Tokenizer, settings: BgeGemma) -> Template:
    query, doc = Capped(f"A: {QUERY}", settings.max_length * 3 // 4), Capped(f"B: {DOC}", settings.max_length)
    return [*tokenizer.ids_around[0], query, "\n", doc, "\n", TASK]


def max_length(tokenizer: Tokenizer, settings: BgeGemma) -> int:
    return settings.max_length + 2 * sum(map(len, tokenizer.encode(["\n", TASK])))


RERANKER = make_label_reranker(
    BgeGemma,
    template,
    labels=lambda settings: {"Yes": 1},
    max_length=max_length,
    version=2,
)
