"""Messages between the parts of the view: past tense, data only. Data goes down, messages go up."""

from __future__ import annotations

from dataclasses import dataclass

from textual.message import Message

from o_tui.protocol import messages as wire


@dataclass
class LinkChanged(Message):
    """The connection to the guardian has another state."""

    state: str
    detail: str

    bubble = False


@dataclass
class SnapshotReceived(Message):
    """Everything anew."""

    snapshot: wire.StateSnapshot

    bubble = False


@dataclass
class NoticesReceived(Message):
    """What happened since, in order."""

    notices: list[wire.Notice]

    bubble = False


@dataclass
class PaneRequested(Message):
    """Somebody asks for another pane; `argument` is the row to show there (an id), or empty."""

    pane_id: str
    argument: str = ""


@dataclass
class CopyRequested(Message):
    """Text is to go to the operator's clipboard; `what` names it in the answer."""

    text: str
    what: str = "text"
