"""LB Reranker (lightblue/lb-reranker-0.5B-v1.0): one token, a grade from 1 to 7, read as an expectation.

Source: the model card, the authors' run_bier.ipynb and, for the reversed variant, their training configs
(lightblue-tech/lb-reranker). Scores:
  card        sum of i * p_i, where p_i is the probability of label i over the full vocabulary; in [0, 7]
  notebook    mean(p_4..p_7) - mean(p_1..p_4), which the published BEIR figures rank by; in [-0.25, 0.25]
  normalised  the card's expectation divided by the labels' total probability; in [1, 7]
The reference cuts nothing; here the document is cut if the prompt would not fit the engine's max_model_len.
"""

from typing import Literal

import numpy as np

from actors.rerankers.contract import Side
from actors.rerankers.formulas import expectation, probability
from actors.rerankers.labelled import LabelledSettings, make_label_reranker
from actors.rerankers.split import render_chat
from actors.rerankers.templates import Template
from actors.rerankers.tokenizer import DOC, QUERY, Tokenizer

MESSAGES = {
    "query_first": (
        "Given a query and a piece of text, output a score of 1-7 based on how related the query is to the text. "
        "1 means least related and 7 is most related.",
        f"<<<Query>>>\n{QUERY}\n\n<<<Context>>>\n{DOC}",
    ),
    "context_first": (
        "Given a piece of text and a query, output a score of 1-7 based on how related the query is to the text. "
        "1 means least related and 7 is most related.",
        f"<<<Context>>>\n{DOC}\n\n<<<Query>>>\n{QUERY}",
    ),
}


class LB(LabelledSettings):
    score: Literal["card", "notebook", "normalised"] = "card"
    order: Literal["query_first", "context_first"] = "query_first"


def template(tokenizer: Tokenizer, settings: LB) -> Template:
    system, user = MESSAGES[settings.order]
    return render_chat(tokenizer, [{"role": "system", "content": system}, {"role": "user", "content": user}])


def prefix_side(settings: LB) -> Side:
    return "query" if settings.order == "query_first" else "doc"


def notebook(values: np.ndarray, logprobs: np.ndarray) -> float:
    """mean(p_4..p_7) - mean(p_1..p_4), as in run_bier.ipynb."""
    p = np.exp(logprobs)
    return float(p[3:].mean() - p[:4].mean())


SCORES = {"card": expectation, "notebook": notebook, "normalised": probability}

RERANKER = make_label_reranker(
    LB,
    template,
    labels=lambda settings: {str(grade): grade for grade in range(1, 8)},
    score=lambda settings: SCORES[settings.score],
    prefix_side=prefix_side,
    version=2,
)
