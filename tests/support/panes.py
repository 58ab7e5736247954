"""A view with a scripted guardian for the tests of panes, and pictures of one pane as text."""

from __future__ import annotations

import asyncio
import contextlib
import difflib
import hashlib
import string
from collections.abc import AsyncIterator, Callable
from typing import Any

from rich.segment import Segment
from textual.pilot import Pilot
from textual.widget import Widget

from o_tui.config import Config
from o_tui.paths import Paths
from o_tui.ui.app import OApp
from tests.support import scripted_data
from tests.support.patience import PATIENCE_S
from tests.support.scripted_link import ScriptedGuardian

SIZES = [(80, 24), (120, 40), (200, 60)]
THEMES = ["night", "day"]
Setup = Callable[[ScriptedGuardian], None]

OLD = '''"""Ranking of memories."""

from o_tui.agent.dsl import Hit, Search


def recall(query: str, search: Search, k: int, now_ns: int) -> list[Hit]:
    """The k best memories for a query.

    Lexical and semantic hits are fused.
    """
    lexical = search.lexical(query, 4 * k)
    semantic = search.semantic(query, 4 * k)
    scores: dict[str, float] = {}
    for hits in (lexical, semantic):
        for rank, hit in enumerate(hits):
            scores[hit.block.id] = scores.get(hit.block.id, 0.0) + 1 / (60 + rank)
    best = sorted(scores, key=scores.__getitem__, reverse=True)
    known = {hit.block.id: hit for hits in (lexical, semantic) for hit in hits}
    return [known[name] for name in best[:k]]


def first() -> None:
    """One."""


def second() -> None:
    """Two."""


def third() -> None:
    """Three."""


DAY_NS = 86_400 * 10**9
'''
NEW = (
    OLD.replace("search.lexical(query, 4 * k)", "search.lexical(query, 3 * k)")
    .replace("    best = ", "    for hit in (*lexical, *semantic):\n        scores[hit.block.id] *= 0.5\n    best = ")
    .replace("DAY_NS = 86_400 * 10**9", "DAY_NS = 86_400 * 10**9  # a day\nHALF_LIFE_DAYS = 14.0")
)


def diff_text(old: str = OLD, new: str = NEW, path: str = "recall.py") -> str:
    """A unified diff as git writes it."""
    lines = difflib.unified_diff(old.splitlines(True), new.splitlines(True), f"a/{path}", f"b/{path}")
    return f"diff --git a/{path} b/{path}\n" + "".join(lines)


def evolution(diff: str = "", **more: Any) -> dict[str, Any]:
    """An evolution row with its diff and the right digest of it."""
    diff = diff or diff_text()
    row = scripted_data.evolution() | {"diff": diff, "diff_sha256": hashlib.sha256(diff.encode()).hexdigest()}
    return row | more


def with_evolutions(*rows: dict[str, Any]) -> Setup:
    """A guardian that has these evolutions, and shows their diffs."""

    def setup(guardian: ScriptedGuardian) -> None:
        guardian.snapshot["evolutions"] = [{key: row[key] for key in row if key != "diff"} for row in rows]
        by_id = {row["id"]: row for row in rows}
        guardian.handlers["evolution.show"] = lambda id: by_id[id]
        guardian.handlers["genome.show"] = lambda revision, path: {"revision": revision, "path": path, "text": OLD}

    return setup


class Opened:
    """A view that is up, its pilot and its guardian."""

    def __init__(self, app: OApp, pilot: Pilot[int], guardian: ScriptedGuardian) -> None:
        self.app = app
        self.pilot = pilot
        self.guardian = guardian

    async def go(self, pane_id: str) -> Any:
        """Brings a pane to the front and waits until it has the keys and a place."""
        self.app.frame.go(pane_id)
        pane = self.app.frame.panes[pane_id]
        await self.until(lambda: pane.has_focus_within and pane.size.width)
        return pane

    async def press(self, *keys: str) -> None:
        """Presses keys and lets everything settle."""
        await self.pilot.press(*keys)
        await self.pilot.pause()

    async def until(self, condition: Callable[[], object], seconds: float = PATIENCE_S) -> None:
        """Waits for something to become true."""
        async with asyncio.timeout(seconds):
            while not condition():
                await self.pilot.pause(0.01)

    async def called(self, method: str) -> dict[str, Any]:
        """The parameters of the latest call of a method, once there was one."""
        return await self.guardian.called(method)

    def calls(self, method: str) -> list[dict[str, Any]]:
        """All calls of a method so far."""
        return [params for name, params in self.guardian.calls if name == method]

    def told(self) -> str:
        """All that toasts have said."""
        return "\n".join(notification.message for notification in self.app._notifications)

    def text(self) -> str:
        """The whole screen as text."""
        return "\n".join("".join(segment.text for segment in line) for line in self._lines())

    def _lines(self) -> list[list[Segment]]:
        height = self.app.size.height
        return [list(strip) for strip in self.app.screen._compositor.render_strips(self.app.size)][:height]

    async def settled(self, widget: Widget) -> str:
        """The picture of a widget once it has stayed the same for a while: timers and layouts have come to rest."""
        last, same = self.picture(widget), 0
        async with asyncio.timeout(PATIENCE_S):
            while same < 4:
                await self.pilot.pause(0.08)
                now = self.picture(widget)
                same = same + 1 if now == last else 0
                last = now
        return last

    def picture(self, widget: Widget) -> str:
        """A widget as text, and below it which style each part has: small, and a change can be read in a diff."""
        left, top, width, height = widget.region
        texts: list[str] = []
        styles: list[str] = []
        names: dict[str, str] = {}
        for line in self._lines()[top : top + height]:
            cropped = Segment.adjust_line_length(list(Segment.divide(line, [left, left + width]))[1], width)
            texts.append("".join(segment.text for segment in cropped).rstrip())
            runs = []
            for segment in Segment.simplify(cropped):
                style = str(segment.style)
                letter = names.setdefault(style, string.ascii_letters[len(names) % 52])
                runs.append(f"{letter}{segment.cell_length}")
            styles.append("".join(runs))
        legend = [f"{letter} {style}" for style, letter in names.items()]
        return "\n".join(["", *texts, "", *styles, "", *legend])


@contextlib.asynccontextmanager
async def opened(
    workspace: Paths, size: tuple[int, int] = (80, 24), setup: Setup | None = None, theme: str = ""
) -> AsyncIterator[Opened]:
    """A view of that size over a scripted guardian, connected and shown."""
    guardian = ScriptedGuardian(workspace.socket)
    if setup is not None:
        setup(guardian)
    async with guardian:
        app = OApp(workspace, Config(), now_ns=lambda: scripted_data.NOW)
        async with app.run_test(size=size) as pilot:
            view = Opened(app, pilot, guardian)
            await view.until(lambda: app.model.link == "connected" and app.model.status)
            if theme:
                app.theme = theme
            await pilot.pause()
            yield view
            for pane in app.frame.panes.values():
                if pane.failure is not None:
                    raise pane.failure
