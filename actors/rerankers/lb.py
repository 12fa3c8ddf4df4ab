"""LB Reranker (lightblue/lb-reranker-0.5B-v1.0): one token, 1 to 7, read as an expectation.

Source: the model card and the authors' run_bier.ipynb (lightblue-tech/lb-reranker). Scores:
  card        sum of i * p_i, with p_i the label's probability over the full vocabulary; in [0, 7]
  notebook    mean(p_4..p_7) - mean(p_1..p_4), what the published BEIR figures rank by; in [-0.25, 0.25]
  normalised  the card's expectation divided by the labels' total probability; in [1, 7]
The reference cuts nothing; here the document is cut where the prompt would not fit the engine's max_model_len.
"""

from typing import Literal

import numpy as np
from pydantic import Field

from actors import chat
from actors.rerankers.contract import Pair, Prompt, Reply, Request, Reranker, Settings, Unscored
from actors.tokens import DOC, QUERY, Encoder

GRADES = np.arange(1, 8)
MESSAGES = [
    {
        "role": "system",
        "content": "Given a query and a piece of text, output a score of 1-7 based on how related the query is to "
        "the text. 1 means least related and 7 is most related.",
    },
    {"role": "user", "content": f"<<<Query>>>\n{QUERY}\n\n<<<Context>>>\n{DOC}"},
]


class LB(Settings):
    score: Literal["card", "notebook", "normalised"] = "card"
    max_query_tokens: int | None = Field(default=None, ge=1)
    max_doc_tokens: int | None = Field(default=None, ge=1)


def prompt(encoder: Encoder, settings: LB, pairs: list[Pair]) -> list[Prompt | Unscored]:
    room = encoder.limit - RERANKER.request.max_tokens
    return chat.chat_prompts(encoder, MESSAGES, pairs, room, settings.max_query_tokens, settings.max_doc_tokens)


def score(settings: LB, replies: list[Reply]) -> float | Unscored:
    p = np.exp(np.asarray(replies[0].label_logprobs))
    match settings.score:
        case "card":
            return float(GRADES @ p)
        case "notebook":
            return float(p[3:].mean() - p[:4].mean())
        case "normalised":
            return float(GRADES @ p / p.sum())


RERANKER = Reranker(
    settings=LB,
    request=Request("generate", max_tokens=1, labels=tuple("1234567")),
    shared="query",
    unit_rows=8192,
    prompt=prompt,
    score=score,
)
