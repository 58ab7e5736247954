"""The one place where the view takes text from outside: everything shown passes `safe` or `safe_line`."""

from __future__ import annotations

from o_tui.protocol import safe_text

TAB_CELLS = 4


def safe(text: str) -> str:
    """Text of several lines, harmless on a terminal, without tabs."""
    shown = str(safe_text.safe(text))
    return shown.expandtabs(TAB_CELLS) if "\t" in shown else shown


def safe_line(text: str, limit: int = 200) -> str:
    """One line of at most `limit` characters, harmless on a terminal."""
    return str(safe_text.safe_line(text, limit))
