"""Rewrites that people know: remember results, work things out once, leave loops early, loops as one expression.

And one for constructors: what a function makes is climbed from by a local search before it is used. Which of them helps
and which is right at all is for others to find: a rewrite may change what the program does. Where a comment would be
lost there is no rewrite.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from random import Random

from o_tui.evolution.operators.module import Edit, Function, Module
from o_tui.evolution.operators.operator import Change, Memory, Note, Operator, Result
from o_tui.evolution.operators.places import bodies, indent_of, reads, stands_alone, writes

Rewrite = tuple[str, list[Edit]]
"""What it is, in one line, and its edits."""
_REMEMBERED = 4096
_WORTH_A_NAME = 6
"""Shortest text of an expression that is worth a name."""
_CLIMBED = "_climbed"
_CLIMB = '''def _climbed(rows, worth, size):
    """The rows after a local search: each step moves one a little, and it stays there where the worth does not fall."""
    import random

    def total(rows):
        found = worth(rows)
        return float(sum(found)) if hasattr(found, "__iter__") else float(found)

    steps = 100  # one of: 50, 100, 150
    chance = random.Random(1)
    best, most = rows, total(rows)
    for step in range(steps):
        at = chance.randrange(len(best))
        by = size * (1 - step / steps) ** 2
        moved = best.copy()
        row = best[at]
        moved[at] = tuple(part + chance.gauss(0, by) for part in row) if hasattr(row, "__iter__") else row + by
        now = total(moved)
        if now >= most:
            best, most = moved, now
    return best


'''


class Idioms(Operator):
    """The operator."""

    name = "idioms"

    def operate(self, module: Module, others: Sequence[Module], random: Random, memory: Memory) -> Change | None:
        """One of the rewrites that fit, at a place by chance."""
        found = module.once(rewrites)
        if not found:
            return None
        detail, edits = random.choice(found)
        return Change(module.edited(edits), detail)

    def learn(self, memory: Memory, note: Note, result: Result, score: float) -> None:
        """Nothing to learn: what was tried is not tried again."""


def rewrites(module: Module) -> list[Rewrite]:
    """All rewrites that fit."""
    found: list[Rewrite] = []
    for top in module.tree.body:
        if not module.inside(top):
            continue
        if isinstance(top, ast.FunctionDef):
            found += _remembered(module, top)
            found += _climbing(module, top)
        for node in ast.walk(top):
            if isinstance(node, Function):
                for body in bodies(node):
                    found += _in_body(module, body)
            elif isinstance(node, (ast.Call, ast.Subscript, ast.Compare)):
                found += _expression(module, top, node)
    return found


def _in_body(module: Module, body: Sequence[ast.stmt]) -> Iterator[Rewrite]:
    for at, node in enumerate(body):
        if isinstance(node, (ast.For, ast.While)) and stands_alone(module, node):
            yield from _hoisted(module, node)
        if isinstance(node, ast.For) and stands_alone(module, node):
            yield from _left_early(module, node)
            if at and stands_alone(module, body[at - 1]):
                yield from _as_expression(module, body[at - 1], node)


def _remembered(module: Module, function: ast.FunctionDef) -> Iterator[Rewrite]:
    """A function that others call, without effects as far as can be seen: its results are kept."""
    called = any(
        isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == function.name
        for node in ast.walk(module.tree)
    )
    makes_more = any(isinstance(node, (ast.Yield, ast.YieldFrom, ast.Global)) for node in ast.walk(function))
    if called and not makes_more and not function.decorator_list and function.args.args:
        start = module.line_span(function)[0]
        decorator = f"@functools.lru_cache(maxsize={_REMEMBERED}){module.newline}"
        yield (
            f"{function.name}(): results remembered",
            [*_imported(module, "functools", function), (start, start, decorator)],
        )


def _hoisted(module: Module, loop: ast.For | ast.While) -> Iterator[Rewrite]:
    """What comes out the same in each turn of a loop is worked out before it."""
    changed = writes(loop)
    places: dict[str, list[ast.Call | ast.BinOp]] = {}
    for node in _outside_text(loop.body):
        if isinstance(node, (ast.Call, ast.BinOp)) and reads(node) and not reads(node) & changed:
            places.setdefault(module.source_of(node), []).append(node)
    start = module.line_span(loop)[0]
    for number, (source, nodes) in enumerate(places.items(), 1):
        if len(source) >= _WORTH_A_NAME and not any(char in source for char in "#\r\n") and source[-2:] != "()":
            name = f"_once_{loop.lineno}_{number}"
            before = f"{indent_of(module, loop)}{name} = {source}{module.newline}"
            edits = [(*module.span(node), name) for node in nodes]
            yield f"line {nodes[0].lineno}: {source[:40]} worked out once", [(start, start, before), *edits]


def _outside_text(body: Sequence[ast.stmt]) -> Iterator[ast.AST]:
    """All nodes but those in f-strings, whose places are not reliable."""
    todo: list[ast.AST] = list(body)
    while todo:
        node = todo.pop()
        if not isinstance(node, ast.JoinedStr):
            yield node
            todo.extend(ast.iter_child_nodes(node))


def _left_early(module: Module, loop: ast.For) -> Iterator[Rewrite]:
    """A loop that only looks for something ends when it has found it."""
    last = loop.body[-1]
    if not isinstance(last, ast.If) or last.orelse or not all(isinstance(each, ast.Assign) for each in last.body):
        return
    if stands_alone(module, last.body[-1]):
        end = module.line_span(last.body[-1])[1]
        line = f"{indent_of(module, last.body[-1])}break"
        text = line + module.newline if module.text[end - 1 : end] in "\r\n" else module.newline + line
        yield f"line {loop.lineno}: the loop ends with the first that is found", [(end, end, text)]


def _as_expression(module: Module, before: ast.stmt, loop: ast.For) -> Iterator[Rewrite]:
    """`found = []` and a loop that appends, or a sum that a loop adds up: one expression."""
    match before:
        case ast.Assign(targets=[ast.Name(id=name)], value=(ast.List(elts=[]) | ast.Constant(value=0)) as first):
            pass
        case _:
            return
    start, end = module.span(before)[0], module.span(loop)[1]
    if "#" in module.text[start:end] or loop.orelse or len(loop.body) != 1:
        return
    inner, test = loop.body[0], ""
    if isinstance(inner, ast.If) and not inner.orelse and len(inner.body) == 1:
        test = f" if {module.source_of(inner.test)}"
        inner = inner.body[0]
    item = _gathered(inner, name, isinstance(first, ast.List))
    if item is None or name in reads(item):
        return
    each = f"{module.source_of(item)} for {module.source_of(loop.target)} in {module.source_of(loop.iter)}{test}"
    text = f"{name} = [{each}]" if isinstance(first, ast.List) else f"{name} = sum({each})"
    yield f"line {loop.lineno}: the loop as one expression", [(start, end, text)]


def _gathered(node: ast.stmt, name: str, is_list: bool) -> ast.expr | None:
    """What a loop's one statement appends to a name, or adds to it."""
    match node:
        case ast.Expr(value=ast.Call(func=ast.Attribute(value=ast.Name(id=to), attr="append"), args=[item])):
            return item if is_list and to == name else None
        case ast.AugAssign(target=ast.Name(id=to), op=ast.Add(), value=item):
            return item if not is_list and to == name else None
        case _:
            return None


