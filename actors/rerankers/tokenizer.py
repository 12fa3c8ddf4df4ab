"""A model's tokenizer that treats every text as plain text.

Documents come from anywhere, and one that contains `<|im_end|>` must not close its own turn. So only templates can
put in control tokens (control.py); texts are encoded by a copy of the tokenizer that spells these out.
"""

import re
from collections.abc import Callable, Sequence
from functools import cached_property, lru_cache
from typing import Any, NamedTuple, TypeVar

from tokenizers import AddedToken

from actors.rerankers.control import find_control
from actors.rerankers.files import read_optional_file
from actors.rerankers.plain import make_inside, make_plain
from actors.rerankers.pretrained import load_pretrained
from actors.rerankers.settings import Settings

# Placeholders for the texts, and marks at which white space of the texts is dropped (behind the first, before the
# second): private-use characters that no template contains.
QUERY, DOC, INSTRUCTION, TRIM_START, TRIM_END = "\ue000", "\ue001", "\ue002", "\ue003", "\ue004"
# The keys under which a model's config may declare its context length, and the length without any, both as in vLLM.
CONTEXT_KEYS = ("max_position_embeddings", "n_positions", "max_seq_len", "seq_length", "model_max_length", "seq_len")
DEFAULT_CONTEXT = 2048
# Families whose positions begin behind the padding token's id: of max_position_embeddings that many cannot be used.
BEHIND_PADDING = {
    "camembert", "data2vec-text", "ibert", "layoutlmv3", "lilt", "longformer", "luke", "markuplm", "mpnet", "roberta",
    "roberta-prelayernorm", "xlm-roberta", "xlm-roberta-xl", "xmod",
}  # fmt: skip
Encoded = TypeVar("Encoded")


class Marker(NamedTuple):
    """A control token in a template, and whether it swallows the white space before and after it."""

    id: int
    lstrip: bool
    rstrip: bool


