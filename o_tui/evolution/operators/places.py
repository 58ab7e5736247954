"""What statements read and write, and where they stand."""

from __future__ import annotations

import ast

from o_tui.evolution.operators.module import Function, Module


def stands_alone(module: Module, statement: ast.stmt) -> bool:
    """Whether a statement shares its lines with nothing but a comment."""
    start, end = module.line_span(statement)
    behind = module.text[module.span(statement)[1] : end].strip()
    decorated = bool(getattr(statement, "decorator_list", ()))
    before = "" if decorated else module.text[start : module.span(statement)[0]].strip()
    return not before and (not behind or behind.startswith("#"))


def indent_of(module: Module, statement: ast.stmt) -> str:
    """What stands before a statement that stands alone."""
    start = module.starts[statement.lineno - 1]
    return module.text[start : module.span(statement)[0]]


def bodies(node: ast.AST) -> list[list[ast.stmt]]:
    """The rows of statements in a function, not those of functions inside."""
    found: list[list[ast.stmt]] = []
    todo: list[ast.AST] = [node]
    while todo:
        each = todo.pop()
        for name in ("body", "orelse", "finalbody"):
            body = getattr(each, name, None)
            if isinstance(body, list) and body:
                found.append(body)
                todo += [inner for inner in body if not isinstance(inner, (Function, ast.ClassDef))]
        todo += getattr(each, "handlers", [])
    return found


def writes(node: ast.AST) -> set[str]:
    """Names that a statement sets or changes in place, parameters of what it defines among them."""
    found: set[str] = set()
    for each in ast.walk(node):
        if isinstance(each, ast.Name) and not is_load(each):
            found.add(each.id)
        elif isinstance(each, ast.arg):
            found.add(each.arg)
        elif isinstance(each, (ast.Subscript, ast.Attribute)) and not isinstance(each.ctx, ast.Load):
            found |= _base(each.value)
        elif isinstance(each, ast.Call) and isinstance(each.func, ast.Attribute):
            found |= _base(each.func.value) if each.func.attr in _CHANGING else set()
    return found


_CHANGING = frozenset(
    ["add", "append", "clear", "extend", "insert", "pop", "remove", "reverse", "setdefault", "sort", "update"]
)


def reads(node: ast.AST) -> set[str]:
    """Names that are looked up."""
    return {each.id for each in ast.walk(node) if isinstance(each, ast.Name) and is_load(each)}


def is_load(node: ast.Name) -> bool:
    """Whether a name is looked up here, not set."""
    return isinstance(node.ctx, ast.Load)


def _base(node: ast.expr) -> set[str]:
    while isinstance(node, (ast.Subscript, ast.Attribute)):
        node = node.value
    return {node.id} if isinstance(node, ast.Name) else set()
