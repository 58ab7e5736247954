"""One statement or comparison is changed: left out, doubled, swapped with the next one, turned round."""

from __future__ import annotations

import ast
from collections.abc import Callable, Sequence
from random import Random

from o_tui.evolution.operators.module import Edit, Function, Module
from o_tui.evolution.operators.operator import Change, Memory, Note, Operator, Result
from o_tui.evolution.operators.places import bodies, stands_alone

_COMPARISONS: dict[type[ast.cmpop], tuple[str, ...]] = {
    ast.Lt: ("<=", ">"),
    ast.LtE: ("<", ">="),
    ast.Gt: (">=", "<"),
    ast.GtE: (">", "<="),
    ast.Eq: ("!=",),
    ast.NotEq: ("==",),
}
_ARITHMETIC: dict[type[ast.operator], tuple[str, ...]] = {
    ast.Add: ("-", "*"),
    ast.Sub: ("+",),
    ast.Mult: ("/", "+", "**"),
    ast.Div: ("*", "//"),
}
_KEPT = (Function, ast.ClassDef, ast.Import, ast.ImportFrom, ast.Return, ast.Global, ast.Nonlocal)
"""Statements that are not moved: what others name, or what ends a function."""
_Made = tuple[list[Edit], str]


class Statements(Operator):
    """The operator."""

    name = "statements"

    def operate(self, module: Module, others: Sequence[Module], random: Random, memory: Memory) -> Change | None:
        """One of its changes, at a place by chance."""
        ways: list[Callable[[Module, Random], _Made | None]] = [_left_out, _doubled, _swapped, _compared, _reckoned]
        random.shuffle(ways)
        for way in ways:
            made = way(module, random)
            if made is not None:
                edits, detail = made
                return Change(module.edited(edits), detail)
        return None

    def learn(self, memory: Memory, note: Note, result: Result, score: float) -> None:
        """Nothing to learn: places do not stay the same."""


def _left_out(module: Module, random: Random) -> _Made | None:
    found = [(body, at) for body, at in module.once(movable) if len(body) > 1]
    if not found:
        return None
    body, at = random.choice(found)
    return [(*module.line_span(body[at]), "")], f"line {body[at].lineno}: left out"


def _doubled(module: Module, random: Random) -> _Made | None:
    found = module.once(movable)
    if not found:
        return None
    body, at = random.choice(found)
    start, end = module.line_span(body[at])
    text = module.text[start:end]
    ending = "" if text.endswith(("\n", "\r")) else module.newline
    return [(end, end, ending + text)], f"line {body[at].lineno}: twice"


def _swapped(module: Module, random: Random) -> _Made | None:
    found = module.once(movable)
    pairs = [(body, at) for body, at in found if any(body is other and at + 1 == place for other, place in found)]
    if not pairs:
        return None
    body, at = random.choice(pairs)
    first, second = module.line_span(body[at]), module.line_span(body[at + 1])
    texts = module.text[slice(*first)], module.text[slice(*second)]
    if not texts[1].endswith(("\n", "\r")):
        texts = texts[0].rstrip("\r\n"), texts[1] + module.newline
    return [(*first, texts[1]), (*second, texts[0])], f"lines {body[at].lineno} and {body[at + 1].lineno}: swapped"


def _compared(module: Module, random: Random) -> _Made | None:
    found = [
        node for node in module.once(_nodes) if isinstance(node, ast.Compare) and type(node.ops[0]) in _COMPARISONS
    ]
    if not found:
        return None
    node = random.choice(found)
    sign = random.choice(_COMPARISONS[type(node.ops[0])])
    return _between(module, node.left, node.comparators[0], sign)


def _reckoned(module: Module, random: Random) -> _Made | None:
    found = [node for node in module.once(_nodes) if isinstance(node, ast.BinOp) and type(node.op) in _ARITHMETIC]
    if not found:
        return None
    node = random.choice(found)
    return _between(module, node.left, node.right, random.choice(_ARITHMETIC[type(node.op)]))


def _between(module: Module, left: ast.expr, right: ast.expr, sign: str) -> _Made | None:
    """Another sign between two operands; brackets and comments that stand there are not touched."""
    start, end = module.span(left)[1], module.span(right)[0]
    text = module.text[start:end]
    bare = text.strip(" \t()")
    if not bare or any(char in bare for char in "#\n\r\\()"):
        return None
    return [(start, end, text.replace(bare, sign, 1))], f"line {left.lineno}: {bare} -> {sign}"


def movable(module: Module) -> list[tuple[Sequence[ast.stmt], int]]:
    """The statements of functions that may change and have lines of their own: their bodies, and the place there."""
    return [
        (body, at)
        for function in ast.walk(module.tree)
        if isinstance(function, Function)
        for body in bodies(function)
        for at, node in enumerate(body)
        if not isinstance(node, _KEPT) and module.inside(node) and not _is_text(node) and stands_alone(module, node)
    ]


def _nodes(module: Module) -> list[ast.AST]:
    """What may change inside of functions; the places in an f-string are not reliable."""
    found: list[ast.AST] = []
    todo: list[ast.AST] = [each for _name, function in module.functions() for each in function.body]
    while todo:
        node = todo.pop()
        if not isinstance(node, ast.JoinedStr):
            found += [node] if module.inside(node) else []
            todo.extend(ast.iter_child_nodes(node))
    return found


def _is_text(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
