"""Loading genomes from sources: side by side, contracts, what is refused."""

from __future__ import annotations

import sys

import pytest

from o_tui.agent.genome_loader import Genome, GenomeError, GenomeShelf, functions
from o_tui.protocol import contracts
from tests.support.agents import ECHO, SEED
from tests.support.nursery_driver import genome_files

FILES = genome_files(ECHO)


def with_file(path: str, source: str) -> dict[str, str]:
    return {**FILES, path: source}


def test_revisions_live_side_by_side_and_leave() -> None:
    one = Genome("1" * 40, "1", FILES)
    other = Genome("2" * 40, "2", with_file("recall.py", FILES["recall.py"] + "\nMARK = 2\n"))
    assert one.recall.__module__ == "genome_111111111111.recall"
    assert vars(other.module("recall"))["MARK"] == 2
    assert "MARK" not in vars(one.module("recall"))
    one.unload()
    assert not any(name.startswith("genome_1111") for name in sys.modules)
    assert any(name.startswith("genome_2222") for name in sys.modules)
    other.unload()


def test_a_shelf_keeps_two() -> None:
    shelf = GenomeShelf()
    first = shelf.adopt("1" * 40, "1", FILES)
    shelf.adopt("2" * 40, "2", FILES)
    assert shelf.adopt("1" * 40, "1", {}) is first
    shelf.adopt("3" * 40, "3", FILES)
    assert {name[:14] for name in sys.modules if name.startswith("genome_")} >= {"genome_1111111", "genome_3333333"}
    assert not any(name.startswith("genome_2222") for name in sys.modules)


def test_the_seed_loads_with_tools_prompts_and_neighbours() -> None:
    genome = Genome("5" * 40, "0.1.0", genome_files(SEED))
    assert {"calculator", "dates", "take_note", "list_notes", "search_memory"} <= set(genome.tools)
    assert "terminal" in genome.prompts["system"]
    assert [spec.name for spec in genome.specs] == sorted(genome.tools)
    assert "tests/test_respond" in genome.test_modules()
    genome.unload()


@pytest.mark.parametrize(
    ("path", "source", "message"),
    [
        ("respond.py", "def respond(:", "SyntaxError: invalid syntax (respond.py:1)"),
        ("respond.py", "import os", "a gene may not import os (respond.py:1 in <module>)"),
        ("respond.py", "if 1:\n    def f():\n        import socket as s", "respond.py:3: a gene may not import socket"),
        ("respond.py", "try: pass\nfinally:\n    from o_tui.agent import kernel", "may not import o_tui.agent"),
        ("respond.py", "class C:\n    f = lambda: [__import__ for _ in ()]", "a gene may not use __import__"),
        ("respond.py", "def f():\n    def g():\n        with x:\n            import os", "4: a gene may not import os"),
        ("respond.py", "from o_tui.guardian import wal", "a gene may not import o_tui.guardian"),
        ("respond.py", "def f(): return __import__('os')", "a gene may not use __import__"),
        ("respond.py", "x = __builtins__", "a gene may not use __builtins__"),
        ("respond.py", "x = open('/etc/passwd')", "NameError: name 'open' is not defined (respond.py:1 in <module>)"),
        ("respond.py", "x = eval('1')", "NameError"),
        ("respond.py", "1/0", "ZeroDivisionError: division by zero (respond.py:1 in <module>)"),
        ("respond.py", "raise SystemExit(0)", "SystemExit: 0"),
        ("respond.py", "def other(): pass", "respond: the function respond(request, context) is missing"),
        ("respond.py", "def respond(request, context): return []", "respond must be a generator"),
        ("respond.py", "async def respond(request, context): yield 1", "is async"),
        ("respond.py", "def respond(message, context): yield 1", "takes (message, context)"),
        ("respond.py", "def respond(request, context, more): yield 1", "needs more than (request, context)"),
        ("recall.py", "def recall(query, search, k, now_ns): yield 1", "must return its result"),
        ("tools/empty.py", "def plain(): pass", "tools/empty: there is no function decorated with @tool"),
        (
            "tools/bad.py",
            "from o_tui.agent.dsl import tool\n@tool\ndef t(x): return ''",
            "tool t: the parameter x needs a name and a type hint",
        ),
        (
            "tools/bad.py",
            "from o_tui.agent.dsl import tool\n@tool\ndef t(x: object()): return ''",
            "TypeError",
        ),
        ("respond.py", "x = '" + "y" * contracts.FILE_LIMIT_BYTES + "'", "respond.py is larger than 256 KiB"),
        ("respond.py", "(" * 5_000, "SyntaxError"),
        ("respond.py", "\0", "source code"),
        ("respond.py", "x = '\ud800'", "UnicodeEncodeError"),
    ],
)
def test_what_cannot_run_is_refused_in_one_line(path: str, source: str, message: str) -> None:
    with pytest.raises(GenomeError) as caught:
        Genome("f" * 40, "1", with_file(path, source))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not any(name.startswith("genome_ffff") for name in sys.modules)


