"""How a pair is measured where a process stalls, dies or is new: alike for both sides."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import pytest

from o_tui.evolution.arbiter import Policy
from o_tui.evolution.samples import Outcome, RecordedRequest, Trial
from o_tui.guardian.evolving.seams import ShadowInstance
from o_tui.guardian.evolving.shadows import Measurement
from o_tui.guardian.fleet.code import Code
from o_tui.protocol.refusals import Refusal

COLD_NS, WARM_NS = 9_000_000, 2_000_000


@dataclass
class Process:
    """Slow at its first request, as a new process is; hangs when its side has been asked so many times."""

    asked: list[str]
    name: str
    stalls_at: int
    served: int = 0
    pid: int = 1

    async def request(self, request: RecordedRequest) -> Outcome:
        self.asked.append(self.name)
        self.served += 1
        if self.asked.count(self.name) == self.stalls_at:
            await asyncio.Event().wait()
        took_ns = COLD_NS if self.served == 1 else WARM_NS
        return Outcome(True, request.text, wall_ns=took_ns, cpu_ns=took_ns)

    def cpu_ns(self) -> int:
        return 0

    def peak_bytes(self) -> int:
        return 0

    def refused(self) -> list[Refusal]:
        return []

    async def kill(self, exceeded: Refusal | None = None) -> None:
        pass


class Processes:
    """The instance manager; of one side one request, the `stalls_at`th, never ends."""

    def __init__(self, side: str, stalls_at: int) -> None:
        self.asked: list[str] = []
        self._side, self._at = side, stalls_at

    async def fork_shadow(self, code: Code, role_name: str, evolution: str) -> ShadowInstance:
        return Process(self.asked, role_name, self._at if role_name == self._side else 0)

    async def hot_reload(self, code: Code, reason: str) -> None:
        raise NotImplementedError

    async def verify(self, revision: str, timeout_s: float) -> None:
        raise NotImplementedError


async def measured(side: str, stalls_at: int) -> tuple[Trial, str]:
    code = Code({}, "a" * 40, "1")
    measurement = Measurement(
        Processes(side, stalls_at),
        lambda *_: None,
        "e1",
        main=code,
        candidate=code,
        timeout_s=0.05,
        seed=3,
        policy=Policy(budget=20),
    )
    trial = await measurement.run([RecordedRequest("r", "hello")])
    return trial, measurement.decision.verdict


@pytest.mark.parametrize("side", ["twin", "shadow"])
@pytest.mark.parametrize("stalls_at", [1, 2, 3, 6, 11])
async def test_one_stall_of_either_side_counts_for_nobody(side: str, stalls_at: int) -> None:
    """At the first request of a process, at its second (the first that is measured), and later."""
    trial, verdict = await measured(side, stalls_at)
    assert verdict == "no_evidence"
    times = {
        (pair.main.ending, pair.main.wall_ns, pair.candidate.ending, pair.candidate.wall_ns) for pair in trial.pairs
    }
    assert times == {("answered", WARM_NS, "answered", WARM_NS)}, "a new process is not compared with a warm one"
    assert len(trial.pairs) == 20
