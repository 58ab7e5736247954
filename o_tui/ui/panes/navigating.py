"""The review's ways through a diff: hunk by hunk, file by file, by a text, with more around it, wrapped or beside."""

from __future__ import annotations

from collections.abc import Sequence

from o_tui.protocol.errors import OError
from o_tui.ui.actions import Action
from o_tui.ui.diff.view import DiffView
from o_tui.ui.lists.filter_bar import FilterBar
from o_tui.ui.messages import CopyRequested
from o_tui.ui.panes.editing import Editing

ACTIONS = (
    Action("review.next_hunk", ("n",), "Next hunk", "To the next hunk of the diff.", 40),
    Action("review.previous_hunk", ("p",), "Hunk before", "To the hunk before.", 0),
    Action("review.next_file", ("right_square_bracket",), "Next file", "To the next file of the diff.", 0),
    Action("review.previous_file", ("left_square_bracket",), "File before", "To the file before.", 0),
    Action("review.evidence", ("i",), "Evidence", "Show the evidence in full, or the diff again.", 50),
    Action("review.wrap", ("w",), "Wrap", "Wrap long lines, or let them run on.", 60),
    Action("review.split", ("s",), "Side by side", "Side by side, or unified.", 70),
    Action("review.more_context", ("plus", "equals_sign"), "More context", "More unchanged lines.", 0),
    Action("review.less_context", ("minus",), "Less context", "Fewer unchanged lines.", 0),
    Action("review.find_text", ("slash",), "Find", "Find a text in the diff; Enter goes on.", 80),
    Action("review.copy", ("y",), "Copy", "Copy the hunk at the cursor.", 90),
)


class Navigating(Editing):
    """Moves in the diff that is shown, and looks at it in other ways."""

    def __init__(self) -> None:
        super().__init__()
        self._evidence_open = False

    def _arrange(self) -> None:
        """Shows the diff, the evidence or both, as there is room and as was asked."""
        raise NotImplementedError

    def find(self) -> None:
        """Finds in the diff."""
        self.query_one(FilterBar).open()

    action_find_text = find

    # --- a text in it

    def on_filter_bar_changed(self, message: FilterBar.Changed) -> None:
        """Finds while one types."""
        message.stop()
        self.diff.search(message.text)

    def on_filter_bar_left(self, message: FilterBar.Left) -> None:
        """Enter goes to the next place, Esc back to the diff."""
        message.stop()
        if message.kept and message.text:
            self.query_one(FilterBar).open()
            if not self.diff.search(message.text):
                self.view.tell(f"'{message.text}' is not in this diff.")
        else:
            self.diff.search("")

    def on_filter_bar_stepped(self, message: FilterBar.Stepped) -> None:
        """Next or previous place."""
        message.stop()
        self.diff.search(self.query_one(FilterBar).text, message.step)

    # --- more around it

    def on_diff_view_source_wanted(self, message: DiffView.SourceWanted) -> None:
        """More context comes from the genome at the base revision."""
        message.stop()
        self.run_worker(self._sources(message.paths), exclusive=True, group="sources", exit_on_error=False)

    async def _sources(self, paths: Sequence[str]) -> None:
        found: dict[str, str] = {}
        for path in paths:
            try:
                value = await self.call("genome.show", revision=self._item.get("base", ""), path=path)
            except OError as error:
                self.view.tell_error(error)
                return
            found[path] = str(value.get("text") or "") if isinstance(value, dict) else str(value)
        self.diff.give_sources(found)

    # --- moving and looking

    def _to_the_diff(self) -> None:
        """Who moves in the diff wants to see it: the evidence in full folds again."""
        if not self.diff.display:
            self.action_evidence()

    def action_next_hunk(self) -> None:
        """To the next hunk."""
        self._to_the_diff()
        self.diff.move_hunk(1)

    def action_previous_hunk(self) -> None:
        """To the hunk before."""
        self._to_the_diff()
        self.diff.move_hunk(-1)

    def action_next_file(self) -> None:
        """To the next file."""
        self._to_the_diff()
        self.diff.move_file(1)

    def action_previous_file(self) -> None:
        """To the file before."""
        self._to_the_diff()
        self.diff.move_file(-1)

    def action_wrap(self) -> None:
        """Wraps or not."""
        self.diff.toggle_wrap()

    def action_split(self) -> None:
        """Side by side or unified."""
        self.diff.toggle_split()

    def action_more_context(self) -> None:
        """More."""
        self.diff.change_context(3)

    def action_less_context(self) -> None:
        """Less."""
        self.diff.change_context(-3)

    def action_copy(self) -> None:
        """Copies the hunk."""
        text = self.diff.hunk_text()
        if text:
            self.post_message(CopyRequested(text, "hunk"))

    def action_evidence(self) -> None:
        """The evidence in full where it is folded; beside the diff, the keys go there and back."""
        box = self.query_one("#evidence-box")
        if self.has_class("-wide"):
            (self.diff if box.has_focus else box).focus()
            return
        self._evidence_open = not self._evidence_open
        self._arrange()
