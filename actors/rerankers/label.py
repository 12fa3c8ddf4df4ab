"""A reranker described in the config alone: a prompt or chat messages, label tokens with values, and a formula.

messages    chat messages, for the model's own chat template; or
prompt      a raw prompt (written.py has both)
labels      each label's text, which must be one token, and value: {"0": 0, "1": 1} or {" yes": 1, " no": 0}
score       expectation: sum of value * p, with p over the full vocabulary; probability: the same with p over the
            labels alone; log_odds: ln(p_1 / p_0) of two labels
"""

from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from actors.rerankers.labelled import LabelledSettings, expectation, log_odds, make_label_reranker, probability
from actors.rerankers.written import WrittenSettings, make_template

SCORES = {"expectation": expectation, "probability": probability, "log_odds": log_odds}


class Label(LabelledSettings, WrittenSettings):
    labels: dict[str, float] = Field(min_length=1)
    score: Literal["expectation", "probability", "log_odds"]

    @field_validator("labels", mode="before")
    @classmethod
    def _check_label_texts(cls, labels: Any) -> Any:
        for label in labels if isinstance(labels, dict) else ():
            if not isinstance(label, str):
                raise ValueError(
                    f'YAML took a label for {label!r}; labels stand in quotes, as in {{"yes": 1, "no": 0}}'
                )
        return labels

    @model_validator(mode="after")
    def _check_whole(self) -> "Label":
        if not self.has_text:
            raise ValueError("reranker.prompt or reranker.messages, one of the two, says what the model is asked")
        values = sorted(self.labels.values())
        if len(set(values)) < 2 and len(values) > 1:
            raise ValueError(f"reranker.labels = {self.labels}: all values are the same, so all scores would be")
        if self.score == "log_odds" and len(values) != 2:
            raise ValueError(f"reranker.score = 'log_odds': needs two labels, not {len(values)}")
        if self.score == "probability" and len(values) == 1:
            raise ValueError("reranker.score = 'probability': of one label it is always that label's value")
        return self


RERANKER = make_label_reranker(
    Label,
    make_template,
    labels=lambda settings: settings.labels,
    score=lambda settings: SCORES[settings.score],
    prefix_side=lambda settings: settings.first_side,
    version=2,
)
