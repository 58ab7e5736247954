"""The guardian with real processes: it talks, it loses nothing, whoever dies."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import sqlite3
import threading
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from o_tui import config
from o_tui.client import connect
from o_tui.config import Config, HealthConfig
from o_tui.guardian.core import Guardian
from o_tui.guardian.fleet.instances import Instance
from o_tui.guardian.storage.database import FencedError
from o_tui.paths import Paths
from o_tui.protocol import operations
from o_tui.protocol.errors import BusyError, NotFoundError, RefusedError, UsageError
from tests.support.guardian_process import Link
from tests.support.guardians import running, until
from tests.support.patience import PATIENCE_S
from tests.support.turns import SHORT_NS, turn_ns


@pytest.fixture
async def guardian(workspace: Paths) -> AsyncIterator[Guardian]:
    async with running(workspace) as started:
        yield started


async def memories(guardian: Guardian) -> str:
    ticket = await guardian.dispatch.ask('{"limit": 1000}', "memory.list", journalled=False)
    assert ticket.ok, ticket.error
    return ticket.answer


async def test_it_answers_from_memory_and_says_that_it_is_offline(guardian: Guardian) -> None:
    first = await guardian.dispatch.ask("remember the spare key is under the blue flower pot")
    assert first.ok, first.error
    answer = await guardian.dispatch.ask("where is the spare key?")
    assert answer.ok, answer.error
    assert "blue flower pot" in answer.answer
    assert "offline" in (first.answer + answer.answer).lower()


async def test_its_loop_comes_first_when_it_wakes_and_nobody_else_does(guardian: Guardian) -> None:
    main, nursery = guardian.fleet.main, guardian.fleet.nursery
    assert main is not None and nursery is not None
    assert turn_ns(os.getpid(), threading.get_native_id()) == SHORT_NS
    assert min(turn_ns(pid, pid) for pid in (main.pid, nursery.watch.pid)) > SHORT_NS


async def test_the_same_conversations_are_imported_once_and_what_is_new_in_them_later(workspace: Paths) -> None:
    said = [{"speaker": "Ada", "dia_id": f"D1:{n}", "text": f"word{n}"} for n in range(3)]
    file = workspace.data.parent / "talk.json"

    def write(*turns: dict[str, str]) -> None:
        file.write_text(json.dumps([{"sample_id": "c", "conversation": {"session_1": turns}}]))

    async with running(workspace):
        link = await Link.connect(workspace)
        write(*said, {"speaker": "Ada", "dia_id": "D1:9", "text": ""}, said[0])
        first = await link.call("memory.import", path=str(file))
        assert first == {"blocks": 3, "known": 1, "skipped": 1, "reason": ""}
        before = await link.call("memory.list")
        assert await link.call("memory.import", path=str(file)) == {"blocks": 0, "known": 4, "skipped": 1, "reason": ""}
        assert await link.call("memory.list") == before
        write(*said, said[1] | {"text": "another text in the same place is another memory"})
        assert (await link.call("memory.import", path=str(file)))["blocks"] == 1
        await link.close()


async def test_killed_main_is_replaced_and_remembers(guardian: Guardian) -> None:
    await guardian.dispatch.ask("remember the kettle is copper")
    for _ in range(5):
        main = guardian.fleet.main
        assert main is not None
        os.kill(main.pid, signal.SIGKILL)
        answer = await guardian.dispatch.ask("what is the kettle made of?")
        assert "copper" in answer.answer, answer
        assert guardian.fleet.main is not main


async def test_a_request_in_flight_survives_the_death_of_main(guardian: Guardian) -> None:
    main = guardian.fleet.main
    assert main is not None
    main.signal(signal.SIGSTOP)
    asked = asyncio.create_task(guardian.dispatch.ask("remember the gate is green"))
    await until(lambda: any(ticket.instance is main for ticket in guardian.dispatch.tickets()))
    main.signal(signal.SIGKILL)
    ticket = await asked
    assert ticket.ok and ticket.recovered and ticket.attempts == 2
    assert (await memories(guardian)).count("the gate is green") == 1


async def test_main_and_standby_killed_together_come_back_from_the_nursery(guardian: Guardian) -> None:
    await guardian.dispatch.ask("remember the kettle is copper")
    await until(lambda: guardian.fleet.standby is not None and guardian.fleet.standby.state == "running")
    for instance in (guardian.fleet.main, guardian.fleet.standby):
        assert instance is not None
        os.kill(instance.pid, signal.SIGKILL)
    assert "copper" in (await guardian.dispatch.ask("what is the kettle made of?")).answer


async def test_everything_killed_comes_back_from_the_log(guardian: Guardian) -> None:
    await guardian.dispatch.ask("remember the kettle is copper")
    await until(lambda: guardian.fleet.standby is not None and guardian.fleet.standby.state == "running")
    fleet = guardian.fleet
    assert fleet.nursery and fleet.main and fleet.standby
    for pid in (fleet.nursery.watch.pid, fleet.main.pid, fleet.standby.pid):
        os.kill(pid, signal.SIGKILL)
    assert "copper" in (await guardian.dispatch.ask("what is the kettle made of?")).answer


async def test_main_lives_on_when_the_nursery_is_killed(guardian: Guardian) -> None:
    main, nursery = guardian.fleet.main, guardian.fleet.nursery
    assert main and nursery
    nursery.watch.kill()
    await nursery.watch.exited
    assert (await guardian.dispatch.ask("what is 6*7")).answer.find("42") >= 0
    assert guardian.fleet.main is main
    await until(lambda: guardian.fleet.nursery not in (None, nursery))


async def test_a_silent_main_is_killed_and_replaced(workspace: Paths) -> None:
    settings = Config(health=HealthConfig(heartbeat_s=0.1, death_s=2.0, max_restarts=1000))
    async with running(workspace, settings) as guardian:
        main = guardian.fleet.main
        assert main is not None
        main.signal(signal.SIGSTOP)
        assert (await guardian.dispatch.ask("what is 6*7")).answer.find("42") >= 0
        assert "silent" in main.cause


async def test_a_killed_broker_serves_again(guardian: Guardian) -> None:
    broker = guardian.effects.broker
    assert broker is not None
    await broker.ready()
    broker.watch.kill()
    await until(lambda: guardian.effects.broker is not broker)
    assert "found" in await guardian.effects.call("brain.detect", {})


async def test_a_checkpoint_is_restored_and_nothing_of_the_log_is_lost(guardian: Guardian) -> None:
    await guardian.dispatch.ask("remember the kettle is copper")
    row = await guardian.checkpoints.take("test")
    await guardian.dispatch.ask("remember the gate is green")
    seq = guardian.stores.wal.seq
    await guardian.checkpoints.restore(row["id"])
    kept = await memories(guardian)
    assert "copper" in kept and "green" not in kept
    assert guardian.stores.wal.seq > seq
    assert (await guardian.stores.wal.verify())["ok"]
    main = guardian.fleet.main
    assert main is not None
    os.kill(main.pid, signal.SIGKILL)
    kept = await memories(guardian)
    assert "copper" in kept and "green" not in kept


async def test_before_1970_it_works_and_what_was_then_is_read_afterwards(
    workspace: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A board without a battery may believe anything; the nursery and the instances have the real clock here."""
    now_ns = time.time_ns
    with monkeypatch.context() as then:
        then.setattr(time, "time_ns", lambda: now_ns() - 66 * 365 * 86_400 * 10**9)
        assert time.time_ns() < 0
        async with running(workspace) as guardian:
            await guardian.dispatch.ask("remember the kettle is copper")
            assert (await guardian.stores.events.page(0, 5))[0]["time_ns"] < 0
            assert (await guardian.checkpoints.take("then"))["time_ns"] == 0
    async with running(workspace) as guardian:
        assert "copper" in await memories(guardian)


