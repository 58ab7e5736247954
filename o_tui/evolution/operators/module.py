"""One parsed source, the lines of it that may change, and edits that leave every other byte as it is.

Edits are made in the text, at the places that `ast` names: comments, layout, line ends and tabs need no printer to
survive. Operators that move statements use libcst, on the same text.
"""

from __future__ import annotations

import ast
import hashlib
import re
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, TypeVar, cast

from o_tui.evolution import signatures
from o_tui.protocol.contracts import FoundFunction

if TYPE_CHECKING:
    import libcst

_START = re.compile(r"[ \t]*#[ \t]*EVOLVE-BLOCK-START\b")
_MARKER = re.compile(r"[ \t]*#[ \t]*EVOLVE-BLOCK-(?:START|END)\b")
_LINE = re.compile(r"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+")
_BOM = "\ufeff"
LARGEST = 1e15
"""Numbers from here on are not stepped."""

Region = tuple[int, int]
"""The first and the last line of a part that may change, from 1; the last before the first: it is empty."""
Edit = tuple[int, int, str]
"""Characters `start` to `end` of the text become these."""
Found = TypeVar("Found")
Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Module:
    """A source that compiles. Made by `parse`; places are counted in characters of `text`."""

    text: str
    tree: ast.Module
    regions: tuple[Region, ...]
    lines: tuple[str, ...]
    starts: tuple[int, ...]

    def inside(self, node: ast.AST) -> bool:
        """Whether all of a node may change: it stands in one region."""
        first, last = getattr(node, "lineno", 0), getattr(node, "end_lineno", None) or len(self.lines) + 1
        return any(start <= first and last <= end for start, end in self.regions)

    def span(self, node: ast.expr | ast.stmt) -> tuple[int, int]:
        """Where a node stands."""
        return (
            self._place(node.lineno, node.col_offset),
            self._place(node.end_lineno or node.lineno, node.end_col_offset or 0),
        )

    def line_span(self, node: ast.stmt) -> tuple[int, int]:
        """Where a statement's lines stand, decorators and line end with it."""
        first = min([node.lineno, *(each.lineno for each in getattr(node, "decorator_list", ()))])
        last = node.end_lineno or node.lineno
        return self.starts[first - 1], self.starts[last - 1] + len(self.lines[last - 1])

    def _place(self, line: int, column: int) -> int:
        text = self.lines[line - 1] if line <= len(self.lines) else ""
        start = self.starts[line - 1] if line <= len(self.lines) else len(self.text)
        return start + (column if text.isascii() else len(text.encode()[:column].decode()))

    def source_of(self, node: ast.expr | ast.stmt) -> str:
        """A node's own text."""
        start, end = self.span(node)
        return self.text[start:end]

    def edited(self, edits: Iterable[Edit]) -> str:
        """The text with these edits, which must not overlap; of two at one place the first given comes first."""
        parts, at = [], 0
        for start, end, new in sorted(edits, key=lambda edit: edit[:2]):
            parts += [self.text[at:start], new]
            at = end
        return "".join([*parts, self.text[at:]])

    def once(self, look: Callable[[Module], Found]) -> Found:
        """What a function finds in this module; it is asked once."""
        if look not in self._found:
            self._found[look] = look(self)
        return cast(Found, self._found[look])

    @cached_property
    def _found(self) -> dict[Callable[[Module], object], object]:
        return {}

    @property
    def newline(self) -> str:
        """How its lines end."""
        first = self.lines[0] if self.lines else ""
        return first[len(first.rstrip("\r\n")) :] or "\n"

    @cached_property
    def skeleton(self) -> str:
        """Names what is left when every number is taken out: sources alike but for numbers share it."""
        return _digest(_NUMBERS.sub(_without_number, self._dump))

    @cached_property
    def identity(self) -> str:
        """Names what the source means: comments, layout and docstrings do not count."""
        return _digest(self._dump)

    @cached_property
    def _dump(self) -> str:
        return _TEXT.sub("", ast.dump(self.tree, annotate_fields=False))

    @cached_property
    def cst(self) -> libcst.Module:
        """The same text for libcst, which keeps comments and layout."""
        import libcst

        return libcst.parse_module(self.text)

    @cached_property
    def outside(self) -> tuple[tuple[str, ...], ...]:
        """The lines that must stay: those before, between and behind the regions."""
        edges = [0, *(edge for first, last in self.regions for edge in (first - 1, last)), len(self.lines)]
        return tuple(self.lines[start:end] for start, end in zip(edges[::2], edges[1::2], strict=True))

    def functions(self) -> Iterator[tuple[str, Function]]:
        """The functions of the module and of its classes, by their dotted names."""
        yield from _functions(self.tree.body, "")


