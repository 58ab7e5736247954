"""The pane Shadows: live rows, progress, outcomes."""

from __future__ import annotations

import time
from typing import Any

import pytest
from syrupy.assertion import SnapshotAssertion

from o_tui.paths import Paths
from o_tui.ui.panes.shadows import flow, steps
from o_tui.ui.screens.inspect import InspectScreen, _one
from tests.support import scripted_data
from tests.support.panes import SIZES, THEMES, evolution, opened, with_evolutions
from tests.support.scripted_link import ScriptedGuardian

NOW = scripted_data.NOW


@pytest.fixture(autouse=True)
def utc(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()


def shadow(identity: str, **more: Any) -> dict[str, Any]:
    return scripted_data.snapshot()["shadows"][0] | {"id": identity, "evolution": "ev-18", "state": "running"} | more


BY_NOW = {
    "pairs": 41, "least": 100, "e_value": 33.2, "wanted": 100.0, "mirrored": 8, "recorded": 20, "workload": 10,
    "attacks": 3, "attacks_failed": 0, "repaired": 1, "refused": 0,
}  # fmt: skip


def running(guardian: ScriptedGuardian) -> None:
    stages = [{"name": "syntax", "verdict": "pass", "ms": 1.2}, {"name": "contract", "verdict": "pass", "ms": 3.4}]
    guardian.snapshot["evolutions"] = [
        evolution(id="ev-15", state="promoted", version="0.1.1", time_ns=NOW - 86_400 * 10**9),
        evolution(id="ev-16", state="rejected", reason="[red]too slow[/red] \x1b[2J", time_ns=NOW - 3_600 * 10**9),
        evolution(id="ev-18", state="shadow", stages=stages, time_ns=NOW - 12 * 10**9),
    ]
    guardian.snapshot["shadows"] = [
        shadow("S-8", requests=41, verdict="", evidence=BY_NOW),
        shadow("T-8", role="twin", requests=42, errors=1, verdict="", p95_ms=6.2),
    ]


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("size", SIZES)
async def test_looks(workspace: Paths, size: tuple[int, int], theme: str, snapshot: SnapshotAssertion) -> None:
    async with opened(workspace, size, running, theme) as view:
        pane = await view.go("shadows")
        assert await view.settled(pane) == snapshot


async def test_empty_says_what_to_do(workspace: Paths) -> None:
    def nothing(guardian: ScriptedGuardian) -> None:
        guardian.snapshot.update(evolutions=[], shadows=[])

    async with opened(workspace, setup=nothing) as view:
        await view.go("shadows")
        assert "/evolve recall" in view.text()


async def test_a_population_has_a_line_of_its_own(workspace: Paths) -> None:
    found = [{"number": 1, "of": 2, "measured": 6, "score": 0.231}]

    def searching(guardian: ScriptedGuardian) -> None:
        running(guardian)
        guardian.snapshot["evolutions"][-1] |= {"generations": found}

    async with opened(workspace, setup=searching) as view:
        await view.go("shadows")
        await view.until(lambda: "generation 1 of 2" in view.text())
        line = next(line for line in view.text().split("\n") if "generation 1 of 2" in line)
        assert line.split("  ")[0].strip() == "generation 1 of 2, 6 looked at, best fitness +0.231" and "41/60" in line


@pytest.mark.parametrize("size", [(80, 24), (120, 40), (160, 50), (40, 20)])
async def test_a_shadow_says_what_it_has_shown_by_now(workspace: Paths, size: tuple[int, int]) -> None:
    """SCREEN.md: p, n and the least n, the share that is mirrored, the red and the blue team."""
    async with opened(workspace, size, running) as view:
        await view.go("shadows")
        words = ("p 0.030", "n 41, at least 100", "mirrored 20 %", "red team 3 stood", "blue team 1 repaired")
        await view.until(lambda: all(word in view.text() for word in (*words, "sandbox clean")))
        found = BY_NOW | {"attacks_failed": 1, "refused": 2, "e_value": 1e12}
        view.guardian.notify("shadow", shadow("S-8", requests=42, evidence=found))
        await view.until(lambda: "p <0.001" in view.text())
        assert "red team 3 attacks, 1 BREAK IT" in view.text() and "sandbox 2 REFUSED" in view.text()


async def test_of_several_the_one_that_leads_is_told_or_the_one_at_the_cursor(workspace: Paths) -> None:
    def racing(guardian: ScriptedGuardian) -> None:
        running(guardian)
        guardian.snapshot["shadows"] = [
            shadow(f"ev-18-{side}{number}", role=role, state=state, evidence=found)
            for number, state, value in ((1, "ended", 50.0), (2, "running", 4.0), (3, "waiting", 20.0))
            for side, role, found in (("t", "twin", {}), ("s", "shadow", BY_NOW | {"e_value": value}))
        ]

    async with opened(workspace, setup=racing) as view:
        pane = await view.go("shadows")
        assert [row["id"][-2:] for row in pane.live.rows] == ["t2", "s2", "t3", "s3", "t1", "s1"]
        await view.until(lambda: "s2  p 0.25" in view.text())
        await view.press("down", "down")
        await view.until(lambda: "s3  p 0.050" in view.text())
        await view.go("chat")
        await view.go("shadows")


async def test_before_there_is_a_shadow_the_search_itself_is_shown(workspace: Paths) -> None:
    row = evolution(id="ev-18", state="validate")

    def searching(guardian: ScriptedGuardian) -> None:
        with_evolutions(row)(guardian)
        guardian.snapshot["shadows"] = []

    async with opened(workspace, setup=searching) as view:
        await view.go("shadows")
        await view.until(lambda: "No shadow runs yet" in view.text() and "Start one" not in view.text())
        await view.press("v")
        await view.until(lambda: view.app.frame.active == "review" and "ev-18 recall" in view.text())


async def test_when_a_shadow_has_ended_the_cursor_goes_to_one_that_goes_on(workspace: Paths) -> None:
    def two(guardian: ScriptedGuardian) -> None:
        running(guardian)
        guardian.snapshot["shadows"] = [shadow(f"ev-18-s{number}", evidence=BY_NOW) for number in (1, 2)]

    async with opened(workspace, setup=two) as view:
        pane = await view.go("shadows")
        assert pane.live.current_key == "ev-18-s1"
        view.guardian.notify("shadow", shadow("ev-18-s1", state="ended", evidence=BY_NOW))
        await view.until(lambda: pane.live.current_key == "ev-18-s2")
        await view.press("down")
        view.guardian.notify("shadow", shadow("ev-18-s2", requests=50, evidence=BY_NOW))
        await view.until(lambda: "50/60" in view.text())
        assert pane.live.current_key == "ev-18-s1", "who goes there stays there"


SEARCH = [{"number": 3, "of": 10, "measured": 4, "score": 0.231}]


@pytest.mark.parametrize("size", [(80, 24), (120, 40)])
async def test_a_search_says_at_which_candidate_it_is(workspace: Paths, size: tuple[int, int]) -> None:
    work = {"doing": "validate", "at": 5, "of": 12, "failed": 2}
    row = evolution(id="ev-18", state="validate", diff="", generations=SEARCH, work=work)
    async with opened(workspace, size, with_evolutions(row)) as view:
        await view.go("shadows")
        await view.until(lambda: "validating candidate 5 of 12, 2 failed" in view.text())
        view.guardian.notify("evolution", row | {"work": {"doing": "look", "at": 6, "of": 12, "failed": 2}})
        await view.until(lambda: "looking at candidate 6 of 12, 2 failed" in view.text())
        view.guardian.notify("evolution", row | {"state": "rejected", "work": {}})
        await view.until(lambda: "candidate 6" not in view.text())


async def test_rows_change_in_place(workspace: Paths) -> None:
    async with opened(workspace, setup=running) as view:
        pane = await view.go("shadows")
        assert "41/60" in view.text()
        view.guardian.notify("shadow", shadow("S-8", requests=55, verdict="better"))
        await view.until(lambda: "55/60" in view.text())
        assert "better" in view.text()
        assert pane.live.current_key == "S-8"


async def test_a_burst_of_notices_is_drawn_a_few_times(workspace: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    async with opened(workspace, setup=running) as view:
        pane = await view.go("shadows")
        drawn: list[float] = []
        draw, started = pane._draw, time.monotonic()
        monkeypatch.setattr(pane, "_draw", lambda: (drawn.append(time.monotonic()), draw()))
        for number in range(42, 60):
            view.guardian.notify("shadow", shadow("S-8", requests=number))
            await view.pilot.pause(0.05)
        await view.until(lambda: "59/60" in view.text())
        # five a second, and what a late timer leaves over: 18 notices in about a second are not 18 drawings
        assert len(drawn) <= (time.monotonic() - started) * 5 + 2


async def test_enter_shows_a_shadow(workspace: Paths) -> None:
    async with opened(workspace, setup=running) as view:
        await view.go("shadows")
        await view.press("enter")
        await view.until(lambda: isinstance(view.app.screen, InspectScreen))
        assert "Shadow S-8" in view.text()


def test_a_shadow_that_has_ended_has_no_process() -> None:
    assert _one("pid", 0) == "-"
    assert _one("pid", 41_000) == "41000"
    assert _one("errors", 0) == "0"


async def test_enter_on_an_outcome_goes_to_the_review(workspace: Paths) -> None:
    async with opened(workspace, setup=running) as view:
        pane = await view.go("shadows")
        await view.press("tab")
        assert pane.outcomes.has_focus
        assert "[red]too" in view.text()
        await view.press("enter")
        await view.until(lambda: view.app.frame.active == "review")


async def test_the_filter_is_for_outcomes(workspace: Paths) -> None:
    async with opened(workspace, setup=running) as view:
        pane = await view.go("shadows")
        await view.press("slash", *"slow", "enter")
        assert [row["id"] for row in pane.outcomes.rows] == ["ev-16"]


def test_steps_say_where_it_is() -> None:
    texts = [text.plain for text in steps(evolution(state="generate", stages=[]))]
    assert texts == ["[x] intent", "[x] checkpoint", "[>] generate", "[ ] validate", "[ ] shadow", "[ ] pending"]
    assert steps(evolution(state="deploying"))[-1].plain == "[>] deploying"


def test_items_flow() -> None:
    lines = flow(steps(evolution(state="generate", stages=[])), 30)
    assert all(line.cell_len <= 30 for line in lines)
    assert len(lines) == 3


@pytest.mark.parametrize("size", SIZES)
async def test_what_has_been_spent_of_the_budget_is_told(workspace: Paths, size: tuple[int, int]) -> None:
    limit = {"requests": 50_000, "cpu_s": 1_800.0, "tokens": 0}
    budget = {"limit": limit, "spent": {"requests": 531, "cpu_s": 3.4, "tokens": 0}}
    async with opened(workspace, size, with_evolutions(evolution(state="shadow", budget=budget))) as view:
        await view.go("shadows")
        await view.until(lambda: "spent 3 of 1 800 CPU s" in view.text() and "531 of 50 000 requests" in view.text())
        assert "tokens" not in view.text()


async def test_a_new_outcome_is_seen_by_who_does_not_read_the_older_ones(workspace: Paths) -> None:
    rows = [evolution(id=f"ev-{number}", state="rejected", reason="no") for number in range(20, 40)]
    async with opened(workspace, (120, 40), with_evolutions(*rows)) as view:
        await view.until(lambda: "ev-39" in view.text())
        view.guardian.notify("evolution", evolution(id="ev-40", state="rejected", reason="no"))
        await view.until(lambda: "ev-40" in view.text())
        pane = await view.go("shadows")
        await view.press("down", "down")
        at = pane.outcomes.current_key
        view.guardian.notify("evolution", evolution(id="ev-41", state="rejected", reason="no"))
        await view.until(lambda: len(pane.outcomes.rows) == 22)
        assert pane.outcomes.current_key == at
