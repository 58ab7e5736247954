"""The review's marks: parts of a change are accepted or rejected, and what is left goes back to the shadow.

A part is code that no shadow has run, so it is never deployed from here: it becomes a candidate of its own.
"""

from __future__ import annotations

from o_tui.ui.actions import Action
from o_tui.ui.diff.marks import Mark, Marks
from o_tui.ui.diff.view import DiffView
from o_tui.ui.format import count
from o_tui.ui.panes.deciding import Deciding
from o_tui.ui.screens.part import PartScreen
from o_tui.ui.text import Text

ACTIONS = (
    Action("review.accept", ("space",), "Accept hunk", "Mark the hunk, or the line, as accepted.", 41),
    Action("review.refuse", ("x",), "Reject hunk", "Mark the hunk, or the line, as rejected.", 42),
    Action("review.lines", ("v",), "Lines", "Choose single lines with up and down, or whole hunks again.", 43),
    Action("review.undo", ("z",), "Undo", "Take the last mark back.", 44),
)


class Marking(Deciding):
    """Marks in the diff, and what is done with them."""

    @property
    def diff(self) -> DiffView:
        """The diff."""
        return self.query_one(DiffView)

    def _marks(self) -> Marks:
        return self.diff.marks

    def _mark(self, mark: Mark) -> None:
        if self._item.get("state") != "pending":
            self.view.tell("Only a change that waits for you can be marked.")
            return
        if not self.diff.display:
            self.view.tell("Marks are made in the diff: i shows it.")
            return
        self.diff.mark(mark)
        self._marked()
        if not self.diff.by_line and self._marks().counts()["open"]:
            self.diff.move_hunk(1)

    def _marked(self) -> None:
        self._said = ""
        self._draw()

    def action_accept(self) -> None:
        """This hunk or line is to stay."""
        self._mark("accepted")

    def action_refuse(self) -> None:
        """This hunk or line is to go."""
        self._mark("rejected")

    def action_lines(self) -> None:
        """Single lines, or hunks."""
        self.diff.toggle_lines()

    def action_undo(self) -> None:
        """One mark back."""
        if not self.diff.unmark():
            self.view.tell("There is no mark to take back.")
        self._marked()

    def action_approve(self) -> None:
        """The whole, as it was measured; or a part of it, which has to be measured first."""
        if not self._marks() or self._marks().whole:
            super().action_approve()
        else:
            self._keep_part()

    def _keep_part(self) -> None:
        marks = self._marks()
        self._said = self._may_approve()
        if not self._said and marks.open:
            self._said = f"{count(marks.open)} changed lines have no mark yet: Space accepts, x rejects."
        elif not self._said and not marks.accepted:
            self._said = "Nothing is accepted. R rejects the change as a whole, with a reason."
        self._tell_decision()
        if self._said:
            return
        identity, digest = str(self._item["id"]), str(self._item["diff_sha256"])
        keep = [key.text() for key in marks.accepted]

        def answered(reason: str | None) -> None:
            self.gate.close()
            if reason is not None:
                said = f"Trying a part of {identity} ..."
                self._decide(said, "evolution.accept_part", id=identity, digest=digest, keep=keep, reason=reason)

        self.app.push_screen(PartScreen(identity, len(keep), marks.counts()), answered)

    def _tell_marks(self, line: Text) -> None:
        """What the marks amount to, for the line of the decision."""
        marks = self._marks()
        counted = {state: number for state, number in marks.counts().items() if number}
        line.append("hunks: " + "  ".join(f"{number} {state}" for state, number in counted.items()))
        if marks.whole:
            line.append(f"   A approves all (asks for {self._version()})", "bold")
        elif marks.open:
            line.append("   Space accept  x reject  v lines  z undo")
        else:
            line.append("   A PARTIAL: goes back to shadow", "bold")
