"""What the checkers say (ruff, ty), and which of it means that a candidate cannot work. The processes are elsewhere.

Most rules are taste, or wrong about correct code now and then: those are counted and told, and fail nobody.
"""

from __future__ import annotations

import json
from typing import Any

RUFF = ("check", "--isolated", "--no-cache", "--select", "F,E9,B,S,ASYNC,BLE,PLE", "--output-format", "json")
_BROKEN = ("E9", "PLE", "F5", "F63", "F70", "F82", "invalid-syntax")
TY = ("check", "--output-format", "concise", "--no-progress", "--color", "never")
_DEAD = frozenset(
    [
        "unresolved-reference",
        "missing-argument",
        "too-many-positional-arguments",
        "unknown-argument",
        "call-non-callable",
    ]
)


def ruff(output: str) -> tuple[str, str]:
    """(what breaks it, or empty; what else there is)."""
    try:
        rows: list[dict[str, Any]] = json.loads(output or "[]")
    except ValueError:
        return "", "its answer cannot be read"
    for row in rows:
        code = str(row.get("code") or "invalid-syntax")
        if code.startswith(_BROKEN):
            line = (row.get("location") or {}).get("row", 1)
            return f"{line}: {code} {row.get('message', '')}", ""
    return "", _remarks(str(row.get("code")) for row in rows)


def ty(output: str) -> tuple[str, str]:
    """(what breaks it, or empty; what else there is)."""
    rules = []
    for line in output.splitlines():
        place, mark, rest = line.partition(": error[")
        if not mark:
            continue
        rule, _bracket, message = rest.partition("]")
        if rule in _DEAD:
            number = place.rsplit(":", 2)[-2] if place.count(":") >= 2 else "1"
            return f"{number}: {message.strip()}", ""
        rules.append(rule)
    return "", _remarks(rules)


def _remarks(codes: Any) -> str:
    counts: dict[str, int] = {}
    for code in codes:
        counts[code] = counts.get(code, 0) + 1
    if not counts:
        return "nothing"
    told = ", ".join(f"{code} {count}" if count > 1 else code for code, count in sorted(counts.items())[:6])
    return f"nothing that breaks it; remarks: {told}"
