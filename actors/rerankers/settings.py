"""The `reranker` section of a config, as far as families share it."""

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator


class Settings(BaseModel):
    """The `reranker` section that every family shares; a family adds its own keys to it.

    A family that takes an instruction has a key `instruction`, and only then may the input's be mapped.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, protected_namespaces=())

    type: str
    model: str = Field(min_length=1)
    revision: str | None = None
    trust_remote_code: bool = False

    @property
    def takes_instruction(self) -> bool:
        """Whether an instruction of the input has a place in the prompt."""
        return "instruction" in type(self).model_fields


class TextSettings(Settings):
    """Settings of families that put both texts into one prompt: limits of each, in tokens of the text alone."""

    max_query_tokens: int | None = Field(default=None, ge=1)
    max_doc_tokens: int | None = Field(default=None, ge=1)


class TemplateSettings(Settings):
    """Settings of families that put each text into a template of its own."""

    query_template: str = "{query}"
    doc_template: str = "{doc}"

    @field_validator("query_template", "doc_template")
    @classmethod
    def _holds_its_text(cls, template: str, info: ValidationInfo) -> str:
        hole = "{" + str(info.field_name).removesuffix("_template") + "}"
        if hole not in template:
            raise ValueError(f"must contain {hole}")
        return template

    def in_template(self, query: str, doc: str) -> tuple[str, str]:
        """The two texts in their templates."""
        return self.query_template.replace("{query}", query), self.doc_template.replace("{doc}", doc)
