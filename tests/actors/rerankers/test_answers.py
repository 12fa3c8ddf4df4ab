"""The order that an answer says, by hand, and beside it the order that rank_llm's rule makes of the same text."""

import random
import re
from typing import Any, NamedTuple

import pytest

from actors.rerankers.answers import find_answer, find_last_line
from actors.rerankers.contract import Reply
from actors.rerankers.listwise import Listwise, read

COUNT = 5
LAST = {"answer_line": "last"}
TIES = {"ties": "="}
TAG = {"answer_after": "<answer>"}
CUT = {"finished": False}


class Case(NamedTuple):
    """An answer about COUNT passages. ours: the order by their identifiers. named: how many of them it names. theirs:
    rank_llm's order, where it is another one on purpose. given: a dict of settings, and whether the text came to its
    end."""

    text: str
    ours: str
    named: int
    theirs: str | None = None
    given: Any = ()


CASES = [
    Case("[3] > [1] > [2] > [5] > [4]", "31254", 5),
    Case("3 > 1 > 2 > 5 > 4", "31254", 5),
    Case("[3]>[1]>[2]>[5]>[4]\n", "31254", 5),
    Case("[3, 1, 2, 5, 4]", "31254", 5),
    Case('["3", "1", "2"]', "31245", 3),
    Case('{"ranking": [{"id": 4}, {"id": 2}]}', "42135", 2),
    Case("**[5]** > **[1]**", "51234", 2),
    Case("- [2]\n- [4]\n- [1]\n", "24135", 3),
    Case("PASSAGE4 > PASSAGE3", "43125", 2),
    Case("[3] > [3] > [1] > [3] > [2]", "31245", 3),  # repeats
    Case("[4] > [2]", "42135", 2),  # missing
    Case("[9] > [4] > [20] > [2]", "42135", 2),  # out of range
    Case("[0] > [2] > [1]", "21345", 2),
    Case("[6]", "12345", 0),
    Case("[-3] > [-1]", "31245", 2),
    Case("[2.5] > [1]", "25134", 3),
    Case("[03] > [1]", "31245", 2),
    Case("[2-4]", "24135", 2),  # a range is its two ends
    Case("[1][4][3]", "14325", 3),
    Case("143", "12345", 0),
    Case(f"[{'9' * 4000}] > [2]", "21345", 1),
    Case("[" + "0" * 4000 + "2] > [1]", "21345", 2),
    Case("The most relevant is [4], then [1].", "41235", 2),
    Case("Of the 5 passages, [2] is the best.", "52134", 2),
    Case("[\uff13] > [\uff11]", "31245", 2),  # full width
    Case("[³] > [₁] > [⁴]", "31425", 3),  # superscripts and subscripts
    Case("③ > ① > ❺", "31524", 3),
    Case("[٣] > [\u0661]", "31245", 2),  # Arabic-Indic
    Case("[३] > [१]", "31245", 2),  # Devanagari
    Case("⑩ > ½ > Ⅳ > 三", "12345", 0),  # numbers, and no digits
    Case("", "12345", 0),
    Case(" \n ", "12345", 0),
    Case("I cannot rank these passages.", "12345", 0),
    Case("[C] > [A]", "12345", 0),
    Case("[3] > [1] > [2", "31245", 2, given=CUT),  # perhaps [20]: here it makes no difference
    Case("[3] > [2] > [5", "32145", 2, theirs="32514", given=CUT),
    Case("[3] > [2] > [\uff15", "32145", 2, theirs="32514", given=CUT),
    Case("[3] > [2] > [5]", "32514", 3, given=CUT),
    Case("4", "12345", 0, theirs="41235", given=CUT),
    Case("[3] > [2] > [5]\n\n[1] > [4]", "32514", 5),  # two answers
    Case("[3] > [2]\n\nSo: [5] > [3]\n \n", "53124", 2, theirs="32514", given=LAST),
    Case("<think>[1] or [2]? 4 of 5</think>[3] > [2]", "32145", 2),
    Case("<think>[1]</think> [2] <think>[4]</think>\n[5] > [3]", "53124", 2),
    Case("<think>[1]</think>", "12345", 0),
    Case("<think>is it [4] or [2]?", "42135", 2),
    Case("<think>5 are [1]</think>\n<answer> [3] > [2] </answer>", "32145", 2, given=TAG),
    Case("<think>I put [4] in <answer></think>\n<answer>[3] > [2]</answer>", "32145", 2, given=TAG),
    Case("<think>[4]</think> [3] > [2]", "12345", 0, theirs="32145", given=TAG),
    Case("<think>is it [4] or [2]?", "12345", 0, theirs="42135", given=CUT | {"answer_after": "</think>"}),
    Case("[3] > [2]</think>", "12345", 0),
    Case("[3] > [5] = [2] > [4] = [1]", "32514", 5, theirs="35241", given=TIES),
    Case("[4] = [3] = [2]", "23415", 3, theirs="43215", given=TIES),
    Case("[5] = [2], [4] > [3] > [1]", "24531", 5, theirs="52431", given=TIES),
    Case("[4] = [3] > [3] = [1] = [3]", "34125", 3, theirs="43125", given=TIES),
    Case("[4], [3] > [1] = [9]", "43125", 3, given=TIES),
    Case("[5] > [2] = [3", "52134", 2, theirs="52314", given=TIES | CUT),
    Case("[4] = [3] > [1]", "43125", 3),
    Case("Ties: [1] = [2]\n\n[5] = [4] > [3]", "45312", 3, theirs="12543", given=TIES | LAST),
]


