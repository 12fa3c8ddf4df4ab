"""ERank (Alibaba-NLP/ERank-4B, -14B, -32B): reasons, then answers 0 to 10; the score is s * Pr(s), in [0, 10].

Source: prompt and truncation from examples/utils.py beside the model; the score from the paper (arXiv 2509.00520,
section 3.2); the presets from its table 7. Our choices where these are silent:
  Pr(s) is the product of the probabilities of the digit tokens of s (10 has two). They are read by a follow-up of one
  token for each digit, so that the reasoning carries no probabilities. An answer of 0 scores 0 without a follow-up.
  A generation ends with the first `</answer>`; the answer is the text between the last `<answer>` before it and it.
  If a prompt leaves less than a quarter of max_new_tokens, its document is cut.
  There is no score if the answer is not a whole number from 0 to 10, or does not end within max_new_tokens.
The paper's hybrid is fusion: {method: zscore, alpha: 0.2}.
"""

import re

import numpy as np
from pydantic import Field, field_validator

from actors.rerankers.contract import FollowUp, Pair, Prompt, Reply, Request, Reranker, Unscored
from actors.rerankers.settings import TextSettings
from actors.rerankers.split import render_chat
from actors.rerankers.templates import fill_template, room_to_write
from actors.rerankers.tokenizer import DOC, INSTRUCTION, QUERY, Tokenizer

PROMPT = f"""\
Given a query and a document, please give a relevance score of 0~10.
The goal or relevance definition is: {INSTRUCTION}

Here is the query:
{QUERY}

Here is the document:
{DOC}

After thinking, directly choose a relevance score from [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10].
- 0 represents completely not related
- 10 means perfectly related.

Desired output format:
<think>put your thinking here</think><answer>Only allows an integer here</answer>

Your output:"""
PRESETS = {
    "beir": "Given a query, retrieval relevant passage.",
    "bright": "A document is relevant if it contains information that helps answer or address the query. A document "
    "is not relevant if it doesn't contain information that helps answer the query, even if it mentions similar "
    "topics.",
    "bright-aops": "We want to find different but similar math problems to the query. A document is relevant if it "
    "uses the same class of functions and shares any overlapping techniques.",
    "bright-leetcode": "I am looking to find different problems that share similar data structures (of any kind) or "
    "algorithms (e.g. DFS, DP, sorting, traversals, etc.). I am looking for problems that share one or both of these "
    "similarities to the query. Does the passage below share any similarities? e.g. if there was a textbook on "
    "leetcode problems, this would be in the same book even though it could be in a different chapter.",
    "bright-pony": "I will use the programming language pony. But to solve the problem above, I need to know things "
    "about pony. A passage is relevant if it contains docs that match any part (even basic parts) of the code I will "
    "have to write for the above program.",
    "bright-theoremqa": "We want to find a document which uses the same mathematical process as the query. A document "
    "is relevant if it uses the same mathematical process as the query.",
    "followir": "Retrieval the relevant passage for the given query. Be careful about the extra requirements about "
    "relevance in the query.",
}
DIGITS = tuple("0123456789")
SETS = re.compile(r"(beir|bright|followir)[\w-]*")  # names of collections, of which a column may be full
UNKNOWN = f"is one word, and none of the presets {', '.join(PRESETS)}"


class ERank(TextSettings):
    instruction: str = "beir"  # the name of a preset, or any other text
    max_query_tokens: int | None = Field(default=2048, ge=1)
    max_doc_tokens: int | None = Field(default=2048, ge=1)
    max_new_tokens: int = Field(default=4096, ge=2)

    @field_validator("instruction")
    @classmethod
    def _check_instruction(cls, instruction: str) -> str:
        if instruction not in PRESETS and re.fullmatch(r"[\w-]+", instruction, re.ASCII):
            raise ValueError(UNKNOWN)
        return instruction


def request(settings: ERank) -> Request:
    return Request("generate", max_tokens=settings.max_new_tokens, labels=DIGITS, stop=("</answer>",))


def prompt(tokenizer: Tokenizer, settings: ERank, pairs: list[Pair]) -> list[Prompt | Unscored]:
    template = render_chat(tokenizer, [{"role": "user", "content": PROMPT}])
    names = [pair.instruction for pair in pairs]
    pairs = [pair._replace(instruction=PRESETS.get(pair.instruction or "", pair.instruction)) for pair in pairs]
    short = [_cut_texts(tokenizer, settings, pair) for pair in pairs]
    made = fill_template(tokenizer, template, short, room_to_write(tokenizer, settings.max_new_tokens))
    return [
        Unscored(f"its instruction {UNKNOWN}") if name not in PRESETS and SETS.fullmatch(name or "") else each
        for name, each in zip(names, made, strict=True)
    ]


def _cut_texts(tokenizer: Tokenizer, settings: ERank, pair: Pair) -> Pair:
    """The pair with its texts cut as the reference cuts them: a character that is cut in half becomes U+FFFD."""
    query, cut_query = tokenizer.cut_and_decode(pair.query, settings.max_query_tokens)
    doc, cut_doc = tokenizer.cut_and_decode(pair.doc, settings.max_doc_tokens)
    return pair._replace(query=query, doc=doc, truncated=pair.truncated or cut_query or cut_doc)


def score(tokenizer: Tokenizer, settings: ERank, replies: list[Reply]) -> float | Unscored | FollowUp:
    written, *read = replies
    answer = _parse_answer(settings, written)
    if isinstance(answer, Unscored) or answer == "0":
        return answer if isinstance(answer, Unscored) else 0.0
    if read:
        labels = [DIGITS.index(digit) for digit in answer]
        logprobs = [np.asarray(reply.label_logprobs)[label] for reply, label in zip(read, labels, strict=True)]
        return int(answer) * float(np.exp(sum(logprobs)))
    positions = _find_digits(tokenizer, written.tokens, answer)
    if positions is None:
        return Unscored(f"the digits of the answer {answer} are not tokens of their own")
    return FollowUp([written.prompt + list(written.tokens[:position]) for position in positions])


def _parse_answer(settings: ERank, written: Reply) -> str | Unscored:
    """The number between the answer tags, as text."""
    before, closed, _ = written.text.partition("</answer>")
    _, opened, answer = before.rpartition("<answer>")
    if not closed or not opened:
        limit = "" if written.finished else f" within {len(written.tokens)} new tokens"
        return Unscored(f"the model wrote no {'<answer>' if closed else '</answer>'}{limit}")
    if not re.fullmatch("[0-9]|10", answer.strip()):
        return Unscored(f"the model's answer is not a whole number of 0 to 10: {answer.strip()[:40]!r}")
    return answer.strip()


def _find_digits(tokenizer: Tokenizer, tokens: tuple[int, ...], answer: str) -> list[int] | None:
    """The positions of the answer's digits in the generated tokens; None if a digit is not a token by itself."""
    digits = tokenizer.label_ids(answer)
    size = len(digits)
    for start in range(len(tokens) - size, -1, -1):
        if list(tokens[start : start + size]) == digits:
            tail = tokenizer.decode(tokens[start + size :])
            return list(range(start, start + size)) if tail.lstrip().startswith("</answer>") else None
    return None


RERANKER = Reranker(
    settings=ERank,
    request=request,
    prefix_side=lambda settings: "query",
    unit_rows=256,
    prompt=prompt,
    score=score,
    version=2,
)