async def test_there_is_no_such_checkpoint(guardian: Guardian) -> None:
    with pytest.raises(NotFoundError):
        await guardian.checkpoints.restore("00000000-0000-0000-0000-000000000000")


async def test_state_survives_a_restart_with_and_without_a_checkpoint(workspace: Paths) -> None:
    async with running(workspace) as guardian:
        await guardian.dispatch.ask("remember the kettle is copper")
        await guardian.checkpoints.take("test")
        await guardian.dispatch.ask("remember the gate is green")
    async with running(workspace) as guardian:
        kept = await memories(guardian)
        assert "copper" in kept and "green" in kept


async def test_a_second_guardian_is_turned_away_by_name(guardian: Guardian, workspace: Paths) -> None:
    with pytest.raises(BusyError, match=str(os.getpid())):
        async with running(workspace):
            pytest.fail("two guardians")


async def test_nothing_is_left_behind(workspace: Paths) -> None:
    async with running(workspace) as guardian:
        await until(lambda: guardian.fleet.standby is not None and guardian.fleet.standby.state == "running")
        fleet = guardian.fleet
        assert fleet.nursery and fleet.main and fleet.standby and guardian.effects.broker
        pids = [fleet.nursery.watch.pid, fleet.main.pid, fleet.standby.pid, guardian.effects.broker.watch.pid]
    # whoever has outlived the nursery by a moment is reaped by init, when that has time
    await until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids))


