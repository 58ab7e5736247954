"""Types as the prober knows them: read from annotations, else guessed from defaults, names and use."""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

_Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True, slots=True)
class Type:
    """A kind with what is inside: `list` of one, `dict` of two, `union`, `fn` with its result; `class` has a name."""

    kind: str
    inner: tuple[Type, ...] = ()
    name: str = ""
    values: tuple[object, ...] = field(default=())


ANY = Type("any")
_PLAIN = {"str": "str", "int": "int", "float": "float", "bool": "bool", "bytes": "bytes", "None": "none"}
_PLAIN |= {
    "Any": "any",
    "object": "any",
    "Hashable": "key",
    "Callable": "fn",
    "bytearray": "bytes",
    "Decimal": "decimal",
}
_PLAIN |= {"Text": "str", "complex": "float", "Number": "float", "AnyStr": "str", "SupportsFloat": "float"}
_MANY = {"list": "list", "List": "list", "Sequence": "list", "Collection": "list", "MutableSequence": "list"}
_MANY |= {"Iterable": "iterable", "Iterator": "iter", "Generator": "iter", "deque": "deque", "Deque": "deque"}
_MANY |= {"set": "set", "Set": "set", "frozenset": "frozenset", "FrozenSet": "frozenset", "AbstractSet": "set"}
_PAIRS = {"dict": "dict", "Dict": "dict", "Mapping": "dict", "MutableMapping": "dict", "OrderedDict": "dict"}
_PAIRS |= {"defaultdict": "dict", "Counter": "counter"}


def parse(node: ast.expr | None, aliases: Mapping[str, ast.expr], name: str = "", depth: int = 0) -> Type:
    """The type that an annotation names; `name` is what has it."""
    if node is None or depth > 6:
        return ANY
    if isinstance(node, ast.Constant):
        if node.value is None:
            return Type("none")
        if isinstance(node.value, str):
            try:
                return parse(ast.parse(node.value, mode="eval").body, aliases, name, depth + 1)
            except SyntaxError:
                return ANY
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
        return Type("union", (parse(node.left, aliases, name, depth + 1), parse(node.right, aliases, name, depth + 1)))
    if isinstance(node, ast.Attribute):
        node = ast.Name(node.attr)
    if isinstance(node, ast.Name):
        return _named(node.id, aliases, name, depth)
    if isinstance(node, ast.Subscript):
        head = node.value.attr if isinstance(node.value, ast.Attribute) else getattr(node.value, "id", "")
        return _generic(head, node.slice, aliases, name, depth)
    return ANY


def _named(word: str, aliases: Mapping[str, ast.expr], name: str, depth: int) -> Type:
    if word in _PLAIN:
        return Type(_PLAIN[word], name=name)
    if word in _MANY:
        return Type(_MANY[word], (ANY,))
    if word in _PAIRS:
        return Type(_PAIRS[word], (Type("str"), ANY))
    if word == "tuple":
        return Type("tuple*", (ANY,))
    if word in aliases:
        value = aliases[word]
        if isinstance(value, ast.Call):  # a TypeVar, a NewType
            bound = next((keyword.value for keyword in value.keywords if keyword.arg == "bound"), None)
            last = value.args[-1] if len(value.args) > 1 else None
            return parse(bound or last, aliases, name, depth + 1) if bound or last else Type("key")
        return parse(value, aliases, name, depth + 1)
    return Type("class", name=word)


def _generic(head: str, inside: ast.expr, aliases: Mapping[str, ast.expr], name: str, depth: int) -> Type:
    parts = inside.elts if isinstance(inside, ast.Tuple) else [inside]
    if head == "Literal":
        return Type("literal", values=tuple(part.value for part in parts if isinstance(part, ast.Constant)))
    if head in ("Callable",):
        return Type("fn", (parse(parts[-1], aliases, "", depth + 1),), name=str(_arity(parts[0])))
    if head in ("Optional",):
        return Type("union", (parse(parts[0], aliases, name, depth + 1), Type("none")))
    if head in ("Union",):
        return Type("union", tuple(parse(part, aliases, name, depth + 1) for part in parts))
    if head in ("Annotated", "Final", "ClassVar", "Required", "NotRequired"):
        return parse(parts[0], aliases, name, depth + 1)
    inner = tuple(parse(part, aliases, name.removesuffix("s"), depth + 1) for part in parts)
    if head in ("tuple", "Tuple"):
        if len(parts) == 2 and isinstance(parts[1], ast.Constant) and parts[1].value is ...:
            return Type("tuple*", inner[:1])
        return Type("tuple", inner)
    if head in _MANY:
        return Type(_MANY[head], inner[:1])
    if head == "Counter":
        return Type("counter", inner[:1])
    if head in _PAIRS:
        return Type("dict", (inner * 2)[:2])
    return Type("class", name=head)


