"""One line below the header while something is not as it should be; gone otherwise."""

from __future__ import annotations

from o_tui.ui.glyphs import Glyphs
from o_tui.ui.snapshot_model import Model
from o_tui.ui.text import Text
from o_tui.ui.widgets.line import Line

LINES = 4


class Banner(Line):
    """Says what is wrong and what happens about it."""

    def present(self, model: Model, glyphs: Glyphs) -> None:
        """Shows or hides itself."""
        text = sentence(model)
        self.display = bool(text)
        shown = Text(f" {glyphs.bad if text.startswith('!') else glyphs.wait} {text.lstrip('! ')}")
        # an error and its hint are told in full, as far as there is room
        width = max(20, self.app.size.width)
        self.styles.height = min(LINES, len(shown.wrap(self.app.console, width))) if text else 1
        self.show(shown)


def sentence(model: Model) -> str:
    """The line for a state of the connection; empty while all is well. A leading `!` marks what needs the operator."""
    detail = f": {model.link_detail}" if model.link_detail else ""
    match model.link:
        case "starting":
            again = "! The guardian has ended. Starting it again; what you write is kept."
            return again if model.link_detail else "Starting the guardian. You can write already."
        case "connecting":
            return "Waiting for the guardian. You can write already."
        case "lost":
            return f"! Guardian lost{detail}. Looking for it; what you write is kept."
        case "silent":
            return "! The guardian does not answer: it hangs or was stopped. Waiting for it; what you write is kept."
        case "stopped":
            return f"! The guardian has stopped{detail}. F5 starts it again."
        case "refused":
            return f"! No guardian{detail}. F5 tries again."
        case _:
            return "! The disk takes no writes: the guardian is read-only until it does." if model.read_only else ""
