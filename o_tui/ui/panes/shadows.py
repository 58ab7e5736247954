"""The pane Shadows: what is being tried right now, how far it is, and how earlier tries have ended."""

from __future__ import annotations

from collections.abc import Sequence
from time import monotonic
from typing import Any

from textual import events
from textual.app import ComposeResult
from textual.timer import Timer
from textual.widget import Widget

from o_tui.ui.actions import Action
from o_tui.ui.format import age_ns, clock, count, milliseconds, percent, progress, shown, size, sparkline
from o_tui.ui.lists.columns import Column, fitted
from o_tui.ui.lists.filter_bar import FilterBar, matches
from o_tui.ui.lists.row_list import Cell, Row, RowList
from o_tui.ui.messages import PaneRequested
from o_tui.ui.outcome import ACTIVE, STEPS, at_work, ending, measured, population, stage
from o_tui.ui.panes.base import Pane
from o_tui.ui.panes.live_evidence import shown_by_now
from o_tui.ui.screens.inspect import InspectScreen, facts
from o_tui.ui.snapshot_model import Model, Part
from o_tui.ui.text import Static, Text, flow

OUTCOMES = {
    "promoted": "good", "rejected": "bad", "failed": "bad", "rolled_back": "warn", "pending": "accent",
    "improved": "good", "refused": "bad", "stopped": "warn", "no_evidence": "dim",
}  # fmt: skip
VERDICTS = {"better": "good", "worse": "bad", "same": "dim", "failed": "bad", "crashed": "bad"}
TREND_CELLS = 7
REDRAW_S = 0.2
SHORT = 18
"""Lines below which things are said shortly."""
COLUMNS = (
    Column("id", 6),
    Column("role", 6, rank=8),
    Column("requests", 8, right=True, rank=4),
    Column("err %", 5, right=True, rank=2),
    Column("p50", 6, right=True, rank=6),
    Column("p95", 6, right=True, rank=1),
    Column("memory", 6, right=True, rank=7),
    Column("trend", TREND_CELLS, rank=3),
    Column("verdict", least=11),
)
OUTCOME_COLUMNS = (
    Column("ended", 11, rank=3),
    Column("id", 9, rank=1),
    Column("gene", 10, rank=1),
    Column("outcome", 17),
    Column("latency", 8, right=True, rank=4),
    Column("why", least=8, rank=5),
)
EMPTY = (
    "No shadow runs. A change of the agent's code is first tried here: beside the code that answers you, on the same "
    "requests, without effects.\n\nStart one in the chat:  /evolve recall"
)
NONE_YET = "No shadow runs yet: candidates are made and checked first, and of many only the best are measured here."


