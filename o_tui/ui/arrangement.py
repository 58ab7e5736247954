"""Which panes can be seen at which size: a pure function, so that every size can be tested."""

from __future__ import annotations

from typing import Literal

PANES: tuple[str, ...] = ("chat", "shadows", "vault", "review", "events")
SIDE: frozenset[str] = frozenset({"shadows", "vault", "events"})
LEAST_WIDTH, LEAST_HEIGHT = 40, 15
MEDIUM_WIDTH, WIDE_WIDTH = 100, 180
Mode = Literal["small", "narrow", "medium", "wide"]


def mode(width: int, height: int) -> Mode:
    """small: nothing fits. narrow: one pane and tabs. medium: chat beside live panes. wide: review beside both."""
    if width < LEAST_WIDTH or height < LEAST_HEIGHT:
        return "small"
    if width < MEDIUM_WIDTH or height < 2 * LEAST_HEIGHT:
        return "narrow"
    return "medium" if width < WIDE_WIDTH else "wide"


def visible(current: Mode, active: str, zoomed: bool) -> frozenset[str]:
    """The panes that are shown."""
    if current in ("small", "narrow") or zoomed:
        return frozenset({active})
    if current == "wide":
        return frozenset(PANES)
    return frozenset({"review"}) if active == "review" else frozenset({"chat", *SIDE})
