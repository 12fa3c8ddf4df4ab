"""Which of a tokenizer's added tokens control a prompt, so that no text may have them.

Others are how the model writes text: words of a field, HTML tags, emoji, runs of white space.
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
        sign = text and text[0] in punctuation and text[-1] in punctuation
        mark = sign and (ALWAYS.fullmatch(text) or text in written)
        if text and (token.special or token.content in special or mark):
            found[i] = token
    return found


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
