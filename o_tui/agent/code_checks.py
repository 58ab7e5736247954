"""What a gene's code may not name or import: seen in what is compiled, before it runs."""

from __future__ import annotations

import ast
import opcode
from collections.abc import Iterable
from types import CodeType

from o_tui.agent.gene_errors import GeneError
from o_tui.protocol import contracts

_BLOCKS = ("body", "orelse", "finalbody", "handlers", "cases")
_IMPORT_NAME = opcode.opmap["IMPORT_NAME"]
_DOORS = frozenset(["__builtins__", "__import__", "__loader__", "__spec__"])


def check(code: CodeType, source: str, path: str) -> None:
    """Looks through a module's code, and through its text only where a function imports.

    Raises:
        GeneError: It names what leads out, or a function imports what is not allowed.
    """
    _check_names(code, path)
    if any(_imports(inner) for inner in code.co_consts if isinstance(inner, CodeType)):
        # rare, and parsing is half of what loading costs: only what a function would import later is looked up
        _check_imports(ast.parse(source, code.co_filename).body, path)


def _check_imports(statements: Iterable[ast.AST], path: str) -> None:
    """Refuses imports that are not allowed; visits statements only, which is a tenth of all nodes."""
    for node in statements:
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            names = [node.module or ""]
        for name in names:
            if not contracts.allowed_import(name):
                raise GeneError(f"{path}:{getattr(node, 'lineno', 0)}: a gene may not import {name}")
        for block in _BLOCKS:
            _check_imports(getattr(node, block, ()), path)


def _imports(code: CodeType) -> bool:
    """Whether a function, or one in it, has an import statement."""
    inner = (constant for constant in code.co_consts if isinstance(constant, CodeType))
    return _IMPORT_NAME in code.co_code[::2] or any(map(_imports, inner))


def _check_names(code: CodeType, path: str) -> None:
    for name in _DOORS.intersection(code.co_names):
        raise GeneError(f"{path}:{code.co_firstlineno}: a gene may not use {name}")
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            _check_names(constant, path)