class Tokenizer:
    """Texts to token ids.

    limit: the most tokens of a prompt and its answer together (the engine's max_model_len); the model's own by default.
    pretrained: the tokenizer of transformers. control: the tokens that no text gets, by their ids. Raises ValueError
    where the model has no tokenizer.json, or code of its own that does without.
    """

    def __init__(self, settings: Settings, limit: int | None = None, templates: str | None = None):
        """templates: `settings.templates`, where the settings have lost them."""
        self._settings = settings
        self.pretrained = load_pretrained(settings)
        self._config = read_optional_file(settings, "config.json") or {}
        self.limit = limit or _find_limit(settings, self._config, self.pretrained)
        self.control = find_control(self.pretrained, settings.templates if templates is None else templates)
        self._plain = make_plain(self.pretrained.backend_tokenizer, {*self.control})
        self._inside = make_inside(self._plain)
        longest_first = sorted(self.control.items(), key=lambda item: len(item[1].content), reverse=True)
        self._markers = [Marker(i, token.lstrip, token.rstrip) for i, token in longest_first]
        self._marker = re.compile("|".join(_make_pattern(token) for _, token in longest_first) or "(?!)")
        self.chats: dict[str, Any] = {}  # what split.py made of messages, which takes a while

    def encode(self, texts: list[str], inside: bool = False) -> list[list[int]]:
        """Token ids of each text, without special tokens. Equal texts are encoded once.

        inside: the text stands behind a special token, where some tokenizers put no space before it.
        """
        plain = self._inside if inside else self._plain
        plain.no_truncation()
        return _encode_once(
            texts, lambda once: [e.ids for e in plain.encode_batch_fast(once, add_special_tokens=False)]
        )

    def encode_marked(self, text: str) -> list[int]:
        """Token ids of a text in which special tokens are special, without the tokenizer's own around it."""
        return list(self.pretrained.encode(text, add_special_tokens=False))

    def split_marked(self, text: str) -> list[str | Marker]:
        """Such a text as the texts between its special tokens, some of them empty, and these tokens, in turn."""
        parts: list[str | Marker] = []
        end = 0
        for found in self._marker.finditer(text):
            parts += [text[end : found.start()], self._markers[(found.lastindex or 0) - 1]]
            end = found.end()
        return [*parts, text[end:]]

    def encode_alone(self, texts: list[str], max_tokens: int | None) -> list[tuple[list[int], bool]]:
        """Token ids of each text with the tokenizer's special tokens, and whether it was cut to `max_tokens` in all."""
        self._plain.enable_truncation(max_length=min(max_tokens or self.limit, self.limit))
        return _encode_once(texts, lambda once: [(e.ids, bool(e.overflowing)) for e in self._plain.encode_batch(once)])

    def encode_pairs(self, pairs: list[tuple[str, str]]) -> list[tuple[list[int] | None, list[int], int]]:
        """For each pair of texts, as the tokenizer encodes pairs: token ids, token types, and the tokens needed uncut.

        The second text is cut to the limit. If the first does not fit even without the second, the ids are None and
        the number is what the first needs. The types are all 0 for a model without types, whatever its tokenizer says.
        """
        self._plain.no_truncation()
        encoded = self._plain.encode_batch(pairs)
        results: list[tuple[list[int] | None, list[int], int]] = []
        for pair, whole in zip(pairs, encoded, strict=True):
            least = len(self._plain.encode(pair[0], "").ids) if len(whole.ids) > self.limit else 0
            if least > self.limit:
                results.append((None, [], least))
                continue
            cut = whole
            if least == self.limit:  # tokenizers never cuts a text to less than one token
                cut = self._plain.encode(pair[0], "")
            elif least:
                self._plain.enable_truncation(max_length=self.limit, strategy="only_second")
                cut = self._plain.encode(*pair)
                self._plain.no_truncation()
            typed = any(cut.type_ids) and self._typed
            results.append((cut.ids, cut.type_ids if typed else [0] * len(cut.ids), len(whole.ids)))
        return results

    def count(self, text: str) -> int:
        """The number of tokens of a text with the tokenizer's special tokens."""
        return len(self.encode([text])[0]) + sum(map(len, self.ids_around))

    def cut_and_decode(self, text: str, max_tokens: int | None) -> tuple[str, bool]:
        """The first `max_tokens` tokens of a text decoded to text again, and whether there were more."""
        if max_tokens is None:
            return text, False
        ids = self.encode([text])[0]
        return self.decode(ids[:max_tokens]), len(ids) > max_tokens

    def end_tokens(self) -> list[str]:
        """The tokens that end a generation in vLLM: those of the model's generation config, and the tokenizer's."""
        config = read_optional_file(self._settings, "generation_config.json") or {}  # not every model has one
        ids = config.get("eos_token_id")
        listed = ids if isinstance(ids, list) else [] if ids is None else [ids]
        names = [*self.pretrained.convert_ids_to_tokens(listed), self.pretrained.eos_token]
        return list(dict.fromkeys(filter(None, names)))

    def decode(self, ids: Sequence[int]) -> str:
        """The text of token ids, with special tokens."""
        return str(self.pretrained.decode(list(ids)))

    def find_starts(self, text: str) -> list[int]:
        """Where each token of a text begins in it, in characters."""
        self._plain.no_truncation()
        return [start for start, _ in self._plain.encode(text, add_special_tokens=False).offsets]

    def cut(self, text: str, max_tokens: int) -> str:
        """The longest prefix of `text` that ends where a token ends and has at most `max_tokens` tokens."""
        self._plain.no_truncation()
        if max_tokens < 1:
            return ""
        while len(offsets := self._plain.encode(text, add_special_tokens=False).offsets) > max_tokens:
            # The prefix alone may have more tokens than it had in the longer text, so it is encoded again.
            text = text[: min(offsets[max_tokens][0], len(text) - 1)]
        return text

    @property
    def has_encoder(self) -> bool:
        """Whether an encoder reads the prompt, and a decoder of its own writes: T5."""
        return bool(self._config.get("is_encoder_decoder"))

    @cached_property
    def _typed(self) -> bool:
        """Whether the model has token types, whatever its tokenizer says."""
        return _fill_in(self._config, ("type_vocab_size",), self._settings).get("type_vocab_size", 0) > 1

    @cached_property
    def ids_around(self) -> tuple[list[int], list[int]]:
        """The special tokens' ids that the tokenizer adds before and after a single text, such as <s>."""
        bare, whole = self.pretrained.encode("a", add_special_tokens=False), self.pretrained.encode("a")
        before = next(i for i in range(len(whole)) if whole[i : i + len(bare)] == bare)
        return whole[:before], whole[before + len(bare) :]

    @cached_property
    def ids_around_pair(self) -> tuple[list[int], list[int], list[int]]:
        """The special tokens' ids that the tokenizer adds before, between and after two texts."""
        bare, whole = self.pretrained.encode("a", add_special_tokens=False), self.pretrained.encode("a", "a")
        first, second = (i for i in range(len(whole)) if whole[i : i + len(bare)] == bare)
        return whole[:first], whole[first + len(bare) : second], whole[second + len(bare) :]

    @cached_property
    def has_types(self) -> bool:
        """Whether the tokens of a pair's second text have a type of their own, which the model knows."""
        self._plain.no_truncation()
        return any(self._plain.encode("a", "a").type_ids) and self._typed

    def append(self, prompt: list[int], text: str) -> list[int]:
        """A prompt's ids with `text`, written by the model, appended: the ids that both have as one text.

        Special tokens in the text stay special. Nothing merges with a special token; if the prompt ends with any other
        token, that one is tokenised again together with the text.
        """
        if prompt[-1] in self.pretrained.added_tokens_decoder:
            return prompt + self.pretrained.encode(text, add_special_tokens=False)
        last = self.decode(prompt[-1:])
        return prompt[:-1] + self.pretrained.encode(last + text, add_special_tokens=False)

    def label_ids(self, labels: Sequence[Any]) -> list[int]:
        """The token id of each label (contract.Request.labels): of a text, or of a special token by its name, or the id
        itself. Raises ValueError if a text is not exactly one token, no token has the id, or two labels are the same
        token."""
        ids: list[int] = []
        for label in labels:
            found = self._find_label(label)
            if found in ids:
                raise ValueError(f"labels {labels[ids.index(found)]!r} and {label!r} are the same token {found}")
            ids.append(found)
        return ids

    def _find_label(self, label: Any) -> int:
        if isinstance(label, tuple):
            before, whole = self.encode([label[0], "".join(label)], inside=True)
            if len(whole) == len(before) + 1 and whole[:-1] == before:
                return whole[-1]
            label = label[1]  # the two merge in a text, and the model writes the label alone behind the other
        if isinstance(label, int):
            if self.pretrained.backend_tokenizer.id_to_token(label) is None:
                raise ValueError(f"label {label}: no token of this model's vocabulary has that id")
            return label
        if named := [i for i, token in self.control.items() if token.content == label]:
            return named[0]
        (tokens,) = self.encode([label])
        if len(tokens) != 1:
            raise ValueError(f"label {label!r} is {len(tokens)} tokens in this model's vocabulary, not one: {tokens}")
        return tokens[0]


