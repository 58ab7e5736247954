"""What a change takes away, as its source shows it: a lock, an effect, the narrowness of an `except`.

A lock that is gone altogether and a handler that swallows everything are faults. The rest is for whoever reviews it: a
rewrite may do the same by other means, and the prober finds out.
"""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator

_LOCKS = ("lock", "mutex", "semaphore", "rlock")
_EFFECTS = ("Record", "Remember", "Apply", "Say", "CallTool", "AskModel", "Recall")
_WIDEST = ("BaseException",)
_WIDE = ("Exception", *_WIDEST)


def faults(reference: ast.Module, candidate: ast.Module) -> Iterator[tuple[int, str]]:
    """Line and sentence of each."""
    for name, count in _guards(reference).items():
        if count and not sum(_guards(candidate).values()):
            yield 1, f"no lock is taken any more; {name} is guarded in the reference"
            return
    swallowed = Counter(kind for _line, kind in _swallowing(reference))
    for line, kind in _swallowing(candidate):
        swallowed[kind] -= 1
        if swallowed[kind] < 0:
            yield line, f"an error of any kind is swallowed ({kind})"
            return
    gone = [name for name in _EFFECTS if _made(reference)[name] and not _made(candidate)[name]]
    if gone:
        yield 1, f"it makes no {' and no '.join(gone)} any more"


def remarks(reference: ast.Module, candidate: ast.Module) -> list[str]:
    """What a reviewer should look at."""
    found = []
    before, after = _guards(reference), _guards(candidate)
    fewer = [name for name, count in before.items() if after[name] < count]
    if fewer:
        found.append(f"fewer locks in {', '.join(fewer[:3])}")
    wide = sum(_wide(candidate)) - sum(_wide(reference))
    if wide > 0:
        found.append(f"{wide} wider except")
    return found


def _guards(tree: ast.Module) -> Counter[str]:
    """How often each function takes a lock."""
    found: Counter[str] = Counter()
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            found[node.name] += sum(_is_guard(inner) for inner in ast.walk(node))
    return found


def _is_guard(node: ast.AST) -> bool:
    if isinstance(node, (ast.With, ast.AsyncWith)):
        return any(any(word in ast.unparse(item.context_expr).lower() for word in _LOCKS) for item in node.items)
    return isinstance(node, ast.Attribute) and node.attr == "acquire"


def _wide(tree: ast.Module) -> Iterator[bool]:
    for node in ast.walk(tree):
        if isinstance(node, ast.ExceptHandler):
            yield node.type is None or (isinstance(node.type, ast.Name) and node.type.id in _WIDE)


def _swallowing(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Handlers of everything that do nothing."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ExceptHandler) and all(
            isinstance(inner, (ast.Pass, ast.Continue)) for inner in node.body
        ):
            if node.type is None:
                yield node.lineno, "a bare except"
            elif isinstance(node.type, ast.Name) and node.type.id in _WIDEST:
                yield node.lineno, f"except {node.type.id}"


def _made(tree: ast.Module) -> Counter[str]:
    calls = (node.func for node in ast.walk(tree) if isinstance(node, ast.Call))
    return Counter(call.id for call in calls if isinstance(call, ast.Name))
