"""The error boundary: an exception in a pane's key, timer, render or worker ends the pane's content, not the view."""

from __future__ import annotations

import linecache
import logging
import traceback
from types import TracebackType
from typing import TYPE_CHECKING, Any

from textual._context import active_message_pump
from textual.dom import DOMNode
from textual.geometry import Region
from textual.message import Message
from textual.strip import Strip
from textual.worker import WorkerFailed

if TYPE_CHECKING:
    from o_tui.ui.panes.base import Pane

log = logging.getLogger("o_tui.view")


class Guarded:
    """Mixed into widgets in front of their Textual base: what they raise reaches their pane's boundary."""

    async def _dispatch_message(self, message: Message) -> None:
        try:
            await super()._dispatch_message(message)  # type: ignore[misc]
        except Exception as error:  # noqa: BLE001 the boundary: without it Textual ends the widget's message loop
            self.app._handle_exception(error)  # type: ignore[attr-defined]

    def render_lines(self, crop: Region) -> list[Strip]:
        """Renders, or gives blank lines when rendering fails: the error card follows."""
        try:
            lines: list[Strip] = super().render_lines(crop)  # type: ignore[misc]
        except Exception as error:  # noqa: BLE001 the boundary: one widget must not take the whole frame with it
            pane = owner(error)
            if pane is not None:
                pane.fail(error)
            elif self.is_attached:  # type: ignore[attr-defined]
                self.app.call_later(self.app._handle_exception, error)  # type: ignore[attr-defined]
            return [Strip.blank(crop.width)] * crop.height
        return lines


def owner(error: BaseException) -> Pane | None:
    """The pane that an exception belongs to: by the innermost frame whose `self` is in one, else the active widget."""
    from o_tui.ui.panes.base import Pane

    if isinstance(error, WorkerFailed) and error.error is not None:
        error = error.error
    nodes: list[Any] = []
    frame: TracebackType | None = error.__traceback__
    while frame is not None:
        nodes.append(frame.tb_frame.f_locals.get("self"))
        frame = frame.tb_next
    nodes.reverse()
    try:
        nodes.append(active_message_pump.get())
    except LookupError:
        pass
    for node in nodes:
        if isinstance(node, DOMNode):
            for ancestor in node.ancestors_with_self:
                if isinstance(ancestor, Pane):
                    return ancestor
    return None


def summary(error: BaseException) -> str:
    """One line: the exception's type and message."""
    text = str(error).strip().splitlines()
    return f"{type(error).__name__}: {text[0]}" if text else type(error).__name__


def frames(error: BaseException) -> list[str]:
    """`file:line function  source`, innermost last. Never the values of variables: there may be keys among them."""
    lines: list[str] = []
    for entry in traceback.extract_tb(error.__traceback__):
        source = linecache.getline(entry.filename, entry.lineno or 0).strip()
        name = "/".join(entry.filename.rsplit("/", 2)[-2:])
        lines.append(f"{name}:{entry.lineno} {entry.name}  {source}")
    return lines


def record(where: str, error: BaseException) -> None:
    """Writes an exception to the log of this view."""
    log.error("%s: %s\n  %s", where, summary(error), "\n  ".join(frames(error)))
