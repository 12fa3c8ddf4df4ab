"""The demo's entry point: what it runs, and with which code it ends."""

import signal
import sys
from pathlib import Path

import pytest

import jobs.demo.__main__ as demo


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

    def run(code: str) -> tuple[int, list]:
        (tmp_path / "jobs/rerank.py").write_text(f"import os, signal, sys\n{code}\n")
        return demo.main(), shown

    yield run
    signal.signal(signal.SIGINT, before)


def test_the_job_runs_in_the_root_with_the_config_and_the_result_is_shown(checkout, tmp_path, capfd):
    code, shown = checkout("print(os.getcwd(), sys.argv)")
    assert (code, shown) == (0, [(Path("demo"), Path("demo/output"))])
    printed = capfd.readouterr().out
    assert f"$ {sys.executable} jobs/rerank.py configs/demo.yaml" in printed
    assert f"{tmp_path} ['jobs/rerank.py', 'configs/demo.yaml']" in printed


@pytest.mark.parametrize("code", [1, 2, 3, 4])
def test_a_failed_job_ends_the_demo_with_its_code(checkout, code):
    assert checkout(f"sys.exit({code})") == (code, [])


def test_a_killed_job_ends_the_demo_as_a_shell_would(checkout):
    assert checkout("os.kill(os.getpid(), signal.SIGKILL)") == (128 + signal.SIGKILL, [])


def test_ctrl_c_is_the_job_s_to_answer(checkout):
    """The demo gets the signal too, and waits for the job to finish what it does about it."""
    answer = "signal.signal(signal.SIGINT, lambda *_: None); os.kill(os.getppid(), signal.SIGINT)"
    assert checkout(f"import time; {answer}; time.sleep(0.6); sys.exit(1)") == (1, [])
