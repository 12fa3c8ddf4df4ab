"""Whole verifications, with engines of transformers in this process: good models pass, and planted faults are found."""

import itertools
import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.torch import load_file, save_file

from pipeline.config import Config
from pipeline.errors import UsageError
from pipeline.verify.report import collect_figures, collect_pairs, describe
from pipeline.verify.score import Scored
from tests.pipeline.verify.conftest import LABEL, LB, PAIRS, score_in_process, verify_here, write_scores

PASSAGES = LB | {"passages": {"tokens": 40, "overlap": 5}}
RAW = {"type": "label", "prompt": "{query} {doc}\nTrue?", "labels": {" yes": 1, " no": 0}, "score": "logit"}
Make = Callable[..., Config]


@pytest.mark.parametrize(
    ("name", "reranker"),
    [
        ("qwen2", PASSAGES),
        ("qwen3", {"type": "qwen3"}),
        ("llama2", {"type": "rankinggpt"}),
        ("bert", {"type": "cross_encoder"}),
        ("rank1_qwen2", {"type": "rank1", "max_new_tokens": 8}),
    ],
)
def test_a_good_model_passes(name: str, reranker: dict[str, Any], tiny_model: Callable, make: Make) -> None:
    verdict = verify_here(make(tiny_model(name), reranker))
    assert verdict.faults == [] and verdict.tolerance == 1e-3
    own, again, reference = verdict.scores.values()
    assert len(verdict.rows) == len(own) == PAIRS and len(np.unique(own.round(6))) > PAIRS / 2
    assert verdict.ids.own == verdict.ids.sequences and not verdict.ids.lines
    assert [found.pairs for found in verdict.comparisons] == [PAIRS, PAIRS]
    assert np.abs(own - again).max() > 0 or reranker.get("max_new_tokens"), "the other batches are none"
    figures = collect_figures(verdict)
    assert json.loads(json.dumps(figures, allow_nan=False))["faults"] == []
    assert describe(verdict)[-1] == "all within 1.0e-03"
    assert [pair["scores"]["transformers in float32"] for pair in collect_pairs(verdict)] == reference.tolist()


def test_half_precision_is_measured_by_transformers_own(tiny_model: Callable, make: Make) -> None:
    verdict = verify_here(make(tiny_model("bert"), {"type": "cross_encoder"}, dtype="bfloat16"))
    assert verdict.rounding and verdict.precision == "bfloat16" and verdict.faults == []
    assert verdict.tolerance == pytest.approx(2 * verdict.rounding.largest)
    assert 1e-3 < verdict.comparisons[-1].largest <= verdict.tolerance and verdict.explained == pytest.approx(
        1, abs=0.1
    )


def fold_case(folder: Path) -> None:
    """A tokenizer that was rebuilt with other rules."""
    path = folder / "tokenizer.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"normalizer": {"type": "Lowercase"}}))


def edit_template(folder: Path) -> None:
    path = folder / "chat_template.jinja"
    path.write_text("Judge.\n" + path.read_text())


def round_a_layer(folder: Path) -> None:
    path = folder / "model.safetensors"
    tensors = load_file(path)
    halves = {name: tensor.bfloat16().float() if ".layers.1." in name else tensor for name, tensor in tensors.items()}
    save_file(halves, path, {"format": "pt"})


# A fault -> what is done to a copy of the model's files; keys of the reranker; of the engine; a part of the cause.
FAULTS: dict[str, tuple[Callable[[Path], None] | None, dict[str, Any], dict[str, Any], str]] = {
    "tokenizer": (fold_case, {}, {}, "another tokenizer"),
    "template": (edit_template, {}, {}, "a template that"),
    "layer": (round_a_layer, {}, {}, "half precision in a part"),
    "label": (None, {"labels": {"yes": 1, "no": 0}}, {}, "other labels"),
    "order": (None, {"labels": {" yes": 0, " no": 1}}, {}, "the other order"),
    "sigmoid": (None, {"score": "logit"}, {}, "is a logit"),
    "context": (None, {}, {"max_model_len": 150}, "the context is shorter"),
    "argument": (None, {}, {"hf_overrides": {"rms_norm_eps": 1e-3}}, "half precision in a part"),
}


