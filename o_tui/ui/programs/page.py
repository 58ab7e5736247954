"""The page: how a run stands, and keys to pause, stop and look at its best program. It only reads what it is told.

The run is another process; that ends, pauses and goes on by `Feed`, never by this loop's doing or failing.
"""

from __future__ import annotations

import asyncio
import os
import time
from typing import Any, ClassVar, Protocol

import textual.screen
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, VerticalScroll

from o_tui.config import Config
from o_tui.paths import Paths, shipped
from o_tui.protocol.errors import OError
from o_tui.ui import boundary, themes
from o_tui.ui.appearance import suit_terminal
from o_tui.ui.borders import Borders
from o_tui.ui.diff.view import DiffView
from o_tui.ui.format import milliseconds
from o_tui.ui.programs.figures import Figures, figure
from o_tui.ui.terminal import background, session
from o_tui.ui.terminal.driver import SafeDriver, on_signals
from o_tui.ui.text import LAST_DOOR, KeyLine, Static, Text, safe

DRAW_S, DRAW_REMOTE_S = 0.2, 0.5
ROWS = 8
NAME_LEAST = 8
"""What a table's names have at least, also on a terminal that is too narrow for it."""
EMPTY = "Nothing has been evaluated yet: the evaluator is being started."
PAUSED = "Nothing has been evaluated yet: p goes on."


class Feed(Protocol):
    """The run, seen from the page. Its methods return at once."""

    figures: Figures

    @property
    def state(self) -> str:
        """running, pausing, paused, stopping, ended."""

    def poll(self) -> None:
        """Takes what has come into `figures`, which only the page's own thread touches."""

    def pause(self) -> None:
        """What is finished is kept, nothing is begun."""

    def resume(self) -> None:
        """Goes on where it stopped."""

    def stop(self) -> None:
        """Ends it so that it can be resumed another day."""


