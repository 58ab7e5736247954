"""A canary step by step, and the watch after it, over stand-ins that say how old and new code take a request."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, cast

import pytest

from o_tui.evolution.samples import RecordedRequest, Side
from o_tui.guardian.evolving.canary import RESTARTS, Canary
from o_tui.guardian.evolving.seams import Fault
from o_tui.guardian.evolving.traffic import SHARES
from o_tui.guardian.evolving.twin import TwinPair, Twins
from o_tui.guardian.evolving.watching import Watching
from o_tui.protocol.errors import PeerError
from o_tui.protocol.refusals import Refusal
from tests.support.patience import PATIENCE_S
from tests.support.road import Road

ASKED = [RecordedRequest(f"r{number}", f"question {number}") for number in range(3)]
MS = 1_000_000


def took(old_ms: float = 10, new_ms: float = 10, **of_new: Any) -> TwinPair:
    old = Side("answered", wall_ns=int(old_ms * MS))
    return TwinPair(old, Side(of_new.pop("ending", "answered"), wall_ns=int(new_ms * MS), **of_new))


def serve(road: Road, times: int, **how: Any) -> None:
    for _ in range(times):
        road.serve(**how)


class Pairs:
    """Stands for `Twins`: each request is taken as the test says."""

    def __init__(self, take: Callable[[int], TwinPair]) -> None:
        self.take = take
        self.requests: list[str] = []
        self.closed = False

    async def pair(self, request: RecordedRequest) -> TwinPair:
        self.requests.append(request.text)
        await asyncio.sleep(0)
        return self.take(len(self.requests))

    async def close(self) -> None:
        self.closed = True


class Stage:
    """A canary of 20 pairs a step; `rows` is what its evolution's row said."""

    def __init__(
        self,
        take: Callable[[int], TwinPair],
        *,
        replayed: list[RecordedRequest] = ASKED,
        known: bool = False,
        expected: float = 1.0,
        **more: Any,
    ):
        self.road, self.pairs = Road(), Pairs(take)
        self.rows: list[dict[str, Any]] = []
        self.starts = 0

        async def start() -> None:
            self.starts += 1

        async def tell(row: dict[str, Any]) -> None:
            self.rows.append(row)

        self.canary = Canary(
            self.road,
            cast(Twins, self.pairs),
            wanted=20,
            replayed=replayed,
            effects_known=known,
            expected=expected,
            start=start,
            tell=tell,
            **more,
        )

    async def run(self) -> str:
        async with asyncio.timeout(PATIENCE_S):
            harm = await self.canary.run()
        assert self.pairs.closed and not self.road.told, "nobody follows the traffic any more"
        return harm


async def test_the_steps_of_a_quiet_agent_are_filled_with_what_was_recorded() -> None:
    stage = Stage(lambda _number: took())
    stage.canary._step.asked_s = float("-inf")
    assert await stage.run() == ""
    assert stage.road.shares == list(SHARES) and len(stage.pairs.requests) == 60
    assert [(row["step"], row["share"]) for row in stage.rows if row["requests"] == 0] == list(enumerate(SHARES, 1))
    assert (stage.rows[-1]["state"], stage.rows[-1]["requests"], stage.rows[-1]["total"]) == ("passed", 20, 20)


@pytest.mark.parametrize(
    ("take", "said"),
    [
        (lambda _number: took(ending="error", error="ValueError"), "requests failed that the version before answered"),
        (lambda _number: took(10, 20), "latency +"),
        (lambda number: took(ending="crash", error="signal 11") if number == 5 else took(), "1 crash where the old"),
        (lambda number: took(ending="hang", error="no answer") if number == 5 else took(), "1 hang where the old"),
        (lambda number: took(diverged=("llm.chat 1f",)) if number == 5 else took(), "did not ask for: llm.chat 1f"),
        (
            lambda _number: TwinPair(took().old, took().new, (Refusal(layer="seccomp", what="socket"),)),
            "the sandbox refused it",
        ),
    ],
    ids=["errors", "slow", "crash", "hang", "effect", "sandbox"],
)
async def test_harm_ends_it_in_the_first_step(take: Callable[[int], TwinPair], said: str) -> None:
    stage = Stage(take)
    harm = await stage.run()
    assert said in harm, harm
    assert stage.road.shares == [0.1]
    assert (stage.rows[-1]["state"], stage.rows[-1]["reason"]) == ("harm", harm)


