"""kill -9 of the guardian in every phase of an evolution: it ends cleanly, nothing is promoted twice or forgotten."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from o_tui import client
from o_tui.guardian.evolving.evolution_book import RUNNING, SETTLED
from o_tui.paths import Paths, shipped
from o_tui.protocol import messages
from o_tui.protocol.errors import OError, RefusedError, UnreachableError
from tests.support.patience import PATIENCE_S

QUESTIONS = ("remember the kettle is copper", "what is the kettle made of?", "what is 6*7")


@contextlib.contextmanager
def guardian(place: Paths) -> Iterator[int]:
    """A guardian as a process of its own; ended as `o-tui stop` does it, if it still lives."""
    pid = client.start_guardian(place)
    try:
        yield pid
    finally:
        with contextlib.suppress(OError), client.connect(place) as connection:
            client.stop_guardian(connection)
        assert ended([pid]), "it was told to stop, and did not end"


def call(place: Paths, method: str, **params: Any) -> Any:
    with client.connect(place) as connection:
        return connection.call(method, wait_s=PATIENCE_S, **params)


def kill_at(place: Paths, pid: int, state: str, method: str, **params: Any) -> None:
    """Calls a method, kills the guardian when an evolution is in a state ("canary 2": a step; "looked 2": so many)."""

    def reached(notice: messages.Notice) -> bool:
        row = notice.data
        told = f"canary {row['canary'].get('step')}" if notice.topic == "evolution" and row["state"] == "canary" else ""
        looked = f"looked {sum(each['measured'] for each in row.get('generations', ()))}"
        return notice.topic == "evolution" and state in (row["state"], told, looked)

    with client.connect(place, follow=True) as connection, contextlib.suppress(UnreachableError):
        answers = connection.stream(method, wait_s=PATIENCE_S, **params)
        for notice in answers:
            if reached(notice):
                os.kill(pid, signal.SIGKILL)
        for notice in connection.notices():
            if reached(notice):
                os.kill(pid, signal.SIGKILL)


def candidate(name: str) -> str:
    return (shipped("data") / "genome" / "recall.py").read_text("utf-8") + f"\n# {name}\n"


def ended(pids: list[int]) -> bool:
    """Whether all processes are gone; instances end on their socket's end."""
    deadline_s = time.monotonic() + PATIENCE_S
    while any(Path(f"/proc/{pid}").exists() and not _zombie(pid) for pid in pids):
        if time.monotonic() > deadline_s:
            return False
        time.sleep(0.01)
    return True


def _zombie(pid: int) -> bool:
    with contextlib.suppress(OSError):
        return ") Z" in Path(f"/proc/{pid}/stat").read_text()
    return True


@pytest.fixture
def place(workspace: Paths) -> Paths:
    workspace.config_file.write_text("[evolution]\npairs = 12\ncanary_pairs = 5\n")
    with guardian(workspace):
        for text in QUESTIONS:
            call(workspace, "say", text=text)
    return workspace


@pytest.mark.parametrize("state", ["intent", "checkpoint", "generate", "validate", "shadow", "pending"])
def test_killed_in_the_middle_it_begins_anew_and_waits_for_an_operator(place: Paths, state: str) -> None:
    with guardian(place) as pid:
        instances = [row["pid"] for row in call(place, "status")["instances"]]
        kill_at(place, pid, state, "evolve", gene="recall", source=candidate(state))
    assert ended([pid, *instances])
    with guardian(place):
        (row,) = call(place, "history", limit=10)
        row = call(place, "evolution.wait", id=row["id"])
        assert row["state"] == "pending", row["reason"]
        assert len(call(place, "genome.log")) == 1
        begun = call(place, "evolve", gene="recall", source=candidate("the next one"))
        assert call(place, "evolution.wait", id=begun["evolution"])["state"] in SETTLED
        assert "copper" in call(place, "say", text=QUESTIONS[1])["text"]


