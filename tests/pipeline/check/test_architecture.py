"""Models that are refused, or taken, by their config.json alone."""

import json
from pathlib import Path
from typing import Any

import pytest

from pipeline.check.architecture import read_labels
from pipeline.check.model import check_model_files
from pipeline.config import parse
from pipeline.errors import UsageError

CROSS = "cross_encoder"
LABEL = {"prompt": "{query} {doc}", "labels": {"yes": 1.0}, "score": "logit"}


def look(folder: Path, kind: str, declared: dict[str, Any], engine: dict[str, Any] | None = None) -> None:
    (folder / "config.json").write_text(json.dumps({"model_type": "bert"} | declared))
    section = {"type": kind, "model": str(folder)} | (LABEL if kind == "label" else {})
    values = {"input": {"path": "p"}, "reranker": section, "engine": engine or {}, "output": {"path": "o"}}
    check_model_files(parse(values), weights=False)


def two(first: str, second: str) -> dict[str, Any]:
    return {"architectures": ["BertForSequenceClassification"], "id2label": {"0": first, "1": second}}


@pytest.mark.parametrize(
    ("kind", "architecture", "line"),
    [
        *(
            (kind, name, f"vLLM .* has no model for its architecture {name}; engine.type: transformers has one$")
            for kind, name in (
                (CROSS, "DebertaV2ForSequenceClassification"),
                ("t5", "T5ForConditionalGeneration"),
                ("label", "MT5ForConditionalGeneration"),
                ("label", "BartForConditionalGeneration"),
                ("bi_encoder", "T5EncoderModel"),
            )
        ),
        (CROSS, "SomebodysForSequenceClassification", "its architecture SomebodysFor.*; take another model$"),
        ("bi_encoder", "MPNetModel", "vLLM .* has no model for its architecture MPNetModel"),
        (CROSS, "BertModel", "BertModel is a model without a head, and a classifier is needed; .*: bi_encoder"),
        (CROSS, "XLMRobertaModel", "a classifier is needed; .*: bi_encoder"),
        (CROSS, "ModernBertForMaskedLM", "a classifier is needed; .*: bi_encoder"),
        (CROSS, "Qwen3ForCausalLM", "is a language model, and a classifier is needed; .*: label"),
        (
            "qwen3",
            "Qwen3ForSequenceClassification",
            "a classifier, and a language model is needed; .* cross_encoder",
        ),
        ("rankinggpt", "BertModel", "is a model without a head, and a language model is needed; .* bi_encoder"),
        ("bi_encoder", "BertForSequenceClassification", "is a classifier, and a model without a head .* cross_encoder"),
    ],
)
def test_an_architecture_that_does_not_do_what_is_asked(
    kind: str, architecture: str, line: str, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=f"reranker.model = '{tmp_path}': .*{line}"):
        look(tmp_path, kind, {"architectures": [architecture]})


@pytest.mark.parametrize(
    ("declared", "line"),
    [
        (two("relevant", "not_relevant"), "its last label.* is 'not_relevant'"),
        (two("entailment", "not_entailment"), "'not_entailment'"),
        (two("YES", "NO"), "'NO'"),
        (two("1", "0"), "'0'"),
        (two("duplicate", "Non-Duplicate"), "'Non-Duplicate'"),
        (two("match", "irrelevant"), "'irrelevant'"),
        (two("related", "unrelated"), "'unrelated'"),
        (two("LABEL_1", "LABEL_0"), "'LABEL_0'"),
        (two("relevant", "other"), "'other'"),
        (two("SUPPORTS", "REFUTES"), "'REFUTES'"),
        (two("answerable", "unanswerable"), "'unanswerable'"),
        (two("consistent", "inconsistent"), "'inconsistent'"),
        (two("Match", "Mismatch"), "'Mismatch'"),
        (two("entailment", "neutral"), "'neutral'"),
        (two("", "") | {"id2label": {"0": "not relevant"}}, "'not relevant'"),
        (two("", "") | {"id2label": {"0": "contradiction", "1": "entailment", "2": "neutral"}}, "it has 3 labels"),
        ({"architectures": ["XLMRobertaForSequenceClassification"], "num_labels": 5}, "it has 5 labels"),
    ],
)
def test_labels_that_would_be_read_wrongly(declared: dict, line: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=f"reranker.model = '{tmp_path}': .*{line}"):
        look(tmp_path, CROSS, declared)


