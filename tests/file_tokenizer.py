"""The token ids that tests expect: those of a model's tokenizer.json by the tokenizers library alone.

Neither the product's code nor a class of transformers, which may build a tokenizer by rules of its own, has a part in
them. A family's prompt is written out in its test, as its authors have it.
"""

import json
import re
from collections.abc import Sequence
from pathlib import Path

import tokenizers

MARKS = ("<think>", "</think>")  # control prompts, though not every tokenizer has them as special tokens


class FileTokenizer:
    """A tokenizer.json in which each control token has another name, which no text spells."""

    def __init__(self, model: str):
        file = json.loads((Path(model) / "tokenizer.json").read_text())
        control = [t for t in file["added_tokens"] if t["special"] or t["content"] in MARKS]
        self.names = {token["content"]: f"⟦{token['content']}⟧" for token in control}
        for token in control:
            token["content"] = self.names[token["content"]]
        vocabulary = file["model"]["vocab"]
        if isinstance(vocabulary, dict):
            file["model"]["vocab"] = {self.names.get(piece, piece): i for piece, i in vocabulary.items()}
            unknown = file["model"]["unk_token"]
            file["model"]["unk_token"] = self.names.get(unknown, unknown)
        else:  # Unigram
            file["model"]["vocab"] = [[self.names.get(piece, piece), score] for piece, score in vocabulary]
        file["truncation"] = file["padding"] = None
        self._tokenizer = tokenizers.Tokenizer.from_str(json.dumps(file))
        self._name = re.compile("|".join(map(re.escape, sorted(self.names, key=len, reverse=True))))

    def ids(self, text: str) -> list[int]:
        """The ids of a text, with nothing around it. A special token that it spells is text."""
        return self._tokenizer.encode(text, add_special_tokens=False).ids

    def fill(self, frame: str, **texts: str) -> list[int]:
        """The ids of a frame with texts for its placeholders; special tokens of the frame alone are special."""
        marked = self._name.sub(lambda found: self.names[found[0]], frame)
        places = "|".join(re.escape(f"{{{name}}}") for name in texts)
        return self.ids(re.sub(places, lambda found: texts[found[0][1:-1]], marked) if texts else marked)

    def id(self, token: str) -> int:
        """The id of a token, which a text or a frame has as no more than that token."""
        (found,) = self.fill(token)
        return found

    def decode(self, ids: Sequence[int]) -> str:
        return self._tokenizer.decode(list(ids), skip_special_tokens=False)