def test_killed_under_a_hold_it_waits_for_the_release(place: Paths) -> None:
    with guardian(place) as pid:
        instances = [row["pid"] for row in call(place, "status")["instances"]]
        asked = {"gene": "recall", "origin": "operators", "metric": "latency", "population": 2, "generations": 1}
        begun = [call(place, "evolve", **asked) for _ in range(2)]
        call(place, "hold", reason="a demo")
        os.kill(pid, signal.SIGKILL)
    assert ended([pid, *instances])
    with guardian(place):
        for each in begun:
            assert call(place, "evolution.show", id=each["evolution"])["state"] in RUNNING
        call(place, "release")
        rows = [call(place, "evolution.wait", id=each["evolution"]) for each in begun]
        assert {row["state"] for row in rows} <= {"pending", "rejected"}, [row["reason"] for row in rows]
        assert all(row["generations"][0]["measured"] == 2 for row in rows)


@pytest.mark.parametrize("looked", [2, 3, 6])
def test_a_population_that_is_killed_goes_on_behind_the_last_look(place: Paths, looked: int) -> None:
    asked = {"gene": "recall", "origin": "operators", "metric": "latency", "population": 3, "generations": 2}
    with guardian(place) as pid:
        instances = [row["pid"] for row in call(place, "status")["instances"]]
        kill_at(place, pid, f"looked {looked}", "evolve", **asked)
    assert ended([pid, *instances])
    with guardian(place):
        (row,) = call(place, "history", limit=10)
        row = call(place, "evolution.wait", id=row["id"])
        assert row["state"] in ("pending", "rejected"), row["reason"]
        assert [each["measured"] for each in row["generations"]] == [3, 3]
        assert looked <= row["resumed"][0] <= looked + 1
        assert len(call(place, "genome.log")) == 1
        assert "copper" in call(place, "say", text=QUESTIONS[1])["text"]


@pytest.mark.parametrize("step", [2, 3])
def test_a_canary_goes_on_at_the_step_that_the_guardian_died_in(place: Paths, step: int) -> None:
    with guardian(place) as pid:
        begun = call(place, "evolve", gene="recall", source=candidate(f"step {step}"))
        row = call(place, "evolution.wait", id=begun["evolution"])
        assert row["state"] == "pending", row["reason"]
        instances = [each["pid"] for each in call(place, "status")["instances"]]
        kill_at(place, pid, f"canary {step}", "approve", id=row["id"], digest=row["diff_sha256"])
    assert ended([pid, *instances])
    with guardian(place):
        shown = call(place, "evolution.wait", id=row["id"])
    assert shown["state"] == "promoted", shown["reason"]
    canary = shown["canary"]
    assert canary["begun"] == [*range(1, step + 1), *range(step, 4)], "no step before it again, and itself anew"
    assert canary["requests_all"] >= 3 * 5, "what was counted before counts"


@pytest.mark.parametrize("state", ["deploying", "canary 1", "canary 3", "promoted"])
def test_killed_after_the_approval_it_is_promoted_once(place: Paths, state: str) -> None:
    with guardian(place) as pid:
        begun = call(place, "evolve", gene="recall", source=candidate(state))
        row = call(place, "evolution.wait", id=begun["evolution"])
        assert row["state"] == "pending", row["reason"]
        instances = [row["pid"] for row in call(place, "status")["instances"]]
        kill_at(place, pid, state, "approve", id=row["id"], digest=row["diff_sha256"])
    assert ended([pid, *instances])
    for _ in range(2):
        with guardian(place):
            shown = call(place, "evolution.wait", id=row["id"])
            assert shown["state"] == "promoted", shown["reason"]
            assert shown["by"] and shown["canary"]["state"] == "watching"
            assert [entry["kind"] for entry in call(place, "genome.log")] == ["promotion", "seed"]
            assert call(place, "status")["genome"]["version"] == shown["version"]
            with pytest.raises(RefusedError, match="already approved by"):
                call(place, "approve", id=row["id"], digest=row["diff_sha256"])
            assert "copper" in call(place, "say", text=QUESTIONS[1])["text"]
