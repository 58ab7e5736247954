"""Tools of the genome: found by their mark, described by their hints and docstrings, called with checked arguments."""

from __future__ import annotations

import inspect
import re
import typing
from collections.abc import Mapping, Sequence
from types import FunctionType, ModuleType
from typing import Annotated, Any, NamedTuple, overload

import msgspec

from o_tui.agent.dsl import Context, ToolSpec
from o_tui.agent.parameters import is_generator, parameters

RESULT_LIMIT_CHARS = 100_000
"""Longest text of a result; the rest is cut, and said to be."""
_ARGUMENT = re.compile(r"\s*(\w+):\s*(.+)")


class ArgumentError(Exception):
    """Arguments that do not fit the tool; the message says which and why."""


class _Description(NamedTuple):
    """What hints and docstring say: the type of the arguments, the parameter for the context, what a model is told."""

    struct: type[msgspec.Struct]
    context: str
    spec: ToolSpec


class Tool:
    """One function of the genome that a model, or another gene, may call.

    Attributes:
        name: The function's name.
        steps: It is a generator of steps.
    """

    __slots__ = ("_described", "_function", "name", "steps")

    def __init__(self, function: FunctionType) -> None:
        """A decorated function; it is read when its description is first needed."""
        self.name = function.__name__
        self.steps = is_generator(function)
        self._function = function
        self._described: _Description | None = None

    @property
    def module(self) -> str:
        """The module that it stands in."""
        return self._function.__module__

    @property
    def spec(self) -> ToolSpec:
        """What a model is told of it."""
        return self._description().spec

    def check(self) -> None:
        """Reads it now.

        Raises:
            TypeError: A parameter has no hint, a hint that JSON cannot say, or is positional-only or variadic.
        """
        self._description()

    def _description(self) -> _Description:
        if self._described is None:
            self._described = self._describe()
        return self._described

    def _describe(self) -> _Description:
        function, context = self._function, ""
        text, arguments = _documented(inspect.getdoc(function) or "")
        hints = typing.get_type_hints(function, include_extras=True)
        fields: list[Any] = []
        takes = parameters(function)
        if not takes.named_only:
            raise TypeError(f"tool {self.name}: each parameter needs a name, and may be given by it")
        for name in takes.names:
            hint = hints.get(name)
            if hint is Context:
                context = name
                continue
            if hint is None:
                raise TypeError(f"tool {self.name}: the parameter {name} needs a name and a type hint")
            if name in arguments:
                hint = Annotated[hint, msgspec.Meta(description=arguments[name])]
            fields.append((name, hint, takes.defaults[name]) if name in takes.defaults else (name, hint))
        struct = msgspec.defstruct("Arguments", fields, kw_only=True, forbid_unknown_fields=True)
        return _Description(struct, context, ToolSpec(self.name, text, _schema(struct)))

    def call(self, arguments: dict[str, Any], context: Context) -> Any:
        """Calls it: its text, or its generator of steps.

        Raises:
            ArgumentError: The arguments are not what its schema says. What the tool raises goes through.
        """
        struct, named, _spec = self._description()
        try:
            # models write "3" where a number is asked for, so the lax conversion
            checked = msgspec.convert(arguments, struct, strict=False)
        except msgspec.ValidationError as error:
            raise ArgumentError(f"wrong arguments for {self.name}: {error}") from None
        values = {name: getattr(checked, name) for name in struct.__struct_fields__}
        if named:
            values[named] = context
        return self._function(**values)


class Specs(Sequence[ToolSpec]):
    """What a model is told of a genome's tools, by name; each is read off its function when it is first asked for."""

    __slots__ = ("_tools",)

    def __init__(self, tools: Mapping[str, Tool]) -> None:
        self._tools = tuple(tool for _name, tool in sorted(tools.items()))

    def __len__(self) -> int:
        return len(self._tools)

    @overload
    def __getitem__(self, index: int) -> ToolSpec: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[ToolSpec, ...]: ...
    def __getitem__(self, index: int | slice) -> ToolSpec | tuple[ToolSpec, ...]:
        if isinstance(index, slice):
            return tuple(tool.spec for tool in self._tools[index])
        return self._tools[index].spec


def find(module: ModuleType) -> dict[str, Tool]:
    """The tools of a genome's module, by name.

    Raises:
        TypeError: Two share a name.
    """
    found: dict[str, Tool] = {}
    for value in vars(module).values():
        if type(value) is not FunctionType or value.__module__ != module.__name__:
            continue
        if getattr(value, "__o_tool__", False) is True:
            tool = Tool(value)
            if tool.name in found:
                raise TypeError(f"two tools are called {tool.name}")
            found[tool.name] = tool
    return found


def as_text(value: Any) -> str:
    """A tool's result as text, within the limit."""
    text = value if isinstance(value, str) else str(value)
    if len(text) > RESULT_LIMIT_CHARS:
        text = f"{text[:RESULT_LIMIT_CHARS]}\n… ({len(text) - RESULT_LIMIT_CHARS} more characters)"
    return text


def _documented(text: str) -> tuple[str, dict[str, str]]:
    head, _, rest = text.partition("\n\n")
    _, _, block = rest.partition("Args:")
    arguments = {}
    for line in block.splitlines():
        match = _ARGUMENT.match(line)
        if match:
            arguments[match[1]] = match[2].strip()
    return " ".join(head.split()), arguments


def _schema(struct: type[msgspec.Struct]) -> dict[str, Any]:
    try:
        (schema,), _components = msgspec.json.schema_components([struct], ref_template="#/$defs/{name}")
    except TypeError as error:
        raise TypeError(f"a hint that JSON cannot say: {error}") from error
    name = str(schema["$ref"]).rsplit("/", 1)[-1]
    definition = dict(_components[name])
    definition.pop("title", None)
    others = {key: value for key, value in _components.items() if key != name}
    if others:
        definition["$defs"] = others
    return definition
