"""A model's tokenizer, for which every text it is given is plain text.

Documents come from anywhere, so a document that contains `<|im_end|>` must not close its own turn. The model's
special tokens are therefore only ever put in by the template; texts are encoded by a copy of the tokenizer that
spells out every added token, but for runs of whitespace, which are how some models (ModernBERT, Gemma) write text.
"""

import json
import re
import secrets
from collections.abc import Callable, Sequence
from datetime import date
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, TypeVar

import tokenizers
from tokenizers import AddedToken

from actors.rerankers.settings import Settings

# Stand-ins for the texts while a chat template is rendered: private-use characters no template contains.
QUERY, DOC, INSTRUCTION = "\ue000", "\ue001", "\ue002"
# The names under which configs declare a context length, as vLLM looks for them; it takes 2048 where there is none.
LENGTHS = ("max_position_embeddings", "n_positions", "max_seq_len", "seq_length", "model_max_length", "seq_len")
UNDECLARED = 2048
A_DAY = date(2025, 1, 1)
Encoded = TypeVar("Encoded")


class Tokenizer:
    """Texts to token ids.

    limit: the most tokens that a prompt and its answer may have together (the engine's max_model_len).
    commit: of the model's files, where they come from the hub.
    """

    def __init__(self, settings: Settings, limit: int | None = None):
        # Here, for these imports take seconds that a run which only fuses does without.
        from transformers import AutoConfig, AutoTokenizer

        source = {"revision": settings.revision, "trust_remote_code": settings.trust_remote_code}
        self._settings = settings
        self.pretrained = AutoTokenizer.from_pretrained(settings.model, **source)
        if not self.pretrained.is_fast:
            raise ValueError(f"{settings.model}: has no tokenizer.json, which rayrank needs")
        config = AutoConfig.from_pretrained(settings.model, **source).get_text_config()
        self.commit = _commit(settings)
        self._typed = getattr(config, "type_vocab_size", 0) > 1
        self.limit = limit or _model_limit(settings, config, self.pretrained)
        self._plain = _plain(self.pretrained.backend_tokenizer)
        added = [token for token in self.pretrained.added_tokens_decoder.values() if token.content.strip()]
        added.sort(key=lambda token: len(token.content), reverse=True)
        self._added = re.compile("(" + "|".join(map(_pattern, added)) + ")") if added else None

    def encode(self, texts: list[str]) -> list[list[int]]:
        """Token ids of each text, with nothing added. Equal texts are encoded once."""
        self._plain.no_truncation()
        return _each_once(
            texts, lambda once: [e.ids for e in self._plain.encode_batch_fast(once, add_special_tokens=False)]
        )

    def encode_alone(self, texts: list[str], max_tokens: int | None) -> list[tuple[list[int], bool]]:
        """Token ids of each text with what the tokenizer puts around a text, and whether it was cut to `max_tokens`."""
        self._plain.enable_truncation(max_length=min(max_tokens or self.limit, self.limit))
        return _each_once(texts, lambda once: [(e.ids, bool(e.overflowing)) for e in self._plain.encode_batch(once)])

    def encode_pairs(self, pairs: list[tuple[str, str]]) -> list[tuple[list[int] | None, list[int], int]]:
        """Token ids and types of two texts each, as the tokenizer encodes a pair, and how many tokens they need.

        The types are all 0 where the model has none, whatever its tokenizer says. The second text is cut to the
        limit. Where the first leaves no room even without the second, the ids are None and the number is what the
        first needs.
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
            if least == self.limit:  # tokenizers leaves a cut text one token at least
                cut = self._plain.encode(pair[0], "")
            elif least:
                self._plain.enable_truncation(max_length=self.limit, strategy="only_second")
                cut = self._plain.encode(*pair)
                self._plain.no_truncation()
            results.append((cut.ids, cut.type_ids if self._typed else [0] * len(cut.ids), len(whole.ids)))
        return results

    def count(self, text: str) -> int:
        """The number of tokens of a text with what the tokenizer puts around it."""
        return len(self.encode([text])[0]) + sum(map(len, self.around))

    def cut_ids(self, text: str, max_tokens: int | None) -> tuple[str, bool]:
        """The text that the first `max_tokens` tokens of a text come to when decoded, and whether there were more."""
        if max_tokens is None:
            return text, False
        ids = self.encode([text])[0]
        return self.decode(ids[:max_tokens]), len(ids) > max_tokens

    def end_tokens(self) -> list[str]:
        """The tokens that end a generation, as vLLM knows them: the model's generation config's and the tokenizer's."""
        from transformers import GenerationConfig

        try:
            config = GenerationConfig.from_pretrained(self._settings.model, revision=self._settings.revision or "main")
            ids = config.eos_token_id
        except OSError:  # a model need not have one
            ids = None
        listed = ids if isinstance(ids, list) else [] if ids is None else [ids]
        names = [*self.pretrained.convert_ids_to_tokens(listed), self.pretrained.eos_token]
        return list(dict.fromkeys(filter(None, names)))

    def decode(self, ids: Sequence[int]) -> str:
        """The text of token ids, special tokens included."""
        return str(self.pretrained.decode(list(ids)))

    def cut(self, text: str, max_tokens: int) -> str:
        """The longest start of `text` that ends where a token ends and has at most `max_tokens` tokens."""
        self._plain.no_truncation()
        if max_tokens < 1:
            return ""
        while len(offsets := self._plain.encode(text, add_special_tokens=False).offsets) > max_tokens:
            # What is left may come to more tokens than it had in the longer text, so it is looked at again.
            text = text[: min(offsets[max_tokens][0], len(text) - 1)]
        return text

    def chat(self, messages: list[dict[str, str]]) -> list[int | str]:
        """The model's chat template around messages, with the turn of the assistant open, as `pieces` gives it.

        A template that writes today's date gets A_DAY, so that a run over midnight asks all pairs the same.
        """
        if not self.pretrained.chat_template:
            raise ValueError(f"{self.pretrained.name_or_path}: has no chat template, which this reranker needs")
        rendered = self.pretrained.apply_chat_template(
            messages, tokenize=False, add_generation_prompt=True, strftime_now=A_DAY.strftime
        )
        assert isinstance(rendered, str)
        return self.pieces(rendered)

    def pieces(self, template: str) -> list[int | str]:
        """A template as ids of the special tokens it holds, and the texts between them.

        The texts hold QUERY, DOC and INSTRUCTION where those belong. Raises ValueError where the pieces do not come
        to the token ids that the tokenizer gives the template.
        """
        parts = self._added.split(template) if self._added else [template]
        vocabulary = self.pretrained.get_added_vocab()
        pieces: list[int | str] = [vocabulary.get(part.strip(), part) for part in parts if part]
        ids = [i for piece in pieces for i in ([piece] if isinstance(piece, int) else self.encode([piece])[0])]
        if ids != self.pretrained.encode(template, add_special_tokens=False):
            for stand_in, name in ((QUERY, "{query}"), (DOC, "{doc}"), (INSTRUCTION, "{instruction}")):
                template = template.replace(stand_in, name)
            model = self.pretrained.name_or_path
            raise ValueError(f"{model}: its tokenizer cannot take this template in pieces: {template!r}")
        return pieces

    @cached_property
    def around(self) -> tuple[list[int], list[int]]:
        """The ids that the tokenizer puts before and after a text that is no chat: <s> for some, none for others."""
        bare, whole = self.pretrained.encode("a", add_special_tokens=False), self.pretrained.encode("a")
        before = next(i for i in range(len(whole)) if whole[i : i + len(bare)] == bare)
        return whole[:before], whole[before + len(bare) :]

    def after(self, prompt: list[int], text: str) -> list[int]:
        """A prompt's ids with `text`, a model's own, put after them: the ids of the two as one text.

        Special tokens in the text are special, as the model wrote them. Nothing merges with a special token; where the
        prompt ends in another, that one is tokenised anew together with the text.
        """
        if prompt[-1] in self.pretrained.added_tokens_decoder:
            return prompt + self.pretrained.encode(text, add_special_tokens=False)
        last = self.decode(prompt[-1:])
        return prompt[:-1] + self.pretrained.encode(last + text, add_special_tokens=False)

    def label_ids(self, labels: Sequence[str]) -> list[int]:
        """The token ids of labels. Raises ValueError if one is not exactly one token, or two share a token."""
        ids: list[int] = []
        for label, tokens in zip(labels, self.encode(list(labels)), strict=True):
            if len(tokens) != 1:
                raise ValueError(
                    f"label {label!r} is {len(tokens)} tokens in this model's vocabulary, not one: {tokens}"
                )
            if tokens[0] in ids:
                raise ValueError(
                    f"labels {labels[ids.index(tokens[0])]!r} and {label!r} are the same token {tokens[0]}"
                )
            ids += tokens
        return ids


