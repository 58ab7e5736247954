"""What of a module can behave differently: what was changed, and what reaches it by name. Nothing is executed.

Only a hint where to look more: code can reach other code in ways that no name shows, so the rest is looked at too.
"""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator, Mapping, Set

_Function = ast.FunctionDef | ast.AsyncFunctionDef
_GUARDS = ("lock", "mutex", "cond", "semaphore", "guard")


def suspects(reference: ast.Module, candidate: ast.Module) -> frozenset[str]:
    """Names of functions, of classes, and of methods as `Class.method`; empty: everything may be another."""
    ours, theirs = _parts(reference.body), _parts(candidate.body)
    if _text(ours.get("", [])) != _text(theirs.get("", [])):
        return frozenset()
    found = _reached(ours, theirs)
    for name in list(found):
        pair = [next((n for n in side.get(name, []) if isinstance(n, ast.ClassDef)), None) for side in (ours, theirs)]
        if pair[0] is not None and pair[1] is not None:
            found |= {f"{name}.{method}" for method in _methods(pair[0], pair[1], found)}
    return frozenset(found)


def unguarded(reference: ast.Module, candidate: ast.Module) -> bool:
    """Whether something was changed outside of the bodies that run under a lock: else what was atomic still is.

    Takes those bodies out of both.
    """
    return len({ast.dump(_Bare().visit(tree)) for tree in (reference, candidate)}) > 1


class _Bare(ast.NodeTransformer):
    """Leaves the bodies out that run under what is called like a lock."""

    def visit_With(self, node: ast.With) -> ast.With:
        words = " ".join(ast.unparse(item.context_expr).lower() for item in node.items)
        if any(word in words for word in _GUARDS):
            node.body = [ast.Pass()]
        self.generic_visit(node)
        return node


def _methods(ours: ast.ClassDef, theirs: ast.ClassDef, known: Set[str]) -> set[str]:
    """Of a class those methods; all where something else of it was changed."""
    mine, other = _parts(ours.body), _parts(theirs.body)
    found = _reached(mine, other, known)
    plain = [name for name, nodes in mine.items() if not any(isinstance(node, _Function) for node in nodes)]
    if "__hash__" in found:
        found.add("__eq__")  # what is equal has the same
    kept = {name for method in mine.keys() & other.keys() for name in _differing(mine[method], other[method])}
    found |= {name for name, nodes in mine.items() if kept & _attributes(nodes).keys()}
    return set(mine) if "__init__" in found or any(name in found for name in plain) else found


def _differing(ours: list[ast.stmt], theirs: list[ast.stmt]) -> set[str]:
    """Attributes that the one names more often than the other: what is done to them shows where they are used.

    A lock is none of them: all methods use it.
    """
    one, other = _attributes(ours), _attributes(theirs)
    return {name for name in (one - other) + (other - one) if not any(word in name.lower() for word in _GUARDS)}


def _attributes(nodes: list[ast.stmt]) -> Counter[str]:
    """What is named of `self`."""
    inner = (part for node in nodes for part in ast.walk(node) if isinstance(part, ast.Attribute))
    return Counter(part.attr for part in inner if isinstance(part.value, ast.Name) and part.value.id == "self")


def _reached(
    ours: Mapping[str, list[ast.stmt]], theirs: Mapping[str, list[ast.stmt]], known: Set[str] = frozenset()
) -> set[str]:
    found = {name for name in ours.keys() | theirs.keys() if _text(ours.get(name, [])) != _text(theirs.get(name, []))}
    for name in list(found):  # what is kept in the module by one function is met in another
        found |= {used for used in _uses(theirs.get(name, [])) if any(map(_is_state, ours.get(used, [])))}
    uses = {name: _uses([*ours.get(name, []), *theirs.get(name, [])]) for name in ours}
    more = True
    while more:
        more = False
        for name, used in uses.items():
            if name not in found and used & (found | known):
                found.add(name)
                more = True
    return found - {""}


def _parts(body: list[ast.stmt]) -> dict[str, list[ast.stmt]]:
    """Statements by the name that they bind; all others under the empty name."""
    parts: dict[str, list[ast.stmt]] = {}
    for node in body:
        for name in _bound(node):
            parts.setdefault(name, []).append(node)
    return parts


def _bound(node: ast.stmt) -> Iterator[str]:
    if isinstance(node, _Function | ast.ClassDef):
        yield node.name
    elif isinstance(node, ast.Import | ast.ImportFrom):
        yield from ((alias.asname or alias.name).partition(".")[0] for alias in node.names)
    elif isinstance(node, ast.Assign | ast.AnnAssign):
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        yield from (inner.id if isinstance(inner, ast.Name) else "" for inner in targets)
    elif not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)):
        yield ""


def _is_state(node: ast.stmt) -> bool:
    """A variable of the module that functions can write to."""
    value = node.value if isinstance(node, ast.Assign | ast.AnnAssign) else None
    return isinstance(value, ast.List | ast.Dict | ast.Set | ast.Call)


def _text(nodes: list[ast.stmt]) -> str:
    return "\n".join(ast.dump(node) for node in nodes)


def _uses(nodes: list[ast.stmt]) -> set[str]:
    found = set()
    for node in nodes:
        for inner in ast.walk(node):
            if isinstance(inner, ast.Name):
                found.add(inner.id)
            elif isinstance(inner, ast.Attribute):
                found.add(inner.attr)
    return found