@pytest.mark.parametrize(
    ("kind", "declared", "engine"),
    [
        (CROSS, two("LABEL_0", "LABEL_1"), {}),
        (CROSS, two("not_relevant", "relevant"), {}),
        (CROSS, two("contradiction", "entailment"), {}),
        (CROSS, two("0", "1"), {}),
        (CROSS, two("unanswerable", "answerable"), {}),
        (CROSS, two("relevant", "highly_relevant"), {}),
        (CROSS, two("noise", "true"), {}),
        (CROSS, two("no", "yes"), {}),
        (CROSS, two("noise", "notable"), {}),
        (CROSS, two("", "") | {"id2label": {"0": "LABEL_0"}}, {}),
        (CROSS, {"architectures": ["Qwen3ForSequenceClassification"], "num_labels": 1}, {}),
        (CROSS, {"architectures": ["ModernBertForSequenceClassification"]}, {}),
        (CROSS, {"architectures": ["BertModel"]}, {"convert": "classify"}),
        (CROSS, two("yes", "no"), {"hf_overrides": {"id2label": {"0": "no", "1": "yes"}}}),
        (
            CROSS,
            {"architectures": ["NewForSequenceClassification"], "num_labels": 1},
            {"hf_overrides": {"architectures": ["GteNewForSequenceClassification"]}},
        ),
        ("bi_encoder", {"architectures": ["Qwen3ForCausalLM"]}, {}),
        ("bi_encoder", {"architectures": ["BertModel"]}, {}),
        ("bi_encoder", {"architectures": ["BertForMaskedLM"]}, {}),
        ("qwen3", {"architectures": ["Qwen3ForCausalLM"]}, {}),
        ("rankinggpt", {"architectures": ["GPT2LMHeadModel"]}, {}),
        ("t5", {"architectures": ["T5ForConditionalGeneration"]}, {"type": "transformers"}),
        ("label", {"architectures": ["MT5ForConditionalGeneration"]}, {"type": "transformers"}),
        (CROSS, {"architectures": ["DebertaV2ForSequenceClassification"]}, {"type": "transformers"}),
    ],
)
def test_what_goes_together_is_taken(kind: str, declared: dict, engine: dict, tmp_path: Path) -> None:
    look(tmp_path, kind, declared, engine)


@pytest.mark.parametrize("labels", [1, 2, 12])
def test_labels_are_in_the_order_that_transformers_has(labels: int) -> None:
    from transformers import BertConfig

    made: Any = BertConfig(**{"num_labels": labels})  # type: ignore[arg-type]
    assert read_labels(json.loads(made.to_json_string())) == [made.id2label[i] for i in range(labels)]


@pytest.mark.parametrize(
    ("words", "fits"), [(["no", "yes"], True), (["yes", "no"], False), ([" True", " False"], False)]
)
def test_a_head_made_of_words_ends_with_the_relevant_one(words: list[str], fits: bool, tmp_path: Path) -> None:
    made = {"architectures": ["Qwen2ForSequenceClassification"], "classifier_from_token": words, "num_labels": 2}
    declared = {"architectures": ["Qwen2ForCausalLM"], "model_type": "qwen2"}
    if fits:
        look(tmp_path, CROSS, declared, {"hf_overrides": made})
        return
    with pytest.raises(UsageError, match=f"classifier_from_token = .*{words[1]}.*every order would be reversed"):
        look(tmp_path, CROSS, declared, {"hf_overrides": made})
