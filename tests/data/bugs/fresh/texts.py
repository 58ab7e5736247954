"""Texts: marked up, wrapped, matched, shown."""

from __future__ import annotations

import re
import unicodedata

_TAG = re.compile(r"<[^<>]*?>")
_QUOTED = re.compile(r'"(.*?)"')


def plain(text: str) -> str:
    """Without the tags, blanks in a row made one."""
    return " ".join(_TAG.sub(" ", text).split())


def quoted(text: str) -> list[str]:
    """What stands between quotes."""
    return _QUOTED.findall(text)


def matches(pattern: str, text: str) -> bool:
    """`*` stands for anything, `?` for one sign."""
    if not pattern:
        return not text
    if pattern[0] == "*":
        return matches(pattern[1:], text) or (bool(text) and matches(pattern, text[1:]))
    return bool(text) and pattern[0] in ("?", text[0]) and matches(pattern[1:], text[1:])


def wrapped(text: str, width: int = 20) -> list[str]:
    """Lines of at most so many signs, cut between words; a longer word has its own line."""
    lines: list[str] = []
    for word in text.split():
        if lines and len(lines[-1]) + 1 + len(word) <= width:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return lines


def slug(title: str) -> str:
    """For an address: small letters and digits, accents left out, dashes between."""
    flat = unicodedata.normalize("NFKD", title)
    kept = "".join(sign for sign in flat if not unicodedata.combining(sign)).lower()
    return re.sub(r"[^a-z0-9]+", "-", kept).strip("-")


def filled(template: str, values: dict[str, str]) -> str:
    """`{name}` becomes its value; `{{` and `}}` are brackets; an unknown name stays as it is."""
    out, at = [], 0
    for found in re.finditer(r"\{\{|\}\}|\{(\w+)\}", template):
        out.append(template[at : found.start()])
        name = found.group(1)
        out.append(found.group()[0] if name is None else values.get(name, found.group()))
        at = found.end()
    return "".join(out) + template[at:]


def columns(rows: list[list[str]], gap: str = "  ") -> list[str]:
    """Cells below each other; the last of a row is not filled up."""
    widths: list[int] = []
    for row in rows:
        for place, cell in enumerate(row):
            if place == len(widths):
                widths.append(0)
            widths[place] = max(widths[place], len(cell))
    return [gap.join(cell.ljust(widths[p]) if p < len(row) - 1 else cell for p, cell in enumerate(row)) for row in rows]
