"""Approving in the pane Review: only the version, typed by hand, in time. Nothing that strays here approves."""

from __future__ import annotations

import random
import string
from typing import Any

import pytest
from textual import events
from textual.screen import Screen
from textual.widgets import Input

from o_tui.paths import Paths
from o_tui.protocol.errors import RefusedError
from o_tui.ui.panes.approval import DEAD_S, Gate
from tests.support.panes import evolution, opened, with_evolutions
from tests.support.review import VERSION, Clock, approve, one, review, two
from tests.support.scripted_link import ScriptedGuardian


async def test_approving_sends_the_digest_of_what_is_shown(workspace: Paths) -> None:
    async with opened(workspace, setup=one) as view:
        pane, clock = await review(view)
        await approve(view, pane, clock)
        seen = {"digest": evolution()["diff_sha256"], "evidence": evolution()["evidence_sha256"]}
        assert await view.called("approve") == {"id": "ev-17", **seen}
        await view.until(lambda: f"Promoted v{VERSION}" in view.text())


async def test_a_refusal_is_shown(workspace: Paths) -> None:
    def refuse(guardian: ScriptedGuardian) -> None:
        def approve(**_params: Any) -> None:
            raise RefusedError("stale base: made from 9f3c1e", hint="evolve it again")

        one(guardian)
        guardian.handlers["approve"] = approve

    async with opened(workspace, setup=refuse) as view:
        pane, clock = await review(view)
        await approve(view, pane, clock)
        await view.until(lambda: "Refused: stale base" in view.text())


async def test_keys_are_dead_at_first(workspace: Paths) -> None:
    async with opened(workspace, setup=one) as view:
        pane, clock = await review(view)
        await view.press("A")
        assert not pane.bar.open_for
        assert "Too soon" in view.text()
        clock.wait()
        await view.press("A")
        assert pane.bar.open_for == "ev-17"


async def test_they_are_dead_again_when_the_focus_comes_back(workspace: Paths) -> None:
    async with opened(workspace, setup=one) as view:
        pane, clock = await review(view)
        clock.wait()
        await view.go("vault")
        await view.go("review")
        await view.press("A")
        assert not pane.bar.open_for


async def test_they_are_dead_again_when_another_change_comes_up(workspace: Paths) -> None:
    async with opened(workspace, setup=two) as view:
        pane, clock = await review(view)
        clock.wait()
        await view.press("L")
        await view.until(lambda: pane._item["id"] == "ev-18")
        await view.press("A")
        assert not pane.bar.open_for


async def test_the_palette_cannot_approve(workspace: Paths) -> None:
    async with opened(workspace, setup=one) as view:
        pane, clock = await review(view)
        await view.go("chat")
        clock.wait()
        await view.app.perform("review.approve")
        await view.pilot.pause()
        assert not pane.bar.open_for


@pytest.mark.parametrize("typed", ["0.1.2", "", "y", "0.1.1x", "yes"])
async def test_only_the_version_counts(workspace: Paths, typed: str) -> None:
    async with opened(workspace, setup=one) as view:
        pane, clock = await review(view)
        await approve(view, pane, clock, typed)
        assert "nothing was approved" in view.text()
        assert not pane.bar.open_for
        assert pane.diff.has_focus
        assert view.calls("approve") == []


async def test_a_paste_does_not_count(workspace: Paths) -> None:
    async with opened(workspace, setup=one) as view:
        pane, clock = await review(view)
        clock.wait()
        await view.press("A")
        field = pane.bar.query_one(Input)
        view.app._clipboard = VERSION
        view.app.screen.post_message(events.Paste(VERSION))
        await view.until(lambda: not pane.bar.open_for)
        assert field.value == ""
        clock.wait()
        await view.press("A", "ctrl+v")
        clock.wait()
        await view.press("enter")
        assert view.calls("approve") == []


async def test_a_paste_that_comes_as_keys_does_not_count(workspace: Paths) -> None:
    async with opened(workspace, setup=one) as view:
        _, clock = await review(view)
        clock.wait()
        # no time goes by between these
        await view.press("A", *VERSION, "enter")
        assert view.calls("approve") == []
        assert "Too fast" in view.text()


async def test_leaving_the_field_decides_nothing(workspace: Paths) -> None:
    async with opened(workspace, setup=one) as view:
        pane, clock = await review(view)
        clock.wait()
        await view.press("A", *VERSION)
        await view.go("vault")
        assert not pane.bar.open_for
        await view.go("review")
        clock.wait()
        await view.press("enter")
        assert view.calls("approve") == []


