"""Arithmetic, percentages and small conversions of units; nothing is evaluated that is not arithmetic."""

from __future__ import annotations

import ast
import math
import operator
import re
from collections.abc import Callable

from o_tui.agent.dsl import ToolError, tool

LENGTH_LIMIT = 300
DIGITS_LIMIT = 4_000
NODES_LIMIT = 200

Number = int | float


class NotArithmeticError(ToolError):
    """A text that does not ask for a calculation."""


class NoResultError(ToolError):
    """A calculation that has no result, or one that is too large; the message says why."""


_BINARY: dict[type[ast.operator], Callable[[Number, Number], Number]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
}
_FUNCTIONS: dict[str, Callable[..., Number]] = {
    "sqrt": math.sqrt,
    "abs": abs,
    "round": round,
    "floor": math.floor,
    "ceil": math.ceil,
    "sin": math.sin,
    "cos": math.cos,
    "tan": math.tan,
    "exp": math.exp,
    "log": math.log,
    "ln": math.log,
    "log2": math.log2,
    "log10": math.log10,
    "min": min,
    "max": max,
}
_CONSTANTS: dict[str, Number] = {"pi": math.pi, "e": math.e, "tau": math.tau}
_UNITS: dict[str, tuple[str, float]] = {
    "mm": ("length", 0.001),
    "cm": ("length", 0.01),
    "m": ("length", 1.0),
    "km": ("length", 1000.0),
    "in": ("length", 0.0254),
    "inch": ("length", 0.0254),
    "ft": ("length", 0.3048),
    "foot": ("length", 0.3048),
    "yd": ("length", 0.9144),
    "mi": ("length", 1609.344),
    "mile": ("length", 1609.344),
    "g": ("weight", 0.001),
    "kg": ("weight", 1.0),
    "oz": ("weight", 0.028349523125),
    "lb": ("weight", 0.45359237),
    "pound": ("weight", 0.45359237),
    "ml": ("volume", 0.001),
    "l": ("volume", 1.0),
    "gal": ("volume", 3.785411784),
    "cup": ("volume", 0.2365882365),
    "s": ("time", 1.0),
    "second": ("time", 1.0),
    "min": ("time", 60.0),
    "minute": ("time", 60.0),
    "h": ("time", 3600.0),
    "hour": ("time", 3600.0),
    "day": ("time", 86400.0),
    "week": ("time", 604800.0),
    "kb": ("data", 1e3),
    "mb": ("data", 1e6),
    "gb": ("data", 1e9),
    "kib": ("data", 1024.0),
    "mib": ("data", 1048576.0),
    "gib": ("data", 1073741824.0),
}
_PLURALS = {"inches": "inch", "feet": "foot"}
_CONVERSION = re.compile(r"([-+]?[\d.,]+)\s*°?\s*([a-z]+)\s+(?:in|to|as|into)\s+°?\s*([a-z]+)", re.I)
_TEMPERATURES = {"c": "c", "celsius": "c", "f": "f", "fahrenheit": "f", "k": "k", "kelvin": "k"}
_PHRASES: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"(?<=\d),(?=\d{3}\b)"), ""),
    (re.compile(r"([\d.]+)\s*(?:%|percent)\s+of\s+", re.I), r"(\1/100)*"),
    (re.compile(r"(.*\d)\s*([-+])\s*([\d.]+)\s*(?:%|percent)\s*$", re.I), r"(\1)*(1\2\3/100)"),
    (re.compile(r"([\d.]+)\s*(?:%|percent)(?=\s*(?:$|[-+*/)]))", re.I), r"(\1/100)"),
    (re.compile(r"\b(?:the )?square root of\s+([\d.]+)", re.I), r"sqrt(\1)"),
    (re.compile(r"\b(sqrt|sin|cos|tan|log|ln) of\s+([\d.]+)", re.I), r"\1(\2)"),
    (re.compile(r"\bto the power of\b", re.I), "**"),
    (re.compile(r"\b(?:divided by|over)\b|÷", re.I), "/"),
    (re.compile(r"\btimes\b|[×·]|(?<=\d)\s*x\s*(?=\d)", re.I), "*"),
    (re.compile(r"\bplus\b", re.I), "+"),
    (re.compile(r"\bminus\b|−", re.I), "-"),
    (re.compile(r"\bsquared\b", re.I), "**2"),
    (re.compile(r"\bcubed\b", re.I), "**3"),
    (re.compile(r"\^"), "**"),
)


