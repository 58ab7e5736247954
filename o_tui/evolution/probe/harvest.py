"""What a source says about its inputs: signatures, classes with their fields, literals. Nothing is executed."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from o_tui.evolution.probe import patterns, types
from o_tui.evolution.probe.types import Type

_Function = ast.FunctionDef | ast.AsyncFunctionDef
_PLAIN = ("staticmethod", "classmethod", "property", "cached_property")
_OPERATORS = {
    "__len__",
    "__contains__",
    "__getitem__",
    "__setitem__",
    "__delitem__",
    "__iter__",
    "__call__",
    "__bool__",
}
_OPERATORS |= {
    "__add__",
    "__sub__",
    "__mul__",
    "__eq__",
    "__lt__",
    "__le__",
    "__or__",
    "__and__",
    "__repr__",
    "__str__",
}
_OPERATORS |= {"__enter__", "__exit__", "__next__", "__reversed__"}
AMONG_EACH_OTHER = ("__eq__", "__lt__", "__le__", "__add__", "__sub__", "__mul__", "__or__", "__and__")


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter; `default` is its default's value where that is a literal."""

    name: str
    type: Type
    required: bool
    keyword_only: bool = False
    default: object = None


@dataclass(frozen=True, slots=True)
class Function:
    """A function or method, without `self`."""

    name: str
    parameters: tuple[Parameter, ...]
    result: Type
    flavour: str = ""  # property, staticmethod, classmethod, or empty
    asynchronous: bool = False


@dataclass(frozen=True, slots=True)
class Class:
    """A class: what makes one, its methods; `members` where it is an Enum."""

    name: str
    init: tuple[Parameter, ...]
    methods: tuple[Function, ...] = ()
    members: tuple[str, ...] = ()
    record: bool = False  # its fields say all: a dataclass, NamedTuple or struct
    abstract: bool = False


@dataclass(slots=True)
class Harvest:
    """All of it."""

    functions: dict[str, Function] = field(default_factory=dict)
    classes: dict[str, Class] = field(default_factory=dict)
    aliases: dict[str, ast.expr] = field(default_factory=dict)
    strings: list[str] = field(default_factory=list)
    integers: list[int] = field(default_factory=list)
    floats: list[float] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)
    choices: list[str] = field(default_factory=list)  # texts that something is compared with, or looked up by
    tables: list[list[str]] = field(default_factory=list)  # those that stand together
    joints: list[str] = field(default_factory=list)  # what texts are split at
    threaded: bool = False  # calls may be made at once, by threads or tasks
    foreign: bool = False  # it normalises texts, or folds their case
    unguarded: bool = True  # what was changed is not all under a lock (changed.py)
    suspects: frozenset[str] = frozenset()  # what may behave differently (changed.py); empty: all of it

    def is_suspect(self, name: str) -> bool:
        """Whether a unit is looked at more than others."""
        return not self.suspects or name in self.suspects

    def public_classes(self) -> list[Class]:
        """Those that can be made and have something to call."""
        return [c for c in self.classes.values() if c.methods and not c.abstract and not c.name.startswith("_")]


def harvest(reference: ast.Module, *others: ast.Module, known: Sequence[ast.Module] = ()) -> Harvest:
    """The names are the reference's; literals come from all sources; `known` are modules whose classes it may use."""
    found = Harvest()
    for tree in known:
        _structure(found, tree, functions=False)
    _structure(found, reference, functions=True)
    for tree in (reference, *others):
        _literals(found, tree)
    found.strings = list(dict.fromkeys(found.strings))
    found.choices = list(dict.fromkeys(found.choices))
    found.keys = list(dict.fromkeys(found.keys))
    found.joints = list(dict.fromkeys(found.joints))
    found.integers = list(dict.fromkeys(found.integers))
    found.floats = list(dict.fromkeys(found.floats))
    found.foreign = any(_folds(node) for tree in (reference, *others) for node in ast.walk(tree))
    found.threaded = any(word in ast.dump(node) for node in _imports(reference) for word in ("threading", "asyncio"))
    return found