class ShadowsPane(Pane):
    """Progress on top, live rows, outcomes below. Redrawn at most five times a second, in place."""

    pane_id = "shadows"
    number = 2
    title = "Shadows"
    empty = EMPTY
    about = (
        "A shadow is an agent process with the candidate's code. Recorded requests go to it and to its twin, which has "
        "the code of main, one after the other; latency, errors, memory and answers are compared. Nothing that a "
        "shadow does reaches the world."
    )
    parts = frozenset({"shadows", "evolutions"})
    actions = (
        Action("shadows.inspect", ("enter",), "Open", "Show a shadow's figures, or an outcome in the review.", 10),
        Action("shadows.review", ("v",), "Review", "Go to the review of the change that is being tried.", 20),
        Action("shadows.filter", ("slash",), "Filter", "Show only outcomes with these words.", 30),
    )

    def __init__(self) -> None:
        super().__init__()
        self._last = -1.0
        self._timer: Timer | None = None
        self._told = False

    def compose_content(self) -> ComposeResult:
        """Progress, live rows, outcomes."""
        yield Static(id="shadow-progress")
        yield RowList(COLUMNS, self._cells, id="shadow-rows")
        yield Static(id="shadow-evidence")
        yield Static(Text("Outcomes", style="bold"), id="shadow-title")
        yield RowList(OUTCOME_COLUMNS, self._outcome, header=False, id="outcomes")
        yield FilterBar("filter", "gene, outcome or reason", "#outcomes")

    @property
    def live(self) -> RowList:
        """The rows of shadows."""
        return self.query_one("#shadow-rows", RowList)

    @property
    def outcomes(self) -> RowList:
        """Ended evolutions."""
        return self.query_one("#outcomes", RowList)

    # --- showing

    def focus_target(self) -> Widget | None:
        """The live rows, or the outcomes while there are none."""
        if self._timer is not None:  # whose key comes right behind means what is there, not what was drawn before
            self._timer.stop()
            self._draw()
        return self.live if self.live.rows or not self.outcomes.rows else self.outcomes

    def badge(self, model: Model) -> str:
        """How many run."""
        running = sum(row.get("state") in ("running", "starting") for row in model.shadows.values())
        return str(running) if running else ""

    def show_item(self, identity: str) -> None:
        """Goes to a shadow or an outcome."""
        if not self.live.select(identity) and self.outcomes.select(identity):
            self.outcomes.focus()

    def find(self) -> None:
        """Opens the filter."""
        self.query_one(FilterBar).open()

    def update(self, model: Model, changed: frozenset[Part]) -> None:
        """Draws now, or soon: not more than five times a second."""
        self._told = True
        wait = self._last + REDRAW_S - monotonic()
        if wait <= 0:
            self._draw()
        elif self._timer is None:
            self._timer = self.set_timer(wait, self._draw)

    def on_resize(self, event: events.Resize) -> None:
        """Progress is written for the width that there is."""
        if self.failure is None:
            self._draw()

    def _draw(self) -> None:
        self._last = monotonic()
        self._timer = None
        ascii_only = self.view.ascii_only
        self.live.ascii_only = self.outcomes.ascii_only = ascii_only
        evolutions = list(self.model.evolutions.values())
        active = self._active
        shadows = self._shown_shadows(active)
        self._draw_progress(active, shadows, str(shadows[-1].get("evolution") or "") if shadows else "")
        query = self.query_one(FilterBar).text
        ended = [row for row in reversed(evolutions) if row.get("state") not in ACTIVE and self._matches(query, row)]
        self.query_one("#shadow-title").display = bool(ended or query)
        self._show_lists(bool(shadows) or not (ended or query), bool(ended or query))
        before = self.live.current
        self.live.show(shadows, empty=(NONE_YET if active else EMPTY) if self._told else None)
        now = self.live.current
        if before and now and _is_over(now) and not _is_over(before) and not _is_over(shadows[0]):
            self.live.select(str(shadows[0]["id"]))  # what has just ended is not what is looked at
        lines = self._draw_evidence(shadows, active)
        # of many as many as leave the evidence its place
        room = max(3, self.size.height - self.query_one("#shadow-progress").size.height - lines - 2)
        self.live.styles.height = min(len(shadows) + 1, room) if ended or lines else "1fr"
        self.outcomes.columns = fitted(
            OUTCOME_COLUMNS, {"ended": map(self._time, ended), "outcome": map(outcome_word, ended)}
        )
        self.outcomes.show(ended, empty=f"No outcome has '{query}' in it.  Esc  show all again")

    def _draw_evidence(self, shadows: Sequence[Row], active: Row | None) -> int:
        """What a shadow has shown by now: the one at the cursor, or else who leads. Returns the lines that it takes."""
        box = self.query_one("#shadow-evidence", Static)
        rows = [row for row in shadows if row.get("evidence")]
        lines = []
        if rows:
            row = self._meant(rows)
            short = self.size.height < SHORT
            items = shown_by_now(row["evidence"], short=short)
            items = [Text(_name(row), "bold"), *items] if len(rows) > 1 else items
            lines = flow([*items, *(spent(active)[:1] if short and active else ())], max(20, self.size.width))
        box.display = bool(lines)
        box.update(Text("\n").join(lines))
        return len(lines)

    def _meant(self, rows: Sequence[Row]) -> Row:
        """The shadow at the cursor, or beside the twin there; while the keys are elsewhere, the one that leads."""
        if self.live.has_focus:
            evolution, _, name = self.live.current_key.rpartition("-")
            beside = f"{evolution}-" + ("shadow" if name == "twin" else f"s{name[1:]}")
            if found := next((row for row in rows if row["id"] in (self.live.current_key, beside)), None):
                return found
        going = [row for row in rows if not _is_over(row)] or rows
        return max(going, key=lambda row: float(row["evidence"].get("e_value") or 0))

    def _show_lists(self, live: bool, outcomes: bool) -> None:
        # the keys go to the list that stays, before the other is hidden
        if self.live.has_focus and not live:
            self.outcomes.display = True
            self.screen.set_focus(self.outcomes)
        if self.outcomes.has_focus and not outcomes:
            self.live.display = True
            self.screen.set_focus(self.live)
        self.live.display, self.outcomes.display = live, outcomes

    @property
    def _active(self) -> Row | None:
        """The evolution at work that began last."""
        return next((row for row in reversed(self.model.evolutions.values()) if row.get("state") in ACTIVE), None)

    def _shown_shadows(self, active: Row | None) -> list[Row]:
        rows = list(self.model.shadows.values())
        if active is not None:
            found = [row for row in rows if row.get("evolution") == active["id"]]
            return sorted(found, key=_is_over)  # what goes on comes first
        # the last ones stay until others come, so that a quick run can still be read
        last = rows[-1].get("evolution") if rows else None
        return [row for row in rows if row.get("evolution") == last]

    @staticmethod
    def _matches(query: str, row: Row) -> bool:
        return matches(query, row.get("id"), row.get("gene"), outcome_word(row), row.get("reason"), row.get("goal"))

    def _draw_progress(self, row: Row | None, shadows: Sequence[Row], last: str) -> None:
        box = self.query_one("#shadow-progress", Static)
        box.display = row is not None or bool(last)
        if row is None:
            # the rows name only their role: whose they were is said above them
            of = self.model.evolutions.get(last) or {}
            words = f"{shown(last)} {shown(of.get('gene'))}  {outcome_word(of) if of else ''}"
            box.update(Text(words.rstrip(), "bold", no_wrap=True, overflow="ellipsis"))
            return
        head = Text(no_wrap=True, overflow="ellipsis")
        since = age_ns(int(row.get("time_ns") or 0), self.view.now_ns())
        head.append(f"{shown(row.get('id'))} {shown(row.get('gene'))}  ", "bold")
        head.append(f"since {since}  ")
        head.append(shown(row.get("goal"), 200))
        width = max(20, self.size.width)
        head.truncate(width, overflow="ellipsis")
        bar = self._pairs_bar(row)
        if self.size.height < SHORT:
            lines = flow(self._in_short(row, bar, told=any(shadow.get("evidence") for shadow in shadows)), width)
        else:
            searched = [Text(words) for words in (population(row), at_work(row)) if words]
            # on a line of its own: behind the steps it would read as what the last of them is about
            parts = [steps(row), [*searched, *bar]] if searched else [[*steps(row), *bar]]
            lines = [line for part in (*parts, spent(row)) if part for line in flow(part, width)]
        box.update(Text("\n").join([head, *lines]))

    def _in_short(self, row: Row, bar: list[Text], *, told: bool) -> list[Text]:
        """Where it is, for a few lines; what is `told` beside the evidence is not said twice."""
        making = row.get("state") in ("generate", "validate") and (row.get("work") or {}).get("doing") != "final"
        generation = population(row).partition(",")[0] if making else ""
        items = [Text(f"[>] {at_work(row) or stage(row)}", style="bold"), *([Text(generation)] if generation else [])]
        racing = (row.get("work") or {}).get("doing") == "race"  # each has requests of its own
        return [*items, *(() if racing else bar), *(() if told else spent(row))]

    def _pairs_bar(self, row: Row) -> list[Text]:
        rows = self.model.shadows.values()
        pairs = [each for each in rows if each.get("evolution") == row["id"] and not _is_over(each)]
        if row.get("state") != "shadow" or not pairs:
            return []
        done = min(int(shadow.get("requests") or 0) for shadow in pairs)
        total = max(int(shadow.get("total") or 0) for shadow in pairs)
        bar = progress(done, total, 12, ascii_only=self.view.ascii_only)
        return [Text(f"{bar} {count(done)}/{count(total)}")]

    def _cells(self, row: Row) -> Sequence[Cell]:
        requests, errors = int(row.get("requests") or 0), int(row.get("errors") or 0)
        verdict = str(row.get("verdict") or row.get("state") or "-")
        trend = [float(value) for value in row.get("trend") or ()]
        rate = percent(errors, requests)[:5]  # 100.0
        return (
            _name(row),
            (shown(row.get("role")), "dim"),
            f"{requests}/{int(row.get('total') or 0)}",
            (rate, "bad") if errors else rate,
            milliseconds(row.get("p50_ms")),
            milliseconds(row.get("p95_ms")),
            size(int(row.get("rss_bytes") or 0)),
            (sparkline(trend, TREND_CELLS, ascii_only=self.view.ascii_only), "accent"),
            (shown(verdict).replace("_", " "), VERDICTS.get(verdict, "")),
        )

    def _time(self, row: Row) -> str:
        return clock(int(row.get("time_ns") or 0), self.view.now_ns())

    def _outcome(self, row: Row) -> Sequence[Cell]:
        latency = (row.get("evidence") or {}).get("latency") or {}
        return (
            (self._time(row), "dim"),
            shown(row.get("id")),
            shown(row.get("gene")),
            (outcome_word(row), OUTCOMES.get(ending(row), "")),
            measured(latency),
            (shown(row.get("reason") or row.get("goal")), "dim"),
        )

    # --- messages and actions

    def on_row_list_chosen(self, message: RowList.Chosen) -> None:
        """Enter or a second click."""
        message.stop()
        self.action_inspect()

    def on_row_list_moved(self, message: RowList.Moved) -> None:
        """Another shadow's evidence."""
        message.stop()
        if message.rows is self.live:
            self._draw()

    def on_filter_bar_changed(self, message: FilterBar.Changed) -> None:
        """Filters while one types."""
        message.stop()
        self._draw()

    def on_filter_bar_stepped(self, message: FilterBar.Stepped) -> None:
        """Moves in the outcomes while typing."""
        message.stop()
        self.outcomes.action_move(message.step)

    def action_filter(self) -> None:
        """Opens the filter."""
        self.find()

    def action_inspect(self) -> None:
        """A shadow's figures; an outcome opens in the review."""
        if self.outcomes.has_focus and self.outcomes.current is not None:
            self.post_message(PaneRequested("review", str(self.outcomes.current["id"])))
        elif self.live.current is not None:
            row = self.live.current
            found = row | {"requests": _of(row), "verdict": shown(row.get("verdict")).replace("_", " ")}
            self.app.push_screen(
                InspectScreen(f"Shadow {row['id']}", facts(found, skip=("trend", "total", "evidence")))
            )

    def action_review(self) -> None:
        """The change behind the row at the cursor."""
        row: dict[str, Any] | None = None if self.outcomes.has_focus else self.live.current
        identity = str(row.get("evolution") or "") if row else self.outcomes.current_key
        if not row and not self.outcomes.has_focus and self._active:  # it has no shadow yet
            identity = str(self._active["id"])
        self.post_message(PaneRequested("review", identity))


