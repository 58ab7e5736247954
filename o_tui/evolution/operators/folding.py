"""Works out what constant code comes to, without executing it: an interpreter of a few harmless words, with limits.

Only numbers, lists, tuples and number arrays; only the functions that are listed here; nothing of the module's own is
called. What is not known to be harmless is not folded.
"""

from __future__ import annotations

import ast
import math
import operator
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

Value = Any
"""int, float, bool, list, tuple or numpy.ndarray."""
SIZE_LIMIT = 1024
"""Most elements of anything."""
STEP_LIMIT = 40_000
_INT_LIMIT = 10**12


class Unfoldable(Exception):  # noqa: N818 - not an error: an answer
    """This cannot be worked out here."""


class _Break(Exception):  # noqa: N818
    pass


class _Continue(Exception):  # noqa: N818
    pass


_MATH = "acos asin atan atan2 ceil cos cosh degrees dist exp fabs floor fmod gcd hypot log log10 log2 prod radians sin"
_MATH += " sinh sqrt tan tanh"
_NUMPY = "abs absolute arctan2 arcsin arccos arctan clip cos deg2rad exp floor ceil hypot log maximum minimum mod power"
_NUMPY += " sin sqrt square tan tanh array asarray concatenate vstack hstack stack column_stack sum mean"
_SHAPED = ("zeros", "ones", "full")
_CONSTANTS: dict[str, Value] = {
    **{f"math.{name}": getattr(math, name) for name in ("pi", "e", "tau")},
    **{f"numpy.{name}": getattr(np, name) for name in ("pi", "e")},
}
_BINARY: dict[type[ast.operator], Callable[[Value, Value], Value]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Pow: operator.pow,
}
_COMPARE: dict[type[ast.cmpop], Callable[[Value, Value], Value]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}
_UNARY: dict[type[ast.unaryop], Callable[[Value], Value]] = {
    ast.USub: operator.neg,
    ast.UAdd: operator.pos,
    ast.Not: operator.not_,
}
_FAULTS = (ArithmeticError, ValueError, TypeError, LookupError, AttributeError, RecursionError, MemoryError)


def _range(*parts: int) -> list[int]:
    return list(_limited(range(*parts)))


def _arange(*parts: float) -> Value:
    start, stop, step = (0, parts[0], 1) if len(parts) == 1 else (*parts, 1)[:3]
    if not step or abs((stop - start) / step) > SIZE_LIMIT:
        raise Unfoldable
    return np.arange(start, stop, step)


def _linspace(start: float, stop: float, num: int = 50, endpoint: bool = True) -> Value:
    if not 0 <= num <= SIZE_LIMIT:
        raise Unfoldable
    return np.linspace(start, stop, num, endpoint=endpoint)


def _shaped(name: str) -> Callable[..., Value]:
    def make(shape: Value, *rest: Value) -> Value:
        if math.prod(shape if isinstance(shape, (tuple, list)) else (shape,)) > SIZE_LIMIT:
            raise Unfoldable
        return getattr(np, name)(shape, *rest)

    return make


def _limited(items: Iterable[Value]) -> list[Value]:
    found = []
    for item in items:
        found.append(item)
        if len(found) > SIZE_LIMIT:
            raise Unfoldable
    return found


_BUILTINS: dict[str, Callable[..., Value]] = {
    "abs": abs,
    "bool": bool,
    "enumerate": lambda items, start=0: list(enumerate(_limited(items), start)),
    "float": float,
    "int": int,
    "len": len,
    "list": lambda items=(): _limited(items),
    "max": max,
    "min": min,
    "range": _range,
    "reversed": lambda items: list(reversed(_limited(items))),
    "round": round,
    "sorted": sorted,
    "sum": sum,
    "tuple": lambda items=(): tuple(_limited(items)),
    "zip": lambda *rows, strict=False: list(zip(*rows, strict=strict)),
}
_FUNCTIONS: dict[str, Callable[..., Value]] = {
    **_BUILTINS,
    **{f"math.{name}": getattr(math, name) for name in _MATH.split()},
    **{f"numpy.{name}": getattr(np, name) for name in _NUMPY.split()},
    **{f"numpy.{name}": _shaped(name) for name in _SHAPED},
    "numpy.arange": _arange,
    "numpy.linspace": _linspace,
}
_METHODS = {(list, "append"), (list, "extend"), (list, "copy"), (np.ndarray, "copy"), (np.ndarray, "tolist")}
_FREE = frozenset({"numpy.array", "numpy.asarray"})
"""Of these, a keyword `dtype=float` may be given."""