async def lifecycle(guardian: Guardian) -> str:
    ticket = await guardian.dispatch.ask("{}", "state.digest", journalled=False)
    assert ticket.ok
    entries = await guardian.stores.wal.read(0)
    changes = [operations.unpack_entry(entry) for entry in entries]
    last = [entry for entry in changes if entry.operation == "lifecycle_change"][-1]
    change = operations.unpack(last.operation, last.data)
    assert isinstance(change, operations.LifecycleChange)
    assert change.state == guardian.lifecycle.state
    return change.state


async def test_the_lifecycle_is_part_of_the_log(workspace: Paths) -> None:
    async with running(workspace) as guardian:
        assert await lifecycle(guardian) == "running"
        row = await guardian.checkpoints.take("test")
        await guardian.checkpoints.restore(row["id"])
        assert await lifecycle(guardian) == "running"
    async with running(workspace) as guardian:
        entries = [operations.unpack_entry(entry) for entry in await guardian.stores.wal.read(0)]
        names = [entry.operation for entry in entries]
        assert names.count("lifecycle_change") == 4, "running, running again, terminated, running"
        assert await lifecycle(guardian) == "running"
        assert (await guardian.dispatch.ask("what is 6*7")).ok


async def test_what_happened_is_counted(guardian: Guardian) -> None:
    await guardian.dispatch.ask("what is 6*7")
    main = guardian.fleet.main
    assert main is not None
    os.kill(main.pid, signal.SIGKILL)
    await guardian.dispatch.ask("what is 6*7")
    await until(
        lambda: 'o_instance_deaths_total{role="main"} 1' in guardian.metrics.read(guardian.telemetry()).prometheus()
    )
    text = guardian.metrics.read(guardian.telemetry()).prometheus()
    assert 'o_requests_total{state="done"} 2' in text
    assert "o_recovery_seconds_count 1" in text
    assert f"o_wal_entries {guardian.stores.wal.seq}" in text


async def test_a_message_that_is_too_long_is_refused_with_the_limit(guardian: Guardian, workspace: Paths) -> None:
    def say() -> None:
        with connect(workspace) as client, pytest.raises(UsageError, match="128 KiB"):
            client.call("say", text="word " * 60_000)

    await asyncio.to_thread(say)
    assert guardian.dispatch.in_flight == 0


