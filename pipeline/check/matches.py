"""Whether a tokenizer, a chat template and a model belong together, as far as ids and one row of the input tell."""

import re
from typing import Any

from actors.engines import get_engine
from actors.rerankers import RERANKERS, Settings
from actors.rerankers.contract import Pair, Prompt
from actors.rerankers.files import read_optional_file
from actors.rerankers.split import check_texts, find_idle_kwargs, find_unwritten_turn
from actors.rerankers.tokenizer import Tokenizer, count_positions
from pipeline.config import Config
from pipeline.errors import UsageError, say

MARK = re.compile(r"<\|[^|<>\s]+\|>")  # ChatML's form, and that of many others
MOST_UNKNOWN = 1 / 3  # of the tokens of texts
CUT_BY_TOKENIZER = ("cross_encoder", "bi_encoder")  # types whose authors leave it to the tokenizer to cut a text
UNESCAPED = re.compile(r"\\[nt](?![a-z])")  # and not \nabla
LONGEST_WORD = 100  # letters; longer ones are unknown to every WordPiece


def check_ids(config: Config, tokenizer: Tokenizer) -> None:
    """Raises ValueError where the tokenizer's padding or types of tokens are not the model's."""
    settings, pretrained = config.reranker, tokenizer.pretrained
    overrides = get_engine(config.engine).config_overrides(config.engine)
    declared = (read_optional_file(settings, "config.json") or {}) | overrides
    own, padding = pretrained.pad_token_id, declared.get("pad_token_id")
    if count_positions(declared) is not None and None not in (own, padding) and own != padding:
        raise ValueError(
            f"pad_token_id is {padding} in its config.json and {own} in its tokenizer, and the model counts its "
            "positions from there; set the right one in config.json, or by engine.hf_overrides.pad_token_id"
        )
    types, used = declared.get("type_vocab_size"), "token_type_ids" in pretrained.model_input_names
    if settings.type == "cross_encoder" and types and used:
        largest = max(pretrained.backend_tokenizer.encode("a", "a").type_ids)
        if largest >= types:
            raise ValueError(
                f"the tokenizer gives the second text the type {largest}, and the model has type_vocab_size = {types}; "
                "do the two belong together?"
            )


def note_prompt(tokenizer: Tokenizer, settings: Settings, probe: Prompt) -> None:
    """Says what is doubtful about a prompt that was made of short texts."""
    pretrained = tokenizer.pretrained
    text = " ".join(tokenizer.decode([i for i in ids if i not in tokenizer.control]) for ids in probe.sequences)
    if spelt := sorted(set(MARK.findall(text)) - pretrained.get_vocab().keys()):
        say(
            f"the prompt has {' '.join(spelt)}, which is no token of this tokenizer: the model reads it letter by "
            "letter; right only for a model that was trained so"
        )
    if UNESCAPED.search(settings.templates):
        say(
            "the config's prompt or template has a backslash before an n or a t, which the model reads as two letters; "
            'YAML takes them for a line break or tab in "double quotation marks" alone'
        )
    for name in find_idle_kwargs(tokenizer):
        say(f"reranker.chat_template_kwargs.{name} changes nothing of the prompt: the template does so by itself")
    request, separator = RERANKERS[settings.type].request(settings), pretrained.sep_token_id
    if request.task == "classify" and separator is not None and separator not in list(probe.sequences[0]):
        say(
            f"the prompt has no {pretrained.sep_token!r}, though the tokenizer has that token: query and document run "
            "into each other; look at the post_processor of its tokenizer.json"
        )
    if settings.type in CUT_BY_TOKENIZER and pretrained.truncation_side == "left":
        say(
            "the tokenizer has truncation_side = 'left', so its authors' code keeps the end of a long document, and "
            "rayrank its beginning"
        )
    if request.labels and (turn := find_unwritten_turn(tokenizer)):
        say(
            f"the chat template does not begin the assistant's turn, so the answer is read behind {turn!r}; does it "
            "use add_generation_prompt?"
        )


def check_first_pairs(tokenizer: Tokenizer, settings: Settings, pairs: list[Pair]) -> None:
    """Raises UsageError where the chat template makes another prompt of rows of the input than is made of them; says
    where the tokenizer does not know their texts."""
    try:
        check_texts(tokenizer, pairs)
    except ValueError as error:
        raise UsageError(
            f"reranker.model = {settings.model!r}: with the texts of the input's first {len(pairs)} rows, {error}"
        ) from None
    if texts := [text for pair in pairs for text in (pair.query, pair.doc)]:
        _note_unknown(tokenizer.pretrained, texts)


def _note_unknown(pretrained: Any, texts: list[str]) -> None:
    """Says where more than MOST_UNKNOWN of the tokens are unknown, or a plain English word is."""
    plain, unknown = pretrained.backend_tokenizer, pretrained.unk_token_id
    if unknown is None:
        return
    encoded = plain.encode_batch(texts, add_special_tokens=False)
    spans = [
        text[start:end]
        for text, one in zip(texts, encoded, strict=True)
        for i, (start, end) in zip(one.ids, one.offsets, strict=True)
        if i == unknown
    ]
    words = [span for span in spans if span.isascii() and span.isalpha() and len(span) < LONGEST_WORD]
    if words or len(spans) > MOST_UNKNOWN * sum(len(one.ids) for one in encoded):
        say(
            f"{len(spans)} tokens of the input's first {len(texts) // 2} rows are unknown to the tokenizer "
            f"({pretrained.unk_token}), {(words or spans)[0][:50]!r} among them; is it made for such texts?"
        )


def check_ends(settings: Settings, rows: int) -> None:
    """Raises UsageError where a token that is to end an answer has none of the `rows` of embeddings."""
    if RERANKERS[settings.type].request(settings).max_tokens == 1:
        return
    for name in ("config.json", "generation_config.json"):
        ids: Any = (read_optional_file(settings, name) or {}).get("eos_token_id")
        for number in ids if isinstance(ids, list) else [ids]:
            if isinstance(number, int) and number >= rows:
                raise UsageError(
                    f"reranker.model = {settings.model!r}: eos_token_id in its {name} is {number}, and the model has "
                    f"{rows} embeddings: its answers would never end"
                )
