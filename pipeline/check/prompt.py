"""The model's view: the tokens around the texts, which texts get no token, and one prompt as it is."""

from typing import Any

from actors.rerankers import RERANKERS, Settings
from actors.rerankers.contract import Pair, Prompt, Unscored
from actors.rerankers.passages import cut_pair
from actors.rerankers.tokenizer import Tokenizer
from pipeline.errors import say

SHOWN = 20  # control tokens that are named
MADE_UP = Pair("what is an apple?", "An apple is a fruit.", "Find the answer.")
SAMPLE = (
    "An apple  is a fruit, isn't it?\n\n\tIt cost 1,234.5 in 2024.",
    "Où est 苹果? नमस्ते 👩‍🚀 e\u0301 ﬁ",
    " yes",
    "no",
)


def check_frame(tokenizer: Tokenizer, settings: Settings, probe: Prompt) -> None:
    """Raises ValueError where a prompt has what the tokenizer puts around a text twice; says what else is doubtful."""
    before, after = tokenizer.ids_around
    for ids in map(list, probe.sequences):
        for twice, where, found in (
            (before * 2, "begins with", ids[: 2 * len(before)]),
            (after * 2, "ends with", ids[len(ids) - 2 * len(after) :]),
        ):
            if twice and found == twice:
                raise ValueError(
                    f"the prompt {where} {tokenizer.decode(found)!r}: the tokenizer puts the half of it there by "
                    "itself, so leave it out of the config"
                )
    writes = RERANKERS[settings.type].request(settings).task == "generate" and not tokenizer.has_encoder
    if writes and after and _ends(probe, after):
        say(
            f"the tokenizer puts {tokenizer.decode(after)!r} behind the prompt, and the answer is read behind that; if "
            "the model was not trained so, set add_eos_token to false in its tokenizer_config.json, or take the token "
            "out of the post_processor of its tokenizer.json"
        )
    first, between, last = tokenizer.ids_around_pair
    again = first and between == first and not last and first[0] in list(probe.sequences[0])[1:]
    if settings.type == "cross_encoder" and again:
        say(
            f"the tokenizer puts {tokenizer.decode(first)!r} before the document, too; if the model was trained on one "
            "text, give that as reranker.prompt in place of the templates"
        )


def _ends(probe: Prompt, after: list[int]) -> bool:
    return all(list(ids[len(ids) - len(after) :]) == after for ids in probe.sequences)


def describe_prompt(tokenizer: Tokenizer, settings: Settings, pair: Pair | None) -> list[str]:
    """Lines about the texts and one prompt. pair: of the input; None for a made-up one."""
    lines = [_name_control(tokenizer)]
    whose = "a made-up pair's prompt" if pair is None else "the first row's prompt"
    first = cut_pair(tokenizer, pair or MADE_UP, settings.passages)[0]
    if settings.passages:
        whose += " of its first passage"
    if RERANKERS[settings.type].whole_query:
        whose += " in a window of its own"
    (made,) = RERANKERS[settings.type].prompt(tokenizer, settings, [first])
    if isinstance(made, Unscored):
        return [*lines, f"{whose}: none, {made.reason}"]
    for ids in map(list, made.sequences):
        cut = ", its document cut" if made.truncated else ""
        lines += [f"{whose}, {len(ids)} tokens{cut}: {show(tokenizer, ids)}", f"{whose}, as ids: {ids}"]
    return lines


def show(tokenizer: Tokenizer, ids: list[int]) -> str:
    """A prompt as text in one line, its special tokens in ⟦ ⟧."""
    text, plain = "", list[int]()
    for i in [*ids, None]:
        if i is not None and i not in tokenizer.control:
            plain.append(i)
            continue
        text += repr(tokenizer.decode(plain))[1:-1] if plain else ""
        text += f"⟦{tokenizer.control[i].content}⟧" if i is not None else ""
        plain = []
    return text


def _name_control(tokenizer: Tokenizer) -> str:
    names = sorted({token.content for token in tokenizer.control.values()})
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return f"control tokens, which no text gets: {' '.join(names[:SHOWN])}{more}"


def compare_with_auto(tokenizer: Tokenizer, settings: Settings) -> str | None:
    """A line where AutoTokenizer makes other ids of a sample of texts than tokenizer.json. It imports torch."""
    if settings.trust_remote_code:
        return None  # it is AutoTokenizer's
    try:
        return compare_sample(tokenizer, load_auto(settings))
    except Exception as error:  # of any kind, where its class and the files do not go together
        return f"{name_auto()} cannot use this tokenizer ({type(error).__name__}); rayrank goes by tokenizer.json"


def load_auto(settings: Settings) -> Any:
    """The tokenizer by AutoTokenizer, which takes seconds. Raises errors of any kind."""
    from transformers import AutoTokenizer

    source = {"revision": settings.revision, "trust_remote_code": settings.trust_remote_code}
    return AutoTokenizer.from_pretrained(settings.model, **source)


def compare_sample(tokenizer: Tokenizer, auto: Any) -> str | None:
    """A line about the first text of the sample of which the two make other ids."""
    for text in SAMPLE:
        own, other = tokenizer.pretrained.encode(text), auto.encode(text)
        if own != other:
            return (
                f"{name_auto(auto)} makes other ids of {text!r} than tokenizer.json, by which rayrank goes: "
                f"{other[:12]} in place of {own[:12]}"
            )
    return None


def name_auto(auto: Any = None) -> str:
    """AutoTokenizer, and the class that it chose, if it could."""
    import transformers  # imported here: it takes a second

    chosen = "" if auto is None else f" ({type(auto).__name__})"
    return f"AutoTokenizer of transformers {transformers.__version__}{chosen}"
