"""The pane Events: the processes on top, where the log stands, and everything that happened."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from textual.app import ComposeResult
from textual.widget import Widget

from o_tui.protocol.errors import OError
from o_tui.ui.actions import Action
from o_tui.ui.format import age, ago_ns, clock, count, distance, milliseconds, short, shown, size
from o_tui.ui.lists.columns import Column, fitted
from o_tui.ui.lists.filter_bar import FilterBar
from o_tui.ui.lists.row_list import Cell, Row, RowList
from o_tui.ui.panes.base import Pane
from o_tui.ui.panes.event_store import EventStore
from o_tui.ui.panes.process_rows import STATES, process_rows
from o_tui.ui.screens.confirm import ConfirmScreen
from o_tui.ui.screens.inspect import InspectScreen, facts
from o_tui.ui.snapshot_model import Model, Part
from o_tui.ui.text import Text
from o_tui.ui.widgets.line import Line

PAGE = 200
LEVELS: dict[str, tuple[str, str]] = {
    "debug": (".", "dim"), "info": ("", ""), "warning": ("!", "warn"), "error": ("!!", "bad"),
}  # fmt: skip
PROCESS_COLUMNS = (
    Column("process", least=12),
    Column("state", 8),
    Column("pid", 7, right=True, rank=2),
    Column("restarts", 8, right=True, rank=4),
    Column("beat", 6, right=True, rank=1),
    Column("memory", 6, right=True, rank=3),
    Column("revision", 8, rank=5),
)
EVENT_COLUMNS = (
    Column("time", 11),
    Column("source", 11, rank=1),
    # below some 60 columns what has happened is worth more than who says so
    Column("text", least=35),
)
EMPTY = "Nothing has happened yet. Whatever the guardian does is written here: starts, ends, checkpoints, decisions."


class EventsPane(Pane):
    """Supervision tree, WAL position, event log. The log follows its end until one moves up."""

    pane_id = "events"
    number = 5
    title = "Events"
    empty = EMPTY
    about = (
        "On top the processes: state, restarts, time since the last heartbeat, memory, revision of the code. Below, "
        "everything that happened: ! is a warning, !! an error. Older events come as you go up."
    )
    parts = frozenset({"events", "status", "tree", "shadows", "checkpoints"})
    actions = (
        Action("events.inspect", ("enter",), "Show", "Show an event or a process in full.", 10),
        Action("events.filter", ("slash",), "Filter", "Only events with these words: text, source or level.", 20),
        Action("events.follow", ("f",), "Follow", "Go to the newest event, and stay with it.", 30),
        Action("events.kill", ("K",), "Kill", "A drill: kill main or standby, and see it come back.", 40),
    )

    def __init__(self) -> None:
        super().__init__()
        self.store = EventStore()
        self._unseen = 0
        self._paging = False

    def compose_content(self) -> ComposeResult:
        """Processes, the log's place, events, filter."""
        yield RowList(PROCESS_COLUMNS, self._process, key="key", empty="", id="processes")
        yield Line(id="wal-line", classes="pane-line")
        yield RowList(EVENT_COLUMNS, self._event, follow=True, header=False, id="event-rows")
        yield Line(id="events-line", classes="pane-line", action="events.follow")
        yield FilterBar("filter", "words, level:error, source:nursery", "#event-rows")

    @property
    def log_rows(self) -> RowList:
        """The events."""
        return self.query_one("#event-rows", RowList)

    @property
    def processes(self) -> RowList:
        """The tree."""
        return self.query_one("#processes", RowList)

    # --- showing

    def focus_target(self) -> Widget | None:
        """The events."""
        return self.log_rows

    def badge(self, model: Model) -> str:
        """Errors among the newest events."""
        errors = sum(row.get("level") == "error" for row in model.events[-50:])
        return f"{errors}!" if errors else ""

    def show_item(self, identity: str) -> None:
        """Goes to an event."""
        self.log_rows.select(identity)

    def find(self) -> None:
        """Opens the filter."""
        self.query_one(FilterBar).open()

    def update(self, model: Model, changed: frozenset[Part]) -> None:
        """Only what has changed is drawn again."""
        self.log_rows.ascii_only = self.processes.ascii_only = self.view.ascii_only
        if changed & {"status", "tree", "shadows", "checkpoints"}:
            rows = process_rows(model)
            self.processes.styles.height = len(rows) + 1
            self.processes.show(rows)
            self.query_one("#wal-line", Line).show(self._wal_line(model))
        if "events" in changed:
            fresh = self.store.take(model.events)
            self._unseen = 0 if self.log_rows.following else self._unseen + fresh
            self._refill()

    def _refill(self) -> None:
        query = self.query_one(FilterBar).text
        nothing = f"No event has '{query}' in it.\n\nEsc  show all again   Up  look further back" if query else EMPTY
        rows = self.log_rows
        # a copy, because the store goes on growing while the list draws
        found = list(self.store.filtered(query))
        rows.columns = fitted(EVENT_COLUMNS, {"time": map(self._time, found[:1])})  # the oldest one may have a date
        rows.show(found, empty=nothing)
        self._tell_line()
        if query and len(found) < self.size.height:
            self._look_back()

    def _tell_line(self) -> None:
        line = self.query_one("#events-line", Line)
        following = self.log_rows.following
        line.display = not following and bool(self.store.rows)
        if following:
            self._unseen = 0
        new = f"{count(self._unseen)} new below, " if self._unseen else ""
        line.show(Text(f"-- {new}End to follow --"))

    def _wal_line(self, model: Model) -> Text:
        wal = model.status.get("wal") or {}
        last = model.status.get("checkpoint") or {}
        loop = model.status.get("loop") or {}
        seq = int(wal.get("seq") or 0)
        line = Text(no_wrap=True, overflow="ellipsis")
        line.append(f"WAL {count(seq)}", "bold")
        if model.read_only:
            line.append("  [!] read only", "bold")
        if last.get("id"):
            when = int(last.get("time") or last.get("time_ns") or 0)
            since = f" {ago_ns(when, self.view.now_ns())}" if when else ""
            line.append(f"  checkpoint {short(shown(last['id']))}{since} {distance(seq - int(last.get('seq') or 0))}")
        if loop.get("p99_ms") is not None:
            line.append(f"  loop p99 {milliseconds(loop['p99_ms'])}")
        digest = wal.get("digest") or ""
        line.append(f"  digest {short(digest.hex() if isinstance(digest, bytes) else shown(digest), 8)}")
        return line

    def _process(self, row: Row) -> Sequence[Cell]:
        state = shown(row.get("state")) or "-"
        beat = row.get("heartbeat_age_ms")
        restarts = row.get("restarts")
        return (
            "  " * int(row.get("depth") or 0) + shown(row.get("name")),
            (state, STATES.get(state, "")),
            str(row.get("pid") or "-"),
            (str(restarts), "warn") if restarts else "-" if restarts is None else "0",
            "-" if beat is None else milliseconds(float(beat)) if float(beat) < 1000 else age(float(beat) / 1000),
            size(int(row["rss_bytes"])) if row.get("rss_bytes") else "-",
            (short(shown(row.get("revision")), 8), "dim"),
        )

    def _event(self, row: Row) -> Sequence[Cell]:
        mark, style = LEVELS.get(str(row.get("level")), ("", ""))
        text = shown(row.get("text"))
        return (
            (self._time(row), "dim"),
            (shown(row.get("source")).removeprefix("guardian/"), "accent"),
            (f"{mark} {text}" if mark else text, style if style != "dim" else ""),
        )

    def _time(self, row: Row) -> str:
        return clock(int(row.get("time_ns") or 0), self.view.now_ns())

    # --- messages

    def on_row_list_chosen(self, message: RowList.Chosen) -> None:
        """Enter or a second click."""
        message.stop()
        self.action_inspect()

    def on_row_list_moved(self, message: RowList.Moved) -> None:
        """Following begins or ends as one moves."""
        message.stop()
        if message.rows is self.log_rows:
            self._tell_line()

    def on_row_list_top_reached(self, message: RowList.TopReached) -> None:
        """The page before, if there is one."""
        message.stop()
        if message.rows is self.log_rows:
            self._look_back()

    def _look_back(self) -> None:
        if self._paging or self.store.complete or not self.store.rows:
            return
        self._paging = True
        query = self.query_one(FilterBar).text
        self.run_worker(self._page(query), exit_on_error=False)

    async def _page(self, query: str) -> None:
        try:
            rows = await self.call("events.list", before=self.store.oldest, limit=PAGE, filter=query)
        except OError as error:
            self.view.tell_error(error)
            return
        finally:
            self._paging = False
        # who has changed the filter meanwhile asked for something else: that is looked for then
        if query == self.query_one(FilterBar).text:
            self.store.prepend(rows, PAGE, filtered=bool(query))
        self._refill()

    def on_filter_bar_changed(self, message: FilterBar.Changed) -> None:
        """Filters while one types."""
        message.stop()
        self.store.forget_found()
        self._refill()

    def on_filter_bar_stepped(self, message: FilterBar.Stepped) -> None:
        """Moves in the events while typing."""
        message.stop()
        self.log_rows.action_move(message.step)

    # --- actions

    def action_filter(self) -> None:
        """Opens the filter."""
        self.find()

    def action_follow(self) -> None:
        """To the end."""
        self.log_rows.action_last()
        self._tell_line()

    def action_inspect(self) -> None:
        """Everything about a row."""
        if self.processes.has_focus and (row := self.processes.current):
            self.app.push_screen(InspectScreen(str(row["name"]), facts(row, skip=("key", "depth", "name", "children"))))
        elif row := self.log_rows.current:
            self.app.push_screen(InspectScreen(f"Event {row['id']}", facts(row, skip=("id",))))

    def action_kill(self) -> None:
        """Asks, then kills."""
        lines = [
            "A drill. The process gets SIGKILL in the middle of whatever it does.",
            "",
            "main: the standby takes its place and requests that run are delivered again. standby: a new one is "
            "forked. Nothing that was acknowledged is lost; the events say how long it took.",
        ]

        def decided(word: str | None) -> None:
            if word:
                role = word.removeprefix("kill ")
                self.ask("kill", lambda value: self._killed(role, value), role=role)

        self.app.push_screen(ConfirmScreen("Kill a process?", lines, "kill main", "kill standby"), decided)

    def _killed(self, role: str, value: Any) -> None:
        pid = value.get("pid") if isinstance(value, dict) else None
        self.view.tell(f"Killed {role}" + (f" (pid {pid})." if pid else "."))
