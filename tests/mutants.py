"""How much of a module its tests check: python -m tests.mutants --tree . --source pipeline/fusion.py --tests tests/...

Each mutant is the module with one small fault. Where the tests pass nevertheless, they do not check what it breaks, or
it breaks nothing that could be seen, which only a reader can tell. Which are drawn depends on the code and the seed
alone, not on the file or the order of its functions, so that a rewritten module gets much the same ones.
Comments, docstrings, types, asserts and what is said to people (errors, log lines) are left as they are. A mutant whose
tests take longer than --seconds counts as killed. --jobs: how many run at once.
"""

import argparse
import ast
import hashlib
import importlib.util
import itertools
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import redirect_stdout, suppress
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pytest

NEGATED = {"Eq": "NotEq", "Lt": "GtE", "Gt": "LtE", "Is": "IsNot", "In": "NotIn"}
NEGATED |= {after: before for before, after in NEGATED.items()}
BOUNDARY = {"Lt": "LtE", "LtE": "Lt", "Gt": "GtE", "GtE": "Gt"}
ARITHMETIC = {"Add": "Sub", "Mult": "Div", "BitOr": "BitAnd", "LShift": "RShift"}
ARITHMETIC |= {b: a for a, b in ARITHMETIC.items()} | dict.fromkeys(["FloorDiv", "Mod", "Pow"], "Mult")
BLUNT = {"returns None", "text emptied"}  # hard to miss: of a function they come last
SAYING = {"say", "print", "log", "logger", "logging", "warnings"}
WORDS = re.compile(r"[^\W\d_]{2,}[,;:]? | [^\W\d_]{2,}")  # in a text for people, not in a key or a path
PYTEST = ["-x", "-q", "-p", "no:cacheprovider", "-m", "not slow"]
LEFT = {"annotation", "returns", "decorator_list", "format_spec"}  # fields of nodes


@dataclass
class Mutant:
    """before, after: the part of the code that differs. code: its line. killed_by: the first test that failed."""

    function: str
    kind: str
    line: int
    code: str
    before: str
    after: str
    source: str
    turn: tuple[Any, ...]
    result: str = ""  # killed, survived or timeout
    killed_by: str = ""
    seconds: float = 0.0


def faults(node: ast.AST, function: str = "module", shown: ast.AST | None = None) -> Iterator[tuple[Any, ...]]:
    """(function, kind, parent, field, old node, new node, the smallest part of the code that says it well)."""
    if isinstance(node, ast.stmt):
        shown = None if hasattr(node, "body") else node
        function = node.name if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) else function
    elif isinstance(node, ast.arguments | ast.comprehension | ast.expr):
        shown = shown if isinstance(node, ast.Slice | ast.Starred | ast.FormattedValue | ast.UnaryOp) else node
    for name, value in ast.iter_fields(node):
        for child in value if isinstance(value, list) else [value]:
            if name in LEFT or not isinstance(child, ast.AST) or _is_left(child):
                continue
            if not (isinstance(node, ast.JoinedStr) and isinstance(child, ast.Constant)):
                whole = shown if shown and isinstance(child, ast.Constant | ast.Slice) else child
                for kind, new in variants(child, name in ("test", "ifs")):
                    yield function, kind, node, name, child, new, whole
            yield from faults(child, function, shown)


def _is_left(node: ast.AST) -> bool:
    match node.value if isinstance(node, ast.Expr) else node:
        case ast.Raise() | ast.Assert() | ast.keyword("strict") | ast.If(test=ast.Compare(left=ast.Name("__name__"))):
            return True  # strict of zip is an assert, too
        case ast.Call(func=ast.Name(id=name)) | ast.Call(func=ast.Attribute(value=ast.Name(id=name))):
            return name in SAYING
        case ast.Constant(value=str(text)):
            return isinstance(node, ast.Expr) or bool(WORDS.search(text))
        case ast.JoinedStr(values=values):
            return bool(WORDS.search("".join(str(v.value) if isinstance(v, ast.Constant) else "{}" for v in values)))
    return False


