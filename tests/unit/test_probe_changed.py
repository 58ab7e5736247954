"""Where the prober looks more: what was changed, and what reaches it."""

from __future__ import annotations

import ast

import pytest

from o_tui.evolution.probe.changed import suspects

MODULE = """
import re

LIMIT = 3
_KNOWN: dict[str, int] = {}

def low(x):
    return min(x, LIMIT)

def high(x):
    return low(x) + 1

def other(x):
    return _KNOWN.get(x)

class Box:
    def __init__(self):
        self.n = 0

    def put(self, x):
        self.n += self._one(x)

    def _one(self, x):
        return x

    def look(self):
        return self.n
"""


@pytest.mark.parametrize(
    ("old", "new", "names"),
    [
        ("LIMIT = 3", "LIMIT = 4", {"LIMIT", "low", "high"}),
        ("low(x) + 1", "low(x) + 2", {"high"}),
        ("return min(x, LIMIT)", "_KNOWN[x] = 1; return 0", {"low", "high", "other", "_KNOWN"}),
        ("        return x\n", "        return x + 1\n", {"Box", "Box._one", "Box.put"}),
        ("self.n = 0", "self.n = 1", {"Box", "Box.__init__", "Box.put", "Box._one", "Box.look"}),
        ("import re\n", "import re\nprint()\n", set()),
        ("LIMIT = 3\n", "LIMIT = 3\n\n\n# only a remark\n", set()),
    ],
)
def test_what_reaches_a_change_is_looked_at_more(old: str, new: str, names: set[str]) -> None:
    assert MODULE.count(old) == 1
    assert suspects(ast.parse(MODULE), ast.parse(MODULE.replace(old, new))) == names
