"""Every bad candidate and its one line; good ones pass; nothing is ever executed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from o_tui.evolution.validation import STAGES, Stage, Validation, validate
from o_tui.guardian.evolving import static_checks, validating

RECALL = '''"""Ranks memories."""

from __future__ import annotations

import math
from collections.abc import Sequence

from o_tui.agent.dsl import Hit, Search


class Ranked:
    def __init__(self, score: float) -> None:
        self.score = score
        self.sys = 1

    def __lt__(self, other: Ranked) -> bool:
        return self.score < other.score


def recall(query: str, search: Search, k: int, now_ns: int, weight: float = 0.5) -> Sequence[Hit]:
    """The best."""
    help = math.sqrt(4)
    return [hit for hit in search.lexical(query, k) if hit.score > help][:k]
'''
RESPOND = "def respond(request, context):\n    yield 1\n"
HEAD = "def recall(query, search, k, now_ns):\n"

BAD: list[tuple[str, str, str | bytes, str, str]] = [
    ("nothing", "recall", " \n", "size", "recall.py: there is nothing in it"),
    ("large", "recall", "#" * 262_145, "size", "recall.py: 262,145 bytes are too many; the limit is 262,144"),
    ("bytes", "recall", b"x = 1\n# \xff\n", "encoding", "recall.py:2: byte 0xff is not UTF-8"),
    ("surrogate", "recall", "x = 1\n# \udcff\n", "encoding", "recall.py:2: byte 0xff is not UTF-8"),
    ("nul", "recall", "x = 1\ny = '\0'\n", "encoding", "recall.py:2: a NUL character"),
    (
        "bidi",
        "recall",
        HEAD + "    x = 1  # \u202e }\n",
        "encoding",
        "recall.py:2: a character that a reviewer would not see as it is: U+202E RIGHT-TO-LEFT OVERRIDE",
    ),
    (
        "invisible",
        "recall",
        HEAD + "    na\u200bme = 1\n",
        "encoding",
        "recall.py:2: a character that a reviewer would not see as it is: U+200B ZERO WIDTH SPACE",
    ),
    (
        "escape",
        "recall",
        "# \x1b[2K\n",
        "encoding",
        "recall.py:1: a character that a reviewer would not see as it is: U+001B",
    ),
    ("return", "recall", "# a\rimport os\n", "encoding", "recall.py:1: a character that a reviewer would not see"),
    (
        "cookie",
        "recall",
        "# -*- coding: utf-7 -*-\n",
        "encoding",
        "recall.py:1: says that it is utf-7; a gene is UTF-8",
    ),
    ("syntax", "recall", HEAD + "    return (\n", "compile", "recall.py:2: SyntaxError: '(' was never closed"),
    ("indent", "recall", HEAD + "return 1\n", "compile", "recall.py:2: IndentationError: expected an indented block"),
    ("nesting", "recall", "x = " + "(" * 300 + ")" * 300, "compile", "recall.py:1: SyntaxError: too many nested paren"),
    ("deep", "recall", "x = " + "-" * 50_000 + "1", "compile", "recall.py:1: "),
    ("return outside", "recall", "return 1\n", "compile", "recall.py:1: SyntaxError: 'return' outside function"),
    (
        "missing function",
        "recall",
        "x = 1\n",
        "contract",
        "recall.py:1: the function recall(query, search, k, now_ns) is missing",
    ),
    (
        "wrong names",
        "recall",
        "\ndef recall(q, s, k, n):\n    return []\n",
        "contract",
        "recall.py:2: recall takes (q, s, k, n); it must take (query, search, k, now_ns)",
    ),
    (
        "one more",
        "recall",
        "def recall(query, search, k, now_ns, depth):\n    return []\n",
        "contract",
        "recall.py:1: recall needs more than (query, search, k, now_ns); give the other parameters defaults",
    ),
    (
        "keyword without default",
        "recall",
        "def recall(query, search, k, now_ns, *, depth):\n    return []\n",
        "contract",
        "recall.py:1: recall needs more than",
    ),
    ("async", "recall", "async " + HEAD + "    return []\n", "contract", "recall.py:1: recall is async; a gene is not"),
    ("generator", "recall", HEAD + "    yield 1\n", "contract", "recall.py:1: recall must return its result"),
    (
        "no generator",
        "respond",
        "def respond(request, context):\n    return []\n",
        "contract",
        "respond.py:1: respond must be",
    ),
    (
        "yield of another",
        "respond",
        "def respond(request, context):\n    def inner():\n        yield 1\n    return inner()\n",
        "contract",
        "respond.py:1: respond must be a generator: it yields steps",
    ),
    (
        "no tool",
        "tools/dice",
        "def dice():\n    return ''\n",
        "contract",
        "tools/dice.py:1: there is no function decorated",
    ),
    (
        "import os",
        "recall",
        "import math, os\n" + HEAD + "    return []\n",
        "imports",
        "recall.py:1: a gene may not import os",
    ),
    (
        "from import",
        "recall",
        HEAD + "    from subprocess import run\n    return run\n",
        "imports",
        "recall.py:2: a gene may not import subprocess",
    ),
    (
        "kernel",
        "recall",
        "from o_tui.agent import kernel\n" + HEAD + "    return []\n",
        "imports",
        "recall.py:1: a gene may not import o_tui.agent",
    ),
    (
        "outside",
        "recall",
        "from .. import kernel\n" + HEAD + "    return []\n",
        "imports",
        "recall.py:1: a gene may not import from outside of the genome",
    ),
    ("eval", "recall", HEAD + "    return eval(query)\n", "danger", "recall.py:2: a gene may not use eval"),
    (
        "shadowed eval",
        "recall",
        "def f(eval):\n    pass\n" + HEAD + "    return eval(query)\n",
        "danger",
        "recall.py:4: a gene",
    ),
    ("open", "recall", HEAD + "    return open(query)\n", "danger", "recall.py:2: a gene may not use open"),
    (
        "import call",
        "recall",
        HEAD + "    return __import__('os')\n",
        "danger",
        "recall.py:2: a gene may not use __import__",
    ),
    (
        "subclasses",
        "recall",
        HEAD + "    return ().__class__.__base__.__subclasses__()\n",
        "danger",
        "recall.py:2: a gene may not reach for __base__",
    ),
    (
        "globals",
        "recall",
        HEAD + "    return recall.__globals__\n",
        "danger",
        "recall.py:2: a gene may not reach for __globals__",
    ),
    (
        "frame",
        "recall",
        HEAD + "    return query.gi_frame\n",
        "danger",
        "recall.py:2: a gene may not look at frames (gi_frame)",
    ),
    (
        "a module in a module",
        "recall",
        "import random\n" + HEAD + "    return random._os.system(query)\n",
        "danger",
        "recall.py:3: a gene may not reach os through another module (_os)",
    ),
    (
        "a module from a module",
        "recall",
        "from random import _os\n" + HEAD + "    return _os\n",
        "danger",
        "recall.py:1: a gene may not reach os through another module (_os)",
    ),
    (
        "format",
        "recall",
        HEAD + "    return '{0.__class__}'.format(query)\n",
        "danger",
        "recall.py:2: a text with __class__ in it can be used to reach out of a gene",
    ),
    (
        "match",
        "recall",
        HEAD + "    match query:\n        case object(__class__=c):\n            return c\n",
        "danger",
        "recall.py:3: a gene may not reach for __class__",
    ),
    ("fullwidth", "recall", HEAD + "    return ｅval(query)\n", "encoding", "recall.py:2: a character that a reviewer"),
]


@pytest.mark.parametrize(("gene", "source", "stage", "line"), [case[1:] for case in BAD], ids=[case[0] for case in BAD])
def test_each_bad_candidate_ends_at_its_stage_with_one_clear_line(
    gene: str, source: str | bytes, stage: str, line: str
) -> None:
    result = validate(gene, source)
    assert not result.ok
    assert [entry.name for entry in result.stages] == list(STAGES[: STAGES.index(stage) + 1])
    assert [entry.verdict for entry in result.stages[:-1]] == ["pass"] * (len(result.stages) - 1)
    assert result.reason.startswith(line)
    assert "\n" not in result.reason


@pytest.mark.parametrize(
    ("gene", "source"),
    [
        ("recall", RECALL),
        ("recall", RECALL.replace("\n", "\r\n")),
        ("recall", "# -*- coding: utf-8 -*-\n# Ünïcode – ok: naïve 日本\n" + HEAD + "    return []\n"),
        ("recall", "from .remember import chunk\n" + HEAD + "    return [chunk(query)]\n"),
        ("respond", RESPOND),
        ("respond", "if True:\n    def respond(request, context):\n        x = yield\n        yield from x\n"),
        (
            "remember",
            "def chunk(text): pass\ndef importance(text, kind): pass\ndef consolidate(blocks, now_ns): pass",
        ),
        (
            "tools/dice",
            "from ..recall import recall\nimport o_tui.agent.dsl as dsl\n@dsl.tool\ndef dice(): return str(recall)\n",
        ),
        ("tools/dice", "from o_tui.agent.dsl import tool\n@tool\ndef dice(input: str) -> str: return input\n"),
    ],
)
def test_good_candidates_pass_every_stage(gene: str, source: str) -> None:
    result = validate(gene, source)
    assert result.ok, result.reason
    assert [stage.name for stage in result.stages] == list(STAGES)
    assert [row["verdict"] for row in result.rows()] == ["pass"] * len(STAGES)


def test_the_shipped_genes_pass() -> None:
    from o_tui.paths import shipped
    from o_tui.protocol import contracts

    seed = shipped("data") / "genome"
    checked = 0
    for file in seed.rglob("*.py"):
        if gene := contracts.gene_of(str(file.relative_to(seed))):
            result = validate(gene, file.read_bytes())
            assert result.ok, result.reason
            checked += 1
    assert checked >= 4


def test_there_is_no_such_gene() -> None:
    with pytest.raises(ValueError, match="is not a gene"):
        validate("../kernel", "x = 1")


def test_a_candidate_is_not_executed(tmp_path: Path) -> None:
    witness = tmp_path / "witness"
    validate("recall", f"open({str(witness)!r}, 'w')\n" + HEAD + "    return []\n")
    assert not witness.exists()


@given(st.text(max_size=200) | st.binary(max_size=200))
def test_no_source_makes_validation_raise(source: str | bytes) -> None:
    result = validate("recall", source.encode("utf-8", "replace") if isinstance(source, str) else source)
    assert not result.ok
    assert result.reason.startswith("recall.py") and "\n" not in result.reason


async def test_apart_says_the_same(tmp_path: Path) -> None:
    for source in (RECALL, "x = 1\n", "x = (\n", "# \udcff"):
        apart = await validating.validate_apart("recall", source)
        here = validate("recall", source)
        assert [(s.name, s.verdict, s.detail) for s in apart.stages][: len(here.stages)] == [
            (s.name, s.verdict, s.detail) for s in here.stages
        ]
        assert len(apart.stages) > len(here.stages) or not here.ok
    with pytest.raises(ValueError, match="is not a gene"):
        await validating.validate_apart("kernel", "x = 1")


async def test_a_source_that_stalls_or_kills_the_compiler_fails_there(monkeypatch: pytest.MonkeyPatch) -> None:
    program = (
        "import os,sys,signal,time\nos.kill(os.getpid(), 11) if b'die' in sys.stdin.buffer.read() else time.sleep(600)"
    )
    real = static_checks.subprocess.run

    def run(command: list[str], **options: object) -> object:
        return real([sys.executable, "-c", program], **options)  # type: ignore[call-overload]

    monkeypatch.setattr(static_checks.subprocess, "run", run)
    assert (await validating.validate_apart("recall", "die")).reason == "the compiler died of it (SIGSEGV)"
    monkeypatch.setattr(static_checks, "TIMEOUT_S", 0.5)
    assert "did not end within" in (await validating.validate_apart("recall", "sleep")).reason


def test_its_cost_is_what_the_prober_used_and_not_how_long_it_waited() -> None:
    stages = (Stage("size", "pass", 20.0, ""), Stage("types", "pass", 40.0, ""), Stage("probe", "pass", 9_000.0, ""))
    assert Validation(stages, probed_s=1.5).cpu_s == pytest.approx(1.56)


def test_who_is_killed_in_the_checkers_leaves_no_file_behind(tmp_path: Path) -> None:
    pipe, checker, folder = tmp_path / "pipe", tmp_path / "checker", tmp_path / "temporary"
    folder.mkdir()
    os.mkfifo(pipe)
    checker.write_text(f'#!/bin/sh\nfor file; do :; done\n(echo $$; cat "$file") > {pipe}\nexec sleep 60\n')
    checker.chmod(0o755)
    code = (
        "from o_tui.guardian.evolving import linting\n"
        f"linting._found = lambda name: {str(checker)!r}\n"
        f"linting.stages('recall.py', {RECALL.encode()!r})"
    )
    guardian = subprocess.Popen([sys.executable, "-c", code], env=os.environ | {"TMPDIR": str(folder)})
    checking, _, read = pipe.read_text("utf-8").partition("\n")
    guardian.kill()
    guardian.wait()
    os.kill(int(checking), signal.SIGKILL)
    assert read == RECALL and not list(folder.iterdir())