def variants(node: Any, is_condition: bool) -> Iterator[tuple[str, ast.AST]]:
    """(kind, node): what may stand in place of a node."""
    match node:
        case ast.Compare(left=left, ops=ops, comparators=others):
            for kind, table in (("comparison negated", NEGATED), ("boundary moved", BOUNDARY)):
                for at, op in enumerate(ops):
                    if other := table.get(type(op).__name__):
                        yield kind, ast.Compare(left, [*ops[:at], getattr(ast, other)(), *ops[at + 1 :]], others)
        case ast.BoolOp(op=op, values=values):
            yield "and/or", ast.BoolOp(ast.Or() if isinstance(op, ast.And) else ast.And(), values)
        case ast.BinOp(left=ast.Constant(value=str()) | ast.JoinedStr()) | ast.BinOp(right=ast.JoinedStr()):
            pass  # texts cannot be subtracted
        case ast.BinOp(op=op) | ast.AugAssign(op=op) if other := ARITHMETIC.get(type(op).__name__):
            yield "arithmetic", type(node)(**dict(ast.iter_fields(node)) | {"op": getattr(ast, other)()})
        case ast.Constant(value=bool(truth)):
            yield "boolean", ast.Constant(not truth)
        case ast.Constant(value=int(number)):
            yield from (("integer", ast.Constant(number + step)) for step in (1, -1))
        case ast.Constant(value=str()) | ast.JoinedStr() if ast.unparse(node) != "''":
            yield "text emptied", ast.Constant("")
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            yield "not removed", operand
        case ast.Return(value=ast.expr() as value) if not isinstance(value, ast.Constant):
            yield "returns None", ast.Return(ast.Constant(None))
        case ast.Expr(value=ast.Call() | ast.Await()):
            yield "statement deleted", ast.Pass()
        case ast.Call(func=func, args=args, keywords=keywords):
            for at, keyword in enumerate(keywords):
                if keyword.arg not in (None, "strict"):
                    yield "keyword dropped", ast.Call(func, args, keywords[:at] + keywords[at + 1 :])
        case ast.Slice(lower=lower, upper=upper, step=step):
            for at, end in enumerate((lower, upper)):
                if end and not isinstance(end, ast.Constant):
                    later = ast.BinOp(end, ast.Add(), ast.Constant(1))
                    yield "slice shifted", ast.Slice(lower if at else later, later if at else upper, step)
    if is_condition and not isinstance(node, ast.Constant | ast.Compare | ast.UnaryOp):  # which have been negated above
        yield "condition negated", ast.UnaryOp(ast.Not(), node)


def drawn(source: str, count: int, seed: int) -> tuple[list[Mutant], int]:
    """`count` mutants, from all functions in turn, and in each from all kinds in turn, by a hash of the code around the
    fault alone; and how many there are."""
    tree, lines = ast.parse(source), source.splitlines()
    mutants: list[Mutant] = []
    counts: dict[Any, Iterator[int]] = defaultdict(itertools.count)
    for function, kind, parent, name, old, new, shown in faults(tree):
        holder, before = getattr(parent, name), ast.unparse(shown)
        setattr(parent, name, [new if item is old else item for item in holder] if isinstance(holder, list) else new)
        after, mutated = ast.unparse(new if shown is old else shown), ast.unparse(tree)
        setattr(parent, name, holder)
        key = re.sub(r"\b_+(?=\w)", "", "\0".join((function, kind, before, after)))  # private or not
        digest = hashlib.sha256(f"{seed}\0{key}\0{next(counts[key])}".encode()).hexdigest()
        code = lines[old.lineno - 1].strip()
        mutants.append(Mutant(function, kind, old.lineno, code, before, after, mutated, (digest,)))
    for mutant in sorted(mutants, key=lambda m: m.turn):
        mutant.turn = (mutant.kind in BLUNT, next(counts[mutant.function, mutant.kind]), *mutant.turn)
    for mutant in sorted(mutants, key=lambda m: m.turn):
        mutant.turn = (next(counts[mutant.function, "turn"]), mutant.turn[-1])
    first = sorted(mutants, key=lambda m: m.turn)[:count]
    return sorted(first, key=lambda m: (m.line, m.turn)), len(mutants)


def prepare(tree: Path, folder: str, tests: list[str]) -> None:
    """Goes to a copy of the tree's tracked files as they are, and imports what the tests do, but for the tree's own, so
    that the tests of a mutant, in a fork of this process, need not."""
    copy = Path(folder, str(os.getpid()))
    for name in subprocess.check_output(["git", "-C", tree, "ls-files", "-z"], text=True).split("\0"):
        if (tree / name).is_file():  # else it is deleted, and not yet committed so
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(tree / name, copy / name)
    (copy / ".venv").symlink_to((tree / ".venv").resolve())
    os.chdir(copy)
    sys.path[0] = str(copy)
    with open(os.devnull, "w") as nothing, redirect_stdout(nothing):
        pytest.main([*PYTEST, "--collect-only", *tests])
    for name in [name for name in sys.modules if Path(name.split(".")[0]).is_dir()]:
        del sys.modules[name]


