"""The first line: how the guardian, main, standby and the log are, what waits for the operator, and the time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from o_tui.ui import format
from o_tui.ui.glyphs import ASCII, Glyphs
from o_tui.ui.snapshot_model import Model, Row
from o_tui.ui.text import Text, safe_line
from o_tui.ui.widgets.line import Line, Place

GOOD_STATES = frozenset({"running", "ready"})
REVIEW = "! REVIEW"
NS = 1_000_000_000
BAR = 10
"""Cells of the canary's bar."""


@dataclass(frozen=True, slots=True)
class Part:
    """A piece of the line. Where there is no room, the piece of the highest rank goes first."""

    rank: int
    text: str
    role: str = ""
    right: bool = False


class Header(Line):
    """One line about everything."""

    def present(self, model: Model, now_ns: int, glyphs: Glyphs, style: Callable[[str], str], remote: bool) -> None:
        """Shows the model at a time."""
        width = self.size.width or self.app.size.width
        line = compose_line(parts(model, now_ns, glyphs, remote), width, style)
        at = line.plain.rfind(REVIEW)
        self.places = [Place(at, at + len(REVIEW), "app.review")] if model.pending and at >= 0 else []
        self.show(line)


def parts(model: Model, now_ns: int, glyphs: Glyphs, remote: bool = False) -> list[Part]:
    """What there is to say, in reading order."""
    found = [Part(0, "O", "brand")]
    version = (model.status.get("genome") or {}).get("version")
    if version:
        found.append(Part(22, f"genome {version}", "muted"))
    if model.link != "connected":
        found.append(Part(1, f"{glyphs.wait} {_link_word(model.link)}", "warning"))
    else:
        lifecycle = safe_line(str(model.status.get("lifecycle") or "running"), 20)
        if lifecycle != "running":
            found.append(Part(5, lifecycle, "accent" if lifecycle == "evolving" else "warning"))
        found += _health(model, now_ns, glyphs)
    waiting = len(model.pending)
    if waiting:
        found.append(Part(2, f"{REVIEW} {waiting}", "warning", right=True))
    if remote:
        found.append(Part(32, "ssh", "muted", right=True))
    found.append(Part(30, f"{datetime.fromtimestamp(now_ns / NS).astimezone():%H:%M}", "muted", right=True))
    return found


def _link_word(state: str) -> str:
    return {"lost": "guardian lost", "silent": "guardian silent"}.get(state, state)


def _health(model: Model, now_ns: int, glyphs: Glyphs) -> list[Part]:
    found = []
    for rank, role in ((3, "main"), (20, "standby")):
        row = model.instance(role)
        state = str(row.get("state", "running")) if row else "missing"
        good = state in GOOD_STATES
        text = f"{role} {glyphs.ok}" if good else f"{role} {glyphs.bad} {state}"
        found.append(Part(rank, text, "success" if good else "error"))
    found += _sandbox(model.instance("main") or {})
    if (model.status.get("hold") or {}).get("held"):
        found.append(Part(6, "HELD", "warning"))
    canary = next((row for row in model.evolutions.values() if row.get("state") == "canary"), None)
    if canary is not None:
        served = canary.get("canary") or {}
        found.append(Part(8, f"canary {100 * float(served.get('share') or 0):.0f}%", "accent"))
        done, total = int(served.get("requests") or 0), int(served.get("total") or 0)
        if total:
            found.append(Part(40, format.progress(done, total, BAR, ascii_only=glyphs is ASCII), "accent"))
    running = model.running
    if running:
        found.append(Part(10, f"agent busy {_elapsed(running[-1], now_ns)}", "accent"))
    shadows = [row for row in model.shadows.values() if row.get("state") == "running"]
    if shadows:
        found.append(Part(15, f"shadows {len(shadows)}", "accent"))
    found.append(_wal(model, glyphs))
    delay = (model.status.get("loop") or {}).get("p99_ms")
    if isinstance(delay, int | float):
        # rounded up to whole steps: a number that trembles would send bytes all day
        found.append(Part(50, "guardian <1 ms" if delay < 1 else f"guardian {_step(delay)} ms"))
    found.append(_brain(model.brain))
    return found


def _sandbox(main: Row) -> list[Part]:
    """Nothing as long as instances are confined as they should be."""
    tier = main.get("tier")
    if tier == "X":
        return [Part(2, "NOT CONFINED", "error")]
    return [Part(14, "sandbox C, no Landlock", "warning")] if tier == "C" else []


def _elapsed(row: Row, now_ns: int) -> str:
    seconds = max(0, now_ns - int(row.get("time_ns") or now_ns)) // NS
    return f"{seconds // 60}:{seconds % 60:02d}"


def _step(value: float) -> int:
    for step in (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000):
        if value <= step:
            return step
    return 10_000


def _wal(model: Model, glyphs: Glyphs) -> Part:
    wal = model.status.get("wal") or {}
    if model.read_only:
        return Part(4, f"WAL {glyphs.bad} read-only", "error")
    return Part(35, f"WAL {format.count(wal.get('seq') or 0)}", "muted")


def _brain(brain: Row) -> Part:
    provider = brain.get("provider") or "offline"
    if provider == "offline":
        return Part(33, "offline", "muted")
    name = str(brain.get("model") or provider)
    if brain.get("ok", True):
        return Part(33, name[:24], "muted")
    return Part(12, f"{name[:24]} !", "warning")


def compose_line(found: list[Part], width: int, style: Callable[[str], str]) -> Text:
    """Fits the pieces into a width; two spaces between them, the right ones at the right edge."""
    kept = list(found)
    while len(kept) > 1 and _needed(kept) > width:
        kept.remove(max(kept, key=lambda part: part.rank))
    line = Text(" ", no_wrap=True, end="")
    line.append_text(_join([part for part in kept if not part.right], style))
    right = _join([part for part in kept if part.right], style)
    gap = width - line.cell_len - right.cell_len - 1
    line.append(" " * max(1, gap))
    line.append_text(right)
    return line


def _needed(kept: list[Part]) -> int:
    return 1 + sum(len(part.text) + 2 for part in kept)


def _join(kept: list[Part], style: Callable[[str], str]) -> Text:
    text = Text()
    for index, part in enumerate(kept):
        if index:
            text.append("  ")
        text.append(part.text, style(part.role))
    return text
