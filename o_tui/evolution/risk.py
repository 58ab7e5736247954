"""How much a change can do, read from the two sources: numbers only, logic, or what reaches beyond the gene.

A class says what may happen without asking (guardian/policies.py); it is no judgement of the change. What cannot be
read is of the highest class. Parsing holds the interpreter's lock: the guardian asks in a process apart.
"""

from __future__ import annotations

import ast
from collections import Counter
from typing import Literal, get_args

Risk = Literal["low", "medium", "high"]
RISKS: tuple[Risk, ...] = get_args(Risk)
EFFECTS = frozenset(
    [
        "Apply",
        "AskModel",
        "CallTool",
        "MemoryAdd",
        "MemoryRemove",
        "MemoryUpdate",
        "Record",
        "Remember",
        "StateUpdate",
        "TurnAdd",
        "tool",
    ]
)
"""The words by which a gene asks for something that lasts, or leaves it."""


def risk(before: str, after: str) -> Risk:
    """The class of a change of one module.

    Returns:
        low: only numbers (and comments, layout) differ. medium: the logic does. high: what it imports, which effects
        it asks for, its functions' parameters or decorators differ; or there was nothing before.
    """
    if not before.strip():
        return "high"
    try:
        old, new = ast.parse(before), ast.parse(after)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return "high"
    if _reach(old) != _reach(new):
        return "high"
    return "low" if _shape(old) == _shape(new) else "medium"


def at_most(found: str, limit: str) -> bool:
    """Whether a class is not beyond another; what is no class is beyond every one."""
    return found in RISKS and limit in RISKS and RISKS.index(found) <= RISKS.index(limit)


def _shape(tree: ast.Module) -> str:
    return ast.dump(_Blank().visit(tree))


class _Blank(ast.NodeTransformer):
    """Every number becomes the same one, whatever its sign."""

    def visit_Constant(self, node: ast.Constant) -> ast.AST:
        number = isinstance(node.value, int | float | complex) and not isinstance(node.value, bool)
        return ast.Constant(0) if number else node

    def visit_UnaryOp(self, node: ast.UnaryOp) -> ast.AST:
        inner = self.visit(node.operand)
        if isinstance(node.op, ast.USub | ast.UAdd) and isinstance(inner, ast.Constant) and inner.value == 0:
            return inner
        return ast.UnaryOp(node.op, inner)


def _reach(tree: ast.Module) -> Counter[str]:
    """What it imports, which effects it names, and what its functions look like from outside."""
    found: Counter[str] = Counter()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found.update(f"import {alias.name} as {alias.asname}" for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            found.update(f"from {node.level} {node.module} {alias.name} as {alias.asname}" for alias in node.names)
        elif isinstance(node, ast.Name) and node.id in EFFECTS:
            found[node.id] += 1
        elif isinstance(node, ast.Attribute) and node.attr in EFFECTS:
            found[node.attr] += 1
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node in tree.body:
            decorators = [ast.dump(each) for each in node.decorator_list]
            names = [each.arg for each in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)]
            found[f"def {node.name} {names} {decorators}"] += 1
    return found
