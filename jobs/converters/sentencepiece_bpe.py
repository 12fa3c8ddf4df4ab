"""tokenizers' form of a SentencePiece BPE model with byte fallback.

A model with anything that would make the two differ is refused: normalisation, collapsed whitespace, unused pieces,
and a dummy prefix where there are user-defined symbols too (tokenizers would put one behind each of them).
"""

from pathlib import Path
from typing import Any

from google.protobuf.message import DecodeError
from sentencepiece import sentencepiece_model_pb2 as messages
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers

from jobs.converters.bpe import find_merges
from pipeline.errors import UsageError

NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = range(1, 7)  # SentencePiece's numbers for types of pieces
BPE = 2  # and for this kind of model
SPACE = "\u2581"


def convert_tokenizer(path: Path, special: list[str]) -> Tokenizer:
    """The tokenizer of a SentencePiece model; `special` are the pieces that are no text."""
    proto = read_model(path)
    symbols = [piece.piece for piece in proto.pieces if piece.type == USER_DEFINED]
    prefix = proto.normalizer_spec.add_dummy_prefix
    if prefix and symbols:
        raise UsageError(f"{path}: add_dummy_prefix is true and {symbols[0]!r} user-defined; both cannot be converted")
    normal = [piece for piece in proto.pieces if piece.type == NORMAL]
    known = {piece.piece for piece in normal}
    for token in known:
        if letter := next((letter for letter in token if letter not in known), None):
            raise UsageError(f"{path}: piece {token!r} has {letter!r} in it, which is no piece")
    normal.sort(key=lambda piece: -piece.score)
    # A user-defined symbol is taken from the text as it is, before any merge: there its spaces are spaces.
    written = [piece.piece.replace(SPACE, " ") if piece.type == USER_DEFINED else piece.piece for piece in proto.pieces]
    vocabulary = {token: number for number, token in enumerate(written)}
    if absent := [token for token in special if token not in vocabulary]:
        raise UsageError(f"{path}: has no piece {absent[0]!r}, which is a special token of the model")
    unknown = next(piece.piece for piece in proto.pieces if piece.type == UNKNOWN)
    pairs = find_merges([piece.piece for piece in normal], known)
    made = Tokenizer(models.BPE(vocabulary, pairs, unk_token=unknown, fuse_unk=True, byte_fallback=True))
    spaces = [normalizers.Prepend(SPACE)] * prefix + [normalizers.Replace(" ", SPACE)]
    made.normalizer = normalizers.Sequence(spaces)
    text = [decoders.Replace(SPACE, " "), decoders.ByteFallback(), decoders.Fuse()]
    made.decoder = decoders.Sequence(text + [decoders.Strip(" ", 1, 0)] * prefix)
    made.add_special_tokens([AddedToken(token, normalized=False, special=True) for token in special])
    made.add_tokens([AddedToken(symbol.replace(SPACE, " "), normalized=False) for symbol in symbols])
    return made


def read_model(path: Path) -> Any:
    """The protocol buffer of a SentencePiece model."""
    proto = messages.ModelProto()  # type: ignore[attr-defined]
    try:
        proto.ParseFromString(path.read_bytes())
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from None
    except DecodeError:
        raise UsageError(f"{path}: is no SentencePiece model") from None
    trainer, normalizer = proto.trainer_spec, proto.normalizer_spec
    for name, value, wanted in [
        ("model_type", trainer.model_type, BPE),
        ("byte_fallback", trainer.byte_fallback, True),
        ("treat_whitespace_as_suffix", trainer.treat_whitespace_as_suffix, False),
        ("remove_extra_whitespaces", normalizer.remove_extra_whitespaces, False),
        ("escape_whitespaces", normalizer.escape_whitespaces, True),
        ("precompiled_charsmap", len(normalizer.precompiled_charsmap), 0),
    ]:
        if value != wanted:
            raise UsageError(f"{path}: {name} is {value}; only {wanted} can be converted")
    if unused := next((piece.piece for piece in proto.pieces if piece.type == UNUSED), None):
        raise UsageError(f"{path}: piece {unused!r} is of type UNUSED, which cannot be converted")
    return proto
