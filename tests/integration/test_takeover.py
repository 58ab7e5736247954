"""Deaths that come while somebody is only just taking over: one main, one standby, nothing lost, nobody left behind."""

from __future__ import annotations

import asyncio
import dataclasses
import os
import signal

import pytest

from o_tui.guardian import listening
from o_tui.guardian.core import Guardian
from o_tui.guardian.dispatch import Ticket
from o_tui.guardian.fleet import instances
from o_tui.guardian.fleet.instances import Instance
from o_tui.paths import Paths
from tests.support.guardians import ECHO, PATIENT, running, until
from tests.support.patience import PATIENCE_S

ROUNDS = 8
IN_FLIGHT = 8


def kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)


async def both_run(guardian: Guardian) -> None:
    fleet = guardian.fleet
    await until(lambda: fleet.main is not None and fleet.main.state == "running")
    await until(lambda: fleet.standby is not None and fleet.standby.state == "running")


def roles(guardian: Guardian) -> list[str]:
    return sorted(instance.role for instance in guardian.fleet.instances.values() if instance.alive)


async def test_after_many_double_deaths_there_is_one_main_and_one_standby(workspace: Paths) -> None:
    async with running(workspace, seed=ECHO) as guardian:
        for number in range(ROUNDS):
            await both_run(guardian)
            main, standby = guardian.fleet.main, guardian.fleet.standby
            assert main and standby
            asked = [asyncio.create_task(guardian.dispatch.ask(f"{number}.{each}")) for each in range(IN_FLIGHT)]
            first, second = (main.pid, standby.pid) if number % 2 else (standby.pid, main.pid)
            kill(first)
            kill(second)
            tickets: list[Ticket] = await asyncio.wait_for(asyncio.gather(*asked), PATIENCE_S)
            assert [ticket.answer for ticket in tickets] == [f"{number}.{each}" for each in range(IN_FLIGHT)]
        await both_run(guardian)
        await until(lambda: roles(guardian) == ["main", "standby"])


async def test_a_standby_that_still_comes_up_is_the_next_main(workspace: Paths) -> None:
    async with running(workspace, seed=ECHO) as guardian:
        fleet = guardian.fleet
        await both_run(guardian)
        old, standby = fleet.main, fleet.standby
        assert old and standby
        kill(standby.pid)
        await until(lambda: fleet.standby is not None and fleet.standby is not standby)
        coming = fleet.standby
        assert coming is not None
        kill(old.pid)
        ticket = await asyncio.wait_for(guardian.dispatch.ask("who is there?"), PATIENCE_S)
        assert ticket.ok and ticket.answer == "who is there?"
        assert fleet.main is coming


async def test_a_standby_that_still_comes_up_takes_the_new_genome_too(
    workspace: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(instances, "LOAD_S", 10 * PATIENCE_S)
    async with running(workspace, seed=ECHO) as guardian:
        fleet = guardian.fleet
        await both_run(guardian)
        for number in range(ROUNDS):
            standby = fleet.standby
            assert standby
            kill(standby.pid)
            state = ("starting", "loading")[number % 2]
            async with asyncio.timeout(PATIENCE_S):
                while fleet.standby is None or fleet.standby is standby or fleet.standby.state != state:
                    await asyncio.sleep(0)
            genome = dataclasses.replace(fleet.code, revision=f"{number:040x}")
            await asyncio.wait_for(fleet.reload(genome), PATIENCE_S)
            await both_run(guardian)
            assert fleet.main and fleet.standby
            await until(lambda: fleet.main.revision == fleet.standby.revision == fleet.code.revision)


async def test_requests_do_not_wait_for_a_cause_that_nobody_can_tell(
    workspace: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listening, "JUDGE_S", 600.0)
    async with running(workspace, PATIENT, ECHO) as guardian:
        fleet = guardian.fleet
        await both_run(guardian)
        main, standby, nursery = fleet.main, fleet.standby, fleet.nursery
        assert main and standby and nursery
        guardian.dispatch.hold()
        asked = asyncio.create_task(guardian.dispatch.ask("still there?"))
        await until(lambda: guardian.dispatch.in_flight == 1)
        ticket = guardian.dispatch.tickets()[0]
        ticket.deaths = 1  # one more, and it waits for the cause
        os.kill(main.pid, signal.SIGSTOP)
        guardian.dispatch.release()
        await until(lambda: ticket.instance is main)
        for pid in (nursery.watch.pid, standby.pid, main.pid):
            kill(pid)
        assert (await asyncio.wait_for(asked, PATIENCE_S)).answer == "still there?"
        # one more where the standby took over before its own death was heard of
        assert ticket.deaths in (2, 3)


async def test_a_standby_that_hangs_while_it_comes_up_is_overtaken_when_it_is_main(
    workspace: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(instances, "LOAD_S", 10 * PATIENCE_S)
    async with running(workspace, PATIENT, ECHO) as guardian:
        guardian.pulse.stop()  # on a busy machine it may be the one that sees the hang first
        fleet = guardian.fleet
        await both_run(guardian)
        main, standby = fleet.main, fleet.standby
        assert main and standby
        come_up, hung = fleet._run, list[Instance]()

        def hang(instance: Instance) -> None:
            # before it is given a genome: one that has just said that it is up is main, and has as long as any other
            if not hung:
                instance.signal(signal.SIGSTOP)
                hung.append(instance)
            come_up(instance)

        monkeypatch.setattr(fleet, "_run", hang)
        standby.kill("drill: the next one is to hang")
        await until(lambda: hung and fleet.standby is hung[0])
        main.kill("drill: the hanging one is main now")
        async with asyncio.timeout(PATIENCE_S):
            assert (await guardian.dispatch.ask("still there?")).ok
        assert hung[0].cause.startswith("a standby took over")
