"""jobs/convert.py on tiny checkpoints in the original layouts: the same logits in transformers and in vLLM."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from jobs.convert import main
from tests.conftest import ROOT
from tests.jobs.originals import KINDS, PROMPT, convert_all


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return convert_all(tmp_path_factory.mktemp("place"))


@pytest.fixture(scope="module")
def vllm(place: Path) -> dict[str, list[float]]:
    """The log-probabilities that vLLM gives each token behind PROMPT, in a process of its own."""
    script = f"""
import json
from vllm import LLM, SamplingParams
engines = []  # one that is given up takes the process group of the next with it
for kind in {list(KINDS)}:
    llm = LLM({str(place)!r} + "/" + kind + "-new", dtype="float32", enforce_eager=True, kv_cache_memory_bytes=2**26,
              max_logprobs=-1)
    engines.append(llm)
    out = llm.generate({{"prompt_token_ids": {PROMPT}}}, SamplingParams(max_tokens=1, temperature=0, logprobs=-1))
    found = out[0].outputs[0].logprobs[0]
    print("LOGPROBS", json.dumps([kind, [found[i].logprob for i in range(len(found))]]), flush=True)
"""
    environment = {"VLLM_ENABLE_V1_MULTIPROCESSING": "0", "VLLM_LOGGING_LEVEL": "WARNING", "VLLM_NO_USAGE_STATS": "1"}
    command = ["env", *(f"{key}={value}" for key, value in environment.items()), sys.executable, "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr[-3000:]
    lines = [line for line in done.stdout.splitlines() if line.startswith("LOGPROBS ")]
    return dict(json.loads(line.removeprefix("LOGPROBS ")) for line in lines)


@pytest.mark.parametrize("kind", KINDS)
def test_logits_in_transformers(kind: str, place: Path) -> None:
    model = AutoModelForCausalLM.from_pretrained(place / f"{kind}-new")
    assert model.dtype == torch.float32
    with torch.no_grad():
        found = model(torch.tensor([PROMPT])).logits[0]
    expected = torch.load(place / f"{kind}.pt")
    assert (found - expected).abs().max() < 1e-5 * expected.abs().max()


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_log_probabilities_in_vllm(kind: str, place: Path, vllm: dict[str, list[float]]) -> None:
    expected = torch.load(place / f"{kind}.pt")[-1].log_softmax(-1)
    assert torch.tensor(vllm[kind]) == pytest.approx(expected, rel=1e-4, abs=1e-4)


def test_the_context_is_what_the_original_was_exact_for(place: Path) -> None:
    """Qwen scales its queries and its rotary base on anything longer than seq_length."""
    assert json.loads((place / "qwen-new/config.json").read_text())["max_position_embeddings"] == 512
    assert AutoTokenizer.from_pretrained(place / "qwen-new").model_max_length == 512


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_16_bit_weights_stay_as_they_are(dtype: torch.dtype, place: Path, tmp_path: Path) -> None:
    shutil.copytree(place / "baichuan", tmp_path / "in")
    for file in (tmp_path / "in").glob("*.bin"):
        torch.save({name: tensor.to(dtype) for name, tensor in torch.load(file).items()}, file)
    assert main([str(tmp_path / "in"), str(tmp_path / "out")]) == 0
    new = {
        name: tensor for file in (tmp_path / "out").glob("*.safetensors") for name, tensor in load_file(file).items()
    }
    head = new.pop("lm_head.weight")
    assert {tensor.dtype for tensor in new.values()} == {dtype}
    assert head.dtype == torch.float32 and head.norm(dim=1) == pytest.approx(torch.ones(700), abs=1e-6)
    assert json.loads((tmp_path / "out/config.json").read_text())["dtype"] == str(dtype).removeprefix("torch.")


def test_the_first_release_of_qwen_had_other_names_in_its_config(place: Path, tmp_path: Path) -> None:
    shutil.copytree(place / "qwen", tmp_path / "in")
    text = (tmp_path / "in/config.json").read_text()
    names = {"hidden_size": "n_embd", "intermediate_size": "ffn_hidden_size", "num_hidden_layers": "n_layer"}
    for new, old in (names | {"num_attention_heads": "n_head", "max_position_embeddings": "n_positions"}).items():
        text = text.replace(new, old)
    (tmp_path / "in/config.json").write_text(text)
    assert main([str(tmp_path / "in"), str(tmp_path / "out")]) == 0
    for file in (place / "qwen-new").iterdir():
        assert (tmp_path / "out" / file.name).read_bytes() == file.read_bytes(), file.name


def test_a_folder_with_something_in_it_is_left_alone(place: Path, capfd: pytest.CaptureFixture[str]) -> None:
    for target in (place / "qwen", place / "qwen/config.json"):
        assert main([str(place / "baichuan"), str(target)]) == 2
        assert capfd.readouterr().err == f"convert: {target}: is not an empty folder\n"


def test_from_a_shell(place: Path, tmp_path: Path) -> None:
    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([sys.executable, ROOT / "jobs/convert.py", *arguments], capture_output=True, text=True)

    (tmp_path / "out").mkdir()
    done = run(str(place / "qwen"), str(tmp_path / "out"))
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"{tmp_path / 'out'}: Qwen2ForCausalLM, up to 512 tokens\n"
    assert run(str(place / "qwen")).returncode == 2
