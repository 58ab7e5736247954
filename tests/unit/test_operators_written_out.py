"""Numbers written out: what constant code comes to is worked out without running it, and nothing else is."""

from __future__ import annotations

import ast
import textwrap
from typing import Any

import pytest

from o_tui.evolution.operators.folding import Folder, Unfoldable
from o_tui.evolution.operators.literals import literals
from o_tui.evolution.operators.materialise import Materialise
from o_tui.evolution.operators.module import parse
from tests.support.operators import changes

BODIES = """\
rows = [i * 0.5 for i in range(6)]
return rows
--
rows = []
for i in range(3):
    for j in range(2):
        rows.append((i / 3, math.sin(j)))
return rows
--
rows = [0.0] * 5
rows[2] = 1.5
for i in range(5):
    rows[i] = rows[i] + i ** 2
return rows
--
n = 4
a, b = 0.25, n / 3
rows = [a + b * k if k % 2 else -a for k in range(n)]
return rows, n
--
return [math.hypot(x, y) for x in range(3) for y in range(3) if x != y]
--
rows = np.zeros((3, 2))
for i in range(3):
    rows[i] = [np.cos(i), i / 7]
rows = np.clip(rows, 0.1, 0.9)
return rows.tolist()
--
rows = np.linspace(0, 1, 7)
twice = rows * 2 + 1
return twice.tolist()
"""


@pytest.mark.parametrize("body", BODIES.split("--\n"))
def test_numbers_that_are_written_out_are_those_that_were_computed(body: str) -> None:
    source = "import math\nimport numpy as np\n\n\ndef made():\n" + textwrap.indent(body, "    ")
    _before, after = changes(Materialise(), source, 1, 4)[0]
    assert _run(after) == pytest.approx(_run(source), abs=0, rel=1e-15)
    assert len(literals(parse(after))) >= 4


def _run(source: str) -> list[float]:
    names: dict[str, Any] = {}
    exec(source, names)
    flat: list[float] = []
    todo = [names["made"]()]
    while todo:
        each = todo.pop(0)
        todo = [*each, *todo] if isinstance(each, (list, tuple)) else todo
        flat += [] if isinstance(each, (list, tuple)) else [each]
    return flat


def test_what_follows_from_written_numbers_is_not_written_out() -> None:
    source = "def made():\n    rows = [0.1, 0.2, 0.3, 0.4]\n    sizes = [x / 2 for x in rows]\n    return rows, sizes\n"
    assert changes(Materialise(), source, 1, 3) == []


@pytest.mark.parametrize(
    "expression",
    [
        "__import__('os').getpid()",
        "open('/etc/passwd').read()",
        "[0] * 10**9",
        "9 ** 9 ** 9",
        "list(range(10**9))",
        "np.zeros((10**6, 10**6))",
        "np.arange(10**9)",
        "np.load('x')",
        "(1).__class__.__mro__",
        "[].__class__",
        "unknown(3)",
        "'%s' % 3",
        "[[i] * 900 for i in range(900)]",
        "f'{1}'",
        "(lambda: 3)()",
        "sum([1, 2], start=[])",
        "sorted([1, 2], key=print)",
    ],
)
def test_only_harmless_code_is_worked_out(expression: str) -> None:
    folder = Folder({"np": "numpy", "math": "math"})
    with pytest.raises(Unfoldable):
        folder.value(ast.parse(expression, mode="eval").body)


@pytest.mark.parametrize(
    "code",
    [
        "a = [1]\na.append(a)\nb = sum(a)",
        "a = [1, 2]\nfor i in range(40):\n    a = [a, a]\nb = np.array(a)",
        "a = 3\nfor i in range(100):\n    a = a ** 60",
        "a = [1]\nfor i in range(100):\n    a = a + a",
        "a = 1\nfor i in range(1000):\n    for j in range(1000):\n        a = i * j",
        "while True:\n    pass",
    ],
)
def test_working_out_has_limits(code: str) -> None:
    folder = Folder({"np": "numpy"})
    with pytest.raises(Unfoldable):
        for statement in ast.parse(code).body:
            folder.run(statement)


def test_a_name_that_hides_a_built_in_is_not_taken_for_it() -> None:
    hiding = "def range(n):\n    return [7, 7, 8, 8]\n\n\n"
    source = hiding + "def made():\n    rows = [i * 2 for i in range(4)]\n    return rows\n"
    assert changes(Materialise(), source, 1, 3) == []
