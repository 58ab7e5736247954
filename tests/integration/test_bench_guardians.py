"""The benchmarks around a guardian measure what they say, with little of everything."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys

from o_tui.bench import around, loop, recovery, requests
from o_tui.bench.guardians import ECHO, reached, running, settled, workspace
from o_tui.guardian.telemetry import Histogram
from tests.support.patience import PATIENCE_S


async def test_a_death_of_each_kind_is_survived_and_timed() -> None:
    with workspace() as paths:
        async with running(paths, recovery.SETTINGS, ECHO) as guardian:
            for case in ("standby", "nursery", "cold"):
                assert 0 < await recovery.lose_main(guardian, case) < recovery.ROUND_S * 1000


async def test_an_answer_streams_from_the_model_to_the_views() -> None:
    with workspace() as paths, around.program("model", "50", "20") as model:
        async with running(paths, loop.settings(around.first_line(model))) as guardian:
            await reached(lambda: guardian.fleet.standby is not None, "a standby")
            with around.program("view", str(paths.data)) as view:
                assert await asyncio.to_thread(around.first_line, view) == "follows"
                late = Histogram()
                assert await loop.stream(guardian, 1.0, late) > 1
                assert late.summary()["max_ms"] > 0


async def test_every_request_is_answered_journalled_or_not() -> None:
    with workspace() as paths:
        async with running(paths, seed=ECHO) as guardian:
            await settled(guardian)
            for journalled in (False, True):
                rate, times = await requests.drive(guardian, 500, journalled=journalled)
                assert rate > 0 and len(times) == 500


def test_the_log_measured_as_a_script_would() -> None:
    command = [sys.executable, "-m", "o_tui", "bench", "wal", "--rounds", "1", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=True)
    value = json.loads(done.stdout)
    assert value["results"]["operations_per_s"] > 0 and "a bare sqlite3 loop" in value["peers"]
    # a peer that is not there is named
    named = "LangGraph's AsyncSqliteSaver"
    assert named in value["peers"] or any(named in note for note in value["notes"])
    assert done.stderr.startswith("round 1 of 1\n")
