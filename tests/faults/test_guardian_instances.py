"""Instances that send what no instance sends, and genes that raise, hang, leave or crash their process."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import sys
import tracemalloc
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import msgpack
import pytest

from o_tui import _native
from o_tui.config import Config, HealthConfig
from o_tui.guardian.core import Guardian
from o_tui.guardian.fleet.instances import GenomeError, Instance
from o_tui.guardian.fleet.nursery import Fork
from o_tui.guardian.fleet.processes import spawn
from o_tui.paths import Paths
from o_tui.protocol import frames, messages, operations
from o_tui.protocol.safe_text import Untrusted
from tests.support.guardians import running, until
from tests.support.patience import PATIENCE_S

UNRULY = Path(__file__).parent.parent / "data" / "genomes" / "unruly"
MEMORY_LIMIT_BYTES = 8 * 2**20
HASTY = Config(health=HealthConfig(heartbeat_s=0.1, death_s=2.0, max_restarts=1_000))


@pytest.fixture
async def guardian(workspace: Paths) -> AsyncIterator[Guardian]:
    async with running(workspace, HASTY, seed=UNRULY) as started:
        yield started


async def rows(guardian: Guardian, **words: str) -> list[str]:
    await guardian.replication.append(
        *operations.pack(operations.Skip(digest="", reason="a commit: events are durable"))
    )
    return [row["text"] for row in await guardian.stores.events.page(0, 200, **words)]


@contextlib.asynccontextmanager
async def impostor(guardian: Guardian) -> AsyncIterator[tuple[Instance, socket.socket]]:
    """A process that does nothing, known to the guardian as an instance; the test speaks for it."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    watch = spawn(
        [sys.executable, "-c", "import time; time.sleep(600)"], environment={}, keep=(), log=Path("/dev/null")
    )
    counters = _native.SharedReader(shared := _native.SharedCounters().detach_fd())
    os.close(shared)
    fork = Fork("impostor-1", ours, watch, guardian.stores.wal.seq, counters)
    instance = await guardian.fleet.adopt(fork, "standby")
    theirs.setblocking(False)
    try:
        yield instance, theirs
    finally:
        instance.kill("the test is over")
        await instance.exited
        theirs.close()


@contextlib.contextmanager
def memory_watched() -> Iterator[None]:
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    yield
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak - before < MEMORY_LIMIT_BYTES, f"{peak - before} bytes were allocated"


def framed(payload: bytes) -> bytes:
    return len(payload).to_bytes(4, "big") + payload


def packed(kind: object, data: object, **more: object) -> bytes:
    return framed(msgpack.packb({"type": kind, "timestamp": 1, "data": data, "metadata": {}, **more}))


GARBAGE = {
    "noise": b"\x00\x00\x01\x00" + bytes(range(256)),
    "a header of 4 GiB": b"\xff\xff\xff\xff" + bytes(1000),
    "a frame of 300 KB": framed(bytes(300 * 1024)),
    "nested arrays": framed(b"\x91" * 100_000 + b"\xc0"),
    "nested arrays as data": framed(
        b"\x84\xa4type\xa4done\xa9timestamp\x01\xa8metadata\x80\xa4data" + b"\x91" * 100_000 + b"\xc0"
    ),
    "nothing": framed(b""),
    "no map": framed(msgpack.packb([1, 2, 3])),
    "wrong types": packed("done", {"ok": "yes", "text": 7}),
    "a missing field": packed("done", {}),
    "an unknown type": packed("eval", {"code": "print()"}),
    "a type that is no text": packed(b"\xff\xfe", {}),
    "an extension type": packed("done", msgpack.ExtType(1, b"x" * 1000)),
    "a string that announces more than there is": framed(b"\xdb\xff\xff\xff\xff"),
    "what only a guardian sends": packed("committed", {"entries": [b"x"], "digest": b""}),
    "what only a view sends": packed("call", {"id": 1, "method": "stop"}),
}