class ProgramPage(Borders):
    """One run on the whole terminal."""

    TITLE = "O"
    ENABLE_COMMAND_PALETTE = False
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("d", "diff", "Best program"),
        Binding("p", "pause", "Pause/go on"),
        Binding("s,q,ctrl+c,ctrl+q", "stop", "Stop (can be resumed)", key_display="s", priority=True),
        Binding("escape", "figures", "Back", show=False),
    ]
    CSS = """
    Screen { layout: vertical; }
    Static { text-wrap: nowrap; text-overflow: ellipsis; }
    #head { height: 4; padding: 0 1; }
    #tables { height: auto; max-height: 12; }
    #tables Static { width: 1fr; height: auto; padding: 0 1; }
    #told { height: 1fr; border-top: solid $primary; padding: 0 1; scrollbar-size-vertical: 1; }
    #events { height: auto; }
    DiffView { display: none; height: 1fr; }
    .-diff DiffView { display: block; }
    .-diff #tables, .-diff #told { display: none; }
    """

    def __init__(self, feed: Feed, *, driver_class: type[SafeDriver] | None = None, remote: bool = False) -> None:
        super().__init__(driver_class=driver_class)
        self.feed = feed
        self.clock = time.monotonic
        self._began = self.clock()
        self._every_s = DRAW_REMOTE_S if remote else DRAW_S
        self._shown_best: object = None
        self._said = ""

    def compose(self) -> ComposeResult:
        """Head, two tables, the last events; the diff in their place on a key."""
        yield Static(id="head")
        with Horizontal(id="tables"):
            yield Static(id="operators")
            yield Static(id="failures")
        with VerticalScroll(id="told"):
            yield Static(id="events")
        yield DiffView(id="diff")
        yield KeyLine(show_command_palette=False)

    def on_mount(self) -> None:
        """Draws, and goes on drawing."""
        self.query_one("#told").focus()
        self.set_interval(self._every_s, self.draw)
        self.draw()

    def get_line_filters(self) -> Any:
        """What every drawn line passes: Textual's filters, then the last door."""
        return (*super().get_line_filters(), LAST_DOOR)

    def draw(self) -> None:
        """Shows how it stands; leaves when it has ended."""
        self.feed.poll()
        if self.feed.state == "ended":
            self.exit(0)
            return
        figures = self.feed.figures
        rows = [(name, f"{n:>6}{figures.helped[name]:>8}") for name, n in figures.tried.most_common(ROWS)]
        self._table("#operators", "Operator", " tried  better", rows)
        failures = [(name, f"{n:>6}") for name, n in figures.failures.most_common(ROWS)]
        self._table("#failures", "Failures", "times" if failures else "none", failures)
        told = Text("\n").join(Text(line, no_wrap=True, overflow="ellipsis") for line in reversed(figures.events))
        nothing = Text(PAUSED if self.feed.state == "paused" else EMPTY)
        self.query_one("#events", Static).update(told if figures.tried else nothing)
        if figures.best is not self._shown_best:
            self._shown_best = figures.best
            self._said = ""
            self._show_diff()
        self.query_one("#head", Static).update(self._head(figures))

    def _head(self, figures: Figures) -> Text:
        now = self.clock()
        begun, best = figures.begun, figures.best
        text = Text(no_wrap=True, overflow="ellipsis")
        text.append(f"O evolve {begun.get('evolution', '')}", "bold")
        text.append(f"  {self.feed.state}", "" if self.feed.state == "running" else "reverse")
        text.append(f"  {milliseconds(1000 * (now - self._began))}  seed {begun.get('seed', 0)}")
        text.append(f"  sandbox {begun.get('tier', '?')}\n")
        text.append("best ")
        text.append(figure(best.get("score")), "bold")
        text.append(f"  as it was {figure(figures.initial)}")
        if best:
            text.append(f"  number {best.get('number')}  {best.get('operator')}: {best.get('detail')}")
        budget = int(begun.get("budget") or 0)
        width = max(10, min(60, self.size.width - 44))
        full = width * figures.done // budget if budget else 0
        text.append(f"\n[{'#' * full}{'.' * (width - full)}] {figures.done} of {budget or '?'}")
        text.append(f"  {figures.rate(now):.0f}/s  failed {figures.failed}")
        text.append("" if figures.workers is None else f"  workers {figures.workers}")
        text.append(f"\n{self._said}")
        return text

    def _table(self, where: str, title: str, columns: str, rows: list[tuple[str, str]]) -> None:
        box = self.query_one(where, Static)
        room = max(len(columns) + NAME_LEAST, self.size.width // 2 - 3)
        text = Text(no_wrap=True, overflow="ellipsis")
        text.append(f"{title:<{room - len(columns)}}{columns}", "bold")
        for name, cells in rows:
            name = safe(name).replace("\n", " ")
            text.append(f"\n{name[: room - len(cells)]:<{room - len(cells)}}{cells}")
        box.update(text)

    def _show_diff(self) -> None:
        if self.screen.has_class("-diff"):
            self.query_one(DiffView).show(self.feed.figures.diff())

    def action_diff(self) -> None:
        """The best program beside the one as it was; again: back."""
        if self.screen.has_class("-diff"):
            self.action_figures()
        elif not self.feed.figures.diff():
            self._said = "there is nothing better than the program as it was yet"
            self.draw()
        else:
            self.screen.add_class("-diff")
            self._show_diff()
            self.query_one(DiffView).focus()

    def action_figures(self) -> None:
        """Back to the figures."""
        self.screen.remove_class("-diff")
        self.query_one("#told").focus()

    def action_pause(self) -> None:
        """Pauses, or goes on."""
        (self.feed.resume if self.feed.state == "paused" else self.feed.pause)()
        self.draw()

    def action_stop(self) -> None:
        """Stops; the page leaves when the run has ended."""
        self.feed.stop()
        self.draw()


def show(paths: Paths, config: Config, feed: Feed) -> int:
    """Shows a run until it has ended; returns 0, or 128 and the signal that ended the page."""
    remote = session.is_remote(config, os.environ)
    terminal = os.dup(1)
    wanted = config.screen.theme
    dark = background.is_dark(0, terminal, remote=remote) if wanted == "auto" else True
    SafeDriver.output_fd = terminal
    if remote:
        SafeDriver.mouse_mode = "1002"
        textual.screen.UPDATE_PERIOD = 1 / session.REMOTE_FPS  # type: ignore[misc]
    try:
        with session.errors_to_log(paths):
            page = ProgramPage(feed, driver_class=SafeDriver, remote=remote)
            found = themes.find([shipped("themes"), paths.user_themes])
            for theme in found.themes.values():
                page.register_theme(theme)
            page.theme = themes.choose(wanted, list(found.themes), dark)[0]
            suit_terminal(page, ascii_only=config.screen.ascii or session.is_plain(os.environ))
            code = asyncio.run(_run(page)) or 0
        if page.failure is not None:
            raise OError(
                f"the page had to end: {boundary.summary(page.failure)}", hint=f"details: {paths.log}; resume the run"
            )
        return code
    finally:
        os.close(terminal)


async def _run(page: ProgramPage) -> int | None:
    on_signals(page)
    return await page.run_async()
