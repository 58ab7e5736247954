"""The pane Review: the diff, the evidence, and the operator's decision."""

from __future__ import annotations

from collections.abc import Sequence

from textual import events
from textual.app import ComposeResult
from textual.containers import Horizontal, VerticalScroll
from textual.widget import Widget

from o_tui.protocol.errors import OError
from o_tui.ui.actions import Action
from o_tui.ui.diff.flags import Flag, find
from o_tui.ui.diff.view import DiffView
from o_tui.ui.format import clock, shown
from o_tui.ui.lists.columns import Column, fitted
from o_tui.ui.lists.filter_bar import FilterBar
from o_tui.ui.lists.row_list import Cell, Row, RowList
from o_tui.ui.outcome import measured, progress
from o_tui.ui.panes import editing, marking, navigating
from o_tui.ui.panes.approval import ApprovalBar
from o_tui.ui.panes.evidence import evidence, summary
from o_tui.ui.panes.review_lines import decision_of, head_of, is_stale
from o_tui.ui.panes.shadows import outcome_word
from o_tui.ui.snapshot_model import Model, Part
from o_tui.ui.text import Static, Text, flow
from o_tui.ui.widgets.line import Line

WIDE = 100
COLUMNS = (
    Column("id", 10), Column("gene", 14, rank=1), Column("state", 17), Column("latency", 8, right=True, rank=2),
    Column("at", 11, rank=4), Column("goal", least=16, rank=3),
)  # fmt: skip
DECIDING = frozenset(
    f"review.{verb}" for verb in ("approve", "reject", "later", "accept", "refuse", "lines", "undo", "edit", "measure")
)
EMPTY = (
    "Nothing waits for you.\n\nA change of the agent's code appears here after a shadow has tried it: the exact diff, "
    "what was measured, and your decision.\n\nStart one in the chat:  /evolve recall"
)


