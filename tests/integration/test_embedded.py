"""One contract for both placements: the guardian as a process of its own, and inside another program's process."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections.abc import AsyncIterator
from typing import Any

import pytest

from o_tui import client, config
from o_tui.guardian.embedded import Embedded
from o_tui.paths import Paths
from o_tui.protocol.errors import BusyError, NotFoundError, UnreachableError, UsageError
from tests.support.guardian_process import Link, Process, exists, pids
from tests.support.patience import PATIENCE_S

PLACEMENTS = ("process", "embedded")


class Placed:
    """A guardian in one of the two placements."""

    def __init__(self, placement: str, paths: Paths) -> None:
        self.placement = placement
        self.paths = paths
        self._embedded: Embedded | None = None
        self._process = Process(paths)

    async def start(self) -> None:
        if self.placement == "embedded":
            self._embedded = Embedded(self.paths, config.load(self.paths.config_file))
            await asyncio.to_thread(self._embedded.start)
        else:
            said = await self._process.start()
            if not said["ok"]:
                raise client.as_error(said["code"], said["error"], said["hint"])

    async def stop(self) -> None:
        if self._embedded is not None:
            embedded, self._embedded = self._embedded, None
            await asyncio.to_thread(embedded.stop)
        elif self._process.process is not None and self._process.process.poll() is None:
            assert await self._process.stop() == 0
        self._process.close()


@pytest.fixture(params=PLACEMENTS)
async def placed(request: pytest.FixtureRequest, workspace: Paths) -> AsyncIterator[Placed]:
    guardian = Placed(request.param, workspace)
    await guardian.start()
    try:
        yield guardian
    finally:
        await guardian.stop()


@pytest.fixture
async def link(placed: Placed) -> AsyncIterator[Link]:
    found = await Link.connect(placed.paths, follow=True)
    yield found
    await found.close()


async def test_it_says_where_it_is(placed: Placed, link: Link) -> None:
    welcome = link.welcome.result()
    status = await link.call("status")
    assert welcome.placement == status["guardian"]["placement"] == placed.placement
    assert (welcome.pid == os.getpid()) == (placed.placement == "embedded")
    assert status["guardian"]["pid"] == welcome.pid and status["guardian"]["epoch"] == welcome.epoch == 1


async def test_it_answers_remembers_and_tells_its_followers(placed: Placed, link: Link) -> None:
    assert (await link.call("say", text="remember the kettle is copper"))["ok"]
    answer = await link.call("say", text="what is the kettle made of?")
    assert answer["ok"] and "copper" in answer["text"]
    found = await link.call("memory.search", text="kettle")
    assert "copper" in str(found)
    topics = [notice.topic for notice in link.notices]
    assert topics.count("chat.done") == 2 and "chat.request" in topics and "chat.event" in topics
    sequence = [notice.seq for notice in link.notices]
    assert sequence == sorted(sequence) and len(set(sequence)) == len(sequence)


@pytest.mark.parametrize("role", ["main", "standby", "nursery", "broker"])
async def test_whoever_is_killed_it_goes_on(placed: Placed, link: Link, role: str) -> None:
    await link.call("memory.add", text="the gate is green")
    async with asyncio.timeout(PATIENCE_S):
        while role not in (before := pids(await link.call("tree"))):
            await asyncio.sleep(0.01)
        os.kill(before[role], signal.SIGKILL)
        assert "green" in (await link.call("say", text="what colour is the gate?"))["text"]
        while pids(await link.call("tree")).get(role, before[role]) == before[role]:
            await asyncio.sleep(0.01)
    assert (await link.call("wal.verify"))["ok"]


async def test_errors_have_their_codes(placed: Placed, link: Link) -> None:
    with pytest.raises(NotFoundError):
        await link.call("checkpoint.show", id="00000000-0000-0000-0000-000000000000")
    with pytest.raises(UsageError):
        await link.call("say", text=" ")
    with pytest.raises(UsageError, match="statsu") as unknown:
        await link.call("statsu")
    assert "status" in unknown.value.hint


async def test_a_checkpoint_is_taken_and_restored(placed: Placed, link: Link) -> None:
    await link.call("memory.add", text="the gate is green")
    row = await link.call("checkpoint.create", reason="test")
    await link.call("memory.add", text="the door is red")
    await link.call("checkpoint.restore", id=row["id"])
    kept = str(await link.call("memory.list"))
    assert "green" in kept and "red" not in kept
    assert (await link.call("checkpoint.verify"))["ok"]


async def test_nothing_accepted_is_lost_over_a_restart_in_either_placement(placed: Placed, link: Link) -> None:
    await link.call("memory.add", text="the gate is green")
    await link.close()
    await placed.stop()
    other = Placed(next(name for name in PLACEMENTS if name != placed.placement), placed.paths)
    await other.start()
    try:
        again = await Link.connect(placed.paths)
        assert again.welcome.result().epoch == 2
        assert "green" in str(await again.call("memory.list"))
        await again.close()
    finally:
        await other.stop()


@pytest.mark.parametrize("second", PLACEMENTS)
async def test_a_second_one_is_refused_by_name(placed: Placed, link: Link, second: str) -> None:
    with pytest.raises(BusyError, match=f"pid {link.welcome.result().pid}"):
        await Placed(second, placed.paths).start()
    assert (await link.call("say", text="what is 6*7"))["ok"], "the first one suffers from it"
    assert pids(await link.call("tree"))


async def test_its_end_leaves_nobody_behind(placed: Placed, link: Link) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while len(who := pids(await link.call("tree"))) < 4:
            await asyncio.sleep(0.01)
    stopped = await link.call("stop")
    assert stopped["stopped"]
    await asyncio.wait_for(link.channel.wait_closed(), PATIENCE_S)
    await placed.stop()
    assert not [name for name, pid in who.items() if exists(pid)]
    assert not placed.paths.socket.exists()
    assert not [thread for thread in threading.enumerate() if thread.name in ("guardian", "storage")]
    with pytest.raises(UnreachableError):
        client.connect(placed.paths)


async def test_the_blocking_client_talks_to_it(placed: Placed) -> None:
    def talk() -> Any:
        with client.connect(placed.paths, follow=True) as peer:
            assert peer.snapshot is not None
            answers = peer.stream("say", text="what is 6*7")
            topics = [notice.topic for notice in answers]
            return answers.value, topics, peer.welcome.placement

    answer, topics, placement = await asyncio.to_thread(talk)
    assert "42" in answer["text"] and "chat.event" in topics and placement == placed.placement


async def test_an_embedded_one_that_cannot_start_tells_its_starter(workspace: Paths) -> None:
    workspace.socket.write_text("in the way")
    embedded = Embedded(workspace, config.Config())
    with pytest.raises(Exception, match="in the way"):
        await asyncio.to_thread(embedded.start)
    await asyncio.to_thread(embedded.stop)
    await asyncio.to_thread(embedded.stop)
    assert not [thread for thread in threading.enumerate() if thread.name in ("guardian", "storage")]
    workspace.socket.unlink()
    again = Embedded(workspace, config.Config())
    await asyncio.to_thread(again.start)
    await asyncio.to_thread(again.stop)
