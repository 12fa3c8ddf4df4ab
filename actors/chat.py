"""Chat prompts: a rendered template around a query and a document, as token ids.

Only the template's own special tokens become special; everything between two of them is tokenised as one text, so
that merges across the seams of query, document and template are those of the reference.
"""

from actors.rerankers.contract import Pair, Prompt, Unscored
from actors.tokens import DOC, QUERY, Encoder


def chat_prompts(
    encoder: Encoder,
    messages: list[dict[str, str]],
    pairs: list[Pair],
    room: int,
    max_query_tokens: int | None = None,
    max_doc_tokens: int | None = None,
) -> list[Prompt | Unscored]:
    """One prompt a pair, of at most `room` tokens.

    messages: role and content, where QUERY and DOC stand for the texts. A query and a document longer than their
    own limit are cut to it; after that only the document is cut, and a pair whose prompt does not fit even with an
    empty document is Unscored.
    """
    template = encoder.template(messages)
    queries = [_cut(encoder, pair.query, max_query_tokens) for pair in pairs]
    docs = [_cut(encoder, pair.doc, max_doc_tokens) for pair in pairs]
    prompts: list[Prompt | Unscored] = []
    for pair, query, doc, ids in zip(pairs, queries, docs, _fill(encoder, template, queries, docs), strict=True):
        if len(ids) <= room:
            prompts.append(Prompt([ids], truncated=query != pair.query or doc != pair.doc))
        else:
            prompts.append(_fit(encoder, template, query, doc, ids, room))
    return prompts


def _cut(encoder: Encoder, text: str, max_tokens: int | None) -> str:
    # Most short texts need not be tokenised: of ASCII, a token covers at least one character (others may be normalised
    # into several), and a prefix that the tokenizer puts before a text is one token more.
    if max_tokens is None or (text.isascii() and len(text) < max_tokens):
        return text
    return encoder.cut(text, max_tokens)


def _fill(encoder: Encoder, template: list[int | str], queries: list[str], docs: list[str]) -> list[list[int]]:
    """The template's token ids for each query and document."""
    filled: list[list[int]] = [[] for _ in queries]
    for piece in template:
        if isinstance(piece, int):
            parts = [[piece]] * len(filled)
        else:
            parts = encoder.encode([_put(piece, query, doc) for query, doc in zip(queries, docs, strict=True)])
        for ids, part in zip(filled, parts, strict=True):
            ids += part
    return filled


def _put(piece: str, query: str, doc: str) -> str:
    """Fills a piece in one pass, so that a query that contains a stand-in character stays as it is."""
    return (
        "".join({QUERY: query, DOC: doc}.get(char, char) for char in piece) if QUERY in piece or DOC in piece else piece
    )


def _fit(
    encoder: Encoder, template: list[int | str], query: str, doc: str, ids: list[int], room: int
) -> Prompt | Unscored:
    keep = len(encoder.encode([doc])[0])
    while len(ids) > room and keep > 0:
        keep = max(0, keep - (len(ids) - room))
        doc = encoder.cut(doc, keep)
        ids = _fill(encoder, template, [query], [doc])[0]
    if len(ids) > room:
        return Unscored(f"prompt does not fit: {len(ids)} tokens without the document, room for {room}")
    return Prompt([ids], truncated=True)
