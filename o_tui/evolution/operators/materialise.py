"""Numbers that a program computes, written out: what was a formula becomes a row of literals that can be stepped alone.

Only what constant folding can work out (`folding`): nothing of the program is executed. This changes what a source can
say, not what it does, and on circle packing it is worth more than the choice of the optimiser. A row that follows from
one already written out is left alone, so that what depends on it still does.
"""

from __future__ import annotations

import ast
import copy
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from random import Random

import numpy as np

from o_tui.evolution.operators.folding import Folder, Unfoldable, Value
from o_tui.evolution.operators.module import Edit, Function, Module
from o_tui.evolution.operators.operator import Change, Memory, Note, Operator, Result
from o_tui.evolution.operators.places import is_load, reads, stands_alone, writes

_FEWEST, _MOST = 4, 400
_WIDTH = 100
_SCOPES = 24


@dataclass(frozen=True, slots=True)
class Site:
    """Somewhere numbers can be written out: what a name holds behind a statement, or what an expression comes to."""

    body: tuple[ast.stmt, ...]
    at: int
    name: str
    value: Value
    node: ast.expr | None = None

    @property
    def count(self) -> int:
        """How many numbers."""
        return len(numbers_in(self.value) or ())


class Materialise(Operator):
    """The operator."""

    name = "materialise"

    def operate(self, module: Module, others: Sequence[Module], random: Random, memory: Memory) -> Change | None:
        """Writes out the largest row that it has not written out in a source of this shape."""
        done = memory.setdefault("done", {})
        for number, site in enumerate(self._sites(module, memory)):
            key = f"{module.skeleton}:{number}"
            if key not in done:
                done[key] = 1
                text = _written_out(module, site)
                if text is not None:
                    return Change(text, f"{site.name or 'a value'}: {site.count} numbers written out")
        return None

    def eager(self, module: Module, memory: Memory) -> bool:
        """A row that can be written out comes before all that follows from what it is."""
        done = memory.get("done", {})
        return any(f"{module.skeleton}:{number}" not in done for number in range(len(self._sites(module, memory))))

    def learn(self, memory: Memory, note: Note, result: Result, score: float) -> None:
        """Nothing to learn: each row is written out once."""

    def _sites(self, module: Module, memory: Memory) -> list[Site]:
        """The sites; sources of a shape that has none are not looked at again."""
        barren = memory.setdefault("barren", {})
        if module.skeleton in barren:
            return []
        found = module.once(sites)
        if not found:
            barren[module.skeleton] = 1
            if len(barren) > 64:
                del barren[next(iter(barren))]
        return found


def sites(module: Module) -> list[Site]:
    """Where numbers can be written out, the largest rows first."""
    found: list[Site] = []
    imports = _imports(module.tree)
    hidden = {node.id for node in ast.walk(module.tree) if isinstance(node, ast.Name) and not is_load(node)}
    hidden |= {node.name for node in ast.walk(module.tree) if isinstance(node, (Function, ast.ClassDef))}
    constants = _constants(module.tree, imports, hidden)
    bodies = [module.tree.body, *(node.body for node in ast.walk(module.tree) if isinstance(node, Function))]
    for body in bodies[:_SCOPES]:
        if any(module.inside(node) for node in body):
            folder = Folder(imports, hidden)
            folder.known.update(constants if body is not module.tree.body else {})
            found += _Scope(module, body, folder).sites()
    return sorted(found, key=lambda site: -site.count)


class _Scope:
    """One body, walked from its top as far as its statements can be worked out."""

    def __init__(self, module: Module, body: Sequence[ast.stmt], folder: Folder) -> None:
        self.module = module
        self.body = tuple(body)
        self.folder = folder
        self.last: dict[str, tuple[int, Value]] = {}
        self.literal: set[str] = set()
        """Names whose rows are written out already, and what follows from them."""

    def sites(self) -> list[Site]:
        found: list[Site] = []
        for at, statement in enumerate(self.body):
            before = dict(self.folder.known)
            try:
                self.folder.run(statement)
            except Unfoldable:
                self.folder.known = before
                found += self._inside(at, statement)
                self._forget(statement)
                continue
            self._note(at, statement)
        found += [
            Site(self.body, at, name, value)
            for name, (at, value) in self.last.items()
            if name not in self.literal and _is_row(value) and self._can_change(self.body[at])
        ]
        return found

    def _note(self, at: int, statement: ast.stmt) -> None:
        names = writes(statement)
        value = getattr(statement, "value", None)
        if (isinstance(value, ast.expr) and _is_literal_row(value)) or reads(statement) & self.literal:
            self.literal |= names
        for name in names:
            self.last[name] = (at, copy.deepcopy(self.folder.known.get(name)))

    def _inside(self, at: int, statement: ast.stmt) -> Iterator[Site]:
        """Expressions in a statement that cannot be worked out as a whole."""
        if not isinstance(statement, (ast.Return, ast.Assign, ast.Expr)) or statement.value is None:
            return
        todo: list[ast.AST] = [statement.value]
        while todo:
            node = todo.pop()
            if isinstance(node, ast.expr) and not isinstance(node, (ast.Name, ast.Constant)):
                try:
                    value = self.folder.value(node)
                except Unfoldable:
                    pass
                else:
                    if _is_row(value) and not _is_literal_row(node) and not reads(node) & self.literal:
                        yield Site(self.body, at, "", copy.deepcopy(value), node)
                    continue
            if not isinstance(node, (ast.Lambda, ast.ListComp, ast.GeneratorExp, ast.SetComp, ast.DictComp)):
                todo.extend(ast.iter_child_nodes(node))

    def _forget(self, statement: ast.stmt) -> None:
        """What may have been changed by a statement that is not understood: what it names, and all rows."""
        if isinstance(statement, (Function, ast.ClassDef, ast.Import, ast.ImportFrom, ast.Return)):
            return
        names = writes(statement)
        known = self.folder.known
        for name in [each for each, value in known.items() if each in names or isinstance(value, (list, np.ndarray))]:
            del known[name]

    def _can_change(self, statement: ast.stmt) -> bool:
        return self.module.inside(statement) and stands_alone(self.module, statement)


