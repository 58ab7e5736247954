"""Where the operator writes: several lines, history, completion. Nothing ever lies over it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, cast

from textual import events
from textual.message import Message
from textual.widgets import TextArea

from o_tui.protocol.messages import SAY_LIMIT_BYTES
from o_tui.ui import boundary
from o_tui.ui.chat.commands import SHOWN, Offer
from o_tui.ui.chat.history import History
from o_tui.ui.text import Text
from o_tui.ui.widgets.line import Line

if TYPE_CHECKING:
    from o_tui.ui.app import OApp

NEWLINE_KEYS = frozenset({"alt+enter", "shift+enter", "ctrl+j"})


class Offers(Line):
    """The completions above the prompt; the chosen one is marked."""

    def __init__(self, style: Callable[[str], str]) -> None:
        super().__init__(id="offers")
        self._style = style
        self.items: list[Offer] = []
        self.chosen = 0

    def offer(self, items: list[Offer], chosen: int = 0) -> None:
        """Shows completions, or hides itself."""
        self.items = items
        self.chosen = max(0, min(chosen, len(items) - 1))
        self.display = bool(items)
        if not items:
            return
        top = max(0, min(self.chosen - SHOWN // 2, len(items) - SHOWN))
        seen = items[top : top + SHOWN]
        self.styles.height = len(seen)
        text = Text(no_wrap=True, overflow="ellipsis", end="")
        width = max(20, self.app.size.width if not self.size.width else self.size.width) - 2
        label = min(width // 2, 44, max(len(item.label) for item in seen))
        for index, item in enumerate(seen, top):
            here = index == self.chosen
            line = Text("> " if here else "  ", self._style("key"))
            line.append(f"{item.label[:label]:<{label}}", self._style("key" if here else "foreground"))
            line.append(f"  {item.help}", self._style("muted"))
            line.truncate(width, overflow="ellipsis")
            text.append_text(line).append("\n" if index < top + len(seen) - 1 else "")
        self.show(text)


class Prompt(boundary.Guarded, TextArea):
    """A text area that sends on Enter."""

    class Submitted(Message):
        """The operator has sent a text."""

        def __init__(self, text: str) -> None:
            super().__init__()
            self.text = text

    class Edited(Message):
        """The text or the cursor is another one: completions may change."""

        def __init__(self, line: str) -> None:
            super().__init__()
            self.line = line

    class Scrolled(Message):
        """A key for the messages above: pageup, pagedown, end."""

        def __init__(self, key: str) -> None:
            super().__init__()
            self.key = key

    def __init__(self, history: History, offers: Offers) -> None:
        super().__init__(
            id="prompt",
            soft_wrap=True,
            show_line_numbers=False,
            tab_behavior="focus",
            highlight_cursor_line=False,
            compact=True,
            placeholder="Write to O.  / commands  @ file",
        )
        self.cursor_blink = False
        self._history = history
        self._offers = offers

    async def _on_key(self, event: events.Key) -> None:
        handled = True
        offers = self._offers
        if event.key in NEWLINE_KEYS:
            self.insert("\n")
        elif offers.items and event.key in ("tab", "up", "down", "escape"):
            self._complete(event.key)
        elif event.key == "enter":
            self._submit()
        elif event.key in ("pageup", "pagedown") or (event.key == "end" and self.cursor_at_end_of_text):
            self.post_message(self.Scrolled(event.key))
        elif event.key == "up" and self.cursor_location[0] == 0:
            self._recall(self._history.back(self.text))
        elif event.key == "down" and self.cursor_location[0] == self.document.line_count - 1:
            self._recall(self._history.forth())
        else:
            handled = False
        if handled:
            event.stop()
            event.prevent_default()

    async def _on_paste(self, event: events.Paste) -> None:
        """What cannot be said is not taken in: to wrap a megabyte for a prompt would keep the view from every key."""
        size = len(f"{self.text}{event.text}".encode("utf-8", "replace"))
        if size <= SAY_LIMIT_BYTES:
            return  # TextArea takes it
        event.stop()
        event.prevent_default()
        text = f"A message may have {SAY_LIMIT_BYTES >> 10} KiB, this would have {size >> 10}: nothing was pasted. "
        cast("OApp", self.app).tell(text + "Long texts go into memory: o-tui memory add", "warning")

    def _complete(self, key: str) -> None:
        offers = self._offers
        if key == "tab":
            self.write(offers.items[offers.chosen].line)
        elif key == "escape":
            offers.offer([])
        else:
            offers.offer(offers.items, (offers.chosen + (1 if key == "down" else -1)) % len(offers.items))

    def _submit(self) -> None:
        offers = self._offers
        # Enter on a half-written command takes the offer, on a whole one it sends
        if offers.items and self.text.startswith("/") and " " not in self.text:
            line = offers.items[offers.chosen].line
            if line.strip() != self.text.strip():
                self.write(line)
                if line.endswith(" "):
                    return
        text = self.text.strip("\n")
        if text.strip():
            # at once and not when the pane has seen it: what is typed meanwhile is the next text
            self._history.add(text)
            self.write("")
            offers.offer([])
            self.post_message(self.Submitted(text))

    def _recall(self, text: str | None) -> None:
        if text is not None:
            self.write(text)
            self._offers.offer([])

    def write(self, text: str) -> None:
        """Replaces everything, the cursor at the end."""
        self.load_text(text)
        self.move_cursor(self.document.end)

    def give_back(self, text: str) -> None:
        """A text could not be sent: it stands here again, before what was typed since."""
        self.write(f"{text}\n{self.text}" if self.text else text)

    def on_text_area_changed(self) -> None:
        """Grows with its lines, and asks for completions."""
        lines = min(8, max(1, self.wrapped_document.height))
        self.styles.height = lines
        self.post_message(self.Edited(self.text))
