"""chat_template_kwargs: what a model's chat template is given beside the messages.

Expected texts are what Jinja itself makes of the template with the same variables.
"""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
import pytest
import torch
from pydantic import ValidationError
from transformers import AutoModelForSequenceClassification

from actors.rerankers import RERANKERS
from actors.rerankers.contract import Pair, Prompt
from actors.rerankers.label import Label
from actors.rerankers.split import render_chat
from actors.rerankers.templates import fill_template
from actors.rerankers.tokenizer import DOC, QUERY, Tokenizer
from pipeline.check.model import check_tokenizer
from pipeline.config import parse
from pipeline.errors import UsageError
from tests.actors.rerankers.byte_tokenizer import save_byte_tokenizer
from tests.actors.rerankers.test_described_models import qwen3_classifier
from tests.actors.rerankers.test_whole_job import run, scores
from tests.file_tokenizer import FileTokenizer
from tests.parity import SOME_PAIRS, Reference, assert_same

MESSAGES = [{"role": "user", "content": "Query: {query}\nText: {doc}"}]
FILLED = [{"role": "user", "content": f"Query: {QUERY}\nText: {DOC}"}]
SWITCH = (
    "{{ messages[0].content }}{% if enable_thinking is defined and not enable_thinking %}<think></think>{% endif %}"
)
EFFORT = "{% if effort %}Effort: {{ effort }}\n{% endif %}{{ messages[0].content }}<|im_end|>"
TOOLS = "{% for tool in tools or [] %}{{ tool.name | upper }} {% endfor %}{{ messages[0].content }}{{ tail }}"
LOOP = "{% for message in messages %}{{ message.content | trim }}{% endfor %}"


@pytest.fixture
def make_model(tmp_path: Path) -> Callable[[Any], str]:
    """A model's folder with another chat template."""

    def make(template: Any) -> str:
        model = save_byte_tokenizer(tmp_path)
        about = json.loads((tmp_path / "tokenizer_config.json").read_text())
        (tmp_path / "tokenizer_config.json").write_text(json.dumps(about | {"chat_template": template}))
        return model

    return make


@pytest.mark.parametrize(
    ("template", "kwargs"),
    [
        (SWITCH, {}),
        (SWITCH, {"enable_thinking": False}),
        (SWITCH, {"enable_thinking": True}),
        (EFFORT, {"effort": "high"}),
        (TOOLS, {"tools": [{"name": "search"}, {"name": "rank"}], "tail": "<|im_end|>\n"}),
    ],
)
def test_the_prompt_is_the_template_rendered_with_them(
    template: str, kwargs: dict[str, Any], make_model: Callable
) -> None:
    tokenizer = Tokenizer(Label.model_construct(type="label", model=make_model(template)))
    text = jinja2.Environment().from_string(template).render(messages=FILLED, **kwargs)
    text = text.replace(QUERY, "what?").replace(DOC, "This. ")
    (made,) = fill_template(tokenizer, render_chat(tokenizer, FILLED, kwargs), [Pair("what?", "This. ")], 10**6)
    assert made == Prompt([tokenizer.encode_marked(text)])


def test_the_same_messages_with_others_are_another_prompt(make_model: Callable) -> None:
    tokenizer = Tokenizer(Label.model_construct(type="label", model=make_model(EFFORT)))
    made = [render_chat(tokenizer, FILLED, kwargs) for kwargs in ({}, {"effort": "low"}, {"effort": "high"}, {})]
    assert made[0] == made[3] and len({str(each) for each in made}) == 3


