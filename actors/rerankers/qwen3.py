"""Qwen3-Reranker (Qwen/Qwen3-Reranker-0.6B, -4B, -8B): p(yes) / (p(yes) + p(no)) at the one new token; in (0, 1).

`score: logit` is the logit of yes minus that of no. Source: the model card's transformers code: its prompt, of which
frame and body are tokenised separately, and its truncation to max_length, which cuts the end of the body, where the
document is. The card's vLLM sample joins the fields with empty lines, and its Jinja file loses the last line break; we
follow neither.
"""

from typing import Literal

from pydantic import Field

from actors.rerankers.labelled import LabelledSettings, make_label_reranker
from actors.rerankers.split import split_template
from actors.rerankers.templates import Capped, Template
from actors.rerankers.tokenizer import DOC, INSTRUCTION, QUERY, Tokenizer

BEFORE = (
    "<|im_start|>system\nJudge whether the Document meets the requirements based on the Query and the Instruct "
    'provided. Note that the answer can only be "yes" or "no".<|im_end|>\n<|im_start|>user\n'
)
BODY = f"<Instruct>: {INSTRUCTION}\n<Query>: {QUERY}\n<Document>: {DOC}"
AFTER = "<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n"


class Qwen3(LabelledSettings):
    score: Literal["probability", "logit"] = "probability"
    instruction: str = "Given a web search query, retrieve relevant passages that answer the query"
    max_length: int = Field(default=8192, ge=1)


def template(tokenizer: Tokenizer, settings: Qwen3) -> Template:
    return [*split_template(tokenizer, BEFORE), Capped(BODY, settings.max_length), *split_template(tokenizer, AFTER)]


RERANKER = make_label_reranker(
    Qwen3,
    template,
    labels=lambda settings: {"no": 0, "yes": 1},
    max_length=lambda tokenizer, settings: settings.max_length,
    version=2,
)
