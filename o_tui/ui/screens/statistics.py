"""What all evolutions together say: how they ended, which sources and operators pay, how long a decision takes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import VerticalScroll

from o_tui.ui.format import count, milliseconds, progress, shown
from o_tui.ui.lists.paint import fit
from o_tui.ui.screens.dialog import Dialog
from o_tui.ui.text import Static, Text

EMPTY = (
    "Nothing has been tried yet, so nothing is known.\n\n"
    "Start a change in the chat:  /evolve recall what should get better"
)
ORDER = ("promoted", "pending", "canary", "no_evidence", "rejected", "failed", "rolled_back")
BAR_CELLS = 16
_NAME_CELLS = 22
_FIGURES, _FIGURES_NARROW = 37, 23
"""Cells of a row beside its name; where there is less room, how many were promoted is left out."""
LEAST, MOST = 33, 70


class StatisticsScreen(Dialog[None]):
    """A scrolling page of figures."""

    about = (
        "What all evolutions together say: how they ended, how long a decision takes, and which sources, "
        "operators and genes pay. Credit is the chance of success that the strategy believes in; newer "
        "outcomes count more."
    )
    keys_help = (("Up, Down", "Scroll."), ("Esc, q", "Close."))

    DEFAULT_CSS = """
    StatisticsScreen VerticalScroll { height: auto; max-height: 100%; scrollbar-size-vertical: 1; }
    """
    BINDINGS: ClassVar = [Binding("q", "leave", "Close", show=False)]

    def __init__(self, found: Mapping[str, Any], *, ascii_only: bool = False) -> None:
        super().__init__()
        self._found = found
        self._ascii_only = ascii_only

    def heading(self) -> str:
        """What it is."""
        return "Statistics of evolution"

    def compose_box(self) -> ComposeResult:
        """The page."""
        with VerticalScroll(can_focus=True):
            yield Static(self._page(), id="figures")

    def on_resize(self) -> None:
        """Tables are written for the width that there is."""
        self.query_one("#figures", Static).update(self._page())

    def _page(self) -> Text:
        room = int(self.app.size.width * 0.96) - 5  # of the frame and the scrollbar (dialog.py)
        return page(self._found, ascii_only=self._ascii_only, width=max(LEAST, min(MOST, room)))


def page(found: Mapping[str, Any], *, ascii_only: bool = False, width: int = MOST) -> Text:
    """The figures of `evolution.statistics` as text of at most `width` cells a line (33 or more)."""
    total = int(found.get("count") or 0)
    if not total:
        return Text(EMPTY)
    lines = [*_outcomes(found, total, ascii_only, width), *_decision(found.get("decision_s") or {})]
    credit = found.get("credit") or {}
    for title, key in (("By source", "sources"), ("By operator", "operators"), ("By gene", "genes")):
        lines += _table(title, found.get(key) or {}, credit.get(key) or {}, width)
    return Text("\n").join(lines)


def _outcomes(found: Mapping[str, Any], total: int, ascii_only: bool, width: int) -> Iterator[Text]:
    states = {str(name): int(number) for name, number in (found.get("states") or {}).items()}
    yield Text(f"{count(total)} {'evolution' if total == 1 else 'evolutions'}", style="bold")
    cells = min(BAR_CELLS, width - 23)
    names = min(_NAME_CELLS, width - 11 - cells)
    for name in (*ORDER, *sorted(set(states) - set(ORDER))):
        if states.get(name):
            bar = progress(states[name], total, cells, ascii_only=ascii_only)
            yield Text(f"  {_cell(name.replace('_', ' '), names)} {count(states[name]):>6}  {bar}".rstrip())
    yield Text()


def _decision(seconds: Mapping[str, Any]) -> Iterator[Text]:
    if seconds.get("median") is None:
        return
    median, longest = (milliseconds(1000 * float(seconds.get(key) or 0)) for key in ("median", "longest"))
    yield Text(f"From intent to decision: half within {median}, the longest {longest}")
    yield Text()


def _table(title: str, rows: Mapping[str, Any], credit: Mapping[str, Any], width: int) -> Iterator[Text]:
    if not rows:
        return
    narrow = width < _NAME_CELLS + _FIGURES
    name_cells = max(8, width - _FIGURES_NARROW) if narrow else _NAME_CELLS
    heads = " tried success credit" if narrow else "   tried  promoted  success  credit"
    gap = " " if narrow else "  "
    yield Text(f"{_cell(title, name_cells + 2)}{heads}", style="bold")
    for name, row in sorted(rows.items(), key=lambda item: -int(item[1].get("count") or 0)):
        rate = row.get("rate")
        success = f"{100 * float(rate):.0f} %" if rate is not None else "-"
        promoted = "" if narrow else f"  {count(row.get('promoted') or 0):>8}"  # success of tried says it too
        tried = f"{count(row.get('count') or 0):>{6 if narrow else 8}}"
        figures = f"{tried}{promoted}{gap}{success:>7}{gap}{_credit(credit.get(name)):>6}"
        yield Text(f"  {_cell(name, name_cells)}{figures}")
    yield Text()


def _credit(earned: Any) -> str:
    """The chance of success that the strategy believes in: newer outcomes count more."""
    if not isinstance(earned, Mapping):
        return "-"
    wins, losses = (float(earned.get(key) or 0) for key in ("wins", "losses"))
    return f"{(wins + 1) / (wins + losses + 2):.2f}"


def _cell(name: str, width: int) -> str:
    return fit(shown(name), width)
