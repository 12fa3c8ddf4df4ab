"""Which of a tokenizer's added tokens control a prompt, so that no text may have them.

Others are how the model writes text: words of a field, HTML tags, emoji, runs of white space. So are a character
or a padding token without signs that the vocabulary has as a piece of texts: nothing else spells a "!".
"""

import re
from string import punctuation
from typing import Any

from tokenizers import AddedToken

# Some templates build the first kind out of a role's name; generations are read by the second.
ALWAYS = re.compile(r"<\|.*\|>|</?(think|answer)>")


def find_control(pretrained: Any, templates: str) -> dict[int, AddedToken]:
    """The ids and tokens that are special, or marks of a template: the model's chat templates, or those of a config.

    A mark stands between signs, as [INST] does; a word of a template's text is none.
    """
    written = templates + _read_texts(pretrained.chat_template)
    special = {*pretrained.all_special_tokens}
    found = {}
    for i, token in pretrained.added_tokens_decoder.items():
        text = token.content.strip()
        sign = len(text) > 2 and text[0] in punctuation and text[-1] in punctuation
        mark = sign and (ALWAYS.fullmatch(text) or text in written)
        named = token.special or token.content in special
        if text and (mark or (named and (sign or not _is_piece(token.content, pretrained)))):
            found[i] = token
    return found


def _is_piece(token: str, pretrained: Any) -> bool:
    """Whether a token is a piece of texts by the vocabulary, and ends or begins nothing: no prompt is padded."""
    roles = pretrained.special_tokens_map
    only_pads = roles.get("pad_token") == token and list(roles.values()).count(token) == 1
    return (len(token) == 1 or only_pads) and pretrained.backend_tokenizer.model.token_to_id(token) is not None


def _read_texts(chat_template: str | dict[str, str] | None) -> str:
    """All that chat templates may write of their own, which is not their code."""
    import jinja2

    texts = []
    for source in chat_template.values() if isinstance(chat_template, dict) else [chat_template or ""]:
        try:
            texts += [text for _, kind, text in jinja2.Environment().lex(source) if kind in ("data", "string")]
        except jinja2.TemplateError:  # said where the template is used
            texts.append(source)
    return "\n".join(texts)