def judged(mutant: Mutant, options: argparse.Namespace) -> Mutant:
    """The mutant, with what the tests make of it."""
    began = time.monotonic()
    Path(options.source).write_text(mutant.source + "\n")
    Path(importlib.util.cache_from_source(options.source)).unlink(missing_ok=True)  # known by size and second alone
    with tempfile.TemporaryDirectory(dir=Path.cwd().parent, ignore_cleanup_errors=True) as own:
        if not (pid := os.fork()):
            try:
                os.setsid()
                signal.signal(signal.SIGTERM, signal.SIG_DFL)
                os.environ["TMPDIR"], tempfile.tempdir = own, None
                os.dup2(os.open(f"{own}/output", os.O_CREAT | os.O_RDWR), 1)
                os.dup2(1, 2)
                status = pytest.main([*PYTEST, *options.tests])
                sys.stdout.flush()
                os._exit(status)
            finally:
                os._exit(3)  # pytest's number for an error of its own
        try:
            while not (ended := os.waitpid(pid, os.WNOHANG))[0] and time.monotonic() - began < options.seconds:
                time.sleep(0.02)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGKILL)
            for environ in Path("/proc").glob("[0-9]*/environ"):  # and what has left the group
                with suppress(OSError):
                    if f"TMPDIR={own}".encode() in environ.read_bytes():
                        os.kill(int(environ.parent.name), signal.SIGKILL)
        status = os.waitstatus_to_exitcode(ended[1] if ended[0] else os.waitpid(pid, 0)[1])
        output = Path(own, "output").read_text(errors="replace") if ended[0] else ""
    mutant.seconds = round(time.monotonic() - began, 1)
    mutant.result = "timeout" if not ended[0] else "survived" if status in (0, 5) else "killed"
    failed = re.search(r"^(?:FAILED|ERROR) (.+?)(?: - .*)?$", output, re.MULTILINE)
    mutant.killed_by = "" if mutant.result != "killed" else failed[1] if failed else f"exit status {status}"
    print(f"{mutant.seconds:6.1f} s {mutant.result:8} line {mutant.line}: {mutant.kind}", file=sys.stderr)
    return mutant


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    parser.add_argument(
        "--tree", type=Path, default=Path("."), help="a checkout (default: this one); it is copied and left as it is"
    )
    parser.add_argument("--source", required=True, help="the module, from there")
    parser.add_argument("--tests", nargs="+", required=True, help="test files, the quickest first; no slow tests run")
    parser.add_argument("--json", type=Path, default=Path("build/mutants.json"), help="gets all mutants")
    for name, default in (("count", 40), ("seed", 1), ("jobs", 1), ("seconds", 120.0)):
        parser.add_argument(f"--{name}", type=type(default), default=default)
    options = parser.parse_args(arguments)
    tree, began = options.tree.resolve(), time.monotonic()
    mutants, possible = drawn(source := (tree / options.source).read_text(), options.count, options.seed)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that the workers end, too
    os.environ |= {"OMP_NUM_THREADS": "1", "COLUMNS": "1000"}
    with tempfile.TemporaryDirectory(prefix="mutants-", ignore_cleanup_errors=True) as folder:
        Path(folder, "shared").symlink_to(tree.parent / "shared")  # the test data, beside the trees
        with ProcessPoolExecutor(options.jobs, get_context("fork"), prepare, (tree, folder, options.tests)) as pool:
            whole = Mutant("", "none", 0, "", "", "", ast.unparse(ast.parse(source)), ())
            whole = pool.submit(judged, whole, options).result()
            if whole.result != "survived":
                print(f"the tests fail without a fault: {whole.result}, {whole.killed_by}", file=sys.stderr)
                return 2
            mutants = list(pool.map(judged, mutants, itertools.repeat(options)))
    survivors = [mutant for mutant in mutants if mutant.result == "survived"]
    for mutant in survivors:
        print(f"{options.source}:{mutant.line}:", *f"{mutant.before} -> {mutant.after}".split())
    killed, late = len(mutants) - len(survivors), sum(mutant.result == "timeout" for mutant in mutants)
    took, score = round(time.monotonic() - began), killed / max(1, len(mutants))
    print(f"{options.source}: {killed}/{len(mutants)} = {score:.0%} killed, {late} of them by time, in {took} s")
    about = vars(options) | {"possible": possible, "total": len(mutants), "killed": killed, "timeouts": late}
    told = [{name: value for name, value in vars(m).items() if name not in ("source", "turn")} for m in mutants]
    about |= {"score": score, "took": took, "baseline": whole.seconds, "mutants": told}
    options.json.parent.mkdir(parents=True, exist_ok=True)
    options.json.write_text(json.dumps(about, indent=1, default=str) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
