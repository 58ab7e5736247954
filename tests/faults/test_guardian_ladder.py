"""A genome that cannot live: the revision before, then the kernel alone, then an end with a reason."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import time
from pathlib import Path

import pytest

from o_tui.config import Config, HealthConfig
from o_tui.evolution.genome import Genome as Repository
from o_tui.guardian.core import Guardian
from o_tui.guardian.fleet.fleet import NURSERY_WAIT_S
from o_tui.guardian.fleet.nursery import Nursery
from o_tui.guardian.main import previous_code
from o_tui.paths import Paths
from o_tui.protocol import operations
from o_tui.protocol.errors import CorruptError, PeerError
from tests.support.guardian_process import Link, Process, settle
from tests.support.guardians import ECHO, running, until
from tests.support.patience import PATIENCE_S

STRICT = Config(health=HealthConfig(max_restarts=3, max_seconds=60.0))
BROKEN = 'raise RuntimeError("this genome cannot live")\n'


@pytest.fixture
def broken(folder: Path) -> Path:
    seed = folder / "seed"
    shutil.copytree(ECHO, seed)
    (seed / "recall.py").write_text(BROKEN)
    return seed


def deploy(paths: Paths, gene: str, source: str) -> str:
    """A change that went through although it should not have; returns the revision before."""
    repository = Repository.open(paths.genome, ECHO)
    base = repository.head()
    now = time.time_ns()
    candidate = repository.candidate(gene, source, base, "e1", "a bad idea", now)
    repository.promote(candidate, base=base, evolution="e1", gene=gene, title="A bad idea", lines=(), time_ns=now)
    return base


async def ladder_rows(guardian: Guardian) -> list[str]:
    # events are durable with the next commit
    await guardian.replication.append(*operations.pack(operations.Skip(digest="", reason="a commit")))
    return [row["kind"] for row in reversed(await guardian.stores.events.page(0, 200, source="ladder"))]


async def crash(guardian: Guardian) -> None:
    """Both instances end by their own fault."""
    await until(lambda: guardian.fleet.main is not None or guardian.stopping.is_set())
    for instance in (guardian.fleet.standby, guardian.fleet.main):
        if instance is not None:
            instance.signal(signal.SIGSEGV)
            await instance.exited


async def test_without_a_revision_before_it_runs_in_safe_mode(workspace: Paths, broken: Path) -> None:
    async with running(workspace, STRICT, seed=broken) as guardian:
        assert guardian.ladder.rung == "safe"
        assert await ladder_rows(guardian) == ["safe"]
        added = await guardian.dispatch.ask('{"text": "kept in safe mode"}', "memory.add")
        assert added.ok, added.error
        refused = await guardian.dispatch.ask("hello")
        assert not refused.ok and "safe mode" in refused.error
        failures = await guardian.stores.events.page(0, 200, kind="failed.genome")
        assert any("this genome cannot live" in row["text"] for row in failures)


async def test_a_deployed_genome_that_cannot_live_is_replaced_by_the_one_before(workspace: Paths) -> None:
    before = deploy(workspace, "recall", BROKEN)
    async with running(workspace, STRICT) as guardian:
        assert guardian.ladder.rung == "previous" and guardian.fleet.code.revision == before
        assert (await guardian.dispatch.ask("hello")).answer == "hello"
        assert await ladder_rows(guardian) == ["previous"]


async def test_it_goes_down_while_it_serves_and_loses_nothing(workspace: Paths) -> None:
    deploy(workspace, "recall", (ECHO / "recall.py").read_text() + "\n# harmless\n")
    with pytest.raises(PeerError, match="even without a genome"):
        async with running(workspace, STRICT) as guardian:
            assert (await guardian.dispatch.ask('{"text": "a memory"}', "memory.add")).ok
            assert guardian.ladder.rung == "newest"
            for rung in ("previous", "safe"):
                async with asyncio.timeout(PATIENCE_S):
                    while guardian.ladder.rung != rung:
                        await crash(guardian)
                    await until(lambda: guardian.fleet.main is not None and guardian.fleet.main.state == "running")
                kept = await guardian.dispatch.ask("{}", "memory.list")
                assert "a memory" in kept.answer
            assert await ladder_rows(guardian) == ["previous", "safe"]
            async with asyncio.timeout(PATIENCE_S):
                while not guardian.stopping.is_set():
                    await crash(guardian)


def test_a_revision_that_cannot_be_read_is_none(workspace: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    repository = Repository.open(workspace.genome, ECHO)
    assert previous_code(repository) is None, "there is nothing before the first"
    before = deploy(workspace, "recall", (ECHO / "recall.py").read_text() + "\n# harmless\n")
    found = previous_code(repository)
    assert found is not None and found.revision == before

    def damaged(_revision: str) -> dict[str, str]:
        raise CorruptError("the genome's repository is damaged")

    monkeypatch.setattr(repository, "files", damaged)
    assert previous_code(repository) is None


async def test_killing_by_hand_is_not_the_genomes_fault(workspace: Paths) -> None:
    async with running(workspace, STRICT, seed=ECHO) as guardian:
        revision = guardian.fleet.code.revision
        async with asyncio.timeout(PATIENCE_S):
            for number in range(12):
                main = guardian.fleet.main
                if main is not None:
                    main.signal(signal.SIGKILL)
                assert (await guardian.dispatch.ask(f"hello {number}")).ok
        assert guardian.ladder.rung == "newest" and guardian.fleet.code.revision == revision
        assert set(await ladder_rows(guardian)) == {"again"}


async def test_a_nursery_that_keeps_ending_does_not_end_main(workspace: Paths) -> None:
    async with running(workspace, STRICT, seed=ECHO) as guardian:
        main = guardian.fleet.main
        for _ in range(5):
            await until(lambda: guardian.fleet.nursery is not None)
            nursery = guardian.fleet.nursery
            assert nursery is not None
            nursery.watch.kill()
            await nursery.watch.exited
        assert (await guardian.dispatch.ask("hello")).ok
        assert guardian.fleet.main is main
        assert "again" in await ladder_rows(guardian)
        await until(lambda: guardian.fleet.nursery is not None)


async def test_agents_that_cannot_be_forked_for_a_while_come_back(
    workspace: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def no_memory(*_: object, **__: object) -> None:
        raise PeerError("the nursery did not fork: Cannot allocate memory")

    async with running(workspace, STRICT, seed=ECHO) as guardian:
        assert (await guardian.dispatch.ask('{"text": "a memory"}', "memory.add")).ok
        moves: list[str] = []
        monkeypatch.setattr(guardian.ladder, "_tell", lambda group, move: moves.append(group))
        with monkeypatch.context() as patch:
            patch.setattr(Nursery, "fork", no_memory)
            for instance in (guardian.fleet.standby, guardian.fleet.main):
                if instance is not None:
                    instance.signal(signal.SIGKILL)
            await until(lambda: moves == ["agents", "agents"])
        async with asyncio.timeout(PATIENCE_S):
            assert "a memory" in (await guardian.dispatch.ask("{}", "memory.list")).answer
        assert guardian.ladder.rung == "newest"


async def test_nursery_and_agents_that_give_up_together_do_not_wait_for_each_other(workspace: Paths) -> None:
    async with running(workspace, STRICT, seed=ECHO) as guardian:
        assert (await guardian.dispatch.ask('{"text": "a memory"}', "memory.add")).ok
        fell: set[str] = set()
        tell = guardian.ladder._tell
        guardian.ladder._tell = lambda group, move: (fell.add(group), tell(group, move))[1]
        async with asyncio.timeout(PATIENCE_S):
            while not {"forks", "agents"} <= fell:
                fleet = guardian.fleet
                if fleet.nursery is not None:
                    fleet.nursery.watch.kill()
                for instance in (fleet.standby, fleet.main):
                    if instance is not None:
                        instance.signal(signal.SIGKILL)
                await asyncio.sleep(0.01)
        async with asyncio.timeout(NURSERY_WAIT_S / 2):
            assert "a memory" in (await guardian.dispatch.ask("{}", "memory.list")).answer


async def test_without_any_agent_it_does_not_start_and_says_why(
    workspace: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("o_tui.guardian.fleet.nursery.ENVIRONMENT", {"PATH": "/usr/bin", "PYTHONHOME": "/nonexistent"})
    monkeypatch.setattr("o_tui.guardian.fleet.nursery.sys.executable", "/bin/false")
    with pytest.raises(PeerError, match="could not be started"):
        async with asyncio.timeout(PATIENCE_S), running(workspace, STRICT, seed=ECHO):
            pytest.fail("it runs without an agent")


async def test_the_process_ends_with_one_line_when_nothing_is_left_to_try(workspace: Paths, broken: Path) -> None:
    settle(workspace, "[health]\nmax_restarts = 2\n")
    Repository.open(workspace.genome, broken)
    process = Process(workspace)
    try:
        assert (await process.start())["ok"]
        link = await Link.connect(workspace)
        async with asyncio.timeout(PATIENCE_S):
            with pytest.raises(ConnectionError):
                while True:
                    for row in (await link.call("status"))["instances"]:
                        _segv(row["pid"])
                    await asyncio.sleep(0.01)
        status, text = await process.ended()
        assert status == 69 and "cannot be kept alive" in text and "Traceback" not in text
        assert len(text.strip().splitlines()) == 2, text
    finally:
        process.close()


def _segv(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGSEGV)