_TEXT = re.compile(r"""Expr\(Constant\((?:'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")\)\)""")
_NUMBERS = re.compile(r"UnaryOp\(USub\(\), Constant\([-+.\w]+\)\)|Constant\([-+.\w]+\)")


def _without_number(found: re.Match[str]) -> str:
    """What may be stepped is one number like another; `None`, and what is too large for it, is not."""
    inner = found[0][found[0].rindex("(") + 1 :].rstrip(")")
    try:
        size = abs(float(inner))
    except ValueError:
        return "Constant(0)" if inner in ("True", "False") else found[0]
    return "Constant(0)" if size < LARGEST else found[0]


def parse(text: str) -> Module:
    """Reads a source, a whole module; what stands between its markers may change, and all where there are none.

    Raises:
        ValueError: It does not compile, or its markers are not pairs.
        RecursionError, MemoryError: It is nested too deeply.
    """
    bare = text.removeprefix(_BOM)
    lines = tuple(_LINE.findall(bare))
    starts, at = [], len(text) - len(bare)
    for line in lines:
        starts.append(at)
        at += len(line)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            tree = ast.parse(bare)
            compile(tree, "<candidate>", "exec", dont_inherit=True)
        except SyntaxError as error:
            raise ValueError(f"line {error.lineno}: {error.msg}") from error
    return Module(text, tree, marked(lines), lines, tuple(starts))


def marked(lines: Sequence[str]) -> tuple[Region, ...]:
    """The lines between the markers, pair by pair, or all lines where there are no markers.

    Raises:
        ValueError: A marker has no partner.
    """
    found = [(number, bool(_START.match(line))) for number, line in enumerate(lines, 1) if _MARKER.match(line)]
    if not found:
        return ((1, len(lines)),)
    if [is_start for _number, is_start in found] != [True, False] * (len(found) // 2):
        raise ValueError("each EVOLVE-BLOCK-START must have one EVOLVE-BLOCK-END behind it")
    numbers = [number for number, _is_start in found]
    return tuple((start + 1, end - 1) for start, end in zip(numbers[::2], numbers[1::2], strict=True))


def kept(parent: Module, text: str) -> Module | None:
    """A child of `parent` with this text; None unless it compiles and keeps the rest and the signatures."""
    try:
        child = parse(text)
    except (ValueError, RecursionError, MemoryError):
        return None
    if child.outside != parent.outside or text.startswith(_BOM) != parent.text.startswith(_BOM):
        return None
    after = child.once(_signatures)
    if any(after.get(name) != signature for name, signature in parent.once(_signatures).items()):
        return None
    if child.skeleton == parent.skeleton:  # only numbers differ
        return child
    described, before = child.once(_described), parent.once(_described)
    return child if all(described.get(name) == found for name, found in before.items()) else None


def _signatures(module: Module) -> dict[str, str]:
    return {name: _signature(function) for name, function in module.functions()}


def _described(module: Module) -> dict[str, FoundFunction]:
    return {name: found for name, (found, _line) in signatures.functions(module.tree).items()}


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:12]


def _signature(function: Function) -> str:
    returns = ast.dump(function.returns) if function.returns else ""
    return type(function).__name__ + ast.dump(function.args) + returns


def _functions(body: Iterable[ast.stmt], prefix: str) -> Iterator[tuple[str, Function]]:
    for node in body:
        if isinstance(node, Function):
            yield prefix + node.name, node
        elif isinstance(node, ast.ClassDef):
            yield from _functions(node.body, f"{prefix}{node.name}.")