@pytest.mark.parametrize("what", GARBAGE)
async def test_who_sends_garbage_is_killed_and_named(guardian: Guardian, what: str) -> None:
    main = guardian.fleet.main
    async with impostor(guardian) as (instance, peer):
        loop = asyncio.get_running_loop()
        with memory_watched():
            with contextlib.suppress(ConnectionError):  # it is cut off before everything is sent
                await loop.sock_sendall(peer, GARBAGE[what])
            await asyncio.wait_for(instance.exited, PATIENCE_S)
        assert instance.offence
        assert not instance.alive
    assert (await guardian.dispatch.ask("hello")).answer == "hello"
    assert guardian.fleet.main is main
    told = await rows(guardian, kind="offence")
    assert len(told) == 1 and "impostor-1" in told[0] and "\n" not in told[0], told


async def test_a_flood_of_good_frames_does_not_pile_up(guardian: Guardian) -> None:
    async with impostor(guardian) as (instance, peer):
        flood = packed("heartbeat", {"seq": 1}) * 2_000
        with memory_watched():
            for _ in range(40):
                await asyncio.get_running_loop().sock_sendall(peer, flood)
        assert instance.alive
    assert (await guardian.dispatch.ask("hello")).answer == "hello"


PROPOSALS = {
    "an operation of the guardian's own": ("state_restore", operations.pack(operations.Skip(digest="", reason=""))[1]),
    "an unknown operation": ("run_code", b""),
    "nested data": ("memory_add", b"\x91" * 100_000 + b"\xc0"),
    "garbage as data": ("memory_add", b"\xc1\xff"),
    "too much": ("memory_add", bytes(200 * 1024)),
}


@pytest.mark.parametrize("what", PROPOSALS)
async def test_a_bad_proposal_is_refused_and_leaves_no_trace(guardian: Guardian, what: str) -> None:
    name, data = PROPOSALS[what]
    seq = guardian.stores.wal.seq
    async with impostor(guardian) as (instance, peer):
        main = guardian.fleet.main
        assert main is not None
        guardian.dispatch.serve(instance)
        proposal = messages.OperationProposal(position=0, operation=name, data=data)
        reader = frames.FrameReader()
        loop = asyncio.get_running_loop()
        await loop.sock_sendall(peer, frames.encode(proposal, frames.Metadata(request_id="~test")))
        answers: list[frames.Frame] = []
        async with asyncio.timeout(PATIENCE_S):
            while not answers:
                answers = [frames.decode(payload) for payload in reader.feed(await loop.sock_recv(peer, 65536))]
        assert isinstance(answers[0].data, messages.Refused) and answers[0].data.error
        guardian.dispatch.serve(main)
        assert instance.alive, "a refusal is an answer"
    assert guardian.stores.wal.seq == seq
    assert (await guardian.dispatch.ask("hello")).answer == "hello"


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("raise", "ValueError: on purpose"),
        ("leave", "SystemExit"),
        ("recurse", "RecursionError"),
        ("yield", "not a step"),
        ("endless", "steps"),
    ],
)
async def test_a_gene_that_fails_ends_its_request_and_nothing_else(guardian: Guardian, text: str, error: str) -> None:
    main = guardian.fleet.main
    ticket = await guardian.dispatch.ask(text)
    assert not ticket.ok and error in ticket.error and ticket.state == "failed", ticket.error
    assert (await guardian.dispatch.ask("hello")).answer == "hello"
    assert guardian.fleet.main is main and ticket.attempts == 1


async def test_a_gene_that_hangs_twice_is_quarantined_and_the_others_are_answered(guardian: Guardian) -> None:
    before = [asyncio.create_task(guardian.dispatch.ask(f"remember a{number}")) for number in range(3)]
    bad = asyncio.create_task(guardian.dispatch.ask("hang"))
    after = [asyncio.create_task(guardian.dispatch.ask(f"remember b{number}")) for number in range(5)]
    async with asyncio.timeout(PATIENCE_S):
        good = await asyncio.gather(*before, *after)
        ticket = await bad
    assert all(other.ok for other in good), [other.error for other in good]
    assert (ticket.state, ticket.ok) == ("quarantined", False)
    assert "quarantined" in ticket.error and ticket.crashes >= 2
    blocks = (await guardian.dispatch.ask('{"limit": 100}', "memory.list", journalled=False)).answer
    for name in [f"a{number}" for number in range(3)] + [f"b{number}" for number in range(5)]:
        assert blocks.count(f'"remember {name}"') == 1, (name, blocks)
    told = await rows(guardian, kind="quarantine")
    assert len(told) == 1 and ticket.request_id[:8] in told[0]
    assert (await guardian.stores.journal.get(ticket.request_id))["state"] == "quarantined"


