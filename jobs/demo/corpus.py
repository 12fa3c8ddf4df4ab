"""The demo's documents: docstrings of the standard library's public functions, classes and methods.

They are read from the running interpreter, so nothing is downloaded and the reader knows what the documents say.
A document is named as its object is imported (`os.path.join`, `pathlib.Path.rglob`), and an object is one document
however many modules re-export it. Names that a class inherits from a public base are found under that base."""

import builtins
import importlib
import inspect
import os
import pkgutil
import sys
import warnings
from collections.abc import Callable, Iterator
from types import ModuleType

# No library: games, test suites, and modules that do something on import (open a browser, print a poem).
SKIPPED = {"antigravity", "idle_test", "idlelib", "lib2to3", "test", "tests", "this", "turtledemo"}
# The inside of os, os.path, codecs and ctypes. setuptools puts its own distutils in the place of Python's. And Python
# 3.11 forgot to list TaskGroup in asyncio.__all__, so that it looked like a name of the submodule.
SKIPPED |= {"genericpath", "nt", "ntpath", "posix", "posixpath", "encodings", "wintypes", "distutils", "taskgroups"}
# Which of its names an object gets: that of a method (Message.walk, though email.iterators lists it), then one in the
# __all__ of a module, or in a module without __all__, then one that a module made but does not list.
METHOD, LISTED, UNLISTED = range(3)


def collect_documents() -> dict[str, str]:
    """Name -> name, signature and docstring of every documented public object, sorted by name."""
    return {name: text for name, obj in sorted(find_public_objects().items()) if (text := _write_text(name, obj))}


def find_public_objects() -> dict[str, Callable]:
    """Name -> function, class or method: each once, under the shortest of the names that people import it by."""
    best: dict[Callable, tuple[tuple, str]] = {}

    def offer(obj: Callable, level: int, distance: int, prefix: str, name: str) -> None:
        length = 0 if prefix == "builtins" else len(prefix)
        rank = level, distance, length, prefix, name != obj.__name__
        if obj not in best or rank < best[obj][0]:
            best[obj] = rank, f"{prefix}.{name}"

    for module_name, module in _find_modules():
        for name, obj, level in _find_exports(module):
            offer(obj, level, 0, module_name, name)
    classes = {obj: name for obj, (_, name) in best.items() if isinstance(obj, type)}
    for cls, class_name in classes.items():
        for name, method, level, distance in _find_methods(cls, set(classes)):
            offer(method, level, distance, class_name, name)
    return {name: obj for obj, (_, name) in best.items()}


def _find_modules() -> Iterator[tuple[str, ModuleType]]:
    names = sorted(sys.stdlib_module_names)
    while names:
        name = names.pop(0)
        last = name.rpartition(".")[2]
        if last.startswith("_") or last in SKIPPED:
            continue
        try:
            with warnings.catch_warnings():  # deprecated modules say so on import
                warnings.simplefilter("ignore")
                module = importlib.import_module(name)
        except ImportError:  # of another system (msvcrt), or not built here (dbm.gnu)
            continue
        yield name, module
        names += [f"{name}.{sub.name}" for sub in pkgutil.iter_modules(getattr(module, "__path__", []))]
    yield "os.path", os.path


def _find_exports(module: ModuleType) -> Iterator[tuple[str, Callable, int]]:
    """The objects that a module offers: those in its `__all__`, and those made in it, below it or for it in private."""
    own, listed = module.__name__, getattr(module, "__all__", ())
    for name in dict.fromkeys([*vars(module), *listed]):  # concurrent.futures makes what it lists when asked for it
        obj = getattr(module, name, None)
        if name.startswith("_") or not (inspect.isclass(obj) or inspect.isroutine(obj)):
            continue
        home = getattr(obj, "__module__", None) or own
        made_here = home == own or module is builtins or any(part.startswith("_") for part in home.split("."))
        if name in listed or (made_here and not listed):
            yield name, obj, LISTED
        elif made_here or home.startswith(f"{own}."):  # hashlib.scrypt: documented, but not in __all__
            yield name, obj, UNLISTED


def _find_methods(cls: type, public: set[type]) -> Iterator[tuple[str, Callable, int, int]]:
    """Public methods of a class, and how many bases away each is: those of private bases too (`add_argument`),
    nothing from a public base, no properties."""
    for name in dir(cls):
        owners = [base for base in cls.__mro__ if name in vars(base)]
        if name.startswith("_") or not owners or (owners[0] is not cls and owners[0] in public):
            continue
        method, distance = vars(owners[0])[name], cls.__mro__.index(owners[0])
        if isinstance(method, staticmethod):  # often a function of the module once more
            yield name, method.__func__, UNLISTED, distance
        elif isinstance(method, classmethod):
            yield name, method.__func__, METHOD, distance
        elif inspect.isroutine(method) and not inspect.isbuiltin(method) and hasattr(method, "__name__"):
            yield name, method, METHOD, distance


def _write_text(name: str, obj: Callable) -> str:
    doc = obj.__doc__ if not isinstance(obj, type) else _find_class_doc(obj)
    return f"{name}{_format_signature(obj)}\n\n{inspect.cleandoc(doc)}" if isinstance(doc, str) and doc.strip() else ""


def _find_class_doc(cls: type) -> str | None:
    """The docstring of a class, or of its base (ProcessPoolExecutor has none), but not that of object, Exception or
    the like. A method has its own or none: what it overrides is a document already."""
    described = next((base for base in cls.__mro__ if isinstance(vars(base).get("__doc__"), str)), cls)
    return None if described is not cls and described.__module__ == "builtins" else vars(described).get("__doc__")


def _format_signature(obj: Callable) -> str:
    """`(a, b=1)`, or nothing where inspect cannot tell. No annotations: few functions have them."""
    try:
        signature = inspect.signature(obj)
    except (AttributeError, NameError, TypeError, ValueError):  # it evaluates the text signatures of C functions
        return ""
    parameters = [
        parameter.replace(annotation=inspect.Parameter.empty, default=_hide_default(parameter.default))
        for parameter in signature.parameters.values()
    ]
    return str(inspect.Signature(parameters)).replace("=Ellipsis", "=...")


def _hide_default(value: object) -> object:
    """The default as shown: `...` for what differs from machine to machine (a path, a memory address), and for
    what is long (`os.environ`, the whole environment)."""
    plain = value is inspect.Parameter.empty or isinstance(value, bool | int | float | str | bytes | None)
    return ... if not plain or (isinstance(value, str) and len(value) > 1 and os.path.isabs(value)) else value
