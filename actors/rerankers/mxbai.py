"""mxbai-rerank-v2 (mixedbread-ai/mxbai-rerank-base-v2, -large-v2): logit of 1 minus logit of 0; unbounded.

Source: mixedbread's mxbai-rerank, as AnswerDotAI/rerankers maintains it. It tokenises the pieces separately, and cuts
the query with its instruction to three quarters of max_length, the document to one quarter. `score: probability` is the
sigmoid of the difference.
"""

from typing import Literal

from pydantic import Field

from actors.rerankers.contract import Pair
from actors.rerankers.labelled import LabelledSettings, make_label_reranker
from actors.rerankers.split import split_template
from actors.rerankers.templates import Capped, Template
from actors.rerankers.tokenizer import DOC, QUERY, Tokenizer

BEFORE = (
    "<|im_start|>system\nYou are Qwen, created by Alibaba Cloud. You are a helpful assistant.<|im_end|>\n"
    "<|im_start|>user\n"
)
TASK = (
    "You are a search relevance expert who evaluates how well documents match search queries. For each "
    "query-document pair, carefully analyze the semantic relationship between them, then provide your binary "
    "relevance judgment (0 for not relevant, 1 for relevant).\nRelevance:"
)
AFTER = "<|im_end|>\n<|im_start|>assistant\n"


class Mxbai(LabelledSettings):
    score: Literal["logit", "probability"] = "logit"
    instruction: str | None = None
    max_length: int = Field(default=8192, ge=4)


def template(tokenizer: Tokenizer, settings: Mxbai) -> Template:
    query = Capped(QUERY, settings.max_length * 3 // 4)
    doc = Capped(f"document: {DOC}", settings.max_length // 4)
    return [*split_template(tokenizer, BEFORE), query, "\n", doc, "\n", TASK, *split_template(tokenizer, AFTER)]


def pair(settings: Mxbai, pair: Pair) -> Pair:
    """The pair with the instruction, if there is one, before the query."""
    instruction = f"instruction: {pair.instruction}\n" if pair.instruction else ""
    return pair._replace(query=f"{instruction}query: {pair.query}")


RERANKER = make_label_reranker(
    Mxbai,
    template,
    labels=lambda settings: {"0": 0, "1": 1},
    pair=pair,
    version=2,
)
