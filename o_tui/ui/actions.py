"""One registry of what can be done: bindings, palette, help, footer and the report of conflicts come from it.

An action of a pane is declared in the pane's class (`actions`), an action of the whole view here. Its id says where it
lives and which method it calls: `vault.restore` is `action_restore` of the pane `vault`, `app.next_pane` is
`action_next_pane` of the app.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from textual.binding import Binding

Where = Literal["app", "chat", "shadows", "vault", "review", "events"]


@dataclass(frozen=True, slots=True)
class Action:
    """One thing that the operator can do.

    Attributes:
        id: `where.verb`; settings and the key map use it.
        keys: Keys in Textual's spelling, the first one is shown; empty: only by palette.
        title: One or two words, for the footer.
        help: A sentence, for help and palette.
        where: The pane that must have the focus, or `app`.
        footer: Rank in the footer, lower first; 0: not there; above 100: behind those of the whole view.
        priority: The key works in text fields too.
        leader: The key after Space that does the same.
        palette: Listed in the palette.
    """

    id: str
    keys: tuple[str, ...]
    title: str
    help: str
    footer: int = 0
    priority: bool = False
    leader: str = ""
    palette: bool = True

    @property
    def where(self) -> str:
        """`app`, or the pane's id."""
        return self.id.partition(".")[0]

    @property
    def method(self) -> str:
        """What Textual calls: `action_` and this, on the app or the pane."""
        return self.id.partition(".")[2].replace(".", "_")


def bindings(actions: Iterable[Action]) -> list[Binding]:
    """Textual's bindings for some actions. Each carries its action's id, so a key map can change it."""
    return [
        Binding(",".join(action.keys), action.method, action.title, show=False, priority=action.priority, id=action.id)
        for action in actions
        if action.keys
    ]


APP: tuple[Action, ...] = (
    Action("app.help", ("f1",), "Help", "Show what this pane is and which keys it has.", 10, True, "h"),
    Action("app.settings", ("f2",), "Settings", "Change settings, each with its explanation.", 40, True, "s"),
    Action("app.find", ("f3",), "Find", "Filter the list of this pane; in the chat, search the memory.", 50, True, "f"),
    Action("app.review", ("f4",), "Review", "Go to the change that waits for a decision.", 30, True, "r"),
    Action("app.next_pane", ("f6",), "Next pane", "Move to the next pane.", 20, True, "n"),
    Action("app.previous_pane", ("shift+f6",), "Previous pane", "Move to the pane before.", 0, True),
    Action("app.zoom", ("f11",), "Zoom", "Give this pane the whole screen, or take it back.", 60, True, "z"),
    Action("app.leader", ("space",), "Leader", "Then one letter: the quick way to every action.", 70, palette=False),
    Action("app.palette", ("ctrl+p",), "Palette", "Find any action by its name.", 80, True, "p", palette=False),
    Action("app.quit_view", ("ctrl+q",), "Quit", "Leave: stop the guardian, or leave it running.", 90, True, "q"),
    Action("app.pane_help", ("question_mark",), "Pane help", "Show the keys of this pane.", 0),
    Action("app.goto_chat", ("1", "alt+1"), "Chat", "Go to the chat.", 0, leader="1"),
    Action("app.goto_shadows", ("2", "alt+2"), "Shadows", "Go to the shadows.", 0, leader="2"),
    Action("app.goto_vault", ("3", "alt+3"), "Vault", "Go to the checkpoints.", 0, leader="3"),
    Action("app.goto_review", ("4", "alt+4"), "Review", "Go to the review of changes.", 0, leader="4"),
    Action("app.goto_events", ("5", "alt+5"), "Events", "Go to events and processes.", 0, leader="5"),
    Action("app.prompt", (), "Prompt", "Go to the prompt of the chat.", 0, leader="i"),
    Action("app.theme", (), "Theme", "Choose how the screen looks.", 0, leader="t"),
    Action("app.checkpoint", (), "Checkpoint now", "Write a checkpoint of the agent's state now.", 0, leader="c"),
    Action("app.statistics", (), "Statistics", "Show how changes ended, and which sources pay.", 0, leader="a"),
    Action("app.rollback", (), "Roll back", "Go back to the genome before the last promotion.", 0, leader="u"),
    Action("app.start_guardian", ("f5",), "Start guardian", "Start the guardian, or try again.", 0, True, leader="g"),
    Action("app.copy_selection", ("ctrl+c",), "Copy", "Copy what is selected.", 0, palette=False),
)
"""Actions of the whole view."""
