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


def _twins() -> dict[int, str]:
    boxes = {chr(code): "+" for code in range(0x2500, 0x2580)}
    boxes |= dict.fromkeys("─━┄┅┈┉╌╍═╴╶╸╺╼╾", "-") | dict.fromkeys("│┃┆┇┊┋╎╏║╵╷╹╻╽╿", "|") | {"╱": "/", "╲": "\\"}
    blocks = {chr(code): "#" for code in range(0x2580, 0x25A0)}
    blocks |= dict(zip("▁▂▃▄▅▆▇", "_.-=*%#", strict=True)) | {"▀": "-", "▔": "-", "░": ".", "▒": ":"}
    blocks |= dict.fromkeys("▌▍▎▏▐▕", "|")
    others = dict(zip("…›‹•·✓✗▶▼▲◀→←–—●○├┤", ".><*-v" + "x>v^<><--*o++", strict=True))
    return str.maketrans(boxes | blocks | others)


TWINS = _twins()
"""For `str.translate`: what is drawn, of one cell each, and the ASCII character that stands for it."""