async def test_a_request_alone_with_two_deaths_is_quarantined_after_exactly_two(guardian: Guardian) -> None:
    async with asyncio.timeout(PATIENCE_S):
        asked = asyncio.create_task(guardian.dispatch.ask("hang"))
        victims: list[Instance] = []
        for _ in range(2):

            def holder() -> Instance | None:
                return next(
                    (t.instance for t in guardian.dispatch.tickets() if t.instance not in (None, *victims)), None
                )

            await until(lambda: holder() is not None)
            victim = holder()
            assert victim is not None
            victims.append(victim)
            victim.signal(signal.SIGSEGV)
            await victim.exited
        ticket = await asked
    assert ticket.state == "quarantined" and ticket.deaths == 2
    assert (await guardian.dispatch.ask("hello")).answer == "hello"
    assert any("SIGSEGV" in text for text in await rows(guardian, kind="died"))


@pytest.mark.parametrize("late", ["each", "both at once"])
async def test_a_cause_that_is_told_late_counts_and_no_third_instance_is_given_the_request(
    workspace: Paths, late: str
) -> None:
    async with running(workspace, seed=UNRULY) as guardian, asyncio.timeout(PATIENCE_S):
        fleet = guardian.fleet
        asked = asyncio.create_task(guardian.dispatch.ask("hang"))
        victims: list[Instance] = []
        for _ in range(2):
            await until(lambda: any(t.instance not in (None, *victims) for t in guardian.dispatch.tickets()))
            (victim,) = [t.instance for t in guardian.dispatch.tickets() if t.instance is not None]
            if not victims or late == "each":
                await until(lambda: fleet.standby is not None and fleet.standby.state == "running")
            assert fleet.nursery is not None
            fleet.nursery.watch.signal(signal.SIGSTOP)  # as on a machine that is so busy
            victims.append(victim)
            victim.signal(signal.SIGSEGV)
            if late == "each" or len(victims) == 2:
                await asyncio.wait([asked], timeout=1.0)
                fleet.nursery.watch.signal(signal.SIGCONT)
        ticket = await asked
    assert (ticket.state, ticket.deaths, ticket.crashes) == ("quarantined", 2, 2)


async def test_a_kill_by_somebody_else_is_no_fault_of_the_request(guardian: Guardian) -> None:
    async with asyncio.timeout(PATIENCE_S):
        for _ in range(4):
            main = guardian.fleet.main
            assert main is not None
            main.signal(signal.SIGSTOP)
            asked = asyncio.create_task(guardian.dispatch.ask("remember x"))
            await until(lambda: any(t.instance is guardian.fleet.main for t in guardian.dispatch.tickets()))
            os.kill(main.pid, signal.SIGKILL)
            ticket = await asked
            assert ticket.ok and ticket.crashes == 0


async def test_an_entry_that_no_replica_can_apply_is_skipped_and_named(guardian: Guardian) -> None:
    assert (await guardian.dispatch.ask("remember before")).ok
    await until(lambda: guardian.fleet.standby is not None and guardian.fleet.standby.state == "running")
    await guardian.replication.append("memory_add", b"\xc1")
    poison = guardian.stores.wal.seq
    async with asyncio.timeout(PATIENCE_S):
        ticket = await guardian.dispatch.ask("remember after")
        assert ticket.ok, ticket.error
        await until(lambda: guardian.fleet.standby is not None and guardian.fleet.standby.state == "running")
    blocks = (await guardian.dispatch.ask('{"limit": 100}', "memory.list", journalled=False)).answer
    assert "remember before" in blocks and "remember after" in blocks
    told = await rows(guardian, kind="quarantine")
    assert len(told) == 1 and f"entry {poison} " in told[0], told
    main = guardian.fleet.main
    assert main is not None
    os.kill(main.pid, signal.SIGKILL)
    assert "remember after" in (await guardian.dispatch.ask('{"limit": 9}', "memory.list", journalled=False)).answer
    assert (await guardian.checkpoints.take("it can be taken"))["seq"] > poison


