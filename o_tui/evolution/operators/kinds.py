"""Which idea a source is: how long it is, and how far its structure is from the first one's. Cheap, and coarse.

Sources that differ in numbers and names only are one kind: tuning is no new idea.
"""

from __future__ import annotations

import ast
import math
from collections import Counter

from o_tui.evolution.operators.module import Module


def kind_of(module: Module, first: Module) -> str:
    """The cell of a source beside the first one: "LENGTH:DISTANCE"."""
    ours, theirs = module.once(_parts), first.once(_parts)
    length = sum(ours.values()) / sum(theirs.values())
    apart = sum(((ours - theirs) + (theirs - ours)).values())
    return f"{round(2 * math.log2(length))}:{math.ceil(math.log2(1 + apart))}"


def _parts(module: Module) -> Counter[str]:
    """How often each sort of node stands in it; a sign is part of its number."""
    signs = (ast.UnaryOp, ast.USub)
    return Counter(type(node).__name__ for node in ast.walk(module.tree) if not isinstance(node, signs))
