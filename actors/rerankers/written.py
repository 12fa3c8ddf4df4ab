"""A judge described in the config alone: a prompt or chat messages, and how the answer is found that the model writes.

messages    chat messages, for the model's own chat template; or
prompt      a raw prompt (described.py has both)
answer      a regular expression with one group, which is searched behind `</think>` where the model wrote that; the
            last match counts
values      what the group may be, and its value: {"0": 0, "1": 1} or {"Perfect": 3, "Partial": 1}. White space around
            it does not count, nor do capitals if the texts differ without them
score       value: that of the answer; expected: sum of value * p, with p over the values' label tokens alone, at the
            place where the answer's group begins. A follow-up of one token reads them there, as erank reads its digits
stop        texts with which the answer ends

An answer that is not there, is none of the values, or was cut off at max_new_tokens has no score, and a reason.
"""

import re
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field, field_validator, model_validator

from actors.rerankers.answers import check_pattern, find_answer
from actors.rerankers.contract import Behind, FollowUp, Pair, Prompt, Reply, Request, Reranker, Unscored
from actors.rerankers.described import DescribedSettings, make_template
from actors.rerankers.formulas import probability
from actors.rerankers.settings import TextSettings
from actors.rerankers.templates import fill_template, room_to_write, shorten_pairs
from actors.rerankers.tokenizer import Tokenizer

SHOWN = 40  # characters of what the model wrote, in a reason


class Written(TextSettings, DescribedSettings):
    answer: str
    values: dict[str, Annotated[float, Field(allow_inf_nan=False)]]
    score: Literal["value", "expected"] = "value"
    max_new_tokens: int = Field(default=1024, ge=2)
    stop: tuple[Annotated[str, Field(min_length=1)], ...] = Field(default=(), strict=False)

    @field_validator("answer")
    @classmethod
    def _check_answer(cls, pattern: str) -> str:
        check_pattern(pattern, "the answer")
        if re.search(pattern, ""):
            raise ValueError("matches an empty text, which is at the end of all that a model writes")
        return pattern

    @field_validator("values", mode="before")
    @classmethod
    def _check_texts(cls, values: Any) -> Any:
        for text in values if isinstance(values, dict) else ():
            if not isinstance(text, str):
                raise ValueError(f'YAML took a text for {text!r}; texts stand in quotes, as in {{"0": 0, "1": 1}}')
            if not text.strip():
                raise ValueError(f"{text!r} is no answer")
        return values

    @model_validator(mode="after")
    def _check_whole(self) -> "Written":
        if not self.has_text:
            raise ValueError("reranker.prompt or reranker.messages, one of the two, says what the model is asked")
        if len({*self.values.values()}) < 2:
            raise ValueError(f"reranker.values = {self.values}: all values are the same, so all scores would be")
        if len({text.strip() for text in self.values}) < len(self.values):
            raise ValueError(f"reranker.values = {self.values}: two texts differ in white space alone")
        return self

    def find_value(self, answer: str) -> str | None:
        """Which text of `values` an answer is; None if it is none of them."""
        folded = len({text.strip().casefold() for text in self.values}) == len(self.values)

        def fold(text: str) -> str:
            return text.strip().casefold() if folded else text.strip()

        return {fold(text): text for text in self.values}.get(fold(answer))


def request(settings: Written) -> Request:
    # Behind a space, as digits mostly stand: some tokenizers have other tokens for them at the start of a text
    labels = tuple(Behind(" ", text) for text in settings.values) if settings.score == "expected" else ()
    return Request("generate", settings.max_new_tokens, labels, stop=settings.stop)


def prompt(tokenizer: Tokenizer, settings: Written, pairs: list[Pair]) -> list[Prompt | Unscored]:
    short = shorten_pairs(tokenizer, pairs, settings.max_query_tokens, settings.max_doc_tokens)
    room = room_to_write(tokenizer, settings.max_new_tokens)
    return fill_template(tokenizer, make_template(tokenizer, settings), short, room)


def score(tokenizer: Tokenizer, settings: Written, replies: list[Reply]) -> float | Unscored | FollowUp:
    written, *read = replies
    if read:
        values = np.array([*settings.values.values()], dtype=np.float64)
        return probability(values, np.asarray(read[0].label_logprobs, dtype=np.float64))
    found = read_answer(settings, written)
    if isinstance(found, Unscored):
        return found
    text, before = found
    if settings.score == "value":
        return settings.values[text]
    label = tokenizer.label_ids(request(settings).labels)[[*settings.values].index(text)]
    position = _find_token(tokenizer, written, label, before)
    if position is None:
        return Unscored(f"the answer is not written by the token of its value: {text!r}")
    return FollowUp([[*written.prompt, *written.tokens[:position]]])


def read_answer(settings: Written, written: Reply) -> tuple[str, str] | Unscored:
    """The text of `values` that a model wrote as its answer, and all that it wrote before that."""
    if not written.finished:
        return Unscored(f"the model's answer is cut off at {len(written.tokens)} new tokens")
    text = find_answer(written.text, None)
    matches = [match for match in re.finditer(settings.answer, text) if match[1] is not None]
    if not matches:
        return Unscored(f"the model wrote no answer: {text.strip()[-SHOWN:]!r}")
    value = settings.find_value(matches[-1][1])
    if value is None:
        return Unscored(f"the model's answer is none of reranker.values: {matches[-1][1].strip()[:SHOWN]!r}")
    return value, written.text[: len(written.text) - len(text) + matches[-1].start(1)]


def _find_token(tokenizer: Tokenizer, written: Reply, label: int, before: str) -> int | None:
    """The position of the label's token behind the text `before`; None where another token stands there."""
    # White space may be a part of the token, and some tokenizers' decoders change it
    wanted = _drop_space(before)
    places = (at for at in range(len(written.tokens) - 1, -1, -1) if written.tokens[at] == label)
    return next((at for at in places if _drop_space(tokenizer.decode(written.tokens[:at])) == wanted), None)


def _drop_space(text: str) -> str:
    return "".join(text.split())


RERANKER = Reranker(
    settings=Written,
    request=request,
    prefix_side=lambda settings: settings.first_side,
    unit_rows=256,
    prompt=prompt,
    score=score,
)
