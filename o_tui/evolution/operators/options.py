"""One choice at a time: what a value may be is read from the source, and each possibility is tried once, from the best.

Possibilities are found in comments (`# one of: a, b, c`), in `Literal` types, in enumerations, in what a constant is
compared with or looks up, and in pairs of functions that often stand for each other. Coordinate search: on a
categorical task it ends in 15 evaluations where random choices need hundreds.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from random import Random

from o_tui.evolution.operators.module import Function, Module
from o_tui.evolution.operators.operator import Change, Memory, Note, Operator, Result

_COMMENT = re.compile(r"#[^#]*?\b(?:one of|options|choices)\b\s*:?\s*(.+)", re.IGNORECASE)
_ALIKE = (
    ("math.floor", "math.ceil", "round"),
    ("math.log", "math.log2", "math.log1p", "math.sqrt"),
    ("np.mean", "np.median", "np.max", "np.min"),
    ("statistics.mean", "statistics.median", "statistics.fmean"),
)
_LIMIT = 64
"""Most options of one value."""


@dataclass(frozen=True, slots=True)
class Slot:
    """A value in the source that may be one of several.

    Attributes:
        name: What it is called, and the same in every version of the source.
        span: Its characters.
        now: Its text.
        options: What else it may be, as source.
        declared: The source says so itself.
    """

    name: str
    span: tuple[int, int]
    now: str
    options: tuple[str, ...]
    declared: bool = True


class Options(Operator):
    """The operator."""

    name = "options"

    def operate(self, module: Module, others: Sequence[Module], random: Random, memory: Memory) -> Change | None:
        """Sets one value to the option that has been tried least often."""
        tried = memory.setdefault("tried", {})
        for slot in module.once(slots):
            tried.setdefault(_key(slot, slot.now), 1)  # what stands there has been measured
        pairs = [(slot, option) for slot in module.once(slots) for option in slot.options]
        if not pairs:
            return None
        counts = [tried.get(_key(slot, option), 0) + (0 if slot.declared else 1) for slot, option in pairs]
        least = min(counts)
        slot, option = random.choice([pair for pair, count in zip(pairs, counts, strict=True) if count == least])
        key = _key(slot, option)
        tried[key] = tried.get(key, 0) + 1
        return Change(module.edited([(*slot.span, option)]), f"{slot.name}: {slot.now} -> {option}")

    def eager(self, module: Module, memory: Memory) -> bool:
        """An option that the source names and that was never tried comes before all else."""
        tried = memory.get("tried", {})
        return any(_key(slot, option) not in tried for slot in module.once(declared) for option in slot.options)

    def learn(self, memory: Memory, note: Note, result: Result, score: float) -> None:
        """Nothing to learn: what has been tried is known, and the best is the parent."""


def slots(module: Module) -> list[Slot]:
    """All values that may be one of several."""
    found = list(module.once(declared))
    taken = {slot.span for slot in found}
    return [*found, *(slot for slot in _named(module, _alike(module), False) if slot.span not in taken)]


def declared(module: Module) -> list[Slot]:
    """The values of which the source itself says what else they may be."""
    found: dict[tuple[int, int], Slot] = {}
    for source in (_commented, _literal_types, _enumerated, _compared):
        for slot in _named(module, source(module), True):
            found.setdefault(slot.span, slot)
    return list(found.values())


def _key(slot: Slot, option: str) -> str:
    return f"{slot.name}={_dump(option)}"


_Found = Iterator[tuple[str, ast.expr, list[str]]]
"""A name, a value, and what it may be."""


def _named(module: Module, found: _Found, is_declared: bool) -> Iterator[Slot]:
    counts: dict[str, int] = {}
    for name, node, options in found:
        if not module.inside(node) or len(options) > _LIMIT:
            continue
        now = module.source_of(node)
        counts[name] = counts.get(name, 0) + 1
        called = name if counts[name] == 1 else f"{name}#{counts[name]}"
        here = ast.dump(node)
        rest = tuple(dict.fromkeys(each for each in options if _dump(each) not in ("", here)))
        if rest:
            yield Slot(called, module.span(node), now, rest, is_declared)


def _dump(text: str) -> str:
    try:
        return ast.dump(ast.parse(text, mode="eval").body)
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        return ""


def _commented(module: Module) -> _Found:
    """Values with a comment behind them, or on the line above."""
    if not _COMMENT.search(module.text):
        return
    values = list(_values(module.tree))
    for number in (number for first, last in module.regions for number in range(first, last + 1)):
        line = module.lines[number - 1]
        match = _COMMENT.search(line)
        if match is None:
            continue
        alone = line.lstrip().startswith("#")
        here = number + 1 if alone else number
        on_line = [pair for pair in values if pair[1].lineno == here == pair[1].end_lineno]
        if on_line:
            name, node = max(on_line, key=lambda pair: (pair[1].end_col_offset or 0) - pair[1].col_offset)
            yield name, node, _listed(match[1], node)


def _values(tree: ast.Module) -> Iterator[tuple[str, ast.expr]]:
    """What has a name or a place of its own: values of assignments, arguments, elements, results."""
    for node in ast.walk(tree):
        if isinstance(node, (ast.Assign, ast.AnnAssign)) and node.value is not None:
            target = node.targets[0] if isinstance(node, ast.Assign) else node.target
            yield ast.unparse(target), node.value
        elif isinstance(node, ast.keyword):
            yield node.arg or "**", node.value
        elif isinstance(node, ast.Dict):
            for key, value in zip(node.keys, node.values, strict=True):
                yield (ast.unparse(key) if key is not None else "**"), value
        elif isinstance(node, ast.Return) and node.value is not None:
            yield "return", node.value
        elif isinstance(node, (ast.List, ast.Tuple)):
            yield from (("element", each) for each in node.elts)
        elif isinstance(node, ast.Call):
            yield from (("argument", each) for each in node.args)


def _listed(text: str, value: ast.expr) -> list[str]:
    """The options that a comment lists, as source; bare words are strings where the value is one."""
    text = text.strip().rstrip(".")
    if text[:1] in "([{" and text[-1:] in ")]}":
        text = text[1:-1]
    parts = _split(text, ",") if "," in text else _split(text, "|")
    is_text = isinstance(value, ast.Constant) and isinstance(value.value, str)
    found = []
    for part in (part.strip() for part in parts):
        quoted = part[:1] in "\"'"
        source = part if quoted or not is_text else repr(part)
        if part and _dump(source):
            found.append(source)
    return found


def _split(text: str, mark: str) -> list[str]:
    """The parts between marks that stand in no brackets and no quotes."""
    parts, depth, quote, last = [], 0, "", 0
    for at, char in enumerate(text):
        if quote:
            quote = "" if char == quote else quote
        elif char in "\"'":
            quote = char
        elif char in "([{":
            depth += 1
        elif char in ")]}":
            depth -= 1
        elif char == mark and depth == 0:
            parts.append(text[last:at])
            last = at + 1
    return [*parts, text[last:]]


def _literal_types(module: Module) -> _Found:
    """Values whose type is a `Literal`: of assignments, and of arguments of the module's own functions."""
    if "Literal" not in module.text:
        return
    aliases = {
        node.targets[0].id: node.value
        for node in module.tree.body
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
    }

    def options(annotation: ast.expr | None) -> list[str]:
        if isinstance(annotation, ast.Name):
            annotation = aliases.get(annotation.id)
        if isinstance(annotation, ast.Subscript) and ast.unparse(annotation.value).split(".")[-1] == "Literal":
            inner = annotation.slice
            return [ast.unparse(each) for each in (inner.elts if isinstance(inner, ast.Tuple) else [inner])]
        return []

    typed = {
        (node.name, argument.arg): options(argument.annotation)
        for node in ast.walk(module.tree)
        if isinstance(node, Function)
        for argument in (*node.args.args, *node.args.kwonlyargs)
    }
    for node in ast.walk(module.tree):
        if isinstance(node, ast.AnnAssign) and isinstance(node.value, ast.Constant):
            yield ast.unparse(node.target), node.value, options(node.annotation)
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            for each in node.keywords:
                if isinstance(each.value, ast.Constant):
                    yield each.arg or "", each.value, typed.get((node.func.id, each.arg or ""), [])


