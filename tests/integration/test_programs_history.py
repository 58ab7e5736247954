"""A run of a user's program is a row of the history, whether or not a guardian was there when it ran."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from o_tui import client
from o_tui.evolution import run_notes
from o_tui.guardian.evolving import program_runs
from o_tui.paths import Paths
from o_tui.programs import outcome, starting
from tests.support.guardians import running
from tests.support.user_programs import PROGRAM, files


def command(workspace: Paths, *words: str | Path) -> list[str]:
    return [sys.executable, "-m", "o_tui.cli.main", *map(str, words), "--data-dir", str(workspace.data), "--json"]


def last(workspace: Paths, *words: str | Path) -> dict[str, Any]:
    done = subprocess.run(command(workspace, *words), capture_output=True, text=True, timeout=120, check=False)
    value: dict[str, Any] = json.loads(done.stdout.splitlines()[-1]) if done.stdout else {}
    return value


def a_run(folder: Path, workspace: Paths) -> dict[str, Any]:
    """In this process; its outcome."""
    run = starting.begin(workspace.programs, starting.Wish(*files(folder / "p"), budget=20), lambda _event: None)
    run.go()
    value = outcome.finish(run.store)
    run.store.close()
    return value


def test_what_ran_without_a_guardian_is_in_the_history_afterwards(folder: Path, workspace: Paths) -> None:
    value = a_run(folder, workspace)
    bad = files(folder / "bad", PROGRAM.replace("EVOLVE-", ""))
    assert last(workspace, "evolve", *bad) == {}
    killed = subprocess.Popen(command(workspace, "evolve", *files(folder / "q"), "--budget", "100000"), stdout=-1)
    assert killed.stdout is not None
    begun = json.loads(killed.stdout.readline())["evolution"]
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    rows = last(workspace, "history")["evolutions"]
    assert [row["state"] for row in rows] == ["stopped", "refused", "improved"]
    assert rows[0]["id"] == begun and f"--resume {begun}" in rows[0]["reason"]
    assert "no EVOLVE-BLOCK" in rows[1]["reason"] and rows[1]["gene"] == "program.py"
    row = rows[2]
    assert (row["id"], row["evaluations"], row["origin"]) == (value["evolution"], 20, "program")
    assert row["best"] == {
        "initial": value["best"]["initial_again"],
        "measured_again": value["best"]["measured_again"],
        "path": value["best"]["path"],
        "revision": value["best"]["revision"],
    }
    assert f"{value['best']['measured_again']:.6g} in 20 evaluations" in row["reason"]
    assert last(workspace, "evolve", "--resume", begun, "--budget", "30")["evaluations"] >= 30
    again = last(workspace, "history", "--source", "program")["evolutions"]
    assert [(each["id"], each["state"]) for each in again[:1]] == [(begun, "improved")] and len(again) == 3


async def test_views_are_told_of_a_run_and_it_is_no_evolution_of_a_gene(folder: Path, workspace: Paths) -> None:
    async with running(workspace):

        def seen() -> tuple[list[str], dict[str, Any], dict[str, Any]]:
            with client.connect(workspace, follow=True) as link:
                done = subprocess.Popen(
                    command(workspace, "evolve", *files(folder / "p"), "--budget", "20"), stdout=subprocess.PIPE
                )
                states = []
                for notice in link.notices():
                    if notice.topic == "evolution":
                        states.append(str(notice.data["state"]))
                        if states[-1] != "running":
                            break
                done.communicate()
                shown = link.call("evolution.show", id=link.call("history")[0]["id"])
                return states, shown, link.call("evolution.statistics")

        states, shown, statistics = await asyncio.to_thread(seen)
        assert states == ["running", "improved"]
        assert shown["state"] == "improved" and shown["diff"] == "" and shown["evaluations"] == 20
        assert statistics["count"] == 0


async def test_a_note_that_is_no_note_harms_nobody(workspace: Paths) -> None:
    for name, text in {
        "a": "{",
        "b": '{"id":"other"}',
        "c": '{"id":"c","program":"x.py","evaluator":"e","began_ns":1,"process":"x"}',
        "d": '{"id":"d","program":"\\u001b[31mx.py","evaluator":"e","began_ns":1,"process":"1:1"}',
        "e": "x" * 100_000,
        "g": '{"id":"g","program":"x.py","evaluator":"e","began_ns":1' + "0" * 30 + "}",
    }.items():
        (workspace.programs / name).mkdir(parents=True)
        (workspace.programs / name / "run.json").write_text(text)
    (workspace.programs / "f").symlink_to("/proc")
    async with running(workspace):
        rows = await asyncio.to_thread(last, workspace, "history")
        assert {row["id"]: row["state"] for row in rows["evolutions"]} == {"c": "stopped", "d": "stopped"}


@pytest.mark.parametrize(
    ("process", "words"),
    [("", "stopped after 7 of 90 evaluations; go on: "), ("1:0", "its process ended in the middle; go on: ")],
)
def test_who_stopped_a_run_is_not_told_that_it_died(process: str, words: str) -> None:
    note = run_notes.Note(
        id="a", program="p.py", evaluator="e.py", began_ns=1, process=process, evaluations=7, budget=90
    )
    assert program_runs.told(note).startswith(words)
