"""The demo's judgements: they name what exists, in every Python that the demo may run on."""

import importlib
import subprocess
import sys

import pytest
import yaml

from jobs.demo.prepare import QUESTIONS

ENTRIES = yaml.safe_load(QUESTIONS.read_text(encoding="utf-8"))
JUDGED = sorted({name for question in ENTRIES for name in question["relevant"]})


def test_80_questions_each_with_an_answer():
    assert len({question["id"] for question in ENTRIES}) == len({question["query"] for question in ENTRIES}) == 80
    assert {grade for question in ENTRIES for grade in question["relevant"].values()} == {1, 2}
    assert all(2 in question["relevant"].values() for question in ENTRIES)


@pytest.mark.parametrize(
    "version", ["3.11", *(pytest.param(version, marks=pytest.mark.slow) for version in ("3.12", "3.13")), "3.14"]
)
def test_every_judged_name_is_in_typeshed(version, tmp_path):
    """mypy looks each name up in the standard library's stubs; a planted wrong name shows that it would object."""
    names = [*JUDGED, "pathlib.Path.rrglob"]
    modules = sorted({module_of(name) for name in names})
    checked = tmp_path / "judged.py"
    checked.write_text("".join(f"import {module}\n" for module in modules) + "".join(f"{name}\n" for name in names))
    options = [
        "--python-version",
        version,
        "--platform",
        "linux",
        "--config-file=",
        f"--cache-dir={tmp_path / 'cache'}",
    ]
    ran = subprocess.run(
        [sys.executable, "-m", "mypy", *options, str(checked)], capture_output=True, text=True, check=False
    )
    errors = [line for line in ran.stdout.splitlines() if ": error: " in line]
    assert len(errors) == 1, ran.stdout + ran.stderr
    assert f"judged.py:{len(modules) + len(names)}: error: " in errors[0]
    assert '"type[Path]" has no attribute "rrglob"' in errors[0]


def module_of(name: str) -> str:
    """The longest part of a name that can be imported."""
    while name:
        name = name.rpartition(".")[0]
        try:
            importlib.import_module(name)
        except ImportError:
            continue
        return name
    raise AssertionError("no module")
