"""A reranker described in the config alone: a prompt or chat messages, label tokens with values, and a formula.

  messages    chat messages, for the model's own chat template; or
  prompt      a raw prompt; special tokens in it are special, and the tokenizer adds its own (such as <s>) around it
  labels      each label's text, which must be one token, and value: {"0": 0, "1": 1} or {" yes": 1, " no": 0}
  score       expectation: sum of value * p, with p over the full vocabulary; probability: the same with p over the
              labels alone; log_odds: ln(p_1 / p_0) of two labels
{query}, {doc} and {instruction} are placeholders for the texts; all other braces are literal.
"""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from actors.rerankers.contract import Side
from actors.rerankers.labelled import LabelledSettings, expectation, log_odds, make_label_reranker, probability
from actors.rerankers.split import render_chat, split_template
from actors.rerankers.templates import Template
from actors.rerankers.tokenizer import DOC, INSTRUCTION, QUERY, Tokenizer

SCORES = {"expectation": expectation, "probability": probability, "log_odds": log_odds}
PLACEHOLDERS = {"{query}": QUERY, "{doc}": DOC, "{instruction}": INSTRUCTION}


class Message(BaseModel):
    """One chat message; its content may hold placeholders."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    role: Literal["system", "user", "assistant"]
    content: str


class Label(LabelledSettings):
    prompt: str | None = None
    messages: tuple[Message, ...] | None = Field(default=None, strict=False)
    labels: dict[str, float] = Field(min_length=1)
    score: Literal["expectation", "probability", "log_odds"]
    instruction: str | None = None

    @field_validator("labels", mode="before")
    @classmethod
    def _check_label_texts(cls, labels: Any) -> Any:
        for label in labels if isinstance(labels, dict) else ():
            if not isinstance(label, str):
                raise ValueError(
                    f'YAML took a label for {label!r}; labels stand in quotes, as in {{"yes": 1, "no": 0}}'
                )
        return labels

    @property
    def takes_instruction(self) -> bool:
        return "{instruction}" in self.text

    @model_validator(mode="after")
    def _check_whole(self) -> "Label":
        if (self.prompt is None) == (self.messages is None):
            raise ValueError("reranker.prompt or reranker.messages, one of the two, says what the model is asked")
        key = "prompt" if self.messages is None else "messages"
        for placeholder in ("{query}", "{doc}"):
            if (times := self.text.count(placeholder)) != 1:
                raise ValueError(f"reranker.{key}: must contain {placeholder} once, not {times} times")
        values = sorted(self.labels.values())
        if len(set(values)) < 2 and len(values) > 1:
            raise ValueError(f"reranker.labels = {self.labels}: all values are the same, so all scores would be")
        if self.score == "log_odds" and len(values) != 2:
            raise ValueError(f"reranker.score = 'log_odds': needs two labels, not {len(values)}")
        if self.score == "probability" and len(values) == 1:
            raise ValueError("reranker.score = 'probability': of one label it is always that label's value")
        return self

    @property
    def templates(self) -> str:
        return self.text

    @property
    def text(self) -> str:
        """The prompt, or all messages as one text."""
        return self.prompt or "\n".join(message.content for message in self.messages or ())


def template(tokenizer: Tokenizer, settings: Label) -> Template:
    if settings.messages is None:
        before, after = tokenizer.ids_around
        return [*before, *split_template(tokenizer, _put_placeholders(settings.text)), *after]
    messages = [{"role": message.role, "content": _put_placeholders(message.content)} for message in settings.messages]
    return render_chat(tokenizer, messages)


def _put_placeholders(text: str) -> str:
    for name, character in PLACEHOLDERS.items():
        text = text.replace(name, character)
    return text


def prefix_side(settings: Label) -> Side:
    return "query" if settings.text.index("{query}") < settings.text.index("{doc}") else "doc"


RERANKER = make_label_reranker(
    Label,
    template,
    labels=lambda settings: settings.labels,
    score=lambda settings: SCORES[settings.score],
    prefix_side=prefix_side,
)