def _folds(node: ast.AST) -> bool:
    """Whether it has to do with ways to write the same."""
    return (isinstance(node, ast.alias) and node.name == "unicodedata") or (
        isinstance(node, ast.Attribute) and node.attr == "casefold"
    )


def _imports(tree: ast.Module) -> Iterator[ast.AST]:
    return (node for node in ast.walk(tree) if isinstance(node, (ast.Import, ast.ImportFrom)))


def _structure(found: Harvest, tree: ast.Module, *, functions: bool) -> None:
    body = [node for statement in tree.body for node in _flat(statement)]
    for node in body:
        if isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Name):
            found.aliases[node.targets[0].id] = node.value
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.value is not None:
            found.aliases[node.target.id] = node.value
    for node in body:
        if isinstance(node, ast.ClassDef):
            found.classes[node.name] = _class(node, found)
    for node in body:
        if functions and isinstance(node, _Function) and not node.name.startswith("_"):
            found.functions[node.name] = _function(node, found, method=False)


def _flat(node: ast.stmt) -> Iterator[ast.stmt]:
    if isinstance(node, ast.If):
        for inner in (*node.body, *node.orelse):
            yield from _flat(inner)
    else:
        yield node


def _names(nodes: Sequence[ast.expr]) -> list[str]:
    names = []
    for node in nodes:
        node = node.func if isinstance(node, ast.Call) else node
        node = node.value if isinstance(node, ast.Subscript) else node
        names.append(node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else "")
    return names


def _class(node: ast.ClassDef, found: Harvest) -> Class:
    bases, decorators = _names(node.bases), _names(node.decorator_list)
    inherited = [found.classes[base] for base in bases if base in found.classes]
    functions = [item for item in node.body if isinstance(item, _Function)]
    if any(base in ("Enum", "IntEnum", "StrEnum", "Flag", "IntFlag") for base in bases):
        members = [t.id for s in node.body if isinstance(s, ast.Assign) for t in s.targets if isinstance(t, ast.Name)]
        return Class(node.name, (), members=tuple(members))
    own = next((item for item in functions if item.name == "__init__"), None)
    record = "dataclass" in decorators or any(base in ("NamedTuple", "Struct", "TypedDict", "Step") for base in bases)
    record = record or any(base.record for base in inherited)
    if own is not None:
        init = _parameters(own, found, method=True)
        record = False
    else:
        before = [parameter for base in inherited for parameter in base.init]
        init = (*before, *(_fields(node, found) if record else ()))
    methods = {method.name: method for base in inherited for method in base.methods}
    for item in functions:
        if not item.name.startswith("_") or item.name in _OPERATORS:
            made = _method(item, node.name, found)
            methods[made.name] = made
    exotic = any(base in ("Protocol", "ABC", "Exception", "ValueError") or base.endswith("Error") for base in bases)
    hidden = any("abstractmethod" in _names(item.decorator_list) for item in functions)
    return Class(node.name, init, tuple(methods.values()), record=record, abstract=exotic or hidden)


def _method(node: _Function, owner: str, found: Harvest) -> Function:
    """A method; what sets a property is named `name=`, and what is compared with is one of the class, or anything."""
    decorators = _names(node.decorator_list)
    made = _function(node, found, method="staticmethod" not in decorators)
    if "setter" in decorators:
        return replace(made, name=f"{node.name}=")
    if node.name in AMONG_EACH_OTHER and len(made.parameters) == 1:
        own = types.Type("class", name=owner)
        other = made.parameters[0]
        kind = own if other.type.kind == "class" else types.Type("union", (own, own, own, other.type))
        return replace(made, parameters=(replace(other, type=kind),))
    return made


def _fields(node: ast.ClassDef, found: Harvest) -> list[Parameter]:
    fields = []
    for item in node.body:
        if isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name):
            words = ast.unparse(item.annotation)
            made = isinstance(item.value, ast.Call) and any(
                keyword.arg == "init" and isinstance(keyword.value, ast.Constant) and not keyword.value.value
                for keyword in item.value.keywords
            )
            if "ClassVar" not in words and not made:
                kind = types.parse(item.annotation, found.aliases, item.target.id)
                fields.append(Parameter(item.target.id, kind, item.value is None, default=_literal(item.value)))
    return fields


