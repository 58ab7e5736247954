"""What the genome that O ships costs to load, paid once before the fork: compiled and checked code, known patterns.

Nothing of it runs here: text is parsed, and `re` compiles the patterns that stand in it as constants. A fork that
loads the same text finds them, whatever else has changed in its genome: most genes of an evolved one are the shipped.
"""

from __future__ import annotations

import ast
import functools
import operator
import os
import re
from collections.abc import Iterator, Mapping
from types import CodeType

from o_tui.agent import code_checks, gathering
from o_tui.agent.gene_errors import GENOME_PREFIX

_compiled: dict[tuple[str, str], CodeType] = {}


def code(path: str, source: str) -> CodeType:
    """The module's code, compiled and checked now if it is not prepared: to look through it writes to all of it.

    Raises:
        SyntaxError, ValueError, RecursionError: As `compile`.
        GeneError: It may not be loaded.
    """
    found = _compiled.get((path, source))
    return made(path, source) if found is None else found


def made(path: str, source: str) -> CodeType:
    """The same, made here in any case; raises as `code`."""
    found = compile(source, GENOME_PREFIX + path, "exec", dont_inherit=True)
    code_checks.check(found, source, path)
    return found


def has(path: str, source: str) -> bool:
    """Whether the module is prepared: it is as O ships it."""
    return (path, source) in _compiled


def files() -> dict[str, str]:
    """The sources of what is prepared, by path."""
    return dict(_compiled.keys())


def gather() -> None:
    """Makes the code anew, so that it lies together."""
    for module, made in _compiled.items():
        _compiled[module] = gathering.copy(made)


def steps(genome: str) -> Iterator[str]:
    """Prepares the modules of a folder one by one, some milliseconds each, and yields the path of each when it is done.

    Raises:
        OSError, SyntaxError, ValueError, KeyError, re.error, GeneError: A file cannot be prepared; those before it are.
    """
    for folder, _folders, names in os.walk(genome):
        for name in names:
            path = os.path.relpath(os.path.join(folder, name), genome)  # noqa: PTH118 - no pathlib here
            if path.endswith(".py") and not path.startswith("tests/"):
                with open(os.path.join(genome, path), encoding="utf-8") as file:  # noqa: PTH118, PTH123
                    _prepare(path, file.read())
                yield path


def _prepare(path: str, source: str) -> None:
    tree = ast.parse(source, GENOME_PREFIX + path)
    for pattern, flags in _patterns(tree):
        re.compile(pattern, flags)
    made = compile(tree, GENOME_PREFIX + path, "exec", dont_inherit=True)
    code_checks.check(made, source, path)
    _compiled[path, source] = made


def _patterns(tree: ast.Module) -> Iterator[tuple[str, re.RegexFlag]]:
    """What `re.compile` is called with, where that stands there: a text, and flags of `re` by name."""
    known: dict[str, str] = {}
    for statement in tree.body:
        match statement:
            case ast.Assign(targets=[ast.Name(id=name)], value=value) if text := _text(value, known):
                known[name] = text
    for node in ast.walk(tree):
        match node:
            case ast.Call(
                func=ast.Attribute(value=ast.Name(id="re"), attr="compile"), args=[pattern, *rest], keywords=[]
            ) if text := _text(pattern, known):
                names = [part.attr for flags in rest for part in ast.walk(flags) if isinstance(part, ast.Attribute)]
                yield text, functools.reduce(operator.or_, (re.RegexFlag[name] for name in names), re.RegexFlag(0))


def _text(node: ast.AST, known: Mapping[str, str]) -> str:
    """A constant, a name that is `known`, or an f-string of these; "" where it is none."""
    match node:
        case ast.Constant(value=str(text)):
            return text
        case ast.Name(id=name):
            return known.get(name, "")
        case ast.FormattedValue(value=value, conversion=-1, format_spec=None):
            return _text(value, known)
        case ast.JoinedStr(values=values):
            texts = [_text(value, known) for value in values]
            return "".join(texts) if all(texts) else ""
    return ""
