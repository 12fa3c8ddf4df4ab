"""jobs/convert.py on checkpoints that cannot be converted: exit code 2, one line that names the culprit, no output."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from sentencepiece import sentencepiece_model_pb2 as messages

from jobs.convert import main
from tests.jobs.originals import HIDDEN, KINDS


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an original of each kind."""
    place = tmp_path_factory.mktemp("place")
    for kind, (write, _) in KINDS.items():
        write(place / kind)
    return place


def edit(name: str, **values: Any) -> Callable[[Path], Any]:
    """A change of keys in a JSON file; None takes a key away."""

    def change(folder: Path) -> None:
        old = json.loads((folder / name).read_text()) if (folder / name).exists() else {}
        new = {key: value for key, value in (old | values).items() if value is not None}
        (folder / name).write_text(json.dumps(new))

    return change


def tensor(name: str, value: Any) -> Callable[[Path], Any]:
    """A change of one tensor in the last shard; None takes it away."""

    def change(folder: Path) -> None:
        file = max([*folder.glob("*.safetensors"), *folder.glob("*.bin")])
        load, save = (torch.load, torch.save) if file.suffix == ".bin" else (load_file, save_file)
        old = {key: kept for key, kept in load(file).items() if key != name}
        save(old if value is None else old | {name: value}, file)

    return change


def append(name: str, data: bytes) -> Callable[[Path], Any]:
    return lambda folder: (folder / name).write_bytes((folder / name).read_bytes() + data)


def spm(change: Callable[[Any], Any]) -> Callable[[Path], Any]:
    def changed(folder: Path) -> None:
        proto = messages.ModelProto()  # type: ignore[attr-defined]
        proto.ParseFromString((folder / "tokenizer.model").read_bytes())
        change(proto)
        (folder / "tokenizer.model").write_bytes(proto.SerializeToString())

    return changed


class Bomb:
    def __reduce__(self) -> Any:
        return print, ("boom",)


CONFIG, SPM = "config.json", "tokenizer.model"
WRONG: dict[str, tuple[str, Callable[[Path], Any], str]] = {
    "other architecture": ("qwen", edit(CONFIG, architectures=["BloomForCausalLM"]), "architectures is ['BloomForC"),
    "first Baichuan": ("baichuan", edit(CONFIG, architectures=["BaiChuanForCausalLM"]), "is ['BaiChuanForCausalLM']"),
    "no config": ("qwen", lambda folder: (folder / CONFIG).unlink(), "config.json: No such file or directory"),
    "config is no JSON": ("qwen", lambda folder: (folder / CONFIG).write_text("{"), "config.json: Expecting"),
    "quantised": ("qwen", edit(CONFIG, quantization_config={"bits": 4}), "config.json: has quantization_config"),
    "quantised weight": (
        "baichuan", tensor("lm_head.weight", torch.ones(700, HIDDEN, dtype=torch.int8)), "lm_head.weight is torch.int8",
    ),
    "13B": ("baichuan", edit(CONFIG, hidden_size=5120), "hidden_size 5120, max_position_embeddings 512: a 13B"),
    "ALiBi": ("baichuan", edit(CONFIG, max_position_embeddings=None), "max_position_embeddings None: a 13B Baichuan"),
    "no key": ("qwen", edit(CONFIG, seq_length=None), "config.json: seq_length is None, not a number above 0"),
    "partial rotary": ("qwen", edit(CONFIG, rotary_pct=0.5), "config.json: rotary_pct is 0.5; only 1.0 can"),
    "biases": ("qwen", edit(CONFIG, no_bias=False), "config.json: no_bias is False; only True can be converted"),
    "tied": ("baichuan", edit(CONFIG, tie_word_embeddings=True), "tie_word_embeddings is True; only False"),
    "odd heads": ("qwen", edit(CONFIG, kv_channels=16), "hidden_size 64 is not 2 heads of kv_channels 16"),
    "missing": ("qwen", tensor("lm_head.weight", None), "qwen: lm_head.weight is missing, and 0 other weights"),
    "left over": ("qwen", tensor("transformer.visual.proj", torch.ones(2)), "transformer.visual.proj is left over"),
    "twice": ("qwen", tensor("transformer.wte.weight", torch.ones(768, HIDDEN)), "wte.weight is also in"),
    "shape": ("qwen", tensor("lm_head.weight", torch.ones(2, 3)), "has shape [2, 3]; by config.json it is [768, 64]"),
    "no tensor": ("baichuan", tensor("lm_head.weight", "x"), "lm_head.weight is str"),
    "code in a pickle": ("baichuan", tensor("lm_head.weight", Bomb()), "00002-of-00002.bin: cannot be read: "),
    "cut weights": (
        "qwen", lambda folder: (folder / "model-00002-of-00002.safetensors").write_bytes(b"1"), "cannot be read: ",
    ),
    "no shard": ("qwen", lambda folder: (folder / "model-00002-of-00002.safetensors").unlink(), "No such file"),
    "no weights": ("baichuan", lambda folder: [*map(Path.unlink, folder.glob("*.bin*"))], "has no weights (model*"),
    "empty index": ("baichuan", edit("pytorch_model.bin.index.json", weight_map=None), "json: has no weight_map"),
    "no ranks": ("qwen", lambda folder: (folder / "qwen.tiktoken").unlink(), "qwen.tiktoken: No such file"),
    "rank no number": ("qwen", lambda folder: (folder / "qwen.tiktoken").write_text("YQ== x"), "a line that is not"),
    "hole in the ranks": ("qwen", lambda folder: (folder / "qwen.tiktoken").write_text("YQ== 1"), "are not 0 to 0"),
    "token out of reach": (
        "qwen", append("qwen.tiktoken", b"//79 500\n"), "qwen.tiktoken: no merges lead to token b'\\xff\\xfe\\xfd' of",
    ),
    "few embeddings": ("qwen", edit(CONFIG, vocab_size=600), "qwen.tiktoken: 708 tokens, but vocab_size is 600"),
    "no SentencePiece": ("baichuan", lambda folder: (folder / SPM).write_bytes(b"nonsense"), "is no SentencePiece"),
    "unigram": ("baichuan", spm(lambda m: setattr(m.trainer_spec, "model_type", 1)), "model_type is 1; only 2 can"),
    "no bytes": ("baichuan", spm(lambda m: setattr(m.trainer_spec, "byte_fallback", False)), "byte_fallback is False"),
    "prefix and symbols": (
        "baichuan", spm(lambda m: setattr(m.normalizer_spec, "add_dummy_prefix", True)), "and '<reserved_106>' user",
    ),
    "unused": ("baichuan", spm(lambda m: setattr(m.pieces[600], "type", 5)), "is of type UNUSED"),
    "letter that is no piece": ("baichuan", spm(lambda m: setattr(m.pieces[600], "piece", "a☃")), "'a☃' has '☃' in it"),
    "special token": ("baichuan", edit("tokenizer_config.json", pad_token="<p>"), "has no piece '<p>'"),
    "added token": ("baichuan", edit("added_tokens.json", x=900), "added_tokens.json: 'x' is 900; the next free id is"),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_refusals_are_one_line_and_write_nothing(
    name: str, place: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    kind, change, line = WRONG[name]
    shutil.copytree(place / kind, tmp_path / kind)
    change(tmp_path / kind)
    assert main([str(tmp_path / kind), str(tmp_path / "out")]) == 2
    stdout, stderr = capfd.readouterr()
    assert stdout == "" and stderr.startswith(f"convert: {tmp_path / kind}") and stderr.count("\n") == 1, stderr
    assert line in stderr
    assert not (tmp_path / "out").exists()