@tool
def calculator(expression: str) -> str:
    """Calculates: arithmetic, percentages ("3% of 80"), sqrt and the like, small conversions ("5 km in miles").

    Args:
        expression: What to calculate, in figures.
    """
    return f"{expression.strip()} = {answer(expression)}"


def answer(expression: str) -> str:
    """The result, written for people.

    Raises:
        NotArithmeticError: It is no arithmetic.
        NoResultError: It is, but has no result.
    """
    text = expression.strip().rstrip("=? ")
    if len(text) > LENGTH_LIMIT:
        raise NotArithmeticError(f"longer than {LENGTH_LIMIT} characters")
    converted = convert(text)
    return converted if converted is not None else written(evaluate(text))


def evaluate(text: str) -> Number:
    """The value of an arithmetic expression; raises as `answer` does."""
    for pattern, replacement in _PHRASES:
        text = pattern.sub(replacement, text)
    try:
        tree = ast.parse(text.strip(), mode="eval")
    except (SyntaxError, RecursionError, MemoryError):
        raise NotArithmeticError("that is no arithmetic") from None
    if sum(1 for _ in ast.walk(tree)) > NODES_LIMIT:
        raise NoResultError("too long a calculation")
    try:
        value = _value(tree.body)
    except ZeroDivisionError:
        raise NoResultError("a division by zero has no result") from None
    except (NotArithmeticError, NoResultError):
        raise
    except (ArithmeticError, TypeError, ValueError) as error:
        raise NoResultError(f"that cannot be calculated: {error}") from None
    if isinstance(value, complex):
        raise NoResultError("the result is not a real number")
    return value


def _value(node: ast.expr) -> Number:
    if isinstance(node, ast.Constant) and type(node.value) in (int, float):
        return node.value
    if isinstance(node, ast.Name) and node.id.lower() in _CONSTANTS:
        return _CONSTANTS[node.id.lower()]
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.UAdd | ast.USub):
        value = _value(node.operand)
        return -value if isinstance(node.op, ast.USub) else value
    if isinstance(node, ast.BinOp):
        return _small(_binary(node.op, _value(node.left), _value(node.right)))
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and not node.keywords:
        function = _FUNCTIONS.get(node.func.id.lower())
        if function is not None:
            return function(*[_value(argument) for argument in node.args])
    raise NotArithmeticError("that is no arithmetic")


def _binary(kind: ast.operator, left: Number, right: Number) -> Number:
    if isinstance(kind, ast.Pow):
        size = abs(left)
        if size > 1 and abs(right) * math.log10(size) > DIGITS_LIMIT:
            raise NoResultError("the result would be too large")
        return left**right
    operation = _BINARY.get(type(kind))
    if operation is None:
        raise NotArithmeticError("that is no arithmetic")
    return operation(left, right)


def _small(value: Number) -> Number:
    if isinstance(value, int) and value.bit_length() > DIGITS_LIMIT * 3.32:
        raise NoResultError("the result would be too large")
    return value


def convert(text: str) -> str | None:
    """The conversion that a text asks for, written out; None where it asks for none."""
    match = _CONVERSION.search(text)
    if match is None:
        return None
    try:
        amount = float(match[1].replace(",", ""))
    except ValueError:
        return None
    source, target = match[2].lower(), match[3].lower()
    if source in _TEMPERATURES and target in _TEMPERATURES:
        return f"{written(_temperature(amount, _TEMPERATURES[source], _TEMPERATURES[target]))} °{target[0].upper()}"
    one, other = _unit(source), _unit(target)
    if one is None or other is None:
        return None
    if one[0] != other[0]:
        raise NoResultError(f"{source} is a {one[0]}, {target} a {other[0]}")
    return f"{written(amount * one[1] / other[1])} {target}"


def _unit(name: str) -> tuple[str, float] | None:
    name = _PLURALS.get(name, name)
    return _UNITS.get(name) or _UNITS.get(name.removesuffix("s"))


def _temperature(amount: float, source: str, target: str) -> float:
    celsius = {"c": amount, "f": (amount - 32) / 1.8, "k": amount - 273.15}[source]
    return {"c": celsius, "f": celsius * 1.8 + 32, "k": celsius + 273.15}[target]


def written(value: Number) -> str:
    """A number for people: whole where it is whole, ten digits otherwise."""
    if isinstance(value, int):
        text = str(value)
        return text if len(text) <= 60 else f"{text[:20]}…{text[-20:]} ({len(text)} digits)"
    if not math.isfinite(value):
        raise NoResultError("the result is not a number")
    if value == int(value) and abs(value) < 1e15:
        return str(int(value))
    return f"{value:.10g}"