def _name(row: Row) -> str:
    """Its id without the evolution's, which says nothing here."""
    identity, evolution = str(row.get("id") or ""), str(row.get("evolution") or "")
    return shown(identity.removeprefix(evolution).lstrip("-/.:_") or identity)


def _is_over(row: Row) -> bool:
    return row.get("state") in ("ended", "done")


def _of(row: Row) -> str:
    return f"{count(int(row.get('requests') or 0))} of {count(int(row.get('total') or 0))}"


def steps(row: Row) -> list[Text]:
    """`[x] intent`, `[x] checkpoint 41 ms`, `[>] shadow`, `[ ] pending`: done, at it, to come; `[!]` where it ended."""
    state = str(row.get("state") or "")
    stages = {str(check.get("name")): check for check in row.get("stages") or ()}
    # the checks have names of their own; together they are the step
    checks = {"ms": sum(float(check.get("ms") or 0) for check in stages.values())} if stages else {}
    at = STEPS.index(state) if state in STEPS else len(STEPS)
    found = []
    for index, name in enumerate(STEPS):
        check = stages.get(name) or (checks if name == "validate" else {})
        failed = check.get("verdict") in ("fail", "failed")
        mark = "[!]" if failed else "[x]" if index < at else "[>]" if index == at else "[ ]"
        text = Text(f"{mark} {name}", style="bold" if index == at else "")
        if check.get("ms") is not None and index <= at:
            text.append(f" {milliseconds(check['ms'])}")
        found.append(text)
    if state not in STEPS:
        found.append(Text(f"[>] {shown(state)}{canary_words(row)}", style="bold"))
    return found