def _arity(node: ast.expr) -> int:
    return len(node.elts) if isinstance(node, ast.List) else 1


_TEXT = re.compile(r"(text|s|string|name|word|line|query|title|prefix|suffix|sep|path|url|msg|message|pattern|source)$")
_COUNT = re.compile(r"(n|k|i|j|size|limit|count|width|length|max_\w+|min_\w+|num_\w+|index|capacity|depth|start|end)$")
_REAL = re.compile(r"(x|y|now|time|t|rate|alpha|beta|ratio|weight|score|threshold|delay|timeout|ttl|amount|price)$")
_LIST = re.compile(r"(items|values|xs|ys|words|lines|rows|nums|numbers|seq|sequence|arr|data|\w+_list|points)$")
_SIZED = ("len", "sorted", "sum", "max", "min", "set", "list", "enumerate")
_WORDS = frozenset(
    ["split", "strip", "lower", "upper", "startswith", "endswith", "splitlines", "encode", "join", "replace"]
)


def guess(name: str, default: ast.expr | None, function: _Function) -> Type:
    """The type of a parameter without an annotation."""
    value = default.value if isinstance(default, ast.Constant) else None
    if value is not None and type(value).__name__ in _PLAIN:
        return Type(type(value).__name__, name=name)
    used = _used(name, function)
    if used & _WORDS:
        return Type("str", name=name)
    if used & {"items", "keys", "values", "get", "[str]"}:
        return Type("dict", (Type("str"), ANY))
    if "call" in used:
        return Type("fn", (ANY,), name="1")
    if used & {"append", "extend", "sort", "insert"} or (used & {"iterated", "len"} and not _TEXT.match(name)):
        return Type("list", (_element(name),))
    for pattern, kind in ((_TEXT, "str"), (_COUNT, "int"), (_REAL, "float")):
        if pattern.match(name):
            return Type(kind, name=name)
    if _LIST.match(name):
        return Type("list", (_element(name),))
    return Type("int", name=name) if "number" in used else ANY


def _element(name: str) -> Type:
    if re.match(r"(words|lines|names|texts|tokens|keys|strings)$", name):
        return Type("str", name=name[:-1])
    return Type("int") if re.match(r"(nums|numbers|ints|values|xs|ys|arr)$", name) else ANY


def _used(name: str, function: _Function) -> set[str]:
    used: set[str] = set()
    for node in ast.walk(function):
        if isinstance(node, ast.Attribute) and getattr(node.value, "id", "") == name:
            used.add(node.attr)
        elif isinstance(node, ast.Subscript) and getattr(node.value, "id", "") == name:
            text = isinstance(node.slice, ast.Constant) and isinstance(node.slice.value, str)
            used.add("[str]" if text else "[]")
        elif isinstance(node, ast.Call):
            if getattr(node.func, "id", "") == name:
                used.add("call")
            first = node.args[0] if node.args else None
            if getattr(first, "id", "") == name and getattr(node.func, "id", "") in _SIZED:
                used.add("len")
        elif isinstance(node, (ast.For, ast.comprehension)) and getattr(node.iter, "id", "") == name:
            used.add("iterated")
        elif isinstance(node, (ast.BinOp, ast.Compare)):
            sides = [node.left, node.right] if isinstance(node, ast.BinOp) else [node.left, *node.comparators]
            if any(getattr(side, "id", "") == name for side in sides):
                number = any(isinstance(s, ast.Constant) and isinstance(s.value, (int, float)) for s in sides)
                used |= {"number"} if number else set()
    return used
