"""The keys of the `reranker` section that families share: base classes of each family's settings."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator, model_validator

INSTEAD = {
    "{query}": "the query has query_template",
    "{doc}": "the document has doc_template",
    "{title}": "a title that input.columns maps stands before its document",
    "{instruction}": "write the instruction itself",
}  # placeholders that a template for one text has no place for


class Passages(BaseModel):
    """How a long document is cut, and what its passages' scores become: see passages.py. tokens, overlap: of the
    document's own text."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    tokens: int = Field(ge=1)
    overlap: int = Field(default=0, ge=0)
    score: Literal["max", "first", "mean", "top3"] = "max"

    @model_validator(mode="after")
    def _check_overlap(self) -> "Passages":
        if self.overlap > self.tokens // 2:
            raise ValueError(f"overlap = {self.overlap}: should be at most half of tokens = {self.tokens}")
        return self


class Settings(BaseModel):
    """The keys that every family has. A family adds its own in a subclass.

    A family whose prompt has a place for an instruction has a key `instruction`; only then may the config map an
    instruction column of the input.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, protected_namespaces=())

    type: str
    model: str = Field(min_length=1)
    revision: str | None = None
    adapter: str | None = Field(default=None, min_length=1)
    adapter_revision: str | None = None
    trust_remote_code: bool = False
    passages: Passages | None = None

    @model_validator(mode="after")
    def _check_adapter(self) -> "Settings":
        if self.adapter_revision is not None and self.adapter is None:
            raise ValueError(f"reranker.adapter_revision = {self.adapter_revision!r}: there is no reranker.adapter")
        return self

    @property
    def takes_instruction(self) -> bool:
        """Whether the prompt has a place for an instruction."""
        return "instruction" in type(self).model_fields

    @property
    def templates(self) -> str:
        """All texts of the config in which special tokens are special."""
        return ""


class TextSettings(Settings):
    """Families with both texts in one prompt: a limit for each text, in tokens of the text alone."""

    max_query_tokens: int | None = Field(default=None, ge=1)
    max_doc_tokens: int | None = Field(default=None, ge=1)


class TemplateSettings(Settings):
    """Families with a template for each text."""

    query_template: str = "{query}"
    doc_template: str = "{doc}"

    @field_validator("query_template", "doc_template")
    @classmethod
    def _check_placeholder(cls, template: str, info: ValidationInfo) -> str:
        placeholder = "{" + str(info.field_name).removesuffix("_template") + "}"
        if placeholder not in template:
            raise ValueError(f"must contain {placeholder}")
        for name in ("{query}", "{doc}", "{title}", "{instruction}"):
            if name != placeholder and name in template:
                raise ValueError(f"has no place for {name}, and the model would read these letters; {INSTEAD[name]}")
        return template

    @property
    def templates(self) -> str:
        return self.query_template + self.doc_template

    def fill_templates(self, query: str, doc: str) -> tuple[str, str]:
        """The query and the document, each in its template."""
        return self.query_template.replace("{query}", query), self.doc_template.replace("{doc}", doc)