def spent(row: Row) -> list[Text]:
    """`spent 4 of 1 800 CPU s`, `531 of 50 000 requests`: of a budget, what has been used of it."""
    budget = row.get("budget") or {}
    used, limit = budget.get("spent") or {}, budget.get("limit") or {}
    units = (("cpu_s", "CPU s"), ("requests", "requests"), ("tokens", "tokens"))
    told = [
        f"{count(used[key])} of {count(limit[key])} {unit}" for key, unit in units if used.get(key) and limit.get(key)
    ]
    return [Text(f"{'' if at else 'spent '}{each}") for at, each in enumerate(told)]


def canary_words(row: Row) -> str:
    """` 10 %, 12/40 requests` of a change that serves a share of the requests; empty for others."""
    canary = row.get("canary") or {}
    if row.get("state") != "canary" or not canary:
        return ""
    done, total = count(int(canary.get("requests") or 0)), count(int(canary.get("total") or 0))
    return f" {100 * float(canary.get('share') or 0):.0f} %, {done}/{total} requests"


def outcome_word(row: Row) -> str:
    """`promoted v0.2.0`, `rolled back`, `no evidence`, …"""
    state = ending(row) or "-"
    version = shown(row.get("version"), 20)
    return f"promoted v{version}" if state == "promoted" and version else state.replace("_", " ")