async def test_what_instances_say_alone_makes_no_entry_be_skipped(guardian: Guardian) -> None:
    assert (await guardian.dispatch.ask("remember before")).ok
    seq = guardian.stores.wal.seq
    claim = messages.Failed(what="reduce", seq=seq, text=f"entry {seq} cannot be applied: so I say")
    for instance in (guardian.fleet.main, guardian.fleet.standby, guardian.fleet.main):
        if instance is not None:
            guardian.listening.failed(instance.name, claim)
    await guardian.checkpoints.take("what was spawned has run, and events are durable")
    assert await rows(guardian, kind="quarantine") == []
    main = guardian.fleet.main
    assert main is not None
    os.kill(main.pid, signal.SIGKILL)
    assert "remember before" in (await guardian.dispatch.ask('{"limit": 9}', "memory.list", journalled=False)).answer


async def test_an_instance_that_talks_without_end_fills_no_disk(guardian: Guardian) -> None:
    main = guardian.fleet.main
    assert main is not None
    for number in range(5_000):
        guardian.listening.log(main.name, messages.Log(level="info", text=Untrusted(f"line {number}")))
    await guardian.checkpoints.take("events are durable with the next commit")
    lines = await guardian.stores.events.page(0, 10_000, source=main.name, kind="log")
    assert 100 <= len(lines) <= 1_000
    assert len(await rows(guardian, kind="talk")) == 1


async def test_a_poisoned_log_is_survived_by_the_next_guardian(workspace: Paths) -> None:
    async with running(workspace, HASTY, seed=UNRULY) as guardian:
        assert (await guardian.dispatch.ask("remember before")).ok
        await guardian.replication.append("memory_add", b"\xc1")
        assert (await guardian.dispatch.ask("remember after")).ok
    async with asyncio.timeout(PATIENCE_S), running(workspace, HASTY) as guardian:
        blocks = (await guardian.dispatch.ask('{"limit": 100}', "memory.list", journalled=False)).answer
        assert "remember before" in blocks and "remember after" in blocks
        assert len(await rows(guardian, kind="quarantine")) >= 1


@pytest.mark.parametrize("role", ["shadow", "canary"])
async def test_a_nursery_that_ends_over_a_fork_is_no_fault_of_the_code(guardian: Guardian, role: str) -> None:
    genome, nursery = guardian.fleet.code, await guardian.fleet.wait_nursery()
    os.kill(nursery.watch.pid, signal.SIGSTOP)
    if role == "shadow":
        asked = asyncio.create_task(guardian.fleet.fork_shadow(genome, lambda _instance, _frame: None))
    else:
        asked = asyncio.create_task(guardian.fleet.start_canary(genome, "e1"))
    await until(lambda: bool(nursery._forks))
    os.kill(nursery.watch.pid, signal.SIGKILL)
    instance = await asyncio.wait_for(asked, PATIENCE_S)
    assert instance.alive and instance.state == "running"
    instance.kill("the test is over")


async def test_a_nursery_that_ends_over_a_checkpoint_ends_no_evolution(guardian: Guardian) -> None:
    nursery = await guardian.fleet.wait_nursery()
    os.kill(nursery.watch.pid, signal.SIGSTOP)
    asked = asyncio.create_task(guardian.checkpoints.take("before an evolution"))
    await until(lambda: bool(nursery._forks))
    os.kill(nursery.watch.pid, signal.SIGKILL)
    row = await asyncio.wait_for(asked, PATIENCE_S)
    assert (await guardian.stores.vault.verify(row["id"]))["usable"]
    assert not list(guardian.paths.checkpoints.glob(".*")), "what the first nursery was given is still there"


async def test_an_instance_that_ends_before_it_is_confined_is_not_called_unconfined(guardian: Guardian) -> None:
    async with impostor(guardian) as (instance, _theirs):
        waits = asyncio.create_task(instance.must_be_confined())
        await asyncio.sleep(0)
        os.kill(instance.pid, signal.SIGKILL)
        with pytest.raises(GenomeError, match="ended"):
            await waits