class ReviewPane(navigating.Navigating):
    """Nothing is approved but by a version typed here, for the diff that is shown, byte for byte."""

    pane_id = "review"
    number = 4
    title = "Review"
    empty = EMPTY
    about = (
        "A change waits here until you decide. A asks you to type the new version; keys are dead for half a second "
        "after the pane got the focus or the change came up, and a paste never counts. What is approved is, by hash, "
        "what is shown and what the shadow has run. Space and x mark hunks (v: lines); a part of a change goes back to "
        "the shadow before it can be approved."
    )
    parts = frozenset({"evolutions", "status"})
    actions = (
        Action("review.approve", ("A",), "Approve", "Approve this diff: the new version has to be typed.", 10),
        Action("review.reject", ("R",), "Reject", "Reject this change, with a reason.", 20),
        Action("review.later", ("L",), "Later", "Leave it for later and go to the next change.", 30),
        *marking.ACTIONS,
        *editing.ACTIONS,
        *navigating.ACTIONS,
        Action("review.rollback", ("u",), "Roll back", "Go back to the version before the last promotion.", 35),
    )

    def __init__(self) -> None:
        super().__init__()
        self._flags: list[Flag] = []
        self._wanted = ""
        self._loading = ""
        self._position = ""

    def compose_content(self) -> ComposeResult:
        """Waiting changes, head, evidence beside or above the diff, decision."""
        yield RowList(COLUMNS, self._cells, header=False, id="waiting")
        yield Line(id="review-head")
        yield Static(id="review-fold")
        with Horizontal(id="review-body"):
            with VerticalScroll(id="evidence-box", can_focus=True):
                yield Static(id="evidence")
            yield DiffView(id="diff")
        yield FilterBar("find", "text in the diff; Enter goes to the next place", "#diff")
        yield ApprovalBar("#diff", self.gate.clock)
        yield Line(id="decision")

    @property
    def waiting(self) -> RowList:
        """Changes to choose from."""
        return self.query_one("#waiting", RowList)

    # --- showing

    def focus_target(self) -> Widget | None:
        """The diff, if there is one."""
        return self.diff if self._item else self.waiting

    def badge(self, model: Model) -> str:
        """How many wait."""
        return f"{len(model.pending)}!" if model.pending else ""

    def offers(self, action: Action) -> bool:
        """Nothing without a change; what decides where there is something to decide, a rollback after a promotion."""
        state = self._item.get("state")
        if not self._item:
            return False
        if action.id in DECIDING:
            return state == "pending" and (action.id != "review.undo" or bool(self.diff.marks))
        return state in ("promoted", "canary") if action.id == "review.rollback" else super().offers(action)

    def show_item(self, identity: str) -> None:
        """Opens a change, also one that is decided."""
        if identity in self.model.evolutions and identity != self._item.get("id"):
            self._wanted = identity
            self.update(self.model, frozenset({"evolutions"}))

    def update(self, model: Model, changed: frozenset[Part]) -> None:
        """Lists what waits, and loads the one to show."""
        self.waiting.ascii_only = self.diff.ascii_only = self.view.ascii_only
        rows = list(model.pending)
        wanted = self._wanted or str(self._item.get("id") or "")
        if wanted in model.evolutions and all(row["id"] != wanted for row in rows):
            rows.append(model.evolutions[wanted])
        self.waiting.columns = fitted(COLUMNS, {"state": map(_state_word, rows), "at": map(self._time, rows)})
        self.waiting.show(rows, empty=_empty(model))
        self._show_parts()
        if not rows:
            self._clear()
            return
        if wanted not in {row["id"] for row in rows}:
            wanted = str(rows[0]["id"])
        self.waiting.select(wanted)
        self._load(model.evolutions[wanted])

    def _clear(self) -> None:
        self._item, self._wanted, self._flags = {}, "", []
        self._show_parts()

    def _show_parts(self) -> None:
        """The list while there is a choice or nothing else, the rest while there is a change to show. Keys go first
        to what stays: a hidden widget with the focus would hand them to any other, perhaps of another pane.
        """
        there, amount = bool(self._item), len(self.waiting.rows)
        listed = amount != 1 or not there
        self.waiting.styles.height = min(4, amount) if there else "1fr"
        if self.has_focus_within and not there and not self.waiting.has_focus:
            self.waiting.display = True
            self.screen.set_focus(self.waiting)
        for name in ("#review-head", "#review-body", "#decision"):
            self.query_one(name).display = there
        self.query_one("#review-fold").display = False
        if self.screen.focused is self.waiting and there and not listed:
            self.diff.display = True
            self.screen.set_focus(self.diff)
        self.waiting.display = listed
        self._arrange()

    def _load(self, row: Row) -> None:
        """Takes a row over; its diff is fetched when it is another one."""
        identity = str(row["id"])
        mine = identity == self._item.get("id") and row.get("diff_sha256") == self._item.get("diff_sha256")
        if mine:
            if row.get("evidence_sha256") != self._item.get("evidence_sha256"):
                self.bar.close()  # other evidence: it wants to be read
                self.gate.close()
            if any(row.get(key) != self._item.get(key) for key in ("state", "evidence_sha256")):
                self._said = ""  # what was said of it is over
            self._item = {**self._item, **row}
            if self.bar.open_for == identity and row.get("state") != "pending":
                self.bar.close()
            self._draw()
        elif self._loading != identity:
            self._loading = identity
            self.run_worker(self._fetch(identity), exclusive=True, group="review", exit_on_error=False)

    async def _fetch(self, identity: str) -> None:
        try:
            row = await self.call("evolution.show", id=identity)
        except OError as error:
            self._said = f"[!] {shown(identity, 30)} could not be read: {error}"
            self._tell_decision()
            return
        finally:
            self._loading = ""
        first = not self._item
        self._item = dict(row)
        self._wanted = identity
        self._said = ""
        self.bar.close()
        self.gate.close()
        self._evidence_open = False
        self.diff.show(str(row.get("diff") or ""))
        self._flags = find(self.diff.files)
        self._show_parts()
        if first and self.screen.focused is self.waiting:
            self.screen.set_focus(self.diff)
        self._draw()

    def _draw(self) -> None:
        row = self._item
        self.view.refresh_lines()
        self.query_one("#evidence", Static).update(
            Text("\n").join(evidence(row, self._flags, ascii_only=self.diff.ascii_only))
        )
        self.query_one("#review-fold", Static).update(Text("\n").join(flow(summary(row, self._flags), self.size.width)))
        deployed = self._deployed()
        stale = is_stale(row, deployed)
        if stale:
            self._ask_deployed()
        runs = (self.model.status.get("genome") or {}).get("version")
        head = head_of(row, str(runs or ""), deployed if stale else "", self._position)
        self.query_one("#review-head", Line).show(head)
        self._tell_decision()

    def _tell_decision(self) -> None:
        line = self.query_one("#decision", Line)
        if not self._said and self._item.get("state") == "pending" and self._marks():
            told = Text()
            self._tell_marks(told)
            line.places = []
        else:
            told, line.places = decision_of(self._item, self._version(), self._said)
        line.show(told)

    def _time(self, row: Row) -> str:
        return clock(int(row.get("time_ns") or 0), self.view.now_ns())

    def _cells(self, row: Row) -> Sequence[Cell]:
        latency = (row.get("evidence") or {}).get("latency") or {}
        pending = row.get("state") == "pending"
        return (
            shown(row.get("id")),
            shown(row.get("gene")),
            (_state_word(row), "warn" if pending else ""),
            measured(latency),
            (self._time(row), "dim"),
            (shown(row.get("goal")), "dim"),
        )

    # --- arrangement and focus

    def on_resize(self, event: events.Resize) -> None:
        """Evidence beside the diff, or folded above it."""
        self._arrange()
        if self.failure is None and self._item:
            self._draw()

    def _arrange(self) -> None:
        if self.failure is not None or not self._item:
            return
        wide = self.size.width >= WIDE - 4
        self.set_class(wide, "-wide")
        box, diff = self.query_one("#evidence-box"), self.diff
        to_box, to_diff = wide or self._evidence_open, wide or not self._evidence_open
        # shown before the other is hidden, and given the keys, see _show_parts
        box.display, diff.display = box.display or to_box, diff.display or to_diff
        if box.has_focus and not to_box:
            self.screen.set_focus(diff)
        if diff.has_focus and not to_diff:
            self.screen.set_focus(box)
        box.display, diff.display = to_box, to_diff
        self.query_one("#review-fold").display = not wide and not self._evidence_open

    def on_descendant_focus(self, event: events.DescendantFocus) -> None:
        """Keys that were meant for another pane must not decide here."""
        if not self._inside:
            self._inside = True
            self.gate.close()

    def on_descendant_blur(self, event: events.DescendantBlur) -> None:
        """Whether the focus has left is known only when it has arrived elsewhere."""
        self.call_later(self._left)

    def _left(self) -> None:
        self._inside = self.has_focus_within

    # --- messages

    def on_click(self, event: events.Click) -> None:
        """The folded evidence opens."""
        fold = self.query_one("#review-fold")
        if fold.display and fold.region.contains(*event.screen_offset):
            self.action_evidence()

    def on_row_list_moved(self, message: RowList.Moved) -> None:
        """Another change to look at."""
        message.stop()
        if message.key and self.waiting.has_focus and message.key in self.model.evolutions:
            self._wanted = message.key
            self._load(self.model.evolutions[message.key])

    def on_row_list_chosen(self, message: RowList.Chosen) -> None:
        """Enter: into its diff."""
        message.stop()
        if self._item:
            self.diff.focus()

    def on_diff_view_moved(self, message: DiffView.Moved) -> None:
        """Which hunk of how many."""
        message.stop()
        files = f"file {message.file}/{message.files} " if message.files > 1 else ""
        self._position = f"{files}hunk {message.hunk}/{message.hunks}"
        if self._item:
            self._draw()


def _empty(model: Model) -> str:
    """What stands where nothing waits: how far what is being tried has come, else how to begin."""
    rows = [row for row in model.evolutions.values() if progress(row)]
    if not rows:
        return EMPTY
    trying = "\n".join(f"{shown(row.get('id'), 20)} {shown(row.get('gene'), 40)}: {progress(row)}." for row in rows)
    return f"Nothing waits for you yet.\n\n{trying}\n\nv in Shadows shows the candidate that it is at."


def _state_word(row: Row) -> str:
    return "waits for you" if row.get("state") == "pending" else outcome_word(row)
