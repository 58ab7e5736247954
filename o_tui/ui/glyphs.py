"""Every drawn character has an ASCII twin: terminals without UTF-8, screen readers, logs."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Glyphs:
    """One set. State is never told by these or by colour alone: a word stands beside."""

    line: str = "─"
    bar: str = "│"
    dot: str = "·"
    bullet: str = "•"
    prompt: str = "›"
    ellipsis: str = "…"
    quote: str = "▎"
    mark: str = "▌"
    expanded: str = "[-]"
    collapsed: str = "[+]"
    ok: str = "[OK]"
    bad: str = "[!!]"
    wait: str = "[..]"


UNICODE = Glyphs()
ASCII = Glyphs(
    line="-",
    bar="|",
    dot="-",
    bullet="*",
    prompt=">",
    ellipsis="..",
    quote="|",
    mark="|",
)


def glyphs(ascii_only: bool) -> Glyphs:
    """The set for a terminal."""
    return ASCII if ascii_only else UNICODE