class Folder:
    """An environment of known names, and the statements and expressions that are worked out in it.

    Attributes:
        known: What is known, by name.
        imports: What a name stands for: `np` -> `numpy`, `cos` -> `math.cos`.
        hidden: Built-in names that the module uses for something else.
    """

    def __init__(self, imports: Mapping[str, str], hidden: Iterable[str] = ()) -> None:
        self.known: dict[str, Value] = {}
        self.imports = imports
        self.hidden = frozenset(hidden)
        self._steps = STEP_LIMIT

    def run(self, statement: ast.stmt) -> None:
        """Does what a statement does to the known names; raises Unfoldable, and then some may be half changed."""
        try:
            with np.errstate(all="ignore"):
                self._run(statement)
        except _FAULTS as error:
            raise Unfoldable from error
        except (_Break, _Continue) as error:
            raise Unfoldable from error

    def value(self, node: ast.expr) -> Value:
        """What an expression comes to; raises Unfoldable."""
        try:
            with np.errstate(all="ignore"):
                return self._value(node)
        except _FAULTS as error:
            raise Unfoldable from error

    def _step(self) -> None:
        self._steps -= 1
        if self._steps < 0:
            raise Unfoldable

    def _run(self, node: ast.stmt) -> None:
        self._step()
        match node:
            case ast.Assign(targets=targets, value=value):
                found = self._value(value)
                for target in targets:
                    self._assign(target, found)
            case ast.AnnAssign(target=target, value=ast.expr() as value):
                self._assign(target, self._value(value))
            case ast.AugAssign(target=target, op=op, value=value):
                left = self._value(ast.copy_location(_loaded(target), target))
                if isinstance(left, (list, np.ndarray)):
                    raise Unfoldable  # changes it in place, for all who hold it
                self._assign(target, self._binary(op, left, self._value(value)))
            case ast.For(orelse=[]):
                self._loop(node)
            case ast.If(test=test, body=body, orelse=orelse):
                for each in body if self._value(test) else orelse:
                    self._run(each)
            case ast.Expr(value=ast.Call() as call):
                self._value(call)
            case ast.Expr(value=ast.Constant()) | ast.Pass():
                pass
            case ast.Break():
                raise _Break
            case ast.Continue():
                raise _Continue
            case _:
                raise Unfoldable

    def _loop(self, node: ast.For) -> None:
        for item in _limited(self._value(node.iter)):
            self._assign(node.target, item)
            try:
                for each in node.body:
                    self._run(each)
            except _Continue:
                continue
            except _Break:
                break

    def _assign(self, target: ast.expr, value: Value) -> None:
        self._step()
        match target:
            case ast.Name(id=name):
                self.known[name] = value
            case ast.Tuple(elts=elts) | ast.List(elts=elts):
                for each, part in zip(elts, _limited(value), strict=True):
                    self._assign(each, part)
            case ast.Subscript(value=base, slice=index):
                self._value(base)[self._index(index)] = value
            case _:
                raise Unfoldable

    def _value(self, node: ast.expr) -> Value:
        self._step()
        match node:
            case ast.Constant(value=bool() | int() | float() as value):
                return value
            case ast.Name(id=name) if name in self.known:
                return self.known[name]
            case ast.List(elts=elts):
                return self._weighed([self._value(each) for each in elts])
            case ast.Tuple(elts=elts):
                return tuple(self._weighed([self._value(each) for each in elts]))
            case ast.UnaryOp(op=op, operand=operand) if type(op) in _UNARY:
                return _UNARY[type(op)](self._value(operand))
            case ast.BinOp(left=left, op=op, right=right):
                return self._binary(op, self._value(left), self._value(right))
            case ast.BoolOp(op=op, values=values):
                found = [bool(self._value(each)) for each in values]
                return all(found) if isinstance(op, ast.And) else any(found)
            case ast.Compare(left=left, ops=[op], comparators=[right]) if type(op) in _COMPARE:
                return _COMPARE[type(op)](_number(self._value(left)), _number(self._value(right)))
            case ast.IfExp(test=test, body=body, orelse=orelse):
                return self._value(body if self._value(test) else orelse)
            case ast.Subscript(value=base, slice=index):
                return self._value(base)[self._index(index)]
            case ast.ListComp(elt=elt, generators=generators) | ast.GeneratorExp(elt=elt, generators=generators):
                return self._comprehension(elt, generators)
            case ast.Call():
                return self._call(node)
            case ast.Attribute() | ast.Name():
                return _CONSTANTS[self._dotted(node)]
            case _:
                raise Unfoldable

    def _index(self, node: ast.expr) -> Value:
        match node:
            case ast.Slice(lower=lower, upper=upper, step=step):
                return slice(*(None if each is None else self._value(each) for each in (lower, upper, step)))
            case ast.Tuple(elts=elts):
                return tuple(self._index(each) for each in elts)
            case _:
                return self._value(node)

    def _binary(self, op: ast.operator, left: Value, right: Value) -> Value:
        if type(op) not in _BINARY:
            raise Unfoldable
        if isinstance(op, ast.Mult):
            for row, count in ((left, right), (right, left)):
                if isinstance(row, (list, tuple)) and len(row) * int(count) > SIZE_LIMIT:
                    raise Unfoldable
        if isinstance(op, ast.Pow) and isinstance(left, int) and isinstance(right, int) and abs(right) > 64:
            raise Unfoldable
        return _small(_BINARY[type(op)](left, right))

    def _comprehension(self, elt: ast.expr, generators: list[ast.comprehension]) -> list[Value]:
        found: list[Value] = []
        before = dict(self.known)

        def deeper(at: int) -> None:
            if at == len(generators):
                found.append(self._value(elt))
                if len(found) > SIZE_LIMIT:
                    raise Unfoldable
                return
            for item in _limited(self._value(generators[at].iter)):
                self._assign(generators[at].target, item)
                if all(self._value(each) for each in generators[at].ifs):
                    deeper(at + 1)

        try:
            deeper(0)
        finally:
            self.known = before
        return self._weighed(found)

    def _call(self, node: ast.Call) -> Value:
        arguments = self._weighed([self._value(each) for each in node.args])
        named = {each.arg or "": self._value(each.value) for each in node.keywords if each.arg != "dtype"}
        if isinstance(node.func, ast.Attribute) and not self._names_module(node.func.value):
            base = self._value(node.func.value)
            if (type(base), node.func.attr) not in _METHODS:
                raise Unfoldable
            return _small(getattr(base, node.func.attr)(*arguments, **named))
        name = self._dotted(node.func)
        if len(named) < len(node.keywords) and (name not in _FREE or _dtype(node) not in ("float", "np.float64")):
            raise Unfoldable
        return _small(_FUNCTIONS[name](*arguments, **named))

    def _weighed(self, items: list[Value]) -> list[Value]:
        """The items, unless there is too much in them: lists in lists can hold each other, and themselves."""
        todo, left = [item for item in items if isinstance(item, (list, tuple))], 4 * SIZE_LIMIT
        while todo:
            row = todo.pop()
            left -= 1 + len(row)
            if left < 0:
                raise Unfoldable
            todo += [item for item in row if isinstance(item, (list, tuple))]
        self._steps -= (4 * SIZE_LIMIT - left) // 8
        self._step()
        return items

    def _names_module(self, node: ast.expr) -> bool:
        return isinstance(node, ast.Name) and node.id not in self.known and node.id in self.imports

    def _dotted(self, node: ast.expr) -> str:
        match node:
            case ast.Attribute(value=ast.Name(id=base), attr=attr) if self._names_module(node.value):
                return f"{self.imports[base]}.{attr}"
            case ast.Name(id=name) if name in self.imports:
                return self.imports[name]
            case ast.Name(id=name) if name in _BUILTINS and name not in self.hidden:
                return name
            case _:
                raise Unfoldable


def _dtype(node: ast.Call) -> str:
    return next(ast.unparse(each.value) for each in node.keywords if each.arg == "dtype")


def _loaded(target: ast.expr) -> ast.expr:
    match target:
        case ast.Name(id=name):
            return ast.Name(name, ast.Load())
        case ast.Subscript(value=base, slice=index):
            return ast.Subscript(base, index, ast.Load())
        case _:
            raise Unfoldable


def _number(value: Value) -> Value:
    if not isinstance(value, (int, float, np.number, np.bool_)):
        raise Unfoldable
    return value


def _small(value: Value) -> Value:
    """The value, unless it is too large or of a kind that is not known here."""
    match value:
        case None | bool() | float() | np.floating():
            return value
        case int() | np.integer():
            if abs(int(value)) > _INT_LIMIT:
                raise Unfoldable
            return value
        case np.ndarray():
            if value.size > SIZE_LIMIT or value.dtype.kind not in "biuf":
                raise Unfoldable
            return value
        case list() | tuple() if len(value) <= SIZE_LIMIT:
            return value
        case _:
            raise Unfoldable
