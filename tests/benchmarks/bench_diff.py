"""The diff of the review: 2,000 changed lines, first paint and pages, at 120x40.

`python -m tests.benchmarks.bench_diff [--json]`.
"""

from __future__ import annotations

import asyncio
import statistics
import time

import pytest
from textual.app import App, ComposeResult

from o_tui.ui.diff.view import DiffView
from tests.benchmarks import report
from tests.benchmarks.report import Figure
from tests.support.panes import NEW, OLD, diff_text

LINES = 2_000
PAGES = 60
SIZE = (120, 40)
MUST = {"first_paint_ms": 150.0, "page_p95_ms": 16.0}


class Viewer(App[None]):
    """A diff and nothing else."""

    def compose(self) -> ComposeResult:
        yield DiffView()


def big_diff() -> str:
    """A rewritten file: more than 2,000 changed lines in one hunk."""
    old = "".join(f"{line} # {number}\n" if line.strip() else "\n" for number, line in _lines(OLD))
    new = "".join(f"{line} # {number} new\n" if line.strip() else "\n" for number, line in _lines(NEW))
    return diff_text(old, new)


def _lines(text: str) -> list[tuple[int, str]]:
    lines = text.splitlines()
    return [(number, lines[number % len(lines)]) for number in range(LINES * 5 // 4)]


async def measure() -> dict[str, float]:
    """First paint (parse, lay out, draw one window), pages from top to end, a jump to the end; in ms."""
    app = Viewer()
    text = big_diff()
    async with app.run_test(size=SIZE) as pilot:
        view = app.query_one(DiffView)
        await pilot.pause()
        paints, pages = [], []
        for _ in range(5):
            started = time.perf_counter()
            view.show(text)
            _draw(view)
            paints.append(_since(started))
        await pilot.pause()
        for page in range(1, PAGES + 1):
            view.scroll_to(y=page * SIZE[1], animate=False, immediate=True)
            assert view.scroll_offset.y == page * SIZE[1]
            started = time.perf_counter()
            _draw(view)
            pages.append(_since(started))
        view.show(text)
        await pilot.pause()
        started = time.perf_counter()
        view.scroll_to(y=view.max_scroll_y, animate=False, immediate=True)
        _draw(view)
        jump = _since(started)
        changed = sum(diff.added + diff.removed for diff in view.files)
    pages.sort()
    return {
        "changed_lines": changed,
        "first_paint_ms": round(max(paints), 2),
        "page_p50_ms": round(statistics.median(pages), 2),
        "page_p95_ms": round(pages[int(len(pages) * 0.95)], 2),
        "jump_to_end_ms": round(jump, 2),
    }


def _draw(view: DiffView) -> None:
    for y in range(view.size.height):
        view.render_line(y)


def _since(started: float) -> float:
    return (time.perf_counter() - started) * 1e3


@pytest.mark.benchmark
async def test_a_big_diff_is_quick() -> None:
    results = await measure()
    assert results["changed_lines"] >= LINES
    for name, most in MUST.items():
        assert results[name] <= most, results


def figures() -> list[Figure]:
    """The lines of docs/PERFORMANCE.md."""
    found = asyncio.run(measure())
    what = f"diff of {found['changed_lines']:,.0f} changed lines"
    return [
        Figure(f"{what}, first paint, slowest of 5", found["first_paint_ms"], "ms", MUST["first_paint_ms"]),
        Figure("… another page, p95", found["page_p95_ms"], "ms", MUST["page_p95_ms"]),
        Figure("… jump to the end", found["jump_to_end_ms"], "ms"),
    ]


if __name__ == "__main__":
    report.main(figures)
