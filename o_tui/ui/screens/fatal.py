"""What is printed when the view itself has failed: one clear line and where more is, never the values of variables."""

from __future__ import annotations

from pathlib import Path

from o_tui.ui import boundary


def message(error: BaseException, log: Path) -> str:
    """The lines for stderr, after the terminal has been given back."""
    return (
        f"o-tui: the screen had to end: {boundary.summary(error)[:300]}\n"
        f"  The guardian and the agent go on; o-tui shows them again. Details: {log}\n"
    )
