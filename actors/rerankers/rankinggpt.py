"""RankingGPT (zyznull/RankingGPT-*): the mean log-likelihood of the query after the document; at most 0.

Source: the model card (`mode: card`) and the authors' eval.py (`mode: eval`), which differ:
  card  "Document: {doc} Query:" and the query are tokenised separately, without special tokens; nothing is cut
  eval  both are tokenised as one text, with the tokenizer's special tokens; the query begins after as many tokens as
        "Document: {doc} Query:" has by itself; the document is cut to the room that 512 tokens leave, less 10; [PAD]
        becomes PAD. `arguana: true`: query and document are cut to 256 tokens each instead
The document is also cut if the prompt would not fit the engine's max_model_len, except with `arguana: true`.
"""

import re
from typing import Literal

import numpy as np
from pydantic import field_validator

from actors.rerankers.contract import FollowUp, Pair, Prompt, Reply, Request, Reranker, Unscored
from actors.rerankers.settings import TextSettings
from actors.rerankers.templates import fill_template, shorten_pairs
from actors.rerankers.tokenizer import DOC, QUERY, Tokenizer

SOURCE = "Document: {doc} Query:"
EVAL_LENGTH, EVAL_MARGIN, ARGUANA_LENGTH = 512, 10, 256
RETIRED = re.compile(r"(zyznull|damo|iic)/RankingGPT-(qwen|baichuan2)-7b", re.IGNORECASE)


class RankingGPT(TextSettings):
    mode: Literal["card", "eval"] = "card"
    arguana: bool = False

    @field_validator("model")
    @classmethod
    def _check_architecture(cls, model: str) -> str:
        if RETIRED.fullmatch(model):
            raise ValueError(
                "vLLM no longer runs this model's architecture; download it, turn it into one that it runs with "
                "`python jobs/convert.py FOLDER NEW_FOLDER`, and set reranker.model to the new folder"
            )
        return model


def prompt(tokenizer: Tokenizer, settings: RankingGPT, pairs: list[Pair]) -> list[Prompt | Unscored]:
    short = shorten_pairs(tokenizer, pairs, settings.max_query_tokens, settings.max_doc_tokens)
    room = tokenizer.limit
    if settings.mode == "card":
        return [_make_card_prompt(tokenizer, pair, room) for pair in short]
    return [_make_eval_prompt(tokenizer, settings, pair, room) for pair in short]


def _make_card_prompt(tokenizer: Tokenizer, pair: Pair, room: int) -> Prompt | Unscored:
    (made,) = fill_template(tokenizer, [SOURCE.format(doc=DOC), QUERY], [pair], room)
    if isinstance(made, Prompt):
        return made._replace(boundary=len(made.sequences[0]) - len(tokenizer.encode([pair.query])[0]))
    return made


def _make_eval_prompt(tokenizer: Tokenizer, settings: RankingGPT, pair: Pair, room: int) -> Prompt | Unscored:
    query, doc, cut = pair.query, pair.doc, pair.truncated
    if settings.arguana:
        doc, cut_doc = tokenizer.cut_and_decode(doc, ARGUANA_LENGTH)
        query, cut_query = tokenizer.cut_and_decode(query, ARGUANA_LENGTH)
        cut |= cut_doc or cut_query
    else:
        query = query.replace("[PAD]", "PAD")
        left = min(EVAL_LENGTH, room) - tokenizer.count(SOURCE) - tokenizer.count(query) - EVAL_MARGIN
        if left < 1:
            return Unscored(
                f"prompt does not fit: the query leaves no token of {min(EVAL_LENGTH, room)} for the document"
            )
        doc, cut_doc = tokenizer.cut_and_decode(doc, left)
        cut |= cut_doc
    source = SOURCE.replace("{doc}", doc).replace("[PAD]", "PAD")
    before, after = tokenizer.ids_around
    boundary = len(before) + len(tokenizer.encode([source])[0])
    ids = [*before, *tokenizer.encode([source + query])[0], *after]
    if len(ids) > room:
        return Unscored(f"prompt does not fit: {len(ids)} tokens, room for {room}")
    if len(ids) <= boundary:
        return Unscored("the query has no token of its own")
    return Prompt([ids], cut, boundary)


def score(tokenizer: Tokenizer, settings: RankingGPT, replies: list[Reply]) -> float | Unscored | FollowUp:
    return float(np.mean(np.asarray(replies[0].token_logprobs, dtype=np.float64)))


RERANKER = Reranker(
    settings=RankingGPT,
    request=lambda settings: Request("likelihood"),
    prefix_side=lambda settings: "doc",
    unit_rows=8192,
    prompt=prompt,
    score=score,
    version=2,
)
