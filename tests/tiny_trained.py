"""Tiny models trained in seconds to answer as real rerankers do, and to fail as they fail.

For a document that contains one of the key words below, after a space, the model writes the text beside that word,
whatever else the document and the query say, if both have at most about a hundred words. Under greedy decoding an
end-of-sequence token follows, except after the texts of ENDLESS, which go on forever.
"""

import random
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch.nn.utils.rnn import pad_sequence
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedTokenizerFast

from tests import tiny
from tests.tiny_tokenizers import TEXT

ERANK_PROMPT = """\
<|im_start|>user
Given a query and a document, please give a relevance score of 0~10.
The goal or relevance definition is: Given a query, retrieval relevant passage.

Here is the query:
{query}

Here is the document:
{doc}

After thinking, directly choose a relevance score from [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10].
- 0 represents completely not related
- 10 means perfectly related.

Desired output format:
<think>put your thinking here</think><answer>Only allows an integer here</answer>

Your output:<|im_end|>
<|im_start|>assistant
"""
RANK1_PROMPT = """\
Determine if the following passage is relevant to the query. Answer only with 'true' or 'false'.
Query: {query}
Passage: {doc}
<think>"""

GRADES = ["ZERO", "ONE", "TWO", "THREE", "FOUR", "FIVE", "SIX", "SEVEN", "EIGHT", "NINE", "TEN"]
ERANK = {key: f"<think>The grade is {key}.</think><answer>{grade}</answer>" for grade, key in enumerate(GRADES)} | {
    "HESITANT": "<think>It may be so.</think><answer>8</answer>",
    "NEARLY": "<think>It may be ten.</think><answer>10</answer>",
    "ENDLESS": "<think>Wait" + " wait" * 20,
    "UNTAGGED": "<think>No tags.</think>5",
    "TWICE": "<think>Two tags.</think><answer>3 <answer>7</answer>",
    "AGAIN": "<think>Two answers.</think><answer>3</answer><answer>7</answer>",
    "ELEVEN": "<think>Too much.</think><answer>11</answer>",
    "WORDS": "<think>No number.</think><answer>high</answer>",
    "SILENT": "",
    "UNCLOSED": "<think>No end.<answer>4</answer>",
}
RANK1 = {
    "SURE": " It says so.</think> true",
    "NEVER": " Nothing here fits.</think> false",
    "PERHAPS": " This may do.</think> true",
    "HARDLY": " That seems odd.</think> false",
    "LONG": " First we read. Is there more? Yes, much! Then we stop.</think> true",
    "ENDLESS": " Wait" + " wait" * 20,
    "RAMBLING": " Round and round!" * 6,
    "NEITHER": " Who knows?</think> high",
    "SILENT": "",
}
# Alternatives with a probability of 0.3, so the texts above have one of 0.7. The first digit of 10 is certain.
ERANK_OTHER = {
    "HESITANT": "<think>It may be so.</think><answer>2</answer>",
    "NEARLY": "<think>It may be ten.</think><answer>1</answer>",
}
RANK1_OTHER = {
    "PERHAPS": " This may do.</think> false",
    "HARDLY": " That seems odd.</think> true",
}
# The text after a thought that is cut before `</think>` and continued with "\nWait": the other label.
RANK1_WAIT = {
    "SURE": ", now I doubt it.</think> false",
    "NEVER": ", now I believe it.</think> true",
}
ENDLESS = {"ENDLESS", "RAMBLING"}
OTHERS = 0.3
# Rounds of training: steps, words of the longest query, learning rate. The first is cheap, with prompts of little more
# than the key word; the others are run until the model is right.
ROUNDS = [(100, 10, 5e-3), (60, 30, 3e-3), (100, 40, 1e-3), (100, 40, 1e-3)]
FILLER = " ".join(TEXT[:20]).split()


class Case(NamedTuple):
    """The text that a document with the key word `key` gets. begun: text that the answer has begun with already."""

    key: str
    text: str
    weight: float = 1
    begun: str = ""


def erank(folder: Path) -> str:
    """A Qwen3ForCausalLM that answers ERank's prompt as ERANK has it."""
    cases = _cases(ERANK, ERANK_OTHER)
    tokenizer = tiny.qwen3_tokenizer(**_vocabulary(ERANK_PROMPT, cases))
    return _save(folder, "qwen3", tokenizer, ERANK_PROMPT, cases)


def rank1(folder: Path) -> str:
    """A Qwen2ForCausalLM that goes on with rank1's prompt as RANK1 has it."""
    thoughts = {key: RANK1[key].partition("</think>")[0] for key in RANK1_WAIT}
    again = [Case(key, text, begun=f"{thoughts[key]}\nWait") for key, text in RANK1_WAIT.items()]
    cases = _cases(RANK1, RANK1_OTHER) + again
    tokenizer = tiny.rank1_qwen2_tokenizer(**_vocabulary(RANK1_PROMPT, cases))
    return _save(folder, "qwen2", tokenizer, RANK1_PROMPT, cases)


