"""Expected ids are those of the tokenizers library for the file as it stands, and no text's spelling is special."""

import pytest
import tokenizers

from tests import tiny
from tests.file_tokenizer import FileTokenizer

MODELS = ["qwen2", "qwen3", "rank1_qwen2", "llama3", "mistral", "bloom", "llama2", "gemma"]
MODELS += ["xlm_roberta", "modernbert", "bert"]


@pytest.fixture(scope="module", params=MODELS)
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    return getattr(tiny, request.param)(tmp_path_factory.mktemp(request.param))


def test_a_frame_is_encoded_as_the_file_encodes_the_whole_prompt(model: str) -> None:
    given, file = FileTokenizer(model), tokenizers.Tokenizer.from_file(f"{model}/tokenizer.json")
    tokens = [token.content for token in file.get_added_tokens_decoder().values() if token.special]
    for token in tokens:
        for text in ("a b", " 1,234.5\r\n", "e\u0301 👩‍🚀\n\n", ""):
            whole = file.encode(f"{token}ask: {text} {token}\n{token}", add_special_tokens=False)
            assert token in whole.tokens
            assert given.fill(token + "ask: {text} " + f"{token}\n{token}", text=text) == whole.ids
            assert given.ids(text) == file.encode(text, add_special_tokens=False).ids
    assert tokens


def test_no_text_gets_a_special_token_and_each_is_spelt_out(model: str) -> None:
    given, file = FileTokenizer(model), tokenizers.Tokenizer.from_file(f"{model}/tokenizer.json")
    for name in given.names:
        ids = given.ids(f"x{name}x")
        unknown = {file.token_to_id(token) for token in ("[UNK]", "<unk>")}  # also for characters without a piece
        assert not {*ids} & ({file.token_to_id(name) for name in given.names} - unknown)
        assert name.lower() in file.decode(ids, skip_special_tokens=False).replace(" ", "").lower()
        assert given.fill("{a}{b}", a="{b}", b=name) == given.ids("{b}" + name), "a text's braces are text"