def _expression(module: Module, top: ast.stmt, node: ast.Call | ast.Subscript | ast.Compare) -> Iterator[Rewrite]:
    match node:
        case ast.Call(func=ast.Name(id="sum" | "min" | "max" | "any" | "all"), args=[ast.ListComp() as inner]):
            start, end = module.span(inner)
            edits = [(start, start + 1, ""), (end - 1, end, "")]
            yield f"line {node.lineno}: without a list in between", edits if not node.keywords else []
        case ast.Compare(ops=[ast.In()], comparators=[(ast.List() | ast.Tuple()) as row]) if len(row.elts) > 2:
            start, end = module.span(row)
            if all(isinstance(each, ast.Constant) for each in row.elts) and module.text[start] in "[(":
                yield f"line {node.lineno}: looked up in a set", [(start, start + 1, "{"), (end - 1, end, "}")]
        case ast.Subscript(
            value=ast.Call(func=ast.Name(id="sorted"), args=[items], keywords=keywords),
            slice=ast.Slice(lower=None, upper=ast.expr() as upper, step=None),
        ):
            named = {each.arg: module.source_of(each.value) for each in keywords}
            largest = named.pop("reverse", "False")
            if largest in ("True", "False") and set(named) <= {"key"}:
                name = "nlargest" if largest == "True" else "nsmallest"
                key = f", key={named['key']}" if named else ""
                text = f"heapq.{name}({module.source_of(upper)}, {module.source_of(items)}{key})"
                edits = [*_imported(module, "heapq", top), (*module.span(node), text)]
                yield f"line {node.lineno}: {name} instead of a sort", edits


def _climbing(module: Module, function: ast.FunctionDef) -> Iterator[Rewrite]:
    """A constructor's result is climbed from, by what one of the module's functions makes of it."""
    if _CLIMBED in module.text or function.args.args:
        return
    start = module.line_span(function)[0]
    helper = (start, start, _CLIMB.replace("\n", module.newline))
    judges = [
        node.name
        for node in module.tree.body
        if isinstance(node, ast.FunctionDef) and len(node.args.args) == 1 and node is not function
    ]
    for node in ast.walk(function):
        match node:
            case ast.Return(value=ast.Name() as made):
                for judge in judges:
                    text = f"{_CLIMBED}({made.id}, {judge}, 0.1)"
                    yield f"{function.name}(): climbed from by {judge}()", [helper, (*module.span(made), text)]
            case ast.Assign(value=ast.Call(func=ast.Name(id=judge), args=[ast.Name() as made])) if judge in judges:
                if stands_alone(module, node):
                    at = module.line_span(node)[0]
                    line = f"{indent_of(module, node)}{made.id} = {_CLIMBED}({made.id}, {judge}, 0.1)"
                    edits = [helper, (at, at, line + module.newline)]
                    yield f"{function.name}(): climbed from by {judge}()", edits


def _imported(module: Module, name: str, before: ast.stmt) -> list[Edit]:
    """The import of a module, where it is missing: behind the other imports that may change, else before its use."""
    imports = [node for node in module.tree.body if isinstance(node, (ast.Import, ast.ImportFrom))]
    if any(
        isinstance(node, ast.Import) and any((each.asname or each.name) == name for each in node.names)
        for node in imports
    ):
        return []
    ours = [
        node for node in imports if node.lineno < before.lineno and module.inside(node) and stands_alone(module, node)
    ]
    at = module.line_span(ours[-1])[1] if ours else module.line_span(before)[0]
    return [(at, at, f"import {name}{module.newline}")]