def load_tokenizer(settings: Settings, limit: int | None = None) -> Tokenizer:
    """The tokenizer of a model, loaded once per process."""
    return _load_tokenizer(Settings(**{name: getattr(settings, name) for name in Settings.model_fields}), limit)


@lru_cache(maxsize=2)
def _load_tokenizer(settings: Settings, limit: int | None) -> Tokenizer:
    return Tokenizer(settings, limit)


def _plain(tokenizer: tokenizers.Tokenizer) -> tokenizers.Tokenizer:
    description: dict[str, Any] = json.loads(tokenizer.to_str())
    model = description["model"]
    for token in description["added_tokens"]:
        token["special"] = bool(token["content"].strip())
        if token["special"] and model["type"] == "Unigram" and token["id"] < len(model["vocab"]):
            model["vocab"][token["id"]][0] = secrets.token_hex(16)  # it would find the piece in any text that spells it
    description["padding"] = description["truncation"] = None
    plain = tokenizers.Tokenizer.from_str(json.dumps(description))
    plain.encode_special_tokens = True  # tokenizers' name for: encode them as the text that they are
    return plain


def _pattern(token: AddedToken) -> str:
    """Matches an added token in a rendered template, with the whitespace that it swallows."""
    return r"\s*" * token.lstrip + re.escape(token.content) + r"\s*" * token.rstrip


