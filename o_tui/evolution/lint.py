"""What a gene has no business with, found in its source: one pass, a clear line each.

This is no barrier (confinement is): it tells an honest author, and a reviewer, what would not work or looks like
a way out.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from o_tui.protocol import contracts

Finding = tuple[int, str]
"""Line, sentence."""

_ALWAYS = frozenset(["__import__", "eval", "exec", "open", "globals", "__builtins__", "__loader__", "__spec__"])
"""Names that are reported even where the gene defines one of its own."""
_HARMLESS_DUNDERS = re.compile(
    "__(?:abs|add|and|bool|call|contains|delitem|doc|enter|eq|exit|float|floordiv|format|ge|getitem|gt|hash|iadd|init|"
    "int|invert|iter|le|len|lt|mod|mul|name|ne|neg|next|or|post_init|pow|qualname|radd|repr|reversed|rmul|round|"
    "setitem|str|sub|truediv|version|xor)__"
)
_FRAMES = re.compile("(?:ag|cr|gi|tb)_frame|f_(?:back|builtins|code|globals|locals)|func_globals|(?:ag|cr|gi)_code|mro")
_MODULES = re.compile("builtins|ctypes|importlib|marshal|multiprocessing|os|pickle|shutil|socket|subprocess|sys")
_PRIVATE_MODULES = re.compile("_+(?:asyncio|collections_abc|gc|inspect|io|operator|random|signal|thread|types|weakref)")
_DUNDERS_IN_TEXT = ("__builtins__", "__class__", "__globals__", "__import__", "__mro__", "__subclasses__", "__bases__")


def imports(tree: ast.Module, gene: str) -> Iterator[Finding]:
    """Imports that the agent's loader refuses."""
    depth = gene.count("/") + 1
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                if not contracts.allowed_import(alias.name):
                    yield node.lineno, f"a gene may not import {alias.name}"
                elif alias.name == contracts.DSL_MODULE and alias.asname is None:
                    yield node.lineno, f"write `from {alias.name} import ...`"
        elif isinstance(node, ast.ImportFrom):
            if node.level > depth:
                yield node.lineno, "a gene may not import from outside of the genome"
            elif node.level == 0 and not contracts.allowed_import(node.module or ""):
                yield node.lineno, f"a gene may not import {node.module}"


def dangers(tree: ast.Module) -> list[Finding]:
    """Calls and attributes that lead out of a gene, by line."""
    own = _own_names(tree)
    return sorted({finding for node in ast.walk(tree) for finding in _look(node, own)})


def _look(node: ast.AST, own: frozenset[str]) -> Iterator[Finding]:
    if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
        if node.id in _ALWAYS or (node.id in contracts.FORBIDDEN_NAMES and node.id not in own):
            yield node.lineno, f"a gene may not use {node.id}"
    elif isinstance(node, ast.Attribute):
        own_thing = isinstance(node.value, ast.Name) and node.value.id in ("self", "cls")
        if (reason := _attribute(node.attr)) and (node.attr.startswith("__") or not own_thing):
            yield node.lineno, reason
    elif isinstance(node, ast.ImportFrom):
        for alias in node.names:
            if reason := _attribute(alias.name):
                yield node.lineno, reason
    elif isinstance(node, ast.Constant) and isinstance(node.value, str):
        for name in _DUNDERS_IN_TEXT:
            if name in node.value:
                yield node.lineno, f"a text with {name} in it can be used to reach out of a gene"
    elif isinstance(node, (ast.MatchClass, ast.keyword)):
        for name in getattr(node, "kwd_attrs", []):  # `case object(__class__=x)` reads an attribute too
            if reason := _attribute(name):
                yield node.lineno, reason


def _attribute(name: str) -> str:
    if name.startswith("__") and name.endswith("__") and not _HARMLESS_DUNDERS.fullmatch(name):
        return f"a gene may not reach for {name}"
    if _FRAMES.fullmatch(name):
        return f"a gene may not look at frames ({name})"
    if _MODULES.fullmatch(name.lstrip("_")) or _PRIVATE_MODULES.fullmatch(name):
        return f"a gene may not reach {name.lstrip('_')} through another module ({name})"
    return ""


def _own_names(tree: ast.Module) -> frozenset[str]:
    """Names that the gene gives to things of its own: `for input in inputs` is no call of the built-in."""
    own: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
            own.add(node.id)
        elif isinstance(node, ast.arg):
            own.add(node.arg)
        elif isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            own.add(node.name)
    return frozenset(own)