def _literal(node: ast.expr | None) -> object:
    try:
        return ast.literal_eval(node) if node is not None else None
    except ValueError:
        return None


def _function(node: _Function, found: Harvest, *, method: bool) -> Function:
    decorators = _names(node.decorator_list)
    flavour = next((name for name in _PLAIN if name in decorators), "")
    return Function(
        node.name,
        _parameters(node, found, method=method),
        types.parse(node.returns, found.aliases) if node.returns is not None else types.ANY,
        "property" if flavour == "cached_property" else flavour,
        isinstance(node, ast.AsyncFunctionDef),
    )


def _parameters(node: _Function, found: Harvest, *, method: bool) -> tuple[Parameter, ...]:
    arguments = node.args
    positional = [*arguments.posonlyargs, *arguments.args][1 if method else 0 :]
    missing = len(positional) - min(len(arguments.defaults), len(positional))
    defaults: list[ast.expr | None] = [None] * missing
    defaults += arguments.defaults[len(arguments.defaults) - (len(positional) - missing) :]
    every = [(argument, default, False) for argument, default in zip(positional, defaults, strict=True)]
    every += [(a, d, True) for a, d in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)]
    made = []
    for argument, default, named in every:
        if argument.annotation is not None:
            kind = types.parse(argument.annotation, found.aliases, argument.arg)
        else:
            kind = types.guess(argument.arg, default, node)
        made.append(Parameter(argument.arg, kind, default is None, named, _literal(default)))
    if arguments.vararg is not None:
        kind = types.ANY if arguments.vararg.annotation is None else types.parse(arguments.vararg.annotation, {})
        made += [Parameter(f"*{number}", kind, False) for number in (1, 2, 3)]
    return tuple(made)


def _literals(found: Harvest, tree: ast.Module) -> None:
    documentation = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, (ast.Module, ast.ClassDef, _Function)) and node.body and isinstance(node.body[0], ast.Expr)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and id(node) not in documentation:
            _literal_value(found, node.value)
        elif isinstance(node, (ast.Dict, ast.Compare, ast.Tuple, ast.Set, ast.MatchValue)):
            _choices(found, node)
        elif isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Constant):
            if isinstance(node.slice.value, str):
                found.keys.append(node.slice.value)
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.args:
            first = node.args[0]
            if getattr(node.func.value, "id", "") == "re" and isinstance(first, ast.Constant):
                found.strings += patterns.examples(str(first.value))
            key = first.value if isinstance(first, ast.Constant) else None
            if node.func.attr in ("get", "pop", "setdefault") and isinstance(key, str):
                found.keys.append(key)
            if node.func.attr in ("split", "rsplit", "partition", "rpartition") and isinstance(key, str) and key:
                found.joints.append(key[:3])


def _choices(found: Harvest, node: ast.AST) -> None:
    inside: list[ast.expr | None] = []
    if isinstance(node, ast.Dict):
        inside = list(node.keys)
    elif isinstance(node, ast.Compare):
        inside = [node.left, *node.comparators]
    elif isinstance(node, (ast.Tuple, ast.Set)):
        inside = list(node.elts)
    elif isinstance(node, ast.MatchValue):
        inside = [node.value]
    texts = [part.value for part in inside if isinstance(part, ast.Constant) and isinstance(part.value, str)]
    texts = [text for text in texts if 0 < len(text) <= 20]
    found.choices += texts
    if len(texts) > 1 and not isinstance(node, ast.Compare):
        found.tables.append(texts)


def _literal_value(found: Harvest, value: object) -> None:
    if isinstance(value, str) and value and len(value) <= 60:
        found.strings.append(value)
    elif isinstance(value, bytes) and value and len(value) <= 60:
        found.strings.append(value.decode("latin-1"))
    elif isinstance(value, bool):
        pass
    elif isinstance(value, int) and abs(value) < 1 << 62:
        found.integers.append(value)
    elif isinstance(value, float):
        found.floats.append(value)