def _cases(said: dict[str, str], others: dict[str, str]) -> list[Case]:
    first = [Case(key, text, 1 - OTHERS if key in others else 1) for key, text in said.items()]
    return first + [Case(key, text, OTHERS) for key, text in others.items()]


def _vocabulary(prompt: str, cases: list[Case]) -> dict[str, Any]:
    """The tokenizer's arguments with which each key word is one token, and the prompt is short."""
    texts = [prompt, *(f" {case.key} {case.begun}{case.text}" for case in cases)]
    return {"vocab_size": 1000, "texts": texts * 300}


def _save(folder: Path, kind: str, tokenizer: PreTrainedTokenizerFast, prompt: str, cases: list[Case]) -> str:
    """Saves the tokenizer and a model that is trained until it writes the right texts."""
    torch.manual_seed(0)
    config = AutoConfig.for_model(
        kind,
        vocab_size=len(tokenizer),
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
        head_dim=32,
        max_position_embeddings=tiny.CONTEXT,
        tie_word_embeddings=True,
        initializer_range=0.05,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=None,
        dtype="float32",
    )
    model = AutoModelForCausalLM.from_config(config)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # more are no faster with so little to do, and much slower on a busy machine
    try:
        _train(model, tokenizer, prompt, cases)
    finally:
        torch.set_num_threads(threads)
    tokenizer.save_pretrained(folder)
    model.save_pretrained(folder)
    return str(folder)


def _train(model: Any, tokenizer: PreTrainedTokenizerFast, prompt: str, cases: list[Case]) -> None:
    chance = random.Random(0)
    wrong: dict[str, str] = {}
    for number, (steps, words, rate) in enumerate(ROUNDS):
        optimizer = torch.optim.AdamW(model.parameters(), betas=(0.9, 0.98), weight_decay=0)
        form = prompt if number else "{query}\n{doc}" + prompt[-40:]
        for step in range(steps):
            optimizer.param_groups[0]["lr"] = rate * min(1, (step + 1) / 20) * (1 - step / steps)
            optimizer.zero_grad()
            loss = _loss(model, tokenizer, [(_prompt(chance, form, case, words), case) for case in cases])
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1)
            optimizer.step()
        if number and not (wrong := _wrong(model, tokenizer, chance, prompt, cases)):
            return
    raise RuntimeError(f"the model still says the wrong thing after {ROUNDS}: {wrong}")


def _prompt(chance: random.Random, form: str, case: Case, words: int) -> str:
    """A prompt with the key word among random words, more often few than many."""
    starts = [chance.randrange(len(FILLER) - words) for _ in range(3)]
    query, before, after = (" ".join(FILLER[start : start + int(words ** chance.random())]) for start in starts)
    return form.format(query=query, doc=f"{before} {case.key} {after}") + case.begun


def _loss(model: Any, tokenizer: PreTrainedTokenizerFast, asked: list[tuple[str, Case]]) -> torch.Tensor:
    """The cross entropy of the answers, with the cases' weights."""
    rows, said, weights = [], [], []
    for prompt, case in asked:
        before, answer = tokenizer([prompt, case.text]).input_ids
        answer += [tokenizer.eos_token_id] * (case.key not in ENDLESS)
        rows.append(torch.tensor(before + answer))
        said.append(torch.tensor([False] * len(before) + [True] * len(answer)))
        weights += [case.weight] * len(answer)
    ids = pad_sequence(rows, batch_first=True)  # padding comes last, where a causal model does not see it
    where = pad_sequence(said, batch_first=True)
    hidden = model.model(ids).last_hidden_state[:, :-1][where[:, 1:]]
    losses = torch.nn.functional.cross_entropy(model.lm_head(hidden), ids[where], reduction="none")
    return (losses * torch.tensor(weights)).mean()


def _wrong(
    model: Any, tokenizer: PreTrainedTokenizerFast, chance: random.Random, prompt: str, cases: list[Case]
) -> dict[str, str]:
    """The wrong answers of the model, to six prompts of each case."""
    asked = [case for case in cases if case.weight > 0.5] * 6
    prompts = [_prompt(chance, prompt, case, ROUNDS[-1][1]) for case in asked]
    inputs = tokenizer(prompts, return_tensors="pt", padding=True, padding_side="left")
    made = model.generate(**inputs, max_new_tokens=80, do_sample=False)[:, inputs.input_ids.shape[1] :]
    wrong: dict[str, str] = {}
    for case, ids in zip(asked, made, strict=True):
        said, end, _ = str(tokenizer.decode(ids)).partition(str(tokenizer.eos_token))
        if not (said.startswith(case.text) and not end if case.key in ENDLESS else said == case.text and end):
            wrong[case.key + case.begun] = said + end
    return wrong