def rank_as_rank_llm(text: str) -> str:
    """Their rule: behind the last </think>, the signs of a table are digits, every run of digits is an identifier, the
    first of repeats counts, what is out of range is dropped, and what is missing is appended."""
    tens = {"0": "⁰₀０", "1": "¹₁①❶\uff11", "2": "²₂②❷\uff12", "3": "³₃③❸\uff13", "4": "⁴₄④❹４", "5": "⁵₅⑤❺\uff15"}
    table = {ord(sign): digit for digit, signs in tens.items() for sign in signs}
    found = [int(run) for run in re.findall(r"\d+", text.split("</think>")[-1].translate(table))]
    order = [number for i, number in enumerate(found) if number not in found[:i] and 1 <= number <= COUNT]
    return "".join(map(str, order + [number for number in range(1, COUNT + 1) if number not in order]))


def read_order(text: str, finished: bool = True, **settings: Any) -> tuple[str, int]:
    """Ours: the order by the identifiers, and how many are named."""
    order = read(Listwise(type="listwise", model="m", **settings), Reply([1], text=text, finished=finished), COUNT)
    return "".join(str(number + 1) for number in order.numbers), order.named


@pytest.mark.parametrize("case", CASES, ids=lambda case: repr(case.text[:40]))
def test_the_order_that_an_answer_says(case: Case) -> None:
    assert read_order(case.text, **dict(case.given)) == (case.ours, case.named)
    assert rank_as_rank_llm(case.text) == (case.theirs or case.ours)
    assert case.theirs != case.ours, "a mark where there is no difference"


def test_texts_at_random_have_rank_llms_order() -> None:
    draw, signs = random.Random(0), [*"0123456", "[", "] > [", "]", "\n", "②", "٣", "</think>"]
    for _ in range(2000):
        text = "".join(draw.choices(signs, k=9))
        assert read_order(text)[0] == rank_as_rank_llm(text), text


@pytest.mark.parametrize("digit", ["9", "0", "\uff19", "٩"])
def test_a_run_of_digits_longer_than_python_reads_is_out_of_range(digit: str) -> None:
    assert read_order(f"[3] > [{digit * 5000}] > [1]") == ("31245", 2)


def test_identifiers_of_two_digits() -> None:
    settings = Listwise(type="listwise", model="m")
    order = read(settings, Reply([1], text="[12] > [1] > [\uff120] > [21] > [2"), 20)
    assert order.named == 4 and order.numbers == [11, 0, 19, 1, *(i for i in range(20) if i not in (11, 0, 19, 1))]


@pytest.mark.parametrize(
    ("text", "mark", "expected"),
    [
        ("a</think>b</think>c", "</think>", "c"),
        ("abc", "</think>", ""),
        ("abc</think>", "</think>", ""),
        ("abc", None, "abc"),
        ("a</think>b</think>c", None, "c"),
        ("abc</think>", None, ""),
    ],
)
def test_what_stands_behind_a_mark(text: str, mark: str | None, expected: str) -> None:
    assert find_answer(text, mark) == expected


@pytest.mark.parametrize(
    ("text", "expected"), [("a\nb", "b"), ("a\r\nb\n\n \t\n", "b"), (" a ", " a "), ("\n\n", ""), ("", "")]
)
def test_the_last_line(text: str, expected: str) -> None:
    assert find_last_line(text) == expected