async def test_one_that_goes_on_begins_at_its_step_and_adds_to_what_was_counted() -> None:
    stage = Stage(lambda _number: took(), first=2, before=(27, 4))
    assert await stage.run() == ""
    assert stage.road.shares == list(SHARES[1:]) and len(stage.pairs.requests) == 40
    assert (stage.rows[0]["step"], stage.rows[0]["requests"], stage.rows[0]["requests_all"]) == (2, 0, 27)
    assert (stage.rows[-1]["requests"], stage.rows[-1]["requests_all"], stage.rows[-1]["served_all"]) == (20, 67, 4)


async def test_a_machine_that_slows_down_harms_nobody() -> None:
    assert await Stage(lambda number: took(10 + number, 10 + number)).run() == ""
    assert await Stage(lambda _number: TwinPair(Side("error"), Side("error"))).run() == ""


async def test_an_effect_that_the_trial_has_shown_is_no_news() -> None:
    assert await Stage(lambda _number: took(diverged=("llm.chat 1f",)), known=True).run() == ""


async def test_each_step_is_watched_anew() -> None:
    """What is not enough to be shown in one step is not carried over to the next."""
    few = {18, 19, 20, 21, 22, 23, 38, 39, 40, 41, 42, 43}
    assert await Stage(lambda number: took(ending="error") if number in few else took()).run() == ""


async def test_what_the_canary_fails_at_and_main_answers_is_its_harm() -> None:
    stage = Stage(lambda _number: took())
    stage.road.on_divert = lambda _share: serve(stage.road, 20, fault="ValueError: boom", ok=True)
    harm = await stage.run()
    assert "20 of 20" in harm or "requests failed" in harm
    assert harm.endswith("(the last: ValueError: boom)") and stage.pairs.requests == []


async def test_what_main_fails_at_too_is_nobodys() -> None:
    stage = Stage(lambda _number: took())
    stage.road.on_divert = lambda _share: serve(stage.road, 20, fault="boom", ok=False)
    assert await stage.run() == ""


async def test_code_that_is_fast_on_trial_only_is_seen() -> None:
    stage = Stage(lambda _number: took(1, 1))
    stage.road.on_divert = lambda _share: serve(stage.road, 20, ms=60)
    harm = await stage.run()
    assert harm == "it is slower in service than on trial: 60.0 ms, 1.0 ms for the same request"


async def test_real_requests_are_taken_before_recorded_ones() -> None:
    stage = Stage(lambda _number: took())
    stage.road.on_divert = lambda _share: serve(stage.road, 5, text="a real one", ms=10)
    assert await stage.run() == ""
    assert stage.pairs.requests[:5] == ["a real one"] * 5 and stage.pairs.requests[5] == "question 0"
    assert stage.rows[-1]["served"] == 5


async def test_without_anything_recorded_a_step_waits_until_nobody_asks() -> None:
    stage = Stage(lambda _number: took(), replayed=[])
    assert await stage.run() == "" and stage.pairs.requests == []


async def test_its_own_death_is_harm_and_somebody_elses_kill_is_not() -> None:
    stage = Stage(lambda _number: took())
    stage.road.faults = [Fault("it ended in service: exit 3")]
    assert await stage.run() == "it ended in service: exit 3"
    stage = Stage(lambda _number: took())
    stage.road.faults = [Fault("a drill", blame=False)]
    assert await stage.run() == "" and stage.starts == 1 and stage.road.shares[:2] == [0.1, 0.1]
    stage = Stage(lambda _number: took())
    stage.road.faults = [Fault("a drill", blame=False)] * (RESTARTS + 1)
    assert await stage.run() == f"it was ended {RESTARTS + 1} times: a drill"


