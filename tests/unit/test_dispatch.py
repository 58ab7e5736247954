"""The life of a request among instances that are only played: the order of things, and what ends where."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, cast

import pytest

from o_tui.guardian import proposals
from o_tui.guardian.dispatch import CANCELLED, Dispatch
from o_tui.guardian.fleet.instances import Instance
from o_tui.guardian.fleet.replication import Replication
from o_tui.guardian.storage.database import Database
from o_tui.guardian.storage.journal import Journal
from o_tui.guardian.storage.wal import Wal
from o_tui.guardian.ticket import Ticket
from o_tui.paths import Paths
from o_tui.protocol import messages, operations
from tests.support.patience import PATIENCE_S
from tests.support.storage import opened


class Played:
    """An instance that remembers what it was sent."""

    def __init__(self, name: str) -> None:
        self.name, self.role, self.alive, self.requests, self.unwritten_bytes = name, "main", True, 0, 0
        self.sent: list[tuple[messages.Message, str]] = []

    def send(self, message: messages.Message, request_id: str = "") -> None:
        self.sent.append((message, request_id))

    @property
    def asked(self) -> list[str]:
        return [message.text for message, _id in self.sent if isinstance(message, messages.ProcessRequest)]


class Desk:
    """A dispatch over a real journal."""

    def __init__(self, database: Database) -> None:
        self.wal = Wal(database)
        self.journal = Journal(database, self.wal)
        self.broken: set[str] = set()
        self.dispatch = Dispatch(
            self.journal,
            self.wal,
            Replication(self.wal, {}),
            on_event=lambda ticket, kind, data: None,
            on_change=self.changed,
            on_effect=lambda ticket, instance, asked: None,
            on_quarantine=lambda ticket: None,
            brain=lambda: "",
            embedder=lambda: "",
        )

    def changed(self, topic: str, ticket: Ticket) -> None:
        if topic in self.broken:
            raise RuntimeError("an onlooker has a defect")

    def serve(self, name: str) -> tuple[Played, Instance]:
        played = Played(name)
        self.dispatch.serve(cast(Instance, played))
        return played, cast(Instance, played)

    def done(self, instance: Instance, ticket: Ticket, text: str = "yes") -> None:
        self.dispatch.done(instance, ticket.request_id, messages.Done(ok=True, text=text))

    async def given(self, played: Played, text: str) -> Ticket:
        """Waits until it has the request."""
        async with asyncio.timeout(PATIENCE_S):
            while text not in played.asked:
                await asyncio.sleep(0)
        return next(ticket for ticket in self.dispatch.tickets() if ticket.text == text)


@pytest.fixture
async def desk(workspace: Paths) -> AsyncIterator[Desk]:
    async with opened(workspace) as database:
        yield Desk(database)


def ask(desk: Desk, text: str, **options: Any) -> asyncio.Task[Ticket]:
    return asyncio.create_task(desk.dispatch.ask(text, **options))


async def suspected(desk: Desk, text: str) -> tuple[Ticket, asyncio.Task[Ticket], Instance]:
    """A request that has ended two instances among others runs alone now."""
    answer = ask(desk, text)
    beside = ask(desk, "beside")
    for name in ("main-1", "main-2"):
        played, main = desk.serve(name)
        ticket = await desk.given(played, text)
        await desk.given(played, "beside")
        desk.dispatch.lost(main)
        desk.dispatch.judge(main, crashed=True)
    other = next(each for each in desk.dispatch.tickets() if each.text == "beside")
    desk.dispatch.cancel(other.request_id)
    await beside
    played, main = desk.serve("main-3")
    await desk.given(played, text)
    return ticket, answer, main


async def test_a_suspect_that_is_taken_back_from_its_instance_holds_nobody_up(desk: Desk) -> None:
    ticket, answer, main = await suspected(desk, "who is it?")
    after = ask(desk, "and then?")
    # a state is restored meanwhile: what runs is taken back, and its instance replaced
    desk.dispatch.hold()
    desk.dispatch.take_back()
    desk.dispatch.lost(main)
    played, main = desk.serve("main-4")
    desk.dispatch.release()
    assert await desk.given(played, "who is it?") is ticket
    assert played.asked == ["who is it?"], "it is alone still"
    desk.done(main, ticket)
    assert (await answer).ok
    desk.done(main, await desk.given(played, "and then?"))
    assert (await after).ok


async def test_a_hold_is_over_when_all_who_hold_have_released(desk: Desk) -> None:
    played, _main = desk.serve("main-1")
    desk.dispatch.hold()
    desk.dispatch.hold()
    desk.dispatch.release()
    asked = ask(desk, "now?", journalled=False)
    await asyncio.sleep(0)
    assert played.asked == []
    desk.dispatch.release()
    assert played.asked == ["now?"]
    asked.cancel()


async def test_who_waits_until_nothing_runs_hears_of_a_death_too(desk: Desk) -> None:
    played, main = desk.serve("main-1")
    asked = ask(desk, "long", journalled=False)
    await desk.given(played, "long")
    drained = asyncio.create_task(desk.dispatch.drain(60.0))
    await asyncio.sleep(0)
    desk.dispatch.lost(main)
    async with asyncio.timeout(PATIENCE_S):
        assert await drained
    asked.cancel()


async def test_what_was_cancelled_is_not_sent_to_the_next_instance(desk: Desk) -> None:
    played, main = desk.serve("main-1")
    asked = ask(desk, "never mind")
    ticket = await desk.given(played, "never mind")
    assert desk.dispatch.cancel(ticket.request_id)
    desk.dispatch.lost(main)
    played, _main = desk.serve("main-2")
    ended = await asked
    assert (ended.ok, ended.error, played.asked) == (False, CANCELLED, [])


async def test_a_request_that_is_cancelled_before_it_is_durable_never_comes_back(workspace: Paths) -> None:
    async with opened(workspace) as database:
        desk = Desk(database)
        desk.serve("main-1")
        answered: asyncio.Future[Ticket] = asyncio.get_running_loop().create_future()
        ticket = desk.dispatch.submit("stop", answered=answered.set_result)
        assert desk.dispatch.cancel(ticket.request_id)
        ended = await answered
        assert (ended.state, ended.error) == ("failed", CANCELLED)
        assert (await desk.journal.get(ticket.request_id))["state"] == "failed"
    async with opened(workspace) as database:
        assert await Desk(database).journal.load() == []


async def test_an_answer_that_is_durable_is_given_whatever_its_onlookers_do(desk: Desk) -> None:
    desk.broken.add("chat.done")
    asyncio.get_running_loop().set_exception_handler(lambda _loop, _context: None)
    played, main = desk.serve("main-1")
    asked = ask(desk, "still?")
    desk.done(main, await desk.given(played, "still?"))
    async with asyncio.timeout(PATIENCE_S):
        assert (await asked).answer == "yes"


async def test_views_are_told_that_a_request_runs(desk: Desk) -> None:
    played, _main = desk.serve("main-1")
    asked = ask(desk, "hello")
    await desk.given(played, "hello")
    assert [row["state"] for row in await desk.journal.page()] == ["running"]
    asked.cancel()


async def test_an_empty_list_of_operations_is_nothing(desk: Desk) -> None:
    played, main = desk.serve("main-1")
    asked = ask(desk, "hello", journalled=False)
    ticket = await desk.given(played, "hello")
    before = len(played.sent)
    desk.dispatch.propose(main, ticket.request_id, [])
    assert len(played.sent) == before
    asked.cancel()


async def test_what_an_instance_may_have_waiting_for_the_disk_has_an_end(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(proposals, "WAITING_BYTES", 1_000)
    played, main = desk.serve("main-1")
    asked = ask(desk, "remember")
    ticket = await desk.given(played, "remember")
    data = operations.pack(operations.Skip(digest="", reason="x" * 300))[1]
    monkeypatch.setattr(operations, "GUARDIAN_ONLY", frozenset())
    for position in range(4):
        item = messages.OperationProposal(position=position, operation="skip", data=data)
        desk.dispatch.propose(main, ticket.request_id, [item])
    (refused,) = (message for message, _id in played.sent if isinstance(message, messages.Refused))
    assert refused.position == 3 and "wait for the disk" in refused.error
    async with asyncio.timeout(PATIENCE_S):
        while desk.wal.seq < 3 or played.unwritten_bytes:
            await asyncio.sleep(0)
    asked.cancel()