async def hang(instance: Instance) -> None:
    """Stops it where it has nothing to do: one that says that it works has a longer limit."""

    def idle() -> bool:
        reading = instance.counters.read()
        return reading is not None and not reading.busy

    while True:
        await until(idle)
        instance.signal(signal.SIGSTOP)
        await until(lambda: ") T" in Path(f"/proc/{instance.pid}/stat").read_text())
        if idle():
            return
        instance.signal(signal.SIGCONT)


async def test_a_hung_main_is_replaced_long_before_the_limit_for_busy_ones(workspace: Paths) -> None:
    async with running(workspace, Config(health=HealthConfig(death_s=PATIENCE_S))) as guardian:
        main = guardian.fleet.main
        assert main is not None
        await until(lambda: guardian.fleet.standby is not None and guardian.fleet.standby.state == "running")
        await hang(main)
        async with asyncio.timeout(PATIENCE_S / 2):
            await asyncio.shield(main.exited)
    assert main.cause.startswith("silent for")


async def test_what_instances_count_is_in_status_and_metrics(guardian: Guardian) -> None:
    for _ in range(3):
        assert (await guardian.dispatch.ask("what is 6*7")).ok
    row = next(row for row in guardian.instance_rows() if row["role"] == "main")
    assert 0 < row["p50_ms"] <= row["p99_ms"] < PATIENCE_S * 1_000
    assert 0 <= row["heartbeat_age_ms"] < PATIENCE_S * 1_000
    text = guardian.metrics.read(guardian.telemetry()).prometheus()
    assert f'o_instance_requests{{instance="{row["name"]}",role="main"}} {row["requests"]}' in text
    assert f'o_instance_p99_ms{{instance="{row["name"]}",role="main"}} {row["p99_ms"]:g}' in text


async def test_a_guardian_that_another_one_has_fenced_ends_and_says_so(workspace: Paths) -> None:
    with pytest.raises(FencedError, match="no longer the newest"):
        async with running(workspace) as guardian:
            # its folder was removed, and its lock with it: somebody else could become guardian
            with sqlite3.connect(workspace.database) as other:
                other.execute("UPDATE epoch SET epoch = epoch + 1 WHERE id = 1")
            ticket = await guardian.dispatch.ask("remember the gate is green")
            assert not ticket.ok and "no longer the newest" in ticket.error
            async with asyncio.timeout(PATIENCE_S):
                await guardian.stopping.wait()


@pytest.mark.parametrize("how", ["moved", "removed"])
async def test_a_guardian_whose_workspace_goes_away_ends_and_says_so(workspace: Paths, how: str) -> None:
    with pytest.raises(RefusedError, match="was moved or removed"):
        async with running(workspace) as guardian:
            if how == "moved":
                workspace.data.rename(workspace.data.with_name("elsewhere"))
            else:
                shutil.rmtree(workspace.data)
            async with asyncio.timeout(PATIENCE_S):
                await guardian.stopping.wait()


async def test_settings_that_are_changed_at_once_are_all_kept(workspace: Paths) -> None:
    async with running(workspace) as guardian:
        client = await Link.connect(workspace)
        values = {"vault.keep": 33, "vault.operations": 4_444, "health.death_s": 7.0, "evolution.intents_per_day": 1}
        await asyncio.gather(*(client.call("config.set", key=key, value=value) for key, value in values.items()))
        kept = config.load(workspace.config_file)
        assert guardian.config == kept
        assert (kept.vault.keep, kept.vault.operations, kept.health.death_s) == (33, 4_444, 7.0)
        assert kept.evolution.intents_per_day == 1
        await client.close()


@pytest.mark.parametrize("method", ["requests.list", "events.list", "checkpoint.list", "violations.list"])
async def test_a_list_has_an_end_whatever_is_asked_for(guardian: Guardian, workspace: Paths, method: str) -> None:
    client = await Link.connect(workspace)
    for count in (-1, "many", None):
        with pytest.raises(UsageError, match="number of rows"):
            await client.call(method, limit=count)
    assert isinstance(await client.call(method, limit=10**12), list)
    await client.close()