def _written_out(module: Module, site: Site) -> str | None:
    """The source with a site's numbers in it; None where it cannot be said."""
    alias = next((name for name, full in _imports(module.tree).items() if full == "numpy"), "")
    if site.node is not None:
        if not module.inside(site.node):
            return None
        text = _source(site.value, alias, "", module.newline)
        return None if text is None else module.edited([(*module.span(site.node), text)])
    statement = site.body[site.at]
    start, end = module.line_span(statement)
    indent = module.text[start : module.span(statement)[0]]
    text = _source(site.value, alias, indent, module.newline)
    if text is None:
        return None
    ending = "" if module.text[end - 1 : end] in "\r\n" else module.newline
    edits: list[Edit] = [(end, end, f"{ending}{indent}{site.name} = {text}{module.newline}")]
    for each in _dead(site):
        if module.inside(each) and stands_alone(module, each):
            edits.append((*module.line_span(each), ""))
    return module.edited(edits)


def _dead(site: Site) -> list[ast.stmt]:
    """The statements that did nothing but work out what is now written out."""
    after = list(site.body[site.at + 1 :])
    needed = set().union(*(reads(each) for each in after)) - {site.name} if after else set()
    found: list[ast.stmt] = []
    for statement in reversed(site.body[: site.at + 1]):
        if not isinstance(statement, (ast.Assign, ast.AnnAssign, ast.AugAssign, ast.For, ast.If, ast.Expr)):
            needed |= reads(statement)
        elif (names := writes(statement)) and not names & needed:
            found.append(statement)
        else:
            needed |= reads(statement) | names
    return found


def numbers_in(value: Value) -> list[float] | None:
    """All numbers of a row of rows; None where there is anything else in it, or too much."""
    found: list[float] = []
    todo = [value.tolist() if isinstance(value, np.ndarray) else value]
    for _ in range(4 * _MOST):
        if not todo:
            return found
        each = todo.pop()
        if isinstance(each, (list, tuple)):
            todo += each
        elif isinstance(each, np.ndarray):
            todo.append(each.tolist())
        elif isinstance(each, (int, float, np.integer, np.floating)) and math.isfinite(each):
            found.append(float(each))
        else:
            return None
    return None


def _is_row(value: Value) -> bool:
    if not isinstance(value, (list, tuple, np.ndarray)):
        return False
    found = numbers_in(value)
    return found is not None and _FEWEST <= len(found) <= _MOST and not all(each == found[0] for each in found)


def _is_literal_row(node: ast.expr) -> bool:
    """Whether numbers are written down already: a row of literals, perhaps inside one call."""
    if isinstance(node, ast.Call) and len(node.args) == 1:
        node = node.args[0]
    return isinstance(node, (ast.List, ast.Tuple)) and (_plain_numbers(node) or 0) >= _FEWEST


def _plain_numbers(node: ast.expr) -> int | None:
    """How many numbers a row writes down; None where something else is in it."""
    if isinstance(node, (ast.List, ast.Tuple)):
        counts = [_plain_numbers(each) for each in node.elts]
        return None if None in counts else sum(count or 0 for count in counts)
    return 1 if isinstance(node.operand if isinstance(node, ast.UnaryOp) else node, ast.Constant) else None


def _source(value: Value, alias: str, indent: str, newline: str) -> str | None:
    """A row as source: on one line where it fits, else one line a member."""
    if isinstance(value, np.ndarray):
        inner = _source(value.tolist(), alias, indent, newline) if alias else None
        return None if inner is None else f"{alias}.array({inner})"
    flat = _flat(value)
    if len(flat) + len(indent) <= _WIDTH or not isinstance(value, (list, tuple)):
        return flat
    step = "\t" if "\t" in indent else "    "
    rows = "".join(f"{indent}{step}{_flat(each)},{newline}" for each in value)
    opening, closing = "[]" if isinstance(value, list) else "()"
    return f"{opening}{newline}{rows}{indent}{closing}"


def _flat(value: Value) -> str:
    if isinstance(value, np.ndarray):
        value = value.tolist()
    if isinstance(value, list):
        return f"[{', '.join(map(_flat, value))}]"
    if isinstance(value, tuple):
        return f"({', '.join(map(_flat, value))}{',' if len(value) == 1 else ''})"
    return repr(value.item() if isinstance(value, np.generic) else value)


def _imports(tree: ast.Module) -> dict[str, str]:
    found: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {each.asname or each.name: each.name for each in node.names if each.name in ("math", "numpy")}
        elif isinstance(node, ast.ImportFrom) and node.module in ("math", "numpy"):
            found |= {each.asname or each.name: f"{node.module}.{each.name}" for each in node.names}
    return found


def _constants(tree: ast.Module, imports: dict[str, str], hidden: set[str]) -> dict[str, Value]:
    """What the module's names stand for where they are set once and to a number."""
    times: dict[str, int] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and not is_load(node):
            times[node.id] = times.get(node.id, 0) + 1
    folder = Folder(imports, hidden)
    for statement in tree.body:
        match statement:
            case ast.Assign(targets=[ast.Name(id=name)], value=value) if times[name] == 1:
                try:
                    found = folder.value(value)
                except Unfoldable:
                    continue
                if isinstance(found, (int, float)):
                    folder.known[name] = found
    return folder.known
