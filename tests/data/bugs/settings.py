"""Settings as text: read, written, merged."""

from __future__ import annotations

from typing import Any


def parse(text: str) -> dict[str, str]:
    """Lines `key = value`; `#` begins a comment; values may be quoted, with `\\"` inside."""
    found: dict[str, str] = {}
    for line in text.splitlines():
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        key, equals, value = line.partition("=")
        if not equals:
            raise ValueError(f"no value: {line}")
        found[key.strip()] = _unquoted(value.strip())
    return found


def _unquoted(value: str) -> str:
    if len(value) >= 2 and value[0] == value[-1] == '"':
        return value[1:-1].replace('\\"', '"')
    return value.partition(" #")[0].rstrip()


def write(values: dict[str, str]) -> str:
    lines = []
    for key, value in sorted(values.items()):
        if value != value.strip() or " #" in value or '"' in value:
            value = '"' + value.replace('"', '\\"') + '"'
        lines.append(f"{key} = {value}\n")
    return "".join(lines)


def convert(value: str) -> Any:
    """bool, int, float, else text."""
    if value in ("true", "yes", "on"):
        return True
    if value in ("false", "no", "off"):
        return False
    for kind in (int, float):
        try:
            return kind(value)
        except ValueError:
            pass
    return value


def lookup(values: dict[str, Any], path: str, default: Any = None) -> Any:
    """`a.b.c` in nested dicts; a number is an index of a list."""
    at: Any = values
    for part in path.split("."):
        if isinstance(at, dict) and part in at:
            at = at[part]
        elif isinstance(at, list) and part.isdigit() and int(part) < len(at):
            at = at[int(part)]
        else:
            return default
    return at


def merge(*layers: dict[str, Any]) -> dict[str, Any]:
    """Later layers win, nested dicts are merged, None removes; no layer is changed."""
    out: dict[str, Any] = {}
    for layer in layers:
        for key, value in layer.items():
            if value is None:
                out.pop(key, None)
            elif isinstance(value, dict):
                out[key] = merge(out[key] if isinstance(out.get(key), dict) else {}, value)
            else:
                out[key] = value
    return out


def split(line: str, sep: str = ",") -> list[str]:
    """Fields of a line; a quoted one may hold the separator."""
    fields = []
    now = ""
    quoted = False
    for sign in line:
        if sign == '"':
            quoted = not quoted
        elif sign == sep and not quoted:
            fields.append(now)
            now = ""
        else:
            now += sign
    fields.append(now)
    return fields
