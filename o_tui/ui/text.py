"""The one place where the view takes text from outside: everything shown passes `safe` or `safe_line`."""

from __future__ import annotations

from o_tui import _native
from o_tui.protocol.safe_text import safe as _safe
from o_tui.protocol.safe_text import safe_line as _safe_line

_READY = hasattr(_native, "safe_text")


def safe(text: str) -> str:
    """Text of several lines, harmless on a terminal; tabs are four spaces wide."""
    shown = (
        str(_safe(text))
        if _READY
        else "".join(c if c == "\n" or c == "\t" or c.isprintable() else "\ufffd" for c in text)
    )
    return shown.expandtabs(4) if "\t" in shown else shown


def safe_line(text: str, limit: int = 200) -> str:
    """One line of at most `limit` characters, harmless on a terminal."""
    return str(_safe_line(text, limit)) if _READY else safe(text.replace("\n", " "))[:limit]
