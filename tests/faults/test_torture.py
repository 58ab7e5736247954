"""Everything is killed at random moments: nothing that was acknowledged is lost, nothing is done twice."""

from __future__ import annotations

import os
import time

import pytest

from o_tui.paths import Paths
from tests.support.torture import Report, Torture

SECONDS = float(os.environ.get("O_TORTURE_SECONDS", "30"))
"""Read at import: no test sees this variable."""


async def _torture(workspace: Paths, seconds: float, *, compact: bool = False) -> Report:
    seed = int(os.environ.get("TORTURE_SEED", 0)) or time.time_ns() % 1_000_000
    print(f"\ntorture, seed {seed} (TORTURE_SEED), {seconds:.0f} s", flush=True)
    report = await Torture(workspace, seed, compact=compact).run(seconds)
    print(report, flush=True)
    assert not report.wrong, f"{report}\n" + "\n".join(report.wrong[:20])
    assert not report.refused, f"{report}\n" + "\n".join(report.refused[:20])
    assert report.total >= seconds / 2 and report.acknowledged > 10 * seconds, str(report)
    return report


async def test_nothing_is_lost_whoever_is_killed(workspace: Paths) -> None:
    await _torture(workspace, min(SECONDS, 30.0) / 2)


async def test_nothing_is_lost_while_the_log_is_cut_behind_checkpoints(workspace: Paths) -> None:
    report = await _torture(workspace, min(SECONDS, 30.0) / 2, compact=True)
    assert report.cut or report.seconds < 10, f"the log was never cut: {report}"


@pytest.mark.torture
@pytest.mark.parametrize("compact", [False, True])
async def test_nothing_is_lost_however_long_it_goes_on(workspace: Paths, compact: bool) -> None:
    if SECONDS <= 30:
        pytest.skip("set O_TORTURE_SECONDS, or run `just torture`")
    await _torture(workspace, SECONDS / 2, compact=compact)