async def test_esc_takes_the_question_back(workspace: Paths) -> None:
    async with opened(workspace, setup=one) as view:
        pane, clock = await review(view)
        clock.wait()
        await view.press("A", *VERSION, "escape")
        assert not pane.bar.open_for
        assert pane.diff.has_focus
        assert "Nothing was approved." in view.text()
        clock.wait()
        await view.press("enter")
        assert view.calls("approve") == []


async def test_a_diff_that_is_not_the_one_to_be_approved(workspace: Paths) -> None:
    async with opened(workspace, setup=with_evolutions(evolution(diff_sha256="00" * 32))) as view:
        pane, clock = await review(view)
        clock.wait()
        await view.press("A")
        assert not pane.bar.open_for
        assert "digests differ" in view.text()


async def test_nothing_is_typed_for_a_change_that_is_stale(workspace: Paths) -> None:
    def setup(guardian: ScriptedGuardian) -> None:
        with_evolutions(evolution(base="aa" * 20))(guardian)
        guardian.handlers["status"] = lambda: guardian.snapshot["status"]

    async with opened(workspace, setup=setup) as view:
        pane, clock = await review(view)
        clock.wait()
        await view.press("A")
        assert not pane.bar.open_for
        assert "Stale: other code is deployed" in view.text()


async def test_a_change_that_is_decided_meanwhile(workspace: Paths) -> None:
    async with opened(workspace, setup=one) as view:
        pane, clock = await review(view)
        clock.wait()
        await view.press("A", *VERSION)
        view.guardian.notify("evolution", {"id": "ev-17", "state": "rejected", "reason": "by another operator"})
        await view.until(lambda: not pane.bar.open_for)
        clock.wait()
        await view.press("enter")
        assert view.calls("approve") == []


@pytest.mark.parametrize("amount", [1_000, pytest.param(10_000, marks=pytest.mark.torture)])
async def test_stray_keys_and_pastes_approve_nothing(
    workspace: Paths, amount: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bursts of keys and pastes, the clock going on between them, so that no dead time protects."""
    chance = random.Random(20251121)
    async with opened(workspace, setup=one) as view:
        view.app._clipboard = VERSION
        pane, clock = await review(view)
        monkeypatch.setattr(Screen, "_compositor_refresh", lambda self: None)  # drawing takes half of the time
        asked: list[str] = []
        ask = pane.bar.ask
        monkeypatch.setattr(pane.bar, "ask", lambda *about: (asked.append(about[0]), ask(*about)))
        sent = 0
        while sent < amount:
            clock.now += chance.choice([0.01, 0.2, 1.0])
            for event in burst(chance):
                view.app.post_message(event)
                sent += 1
            await view.pilot.pause()
            while view.app.screen is not view.app.frame:
                await view.pilot.press("escape")
            while pane.diff.unmark():  # with marks the whole is not asked for
                pass
            if not pane.has_focus_within:
                await view.go("review")
        assert len(asked) > amount / 100, "the keys have to come to the question, else this says nothing"
        assert view.calls("approve") == []


NEAR = ["A", "A", "enter", "enter", "escape", "tab", "0", ".", "up", "down", "space", "ctrl+v", "y", "z"]
"""Keys that have to do with deciding."""
ANY = [*NEAR, *string.ascii_letters, *string.digits]
PASTES = [VERSION, f"{VERSION}\n", f"A{VERSION}\n", "yes\n", "approve ev-17\n"]


def key(name: str) -> events.Key:
    return events.Key(name, {"space": " "}.get(name, name if len(name) == 1 else None))


def burst(chance: random.Random) -> list[events.Event]:
    """What comes at one moment: keys, mostly those that decide, or what is nearly an approval."""
    kind = chance.random()
    if kind < 0.1:
        return [events.Paste(chance.choice(PASTES))]
    if kind < 0.2:
        return [key(name) for name in ("A", *VERSION, "enter")]
    if kind < 0.4:
        return [key("A"), key("ctrl+v")] if kind < 0.3 else [key("enter")]
    return [key(chance.choice(NEAR if chance.random() < 0.9 else ANY)) for _ in range(chance.randint(1, 12))]


def test_the_gate_opens_after_the_dead_time() -> None:
    clock = Clock()
    gate = Gate(clock)
    assert gate.open
    gate.close()
    assert not gate.open
    clock.now += DEAD_S - 0.001
    assert not gate.open
    clock.now += 0.001
    assert gate.open
