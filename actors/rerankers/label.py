"""A reranker described in the config alone: a prompt or chat messages, label tokens with values, and a formula.

messages    chat messages, for the model's own chat template; or
prompt      a raw prompt (described.py has both)
labels      each label's text, which must be one token, and value: {"0": 0, "1": 1} or {" yes": 1, " no": 0}; or
label_ids   the same by ids of tokens, for a token that no text gives: {9454: 1}
score       expectation: sum of value * p, with p over the full vocabulary; probability: the same with p over the
            labels alone, of one label the sigmoid of its logit; logit: of one label, or ln(p_1 / p_0) of two
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from actors.rerankers.described import DescribedSettings, make_template
from actors.rerankers.labelled import LabelledSettings, make_label_reranker


class Label(LabelledSettings, DescribedSettings):
    labels: dict[str, float] = Field(default={})
    label_ids: dict[Annotated[int, Field(ge=0)], float] = Field(default={})
    score: Literal["expectation", "probability", "logit"]

    @property
    def values(self) -> Mapping[Any, float]:
        """Each label's value, by its text or its id."""
        return self.labels or self.label_ids

    @field_validator("labels", mode="before")
    @classmethod
    def _check_label_texts(cls, labels: Any) -> Any:
        for label in labels if isinstance(labels, dict) else ():
            if not isinstance(label, str):
                raise ValueError(
                    f'YAML took a label for {label!r}; labels stand in quotes, as in {{"yes": 1, "no": 0}}, and ids of '
                    "tokens in reranker.label_ids"
                )
        return labels

    @field_validator("score", mode="before")
    @classmethod
    def _take_older_name(cls, score: Any) -> Any:
        return "logit" if score == "log_odds" else score

    @model_validator(mode="after")
    def _check_whole(self) -> "Label":
        if not self.has_text:
            raise ValueError("reranker.prompt or reranker.messages, one of the two, says what the model is asked")
        if bool(self.labels) == bool(self.label_ids):
            raise ValueError("reranker.labels or reranker.label_ids, one of the two, says which tokens are read")
        values, given = [*self.values.values()], f"reranker.{'labels' if self.labels else 'label_ids'} = {self.values}"
        if len(values) > 1 and len(set(values)) == 1:
            raise ValueError(f"{given}: all values are the same, so all scores would be")
        if values == [0]:
            raise ValueError(f"{given}: with the value 0 all scores would be 0")
        if self.score == "logit" and len(values) == 1 and values != [1]:
            raise ValueError(f"{given}: the logit of one label is not multiplied, so its value is 1")
        if self.score == "logit" and len(values) > 2:
            raise ValueError(f"reranker.score = 'logit': is of one label or two, not {len(values)}")
        if self.score == "expectation" and self.scoring == "head" and len(values) == 1:
            raise ValueError(
                "reranker.scoring = 'head': the expectation over one label is always its value; take another score"
            )
        return self


RERANKER = make_label_reranker(
    Label,
    make_template,
    labels=lambda settings: settings.values,
    prefix_side=lambda settings: settings.first_side,
    version=2,
)
