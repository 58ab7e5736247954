"""A gene's functions as its source shows them, for the contract; nothing is executed."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from o_tui.protocol.contracts import FoundFunction

_Function = ast.FunctionDef | ast.AsyncFunctionDef


def functions(tree: ast.Module) -> dict[str, tuple[FoundFunction, int]]:
    """The functions that a module defines at its top level (also under `if` and `try`), with their lines."""
    return {node.name: (_describe(node), node.lineno) for node in _definitions(tree.body)}


def _definitions(body: list[ast.stmt]) -> Iterator[_Function]:
    for node in body:
        if isinstance(node, _Function):
            yield node
        elif isinstance(node, ast.If):
            yield from _definitions([*node.body, *node.orelse])
        elif isinstance(node, (ast.Try, ast.TryStar)):
            handlers = [inner for handler in node.handlers for inner in handler.body]
            yield from _definitions([*node.body, *handlers, *node.orelse, *node.finalbody])
        elif isinstance(node, ast.With):
            yield from _definitions(node.body)


def _describe(node: _Function) -> FoundFunction:
    arguments = node.args
    positional = [*arguments.posonlyargs, *arguments.args]
    named = [argument.arg for argument in (*positional, *arguments.kwonlyargs)]
    optional = len(arguments.defaults) + sum(default is not None for default in arguments.kw_defaults)
    return FoundFunction(
        parameters=tuple(named),
        required=len(named) - optional,
        generator=any(_yields(statement) for statement in node.body),
        asynchronous=isinstance(node, ast.AsyncFunctionDef),
        tool=any(_is_tool(decorator) for decorator in node.decorator_list),
    )


def _is_tool(decorator: ast.expr) -> bool:
    return (isinstance(decorator, ast.Name) and decorator.id == "tool") or (
        isinstance(decorator, ast.Attribute) and decorator.attr == "tool"
    )


def _yields(node: ast.AST) -> bool:
    """Whether a function with this in its body is a generator: what is defined inside has its own yields."""
    todo = [node]
    while todo:
        inner = todo.pop()
        if isinstance(inner, (ast.Yield, ast.YieldFrom)):
            return True
        if not isinstance(inner, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda, ast.ClassDef)):
            todo.extend(ast.iter_child_nodes(inner))
    return False


def offered(tree: ast.Module) -> dict[str, tuple[tuple[str, ...] | None, int]]:
    """The public names of a module: a function's parameters, and the line; without parameters for everything else."""
    found: dict[str, tuple[tuple[str, ...] | None, int]] = {}
    for statement in tree.body:
        if isinstance(statement, ast.ClassDef):
            found[statement.name] = (None, statement.lineno)
        elif isinstance(statement, ast.Assign):
            found |= {node.id: (None, node.lineno) for node in ast.walk(statement) if isinstance(node, ast.Name)}
        elif isinstance(statement, (ast.Import, ast.ImportFrom)):
            found |= {alias.asname or alias.name: (None, statement.lineno) for alias in statement.names}
    for node in _definitions(tree.body):
        found[node.name] = (_describe(node).parameters, node.lineno)
    return {name: what for name, what in found.items() if not name.startswith("_")}