def _enumerated(module: Module) -> _Found:
    """Members of the module's own enumerations."""
    if "Enum" not in module.text and "Flag" not in module.text:
        return
    members = {
        node.name: [
            f"{node.name}.{each.targets[0].id}"
            for each in node.body
            if isinstance(each, ast.Assign) and isinstance(each.targets[0], ast.Name)
        ]
        for node in ast.walk(module.tree)
        if isinstance(node, ast.ClassDef) and any(ast.unparse(base).endswith(("Enum", "Flag")) for base in node.bases)
    }
    for name, node in _values(module.tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            options = members.get(node.value.id, [])
            if ast.unparse(node) in options:
                yield name, node, options


def _compared(module: Module) -> _Found:
    """Constants that are text: what they are compared with, and the keys of what they look up."""
    texts = {
        name: node
        for name, node in _values(ast.Module([each for each in module.tree.body if isinstance(each, ast.Assign)], []))
        if name.isidentifier() and isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    if not texts:
        return
    tables = {
        node.targets[0].id: [repr(key.value) for key in node.value.keys if isinstance(key, ast.Constant)]
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and isinstance(node.value, ast.Dict)
    }
    options: dict[str, list[str]] = {name: [] for name in texts}
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Compare) and isinstance(node.left, ast.Name) and node.left.id in texts:
            options[node.left.id] += [repr(each) for side in node.comparators for each in _strings(side)]
        elif isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Name) and node.slice.id in texts:
            options[node.slice.id] += _keys(node.value, tables)
        elif isinstance(node, ast.Match) and isinstance(node.subject, ast.Name) and node.subject.id in texts:
            options[node.subject.id] += [repr(each) for case in node.cases for each in _strings(case.pattern)]
    for name, found in options.items():
        yield name, texts[name], found


def _strings(node: ast.AST) -> Iterator[str]:
    for each in ast.walk(node):
        if isinstance(each, ast.Constant) and isinstance(each.value, str):
            yield each.value


def _keys(node: ast.expr, tables: dict[str, list[str]]) -> list[str]:
    if isinstance(node, ast.Name):
        return tables.get(node.id, [])
    if isinstance(node, ast.Dict):
        return [repr(key.value) for key in node.keys if isinstance(key, ast.Constant)]
    return []


def _alike(module: Module) -> _Found:
    """Functions that are called where another of their kind might be."""
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Call) and isinstance(node.func, (ast.Name, ast.Attribute)):
            name = ast.unparse(node.func)
            for group in _ALIKE:
                if name in group:
                    yield f"{name}()", node.func, list(group)