def load_tokenizer(settings: Settings, limit: int | None = None) -> Tokenizer:
    """The tokenizer of a model; this process keeps the last two."""
    shared = Settings(**{name: getattr(settings, name) for name in Settings.model_fields})
    return _load_tokenizer(shared, limit, settings.templates)


@lru_cache(maxsize=2)
def _load_tokenizer(settings: Settings, limit: int | None, templates: str) -> Tokenizer:
    return Tokenizer(settings, limit, templates)


def _make_pattern(token: AddedToken) -> str:
    """A group for an added token in a rendered template, with the whitespace that it swallows."""
    return "(" + r"\s*" * token.lstrip + re.escape(token.content) + r"\s*" * token.rstrip + ")"


def _encode_once(texts: list[str], encode: Callable[[list[str]], list[Encoded]]) -> list[Encoded]:
    """The encoding of each text, computed once for equal texts."""
    distinct = list(dict.fromkeys(texts))
    encoded = dict(zip(distinct, encode(distinct), strict=True))
    return [encoded[text] for text in texts]


def _fill_in(config: dict[str, Any], names: Sequence[str], settings: Settings) -> dict[str, Any]:
    """The config of the model that reads the text: `config`, which is config.json, if it has one of these names.

    If it has none, or a config inside of it has one, it is what transformers makes of it, which takes seconds.
    """
    nested = any(isinstance(value, dict) and not value.keys().isdisjoint(names) for value in config.values())
    if any(config.get(name) is not None for name in names) and not nested and not settings.trust_remote_code:
        return config
    from transformers import AutoConfig

    source = {"revision": settings.revision, "trust_remote_code": settings.trust_remote_code}
    return AutoConfig.from_pretrained(settings.model, **source).get_text_config().to_dict()


def _find_limit(settings: Settings, config: dict[str, Any], tokenizer: Any) -> int:
    """The smallest context length that the model's config, tokenizer or sentence-transformers config declares."""
    config = _fill_in(config, CONTEXT_KEYS, settings)
    declared = [config.get(name) for name in CONTEXT_KEYS] + [tokenizer.model_max_length, count_positions(config)]
    if found := read_optional_file(settings, "sentence_bert_config.json"):
        declared.append(found.get("max_seq_length"))
    return min((int(length) for length in declared if length and length < 1e9), default=DEFAULT_CONTEXT)


def count_positions(config: dict[str, Any]) -> int | None:
    """How many tokens a model has positions for, where that is less than its config.json seems to say; else None."""
    declared = config.get("max_position_embeddings")
    if config.get("model_type") not in BEHIND_PADDING or declared is None:
        return None
    padding = config.get("pad_token_id")
    return int(declared) - (1 if padding is None else padding) - 1  # 1 is the default of all of these