def test_a_missing_gene_is_named() -> None:
    with pytest.raises(GenomeError, match=r"the gene recall is missing \(recall.py\)"):
        Genome("f" * 40, "1", {path: text for path, text in FILES.items() if path != "recall.py"})


def test_what_the_standard_library_imports_itself_is_its_own_affair() -> None:
    body = "import datetime\ndef chunk(text): return [f'{datetime.datetime(2026, 1, 2):%A}']\n"
    whole = 'def chunk(text: str) -> list[str]:\n    """In one piece."""\n    return [text]\n'
    assert whole in FILES["remember.py"]
    source = FILES["remember.py"].replace(whole, body)
    genome = Genome("f" * 40, "1", with_file("remember.py", source))
    assert genome.chunk("") == ["Friday"]
    genome.unload()


def test_modules_import_each_other_as_python_does() -> None:
    files = {
        **FILES,
        "one.py": "from . import two\nfrom .deep.three import *\nNAME = 'one'\ndef of_two(): return two.NAME\n",
        "two.py": "from . import one\nNAME = 'two'\ndef of_one(): return one.NAME\n",
        "deep/three.py": "from .. import two\nfrom ..deep import four\n__all__ = ['found']\nfound = two, four\n",
        "deep/four.py": "import collections.abc\nABOVE = collections.abc.__name__\n",
    }
    genome = Genome("f" * 40, "1", files)
    one, two = genome.module("one"), genome.module("two")
    assert one.of_two() == "two"
    assert two.of_one() == "one"
    assert one.found == (two, genome.module("deep/four"))
    assert genome.module("deep").four.ABOVE == "collections.abc"
    assert two.__package__ == "genome_ffffffffffff"
    genome.unload()


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("from . import nothing", "ImportError: cannot import name 'nothing'"),
        ("from .nothing import it", "ModuleNotFoundError: No module named 'genome_ffffffffffff.nothing'"),
        ("from .. import recall", "ImportError: attempted relative import beyond top-level package"),
        ("__package__ = 'os'\nfrom . import system", "ModuleNotFoundError: No module named 'os'"),
        ("from .broken import it", "ZeroDivisionError: division by zero (broken.py:1 in <module>)"),
    ],
)
def test_an_import_that_fails_says_why_and_leaves_no_module(source: str, message: str) -> None:
    with pytest.raises(GenomeError) as caught:
        Genome("f" * 40, "1", {**with_file("respond.py", source), "broken.py": "1/0"})
    assert message in str(caught.value)
    assert not any(name.startswith("genome_ffff") for name in sys.modules)


def test_a_contract_allows_further_parameters_with_defaults() -> None:
    source = FILES["recall.py"].replace("now_ns: int)", "now_ns: int, depth: int = 3)")
    genome = Genome("f" * 40, "1", with_file("recall.py", source))
    assert functions(genome.module("recall"))["recall"].required == 4
    genome.unload()


def test_genes_and_files() -> None:
    assert contracts.gene_of("tools/dates.py") == "tools/dates"
    assert contracts.gene_of("offline.py") is None
    assert contracts.gene_of("prompts/system.md") is None
    assert contracts.path_of("recall") == "recall.py"
    with pytest.raises(ValueError, match="is not a gene"):
        contracts.path_of("../etc/passwd")
