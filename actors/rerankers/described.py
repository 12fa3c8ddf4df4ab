"""A prompt that the config writes: `prompt`, a raw text, or `messages`, for the model's own chat template.

{query}, {doc} and {instruction} are placeholders for the texts; all other braces are literal. Special tokens in it are
special. The tokenizer's own (such as <s>) are put around a raw prompt. chat_template_kwargs are what vLLM and
transformers call so: what the chat template is given beside the messages, such as enable_thinking of Qwen3's.
"""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from actors.rerankers.contract import Side
from actors.rerankers.settings import Settings
from actors.rerankers.split import render_chat, split_template
from actors.rerankers.templates import Template
from actors.rerankers.tokenizer import DOC, INSTRUCTION, QUERY, Tokenizer

PLACEHOLDERS = {"{query}": QUERY, "{doc}": DOC, "{instruction}": INSTRUCTION}

SET_HERE = ("messages", "add_generation_prompt", "strftime_now")  # of a chat template's variables


class Message(BaseModel):
    """One chat message; its content may hold placeholders."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    role: Literal["system", "user", "assistant"]
    content: str


class PromptSettings(Settings):
    """One of `prompt` and `messages`, with the keys of a chat template."""

    prompt: str | None = None
    messages: tuple[Message, ...] | None = Field(default=None, strict=False)
    chat_template_kwargs: dict[str, Any] = Field(default={})

    @property
    def has_text(self) -> bool:
        """Whether the config has such a prompt."""
        return self.prompt is not None or self.messages is not None

    @property
    def text(self) -> str:
        """The prompt, or all messages as one text; empty where there is neither."""
        return self.prompt or "\n".join(message.content for message in self.messages or ())

    @property
    def templates(self) -> str:
        return self.text

    @property
    def is_chat(self) -> bool:
        """Whether the prompt goes through the model's chat template."""
        return self.messages is not None

    @property
    def given(self) -> str:
        """The key that says what the model is asked, for messages."""
        return f"reranker.{'prompt' if self.messages is None else 'messages'}"

    @model_validator(mode="after")
    def _check_one(self) -> "PromptSettings":
        if self.prompt is not None and self.messages is not None:
            raise ValueError("reranker.prompt or reranker.messages, one of the two, says what the model is asked")
        for name, value in self.chat_template_kwargs.items():
            given = f"reranker.chat_template_kwargs.{name} = {value!r}"
            if not self.is_chat:
                raise ValueError(f"{given}: is for a chat template, which only reranker.messages go through")
            if name in SET_HERE:
                raise ValueError(f"{given}: is set by rayrank, not here")
            if isinstance(value, str) and value.lower() in ("true", "false"):
                raise ValueError(f"{given}: is a text, and true to every template; leave the quotation marks out")
        return self


class DescribedSettings(PromptSettings):
    """A prompt for one pair."""

    instruction: str | None = None

    @property
    def takes_instruction(self) -> bool:
        return "{instruction}" in self.text

    @property
    def first_side(self) -> Side:
        """The side whose text comes first."""
        return "doc" if -1 < self.text.find("{doc}") < self.text.find("{query}") else "query"

    @model_validator(mode="after")
    def _check_prompt(self) -> "DescribedSettings":
        for placeholder in ("{query}", "{doc}"):
            if self.has_text and (times := self.text.count(placeholder)) != 1:
                raise ValueError(f"{self.given}: must contain {placeholder} once, not {times} times")
        if self.instruction is not None and not self.takes_instruction:
            raise ValueError(
                f"reranker.instruction = {self.instruction!r}: {self.given} has no place for it, {{instruction}}"
            )
        return self


def make_template(tokenizer: Tokenizer, settings: DescribedSettings) -> Template:
    """The prompt's or the messages' template."""
    if settings.messages is None:
        before, after = tokenizer.ids_around
        return [*before, *split_template(tokenizer, _put_placeholders(settings.text)), *after]
    messages = [{"role": message.role, "content": _put_placeholders(message.content)} for message in settings.messages]
    return render_chat(tokenizer, messages, settings.chat_template_kwargs)


def _put_placeholders(text: str) -> str:
    for name, character in PLACEHOLDERS.items():
        text = text.replace(name, character)
    return text
