"""T5 rerankers: the encoder reads the prompt, and the score is read from what the decoder would write; unbounded.

mode        the encoder reads                                       the score
monot5      "Query: {query} Document: {doc} Relevant:"              ln p of "true" against "false", at most 0
rankt5      "Query: {query} Document: {doc}"                        the logit of <extra_id_10>
likelihood  "Passage: {doc}. Please write a question based on       the mean log-probability of the query's tokens and
            this passage."                                          of </s>, at most 0

Sources: monoT5's of pygaggle (its exponential is the score of rank_llm and rerankers) and PyTerrier_t5, which cuts the
text before "Relevant:", as here, where pygaggle may cut that away; ListT5's run_monot5_rankt5.py, for RankT5 as an
encoder and a decoder; UPR's upr.py, which cuts queries to 128 tokens, and adds the log-probabilities up: the order of a
query's documents is the same. There the whole prompt is cut at its end; here the document alone.
"""

from typing import Literal

import numpy as np

from actors.rerankers.contract import FollowUp, Pair, Prompt, Reply, Request, Reranker, Unscored
from actors.rerankers.settings import TextSettings
from actors.rerankers.templates import Capped, Template, fill_template, shorten_pairs
from actors.rerankers.tokenizer import DOC, QUERY, Tokenizer

PAIR = f"Query: {QUERY} Document: {DOC}"
PASSAGE = f"Passage: {DOC}. Please write a question based on this passage."
QUERY_LENGTH = 128  # of UPR's queries, with </s>


class T5(TextSettings):
    mode: Literal["monot5", "rankt5", "likelihood"] = "monot5"


def request(settings: T5) -> Request:
    if settings.mode == "likelihood":
        return Request("likelihood")
    if settings.mode == "rankt5":
        return Request("generate", labels=("<extra_id_10>",), logits=True)
    return Request("generate", labels=("true", "false"))


def prompt(tokenizer: Tokenizer, settings: T5, pairs: list[Pair]) -> list[Prompt | Unscored]:
    if not tokenizer.has_encoder:
        raise ValueError("its config.json does not say is_encoder_decoder, and t5 is for models that are both")
    short = shorten_pairs(tokenizer, pairs, settings.max_query_tokens, settings.max_doc_tokens)
    before, after = tokenizer.ids_around
    if settings.mode == "likelihood":
        made = fill_template(tokenizer, [*before, PASSAGE, *after], short, tokenizer.limit, needed=DOC)
        return [_add_query(tokenizer, *each) for each in zip(made, short, strict=True)]
    end = ["Relevant:"] if settings.mode == "monot5" else []
    template: Template = [*before, Capped(PAIR, tokenizer.limit), *end, *after]
    return fill_template(tokenizer, template, short, tokenizer.limit)


def _add_query(tokenizer: Tokenizer, passage: Prompt | Unscored, pair: Pair) -> Prompt | Unscored:
    """The encoder's tokens, and behind the boundary those whose likelihood is asked for."""
    if isinstance(passage, Unscored):
        return passage
    (query,), end = tokenizer.encode([pair.query]), tokenizer.ids_around[1]
    if not query:
        return Unscored("the query has no token of its own")
    (read,), room = passage.sequences, QUERY_LENGTH - len(end)
    return Prompt([[*read, *query[:room], *end]], passage.truncated or len(query) > room, len(read))


def score(tokenizer: Tokenizer, settings: T5, replies: list[Reply]) -> float | Unscored | FollowUp:
    if settings.mode == "likelihood":
        return float(np.mean(np.asarray(replies[0].token_logprobs, dtype=np.float64)))
    found = np.asarray(replies[0].label_logprobs, dtype=np.float64)
    return float(found[0] if settings.mode == "rankt5" else found[0] - np.logaddexp(*found))


RERANKER = Reranker(
    settings=T5,
    request=request,
    prefix_side=lambda settings: "doc" if settings.mode == "likelihood" else "query",
    unit_rows=8192,
    prompt=prompt,
    score=score,
)