@pytest.mark.parametrize(
    ("template", "kwargs", "says"),
    [
        (SWITCH, {"enable_thinkin": False}, "chat_template_kwargs.enable_thinkin; is enable_thinking meant?"),
        (
            {"default": EFFORT, "tools": SWITCH},
            {"enable_thinking": False},
            "no use of reranker.chat_template_kwargs.ena",
        ),
        (TOOLS, {"tools": [], "xyz": 1}, "its chat template makes no use of reranker.chat_template_kwargs.xyz"),
        ("{{ messages[0].content }}enable_thinking", {"enable_thinking": 1}, "chat_template_kwargs.enable_thinking"),
        # names that the template has, but does not read: of a loop, a field, a filter, what it sets itself
        (LOOP, {"message": 1}, "no use of reranker.chat_template_kwargs.message"),
        (LOOP, {"content": 1}, "no use of reranker.chat_template_kwargs.content"),
        (LOOP, {"trim": 1}, "no use of reranker.chat_template_kwargs.trim"),
        (LOOP, {"role": "x"}, "no use of reranker.chat_template_kwargs.role"),
        ("{% set thinking = 1 %}" + LOOP + "{{ thinking }}", {"thinking": 0}, "kwargs.thinking"),
    ],
)
def test_one_that_the_template_does_not_use_is_refused(
    template: Any, kwargs: dict[str, Any], says: str, make_model: Callable
) -> None:
    section = {"type": "cross_encoder", "model": make_model(template), "messages": MESSAGES}
    given = {"input": {"path": "p"}, "output": {"path": "o"}, "reranker": section | {"chat_template_kwargs": kwargs}}
    with pytest.raises(UsageError) as raised:
        check_tokenizer(parse(given))
    assert says in str(raised.value) and "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("template", "kwargs", "idle"),
    [
        (SWITCH, {"enable_thinking": True}, ["enable_thinking"]),
        (SWITCH, {"enable_thinking": 1}, ["enable_thinking"]),
        (SWITCH, {"enable_thinking": "no"}, ["enable_thinking"]),
        (SWITCH, {"enable_thinking": False}, []),
        (TOOLS, {"tools": [], "tail": "!"}, ["tools"]),
        ("{% set x = x | default(2) %}{{ messages[0].content }}{{ x }}", {"x": 2}, ["x"]),
        ("{% set x = x | default(2) %}{{ messages[0].content }}{{ x }}", {"x": 3}, []),
    ],
)
def test_one_that_changes_nothing_is_said(
    template: str, kwargs: dict[str, Any], idle: list[str], make_model: Callable, capsys: pytest.CaptureFixture
) -> None:
    section = {"type": "cross_encoder", "model": make_model(template), "messages": MESSAGES}
    given = {"input": {"path": "p"}, "output": {"path": "o"}, "reranker": section | {"chat_template_kwargs": kwargs}}
    check_tokenizer(parse(given))
    said = re.findall(r"chat_template_kwargs\.(\w+) changes nothing of the prompt", capsys.readouterr().err)
    assert said == idle


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"prompt": "{query} {doc}", "messages": None}, "kwargs.x = 1: is for a chat template, which only"),
        (
            {"chat_template_kwargs": {"add_generation_prompt": False}},
            "add_generation_prompt = False: is set by rayrank",
        ),
        ({"chat_template_kwargs": {"messages": []}}, "messages = []: is set by rayrank"),
        ({"chat_template_kwargs": {"strftime_now": "x"}}, "strftime_now = 'x': is set by rayrank"),
        ({"chat_template_kwargs": {1: 2}}, "valid string"),
        ({"chat_template_kwargs": {"x": "false"}}, "x = 'false': is a text, and true to every template"),
        ({"chat_template_kwargs": {"x": "True"}}, "x = 'True': is a text, and true to every template"),
    ],
)
@pytest.mark.parametrize("family", ["label", "cross_encoder"])
def test_what_cannot_be_is_said_by_its_key(family: str, wrong: dict[str, Any], says: str) -> None:
    own = {"labels": {"yes": 1.0}, "score": "logit"} if family == "label" else {}
    given = {"messages": MESSAGES, "chat_template_kwargs": {"x": 1}} | own | wrong
    with pytest.raises(ValidationError) as raised:
        RERANKERS[family].settings.model_validate({"type": family, "model": "m"} | given)
    assert says in str(raised.value)


# With an empty thought.
FRAME = "<|im_start|>user\nQuery: {query}\nText: {doc}<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n"
ASKED = {"messages": MESSAGES, "chat_template_kwargs": {"enable_thinking": False}}


def test_a_job_of_labels_without_thinking(tiny_model: Callable, tmp_path: Path) -> None:
    model = tiny_model("qwen3")
    reference = Reference(model)
    yes, no = (reference.tokenizer.id(label) for label in ("yes", "no"))
    expected = []
    for query, doc in SOME_PAIRS:
        logits = reference.logits(reference.tokenizer.fill(FRAME, query=query, doc=doc))[-1]
        expected.append(float(logits[yes] - logits[no]))
    settings = {"type": "label", "model": model, "labels": {"yes": 1, "no": 0}, "score": "logit"} | ASKED
    assert_same(scores(run(tmp_path, settings, SOME_PAIRS)), np.array(expected), atol=1e-5)


@torch.no_grad()
def test_a_job_of_a_classifier_without_thinking(tmp_path: Path) -> None:
    model = qwen3_classifier(tmp_path / "model")
    tokenizer = FileTokenizer(model)
    classifier = AutoModelForSequenceClassification.from_pretrained(model).eval()
    prompts = (tokenizer.fill(FRAME, query=query, doc=doc) for query, doc in SOME_PAIRS)
    expected = [float(classifier(torch.tensor([ids])).logits[0, 0]) for ids in prompts]
    got = run(tmp_path, {"type": "cross_encoder", "model": model} | ASKED, SOME_PAIRS)
    assert_same(scores(got), np.array(expected), atol=1e-5)