@pytest.fixture(scope="module")
def elsewhere(tiny_model: Callable, make: Make, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The scores of a good model."""
    verdict = verify_here(make(tiny_model("qwen2"), LABEL))
    return write_scores(verdict, tmp_path_factory.mktemp("elsewhere") / "scores.jsonl")


def test_scores_made_elsewhere_by_a_good_model_pass(tiny_model: Callable, make: Make, elsewhere: str) -> None:
    verdict = verify_here(make(tiny_model("qwen2"), LABEL), elsewhere)
    assert verdict.faults == [] and verdict.comparisons[-1].name == elsewhere and verdict.comparisons[-1].pairs == PAIRS


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_that_both_engines_share_is_found_by_scores_made_elsewhere(
    fault: str, tiny_model: Callable, make: Make, elsewhere: str, tmp_path: Path
) -> None:
    damage, reranker, engine, cause = FAULTS[fault]
    model = tiny_model("qwen2")
    if damage:
        model = shutil.copytree(model, tmp_path / "model")
        damage(model)
    (found,) = verify_here(make(model, LABEL | reranker, **engine), elsewhere).faults
    assert found.startswith(f"{elsewhere}: the largest difference") and cause in found


@pytest.mark.parametrize(
    ("change", "cause"),
    [
        (lambda score: 1 / (1 + math.exp(-score)), "the sigmoid is taken twice"),
        (lambda score: 1 - score, "the labels stand in the other order"),
        (lambda score: score * 1.02, "the others are 1.02 times"),
    ],
)
def test_scores_made_elsewhere_by_another_formula(
    change: Callable, cause: str, tiny_model: Callable, make: Make, elsewhere: str, tmp_path: Path
) -> None:
    lines = [json.loads(line) for line in Path(elsewhere).read_text().splitlines()]
    changed = tmp_path / "scores.jsonl"
    changed.write_text("".join(json.dumps(line | {"score": change(line["score"])}) + "\n" for line in lines))
    (found,) = verify_here(make(tiny_model("qwen2"), LABEL), str(changed)).faults
    assert cause in found


def disturb(which: int, change: Callable[[np.ndarray], np.ndarray]) -> Callable[..., list[Scored]]:
    """Engines of this process. which: of all the ways in which they are asked, the number of the one at fault."""
    numbers = itertools.count()

    def score(*given: Any) -> list[Scored]:
        return [
            scored._replace(scores=change(scored.scores.copy())) if next(numbers) == which else scored
            for scored in score_in_process(*given)
        ]

    return score


def lose(scores: np.ndarray) -> np.ndarray:
    scores[3] = np.nan
    return scores


@pytest.mark.parametrize(
    ("which", "change", "names"),
    [
        (0, lambda scores: scores + 0.5, ["transformers, in other batches", "transformers in float32"]),
        (2, lambda scores: scores.round(2), ["transformers in float32"]),
        (1, lose, ["transformers, in other batches"]),
        (2, lambda scores: scores * 0, ["transformers in float32", "transformers in float32"]),
    ],
)
def test_an_engine_that_is_at_fault_alone_is_named(
    which: int, change: Callable, names: list[str], tiny_model: Callable, make: Make
) -> None:
    verdict = verify_here(make(tiny_model("qwen2"), LABEL), score=disturb(which, change))
    assert [fault.partition(": ")[0] for fault in verdict.faults] == names
    assert describe(verdict)[-1].startswith("FAULT: ")


def test_bos_twice_is_refused_before_an_engine_starts(tiny_model: Callable, make: Make) -> None:
    with pytest.raises(UsageError, match="begins with '<s><s>'"):
        verify_here(make(tiny_model("mistral"), RAW | {"prompt": "<s>{query} {doc}\nTrue?"}), score=None)


def test_autotokenizers_other_ids_are_told_and_are_no_fault(tiny_model: Callable, make: Make, tmp_path: Path) -> None:
    model = shutil.copytree(tiny_model("llama3"), tmp_path / "model")
    path = model / "tokenizer_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"tokenizer_class": "LlamaTokenizerFast"}))
    verdict = verify_here(make(model, RAW))
    assert verdict.faults == [] and verdict.ids.own == PAIRS and verdict.ids.auto == 0
    assert "makes other ids of a prompt's text" in verdict.ids.lines[0]
    assert f"by tokenizer.json {PAIRS} as before, by AutoTokenizer 0 as by that" in describe(verdict)[1]


@pytest.mark.parametrize(
    ("engine", "words"),
    [
        ({"type": "vllm", "hf_overrides": {"classifier_from_token": ["no", "yes"]}}, "makes no classifier"),
        ({"type": "vllm", "pooler_config": {"task": "embed"}}, "engine.pooler_config = "),
    ],
)
def test_a_reference_that_cannot_be_had_is_refused(engine: dict, words: str, tiny_model: Callable, make: Make) -> None:
    config = make(tiny_model("qwen2"))
    config = config.model_copy(update={"engine": engine})
    with pytest.raises(UsageError, match=f"--against transformers: .*{words}"):
        verify_here(config, score=None)
