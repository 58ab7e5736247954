"""What two good sources do not share is mixed: their numbers where only those differ, else functions and statements.

Functions and statements go from one source to the other by libcst, with their comments, in the indentation and the
line ends of the source that they come into.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from random import Random
from typing import TYPE_CHECKING

from o_tui.evolution.operators.literals import literals, written
from o_tui.evolution.operators.module import Module
from o_tui.evolution.operators.operator import Change, Memory, Note, Operator, Result

if TYPE_CHECKING:
    import libcst

    _Statement = libcst.SimpleStatementLine | libcst.BaseCompoundStatement

_Mixed = tuple[str, str]
"""The new source, and what came from where."""


class Crossover(Operator):
    """The operator."""

    name = "crossover"

    def operate(self, module: Module, others: Sequence[Module], random: Random, memory: Memory) -> Change | None:
        """The module with something of one of the others in it."""
        for at in random.sample(range(len(others)), len(others)):
            other = others[at]
            ways: list[Callable[[Module, Module, Random], _Mixed | None]] = [_function, _statement]
            random.shuffle(ways)
            for way in [_numbers] if other.skeleton == module.skeleton else ways:
                mixed = way(module, other, random)
                if mixed is not None:
                    return Change(mixed[0], mixed[1], other=at)
        return None

    def learn(self, memory: Memory, note: Note, result: Result, score: float) -> None:
        """Nothing to learn: what was mixed is not mixed again."""


def _numbers(module: Module, other: Module, random: Random) -> _Mixed | None:
    """Some of the other's numbers: a stretch of them, or each by chance; neighbours belong together more often."""
    ours, theirs = module.once(literals), other.once(literals)
    different = [
        at for at, (one, two) in enumerate(zip(ours, theirs, strict=False)) if repr(one.value) != repr(two.value)
    ]
    if len(different) < 2:
        return None  # all or nothing: one of the two sources again
    if random.random() < 0.5:
        first, last = sorted(random.sample(range(len(different) + 1), 2))
        taken = different[first:last]
    else:
        taken = [at for at in different if random.random() < 0.5]
    if not 0 < len(taken) < len(different):
        return None
    text = module.edited((*ours[at].span, written(theirs[at].value)) for at in taken)
    return text, f"{len(taken)} of {len(different)} numbers from the other"


def _function(module: Module, other: Module, random: Random) -> _Mixed | None:
    """One whole function of the other's."""
    import libcst

    places = module.once(_places)
    pairs = [
        (name, mine, theirs)
        for name, mine in places.items()
        if (theirs := other.once(_places).get(name)) is not None and not mine.body.deep_equals(theirs.body)
    ]
    if not pairs:
        return None
    name, mine, theirs = random.choice(pairs)
    new = mine.with_changes(body=theirs.body)
    changed = module.cst.deep_replace(mine, new)
    assert isinstance(changed, libcst.Module)
    return changed.code, f"{name}() from the other"


def _statement(module: Module, other: Module, random: Random) -> _Mixed | None:
    """One statement of the other's, in the place of ours or before it."""
    import libcst

    found = []
    for name, mine in module.once(_places).items():
        theirs = other.once(_places).get(name)
        if theirs is None or not isinstance(mine.body, libcst.IndentedBlock):
            continue
        have = [libcst.Module([each]).code.strip() for each in _statements(mine)]
        new = [each for each in _statements(theirs) if libcst.Module([each]).code.strip() not in have]
        found += [(name, mine, each) for each in new]
    if not found:
        return None
    name, mine, theirs_one = random.choice(found)
    body = list(mine.body.body)
    at = min(random.randrange(len(body)), len(body) - 1)
    instead = random.random() < 0.5
    rows = [*body[:at], theirs_one, *body[at + instead :]]
    changed = module.cst.deep_replace(mine, mine.with_changes(body=mine.body.with_changes(body=rows)))
    assert isinstance(changed, libcst.Module)
    return changed.code, f"a statement of {name}() from the other"


def _statements(function: libcst.FunctionDef) -> list[_Statement]:
    """The statements at a function's top."""
    import libcst

    body = function.body
    return [each for each in body.body if isinstance(each, (libcst.SimpleStatementLine, libcst.BaseCompoundStatement))]


def _places(module: Module) -> dict[str, libcst.FunctionDef]:
    """The functions that may change, of the module and of its classes, by their dotted names."""
    import libcst

    try:
        body = module.cst.body
    except (libcst.ParserSyntaxError, RecursionError):  # what it does not know is not mixed
        return {}
    can_change = {name for name, function in module.functions() if module.inside(function)}
    return {name: node for name, node in _defined(body, "") if name in can_change}


def _defined(body: Sequence[libcst.CSTNode], prefix: str) -> Iterator[tuple[str, libcst.FunctionDef]]:
    import libcst

    for node in body:
        if isinstance(node, libcst.FunctionDef):
            yield prefix + node.name.value, node
        elif isinstance(node, libcst.ClassDef):
            yield from _defined(node.body.body, f"{prefix}{node.name.value}.")
