"""The demo's documents: which there are, what they are called, what they say."""

import importlib
import json
import os
import subprocess
import sys
from collections import Counter

import pytest
import yaml

from jobs.demo.prepare import QUESTIONS

JUDGED = sorted({name for question in yaml.safe_load(QUESTIONS.read_text()) for name in question["relevant"]})
ROOT = QUESTIONS.parents[2]
ON_3_11 = pytest.mark.skipif(sys.version_info[:2] != (3, 11), reason="of the docstrings of Python 3.11")


def documents_of(setup: str, hash_seed: str) -> dict[str, str]:
    """The corpus of a fresh process (pytest's own has libraries in it that patch the standard library), which must
    print nothing else, not even a warning."""
    code = f"import json; {setup}; from jobs.demo.corpus import collect_documents as collect; "
    code += "print(json.dumps(collect()))"
    command = [sys.executable, "-W", "always", "-c", code]
    ran = subprocess.run(
        command, cwd=ROOT, env=os.environ | {"PYTHONHASHSEED": hash_seed}, capture_output=True, text=True, check=True
    )
    assert ran.stderr == ""
    return json.loads(ran.stdout)


@pytest.fixture(scope="module")
def documents() -> dict[str, str]:
    return documents_of("pass", hash_seed="1")


@ON_3_11
def test_every_judged_name_is_in_the_corpus(documents):
    assert [name for name in JUDGED if name not in documents] == []


def test_several_thousand_documents_in_the_order_of_their_names(documents):
    assert 4000 < len(documents) < 10_000
    assert list(documents) == sorted(documents)


def test_same_documents_whatever_the_hash_seed_and_what_was_imported_before(documents):
    assert documents_of("import decimal, ctypes.util, numpy, pyarrow, bm25s, ir_measures, yaml", "2") == documents


def test_nothing_of_this_machine_is_in_a_signature(documents):
    for place in (sys.prefix, sys.base_prefix, " at 0x", "environ({"):
        assert [name for name, text in documents.items() if place in text.partition("\n\n")[0]] == []


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_every_name_leads_to_its_object(documents):
    def follow(name: str) -> object:
        first, *rest = name.split(".")
        found, path = importlib.import_module(first), first
        for part in rest:
            path += f".{part}"
            if not hasattr(found, part):
                importlib.import_module(path)
            found = getattr(found, part)
        return found

    assert [name for name in documents if not callable(follow(name)) and not hasattr(follow(name), "__func__")] == []


@ON_3_11
@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("builtins.len", "builtins.len(obj, /)\n\nReturn the number of items in a container."),
        ("os.path.isfile", "os.path.isfile(path)\n\nTest whether a path is a regular file"),
        ("random.choice", "random.choice(seq)\n\nChoose a random element from a non-empty sequence."),
    ],
)
def test_a_text_is_name_signature_and_docstring(documents, name, text):
    assert documents[name] == text


@pytest.mark.parametrize(
    ("here", "not_there"),
    [
        ("argparse.ArgumentParser.add_argument", "argparse._ActionsContainer.add_argument"),  # of a private base
        (
            "contextlib.ExitStack.enter_context",
            "contextlib.AsyncExitStack.enter_context",
        ),  # two heirs, the shorter name
        ("io.IOBase.readlines", "io.FileIO.readlines"),  # two heirs, the nearer
        ("pathlib.PurePath.with_suffix", "pathlib.Path.with_suffix"),  # of a public base
        ("os.path.join", "posixpath.join"),
        ("os.stat", "posix.stat"),
        ("builtins.open", "io.open"),
        ("builtins.OSError", "builtins.IOError"),
        ("unittest.TestCase", "unittest.case.TestCase"),
        ("struct.unpack", "pickle.unpack"),  # imported there for its own use
        ("email.message.Message.walk", "email.iterators.walk"),
        ("getpass.getpass", "getpass.unix_getpass"),
        ("concurrent.futures.ProcessPoolExecutor", "csv.DictReader"),  # described by its base; by nothing
        ("collections.Counter", "collections.Counter.__init__"),
        ("pathlib.Path", "pathlib.PurePath.suffix"),  # a property
        ("textwrap.dedent", "test.support.run_unittest"),
    ],
)
def test_the_name_that_people_use(documents, here, not_there):
    assert here in documents
    assert not_there not in documents


@ON_3_11
def test_a_default_is_shown_where_it_is_a_plain_value(documents):
    assert documents["cgi.parse"].startswith("cgi.parse(fp=None, environ=..., keep_blank_values=0,")
    assert documents["platform.architecture"].startswith("platform.architecture(executable=..., bits='', linkage='')")


def test_few_documents_share_a_docstring(documents):
    docs = Counter(text.partition("\n\n")[2] for text in documents.values())
    assert sum(docs.values()) - len(docs) < 0.1 * len(documents)
