"""The pane Vault: the checkpoints, and what can be done with them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from textual.app import ComposeResult
from textual.widget import Widget

from o_tui.ui.actions import Action
from o_tui.ui.format import clock, count, distance, short, shown, size
from o_tui.ui.lists.columns import Column, fitted
from o_tui.ui.lists.filter_bar import FilterBar, matches
from o_tui.ui.lists.row_list import Cell, Row, RowList
from o_tui.ui.panes.base import Pane
from o_tui.ui.screens.compare import CompareScreen
from o_tui.ui.screens.confirm import ConfirmScreen
from o_tui.ui.screens.export import PathScreen
from o_tui.ui.screens.inspect import InspectScreen, facts
from o_tui.ui.snapshot_model import Model, Part, newness
from o_tui.ui.text import Text
from o_tui.ui.widgets.line import Line

COLUMNS = (
    Column("time", 11, rank=0),
    Column("gen", 8, rank=4),
    Column("reason", least=20),
    Column("size", 7, right=True, rank=3),
    Column("wal", 7, right=True, rank=1),
)
SORTS: tuple[tuple[str, Callable[[Row], Any], bool], ...] = (
    ("time", newness, True),
    ("size", lambda row: int(row.get("size_bytes") or 0), True),
    ("reason", lambda row: str(row.get("reason") or "").casefold(), False),
    ("gen", lambda row: str(row.get("revision") or ""), False),
)
EMPTY = (
    "No checkpoints yet. One is written every few minutes while something happens, and before every change of the "
    "agent's code.\n\nc  write one now      i  import one from a file"
)


class VaultPane(Pane):
    """A windowed list of checkpoints. What is dangerous asks for a word; what is deleted can be had back."""

    pane_id = "vault"
    number = 3
    title = "Vault"
    empty = EMPTY
    about = (
        "A checkpoint is the agent's whole state at one place of the log, with the revision of its code. Restoring one "
        "loses nothing: later operations stay in the log, and the restore is an operation there too. "
        "Marks: P pinned, never pruned. ! its file is missing or damaged, the copy in the database is used."
    )
    parts = frozenset({"checkpoints", "status"})
    actions = (
        Action("vault.inspect", ("enter",), "Inspect", "Show sections, digest and revision of a checkpoint.", 10),
        Action("vault.compare", ("d",), "Compare", "Compare the two marked checkpoints, or mark this one.", 20),
        Action("vault.restore", ("r",), "Restore", "Take the agent's state back to this checkpoint.", 30),
        Action("vault.create", ("c",), "Create", "Write a checkpoint now.", 40),
        Action("vault.pin", ("p",), "Pin", "Keep this checkpoint for ever, or no longer.", 50),
        Action("vault.export", ("x",), "Export", "Write a checkpoint to a file.", 60),
        Action("vault.import_file", ("i",), "Import", "Take a checkpoint in from a file.", 70),
        Action("vault.delete", ("D", "delete"), "Delete", "Delete a checkpoint; z brings it back.", 80),
        Action("vault.undo", ("z",), "Undo", "Bring back the checkpoint that was deleted last.", 90),
        Action("vault.mark", ("m",), "Mark", "Mark a checkpoint for comparing.", 0),
        Action("vault.sort", ("s",), "Sort", "Sort by time, size, reason or revision.", 0),
        Action("vault.filter", ("slash",), "Filter", "Show only checkpoints with these words.", 0),
    )

    def __init__(self) -> None:
        super().__init__()
        self._sort = 0
        self._deleted: list[str] = []

    def compose_content(self) -> ComposeResult:
        """List, filter, one line about it all."""
        yield RowList(COLUMNS, self._cells, id="checkpoints")
        yield FilterBar("filter", "words of the reason, revision or id", "#checkpoints")
        yield Line(id="vault-line", classes="pane-line")

    @property
    def checkpoints(self) -> RowList:
        """The rows."""
        return self.query_one("#checkpoints", RowList)

    # --- showing

    def focus_target(self) -> Widget | None:
        """The list."""
        return self.checkpoints

    def heading(self, model: Model) -> str:
        """How many there are."""
        amount = sum(not row.get("deleted") for row in model.checkpoints)
        return str(amount) if amount else ""

    def show_item(self, identity: str) -> None:
        """Goes to a checkpoint."""
        self.checkpoints.select(identity)

    def find(self) -> None:
        """Opens the filter."""
        self.query_one(FilterBar).open()

    def show_all(self) -> None:
        """No filter and no marks."""
        self.checkpoints.marked.clear()
        super().show_all()
        self._refill()

    def update(self, model: Model, changed: frozenset[Part]) -> None:
        """Lists what there is."""
        self.checkpoints.ascii_only = self.view.ascii_only
        self._refill()

    def _refill(self) -> None:
        query = self.query_one(FilterBar).text
        rows = [row for row in self.model.checkpoints if not row.get("deleted")]
        found = [row for row in rows if matches(query, row.get("reason"), row.get("revision"), row.get("id"))]
        name, key, descending = SORTS[self._sort]
        found.sort(key=key, reverse=descending)
        now = self.view.now_ns()
        times = [clock(int(row.get("time_ns") or 0), now) for row in found]
        self.checkpoints.columns = fitted(COLUMNS, {"time": times})
        nothing = f"No checkpoint has '{query}' in it.\n\nEsc  show all again" if rows else EMPTY
        self.checkpoints.show(found, empty=nothing)
        self._tell_line(rows, found, name)

    def _tell_line(self, rows: Sequence[Row], found: Sequence[Row], sort: str) -> None:
        line = Text(no_wrap=True, overflow="ellipsis")
        marked = len(self.checkpoints.marked)
        if marked:
            line.append(f"{marked} marked  ", "bold")
            line.append("d compares them" if marked == 2 else "go to another one, then d   Esc unmarks")
        elif rows:
            shown_of = f"{len(found)} of {len(rows)}" if len(found) != len(rows) else str(len(rows))
            pinned = sum(bool(row.get("pinned")) for row in rows)
            total = size(sum(int(row.get("size_bytes") or 0) for row in rows))
            line.append(f"{shown_of} by {sort}   {pinned} pinned   {total}   ? keys")
        self.query_one("#vault-line", Line).show(line)

    def _cells(self, row: Row) -> Sequence[Cell]:
        wal = int((self.model.status.get("wal") or {}).get("seq") or 0)
        reason: Cell = ("P " if row.get("pinned") else "") + (shown(row.get("reason")) or "-")
        if row.get("file_ok") is False:
            reason = (f"! {reason}", "warn")
        return (
            clock(int(row.get("time_ns") or 0), self.view.now_ns()),
            (short(shown(row.get("revision")), 8), "dim"),
            reason,
            size(int(row.get("size_bytes") or 0)),
            (distance(wal - int(row.get("seq") or 0)) if wal else "-", "dim"),
        )

    # --- messages

    def on_row_list_chosen(self, message: RowList.Chosen) -> None:
        """Enter or a second click."""
        message.stop()
        self.action_inspect()

    def on_filter_bar_changed(self, message: FilterBar.Changed) -> None:
        """Filters while one types."""
        message.stop()
        self._refill()

    def on_filter_bar_stepped(self, message: FilterBar.Stepped) -> None:
        """Moves in the list while typing."""
        message.stop()
        self.checkpoints.action_move(message.step)

    # --- actions

    def _current(self) -> Row | None:
        row = self.checkpoints.current
        if row is None:
            self.view.tell("There is no checkpoint here.")
        return row

    def action_filter(self) -> None:
        """Opens the filter."""
        self.find()

    def action_sort(self) -> None:
        """The next order."""
        self._sort = (self._sort + 1) % len(SORTS)
        self._refill()

    def action_inspect(self) -> None:
        """Shows everything about a checkpoint."""
        row = self._current()
        if row is None:
            return
        identity = str(row["id"])

        def open_screen(value: dict[str, Any]) -> None:
            found = facts({**row, **value}, skip=("deleted",))
            verify = partial(self.call, "checkpoint.verify", id=identity)
            self.app.push_screen(InspectScreen(f"Checkpoint {short(shown(identity))}", found, verify))

        self.ask("checkpoint.show", open_screen, id=identity)

    def action_mark(self) -> None:
        """Marks or unmarks; at most two are marked."""
        if self._current() is not None:
            self.checkpoints.toggle_mark()
            while len(self.checkpoints.marked) > 2:
                self.checkpoints.marked.discard(
                    next(key for key in self.checkpoints.marked if key != self.checkpoints.current_key)
                )
            self.checkpoints.redraw()
            self._refill()

    def action_compare(self) -> None:
        """Compares the marked two, or the marked one with this one; else marks this one."""
        row = self._current()
        if row is None:
            return
        pair = list(dict.fromkeys([*sorted(self.checkpoints.marked), str(row["id"])]))[:2]
        if len(pair) < 2:
            if not self.checkpoints.marked:
                self.action_mark()
            return
        rows = sorted((item for item in self.checkpoints.rows if item["id"] in pair), key=newness)
        if len(rows) < 2:
            self.view.tell("The other marked checkpoint is not in this list: drop the filter.")
            return
        one, other = rows

        def open_screen(value: dict[str, Any]) -> None:
            self.checkpoints.marked.clear()
            self._refill()
            self.app.push_screen(CompareScreen(one, other, value))

        self.ask("checkpoint.compare", open_screen, a=one["id"], b=other["id"])

    def action_restore(self) -> None:
        """Asks, then restores."""
        row = self._current()
        if row is None:
            return
        identity = str(row["id"])
        wal = int((self.model.status.get("wal") or {}).get("seq") or 0)
        later = max(0, wal - int(row.get("seq") or 0))
        taken = f"{clock(int(row.get('time_ns') or 0), self.view.now_ns())}, {shown(row.get('reason'), 60)}"
        kept = "the one later operation stays" if later == 1 else f"the {count(later)} later operations stay"
        lines = [
            f"The agent's state becomes what it was at operation {count(int(row.get('seq') or 0))} ({taken}).",
            "",
            f"Nothing is lost: {kept} in the log, and the restore is an operation there itself. A newer "
            "checkpoint takes the state forward again.",
        ]
        screen = ConfirmScreen(f"Restore {short(shown(identity))}?", lines, "restore")

        def decided(word: str | None) -> None:
            if word:
                self.ask("checkpoint.restore", self._restored, id=identity)

        self.app.push_screen(screen, decided)

    def _restored(self, value: Any) -> None:
        # the answer is the checkpoint's row: where the state comes from, not where the restore is in the log
        at = value.get("seq") if isinstance(value, dict) else None
        told = f": the agent's state is what it was at operation {count(at)}" if isinstance(at, int) else ""
        self.view.tell(f"Restored{told}.")

    def action_create(self) -> None:
        """Writes one now."""
        self.ask("checkpoint.create", self._created, reason="by the operator")

    def _created(self, value: Any) -> None:
        self.view.tell(f"Checkpoint {short(shown(value.get('id')))} written.")

    def action_pin(self) -> None:
        """Pins or unpins."""
        row = self._current()
        if row is not None:
            pinned = not row.get("pinned")
            said = "Pinned: it stays." if pinned else "No longer pinned."
            self.ask("checkpoint.pin", lambda _: self.view.tell(said), id=row["id"], pinned=pinned)

    def action_export(self) -> None:
        """Asks for a path, then exports."""
        row = self._current()
        if row is None:
            return
        identity = str(row["id"])

        def chosen(path: str | None) -> None:
            if path:
                self.ask("checkpoint.export", lambda _: self.view.tell(f"Written to {path}"), id=identity, path=path)

        self.app.push_screen(PathScreen("export", identity, f"~/{short(identity)}.ckpt"), chosen)

    def action_import_file(self) -> None:
        """Asks for a path, then imports."""

        def chosen(path: str | None) -> None:
            if path:
                self.ask(
                    "checkpoint.import",
                    lambda row: self.view.tell(f"Imported as {short(shown(row.get('id')))}."),
                    path=path,
                )

        self.app.push_screen(PathScreen("import"), chosen)

    def action_delete(self) -> None:
        """Deletes at once, because it can be undone."""
        row = self._current()
        if row is None:
            return
        identity = str(row["id"])

        def done(_: Any) -> None:
            self._deleted.append(identity)
            self.view.tell(f"Deleted {short(shown(identity))}. z brings it back.")

        self.ask("checkpoint.delete", done, id=identity)

    def action_undo(self) -> None:
        """Brings the last deleted one back."""
        gone = {str(row["id"]) for row in self.model.checkpoints if row.get("deleted")}
        last = self._deleted[-1] if self._deleted else max(gone, default="")
        if not last:
            self.view.tell("Nothing was deleted.")
            return

        def done(_: Any) -> None:
            if last in self._deleted:
                self._deleted.remove(last)
            self.view.tell(f"{short(shown(last))} is back.")

        self.ask("checkpoint.undelete", done, id=last)