def _each_once(texts: list[str], encode: Callable[[list[str]], list[Encoded]]) -> list[Encoded]:
    distinct = list(dict.fromkeys(texts))
    encoded = dict(zip(distinct, encode(distinct), strict=True))
    return [encoded[text] for text in texts]


def _commit(settings: Settings) -> str | None:
    """The commit that a model of the hub has in its cache, under the config's revision; None for a local folder."""
    from transformers.utils import cached_file

    path = (
        None
        if Path(settings.model).is_dir()
        else cached_file(settings.model, "config.json", revision=settings.revision)
    )
    found = re.search(r"/snapshots/([0-9a-f]{40})/", path or "")
    return found[1] if found else None


def _model_limit(settings: Settings, config: Any, tokenizer: Any) -> int:
    """The context length the model declares: of its config, its tokenizer and sentence-transformers, the smallest."""
    from transformers.utils import cached_file

    declared = [getattr(config, name, None) for name in LENGTHS] + [tokenizer.model_max_length]
    quiet = {"_raise_exceptions_for_missing_entries": False, "_raise_exceptions_for_connection_errors": False}
    if path := cached_file(settings.model, "sentence_bert_config.json", revision=settings.revision, **quiet):
        declared.append(json.loads(Path(path).read_text()).get("max_seq_length"))
    return min((int(length) for length in declared if length and length < 1e9), default=UNDECLARED)