async def test_an_operator_ends_it() -> None:
    stage = Stage(lambda _number: took())
    stage.road.on_divert = lambda _share: stage.canary.stop("stopped by ann")
    assert await stage.run() == "stopped by ann" and stage.canary.stopped


# --- the watch


class Guarded:
    """A watch; each real request is served once the one before has been looked at."""

    def __init__(self, take: Callable[[int], TwinPair], **more: Any) -> None:
        self.road, self.pairs = Road(), Pairs(take)
        self.kept: list[dict[str, Any]] = []
        self.why_held = ""
        fields: dict[str, Any] = {"expected": 1.0, "pairs": 0, "seconds": 60.0, "requests": 120} | more

        async def keep(row: dict[str, Any]) -> None:
            self.kept.append(row)

        self.watching = Watching(self.road, cast(Twins, self.pairs), keep=keep, held=lambda: self.why_held, **fields)

    async def run(self, serve: Callable[[Road], None] = lambda road: road.serve(by="main")) -> str:
        task = asyncio.create_task(self.watching.run())
        async with asyncio.timeout(PATIENCE_S):
            while not self.road.told:
                await asyncio.sleep(0)
            while not task.done():
                before = len(self.pairs.requests)
                serve(self.road)
                while len(self.pairs.requests) == before and not task.done():
                    await asyncio.sleep(0)
        assert self.pairs.closed and not self.road.told
        return task.result()


@pytest.mark.parametrize(
    "take",
    [
        lambda number: took(10 + number % 3, (10 + (number + 1) % 3) * 1.2),
        lambda number: took(ending="error") if number % 5 == 0 else took(),
    ],
    ids=["+20 % latency", "+20 points of errors"],
)
async def test_harm_after_a_promotion_is_seen_within_100_requests(take: Callable[[int], TwinPair]) -> None:
    guarded = Guarded(take, requests=1_000)
    assert await guarded.run()
    assert len(guarded.pairs.requests) <= 100


async def test_a_watch_is_over_after_so_many_requests() -> None:
    guarded = Guarded(lambda number: took(10 + number, 10 + number), pairs=40)
    assert await guarded.run() == ""
    assert [row["requests"] for row in guarded.kept] == [50, 100, 120]
    assert [row["state"] for row in guarded.kept] == ["watching", "watching", "watched"]


async def test_a_watch_is_over_in_time() -> None:
    guarded = Guarded(lambda _number: took(), seconds=0.01)
    async with asyncio.timeout(PATIENCE_S):
        assert await guarded.watching.run() == ""
    assert guarded.kept[-1]["state"] == "watched"


async def test_a_failure_in_service_counts_though_the_shadows_answer() -> None:
    guarded = Guarded(lambda _number: took(), requests=1_000)
    assert "requests failed" in await guarded.run(lambda road: road.serve(by="main", ok=False))


async def test_a_full_disk_is_nobodys_fault() -> None:
    guarded = Guarded(lambda _number: took(), seconds=0.05)
    guarded.why_held = "storage takes nothing"
    task = asyncio.create_task(guarded.watching.run())
    await asyncio.sleep(0)
    guarded.road.serve(by="main", ok=False)
    assert await task == "" and guarded.pairs.requests == []


async def test_a_watch_goes_on_where_no_shadow_could_be_forked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("o_tui.guardian.evolving.watching.AGAIN_S", 0.0)

    def take(number: int) -> TwinPair:
        if number == 3:
            raise PeerError("there is no nursery to fork from")
        return took()

    guarded = Guarded(take, requests=5)
    assert await guarded.run() == "" and len(guarded.pairs.requests) == 6


async def test_a_watch_that_is_cancelled_ends() -> None:
    """Also in the very moment in which it is told of a request."""
    guarded = Guarded(lambda _number: took())
    task = asyncio.create_task(guarded.watching.run())
    await asyncio.sleep(0)
    guarded.road.serve(by="main")
    task.cancel()
    await asyncio.wait([task], timeout=5)
    assert task.cancelled() and guarded.pairs.closed
