"""The life of a request in the guardian: journalled, sent, followed, sent again when an instance dies, answered.

A request is accepted once it is durable, and answered once its end is durable. Whatever dies in between, it is
delivered again under the same id; operations that are in the log already are not proposed again.
"""

from __future__ import annotations

import asyncio
import itertools
import secrets
import time
from collections.abc import Callable
from typing import Any

from o_tui.guardian.endings import Endings
from o_tui.guardian.evolving.traffic import takes
from o_tui.guardian.fleet.instances import Instance
from o_tui.guardian.fleet.replication import Replication
from o_tui.guardian.proposals import Proposals
from o_tui.guardian.request_queue import RequestQueue
from o_tui.guardian.storage.journal import Journal, Request
from o_tui.guardian.storage.wal import Wal
from o_tui.guardian.ticket import Ticket, kind_of, nobody
from o_tui.protocol import messages
from o_tui.protocol.errors import OError, RefusedError

QUEUE_LIMIT = 10_000
"""Requests that may wait; more are refused."""
CRASHES_LIMIT = 2
"""Deaths of an instance that a request may be the cause of, before it is quarantined."""
DEATHS_LIMIT = 20  # the same for deaths of any cause, somebody else's SIGKILL too
OWN_WORK = "~"
"""What an id begins with when main works for itself: it makes its tools known, consolidates memory."""
CANCELLED = "cancelled by the operator"


class Dispatch:
    """Gives requests to main and follows them to their end.

    Args:
        on_event: `(ticket, kind, data)` while a request runs.
        on_change: `(topic, ticket)`, topic `chat.request` or `chat.done`.
        on_effect: A broker request of a ticket's instance.
        on_quarantine: A request killed two instances.
    """

    def __init__(
        self,
        journal: Journal,
        wal: Wal,
        replication: Replication,
        *,
        on_event: Callable[[Ticket, str, dict[str, Any]], None],
        on_change: Callable[[str, Ticket], None],
        on_effect: Callable[[Ticket, Instance, messages.BrokerRequest], None],
        on_quarantine: Callable[[Ticket], None],
        brain: Callable[[], str],
        embedder: Callable[[], str],
    ) -> None:
        self._journal = journal
        self._proposals = Proposals(wal, replication, lambda ticket, error: self._end(ticket, False, "", error))
        self._on_event = on_event
        self._on_change = on_change
        self._on_effect = on_effect
        self._on_quarantine = on_quarantine
        self._brain = brain
        self._embedder = embedder
        # unique without asking the kernel for randomness each time: it would be the dearest part of a request
        self._prefix = secrets.token_hex(8)
        self._numbers = itertools.count(1)
        self._main: Instance | None = None
        self._canary: Instance | None = None
        self._share = 0.0
        self._diverted: dict[str, Ticket] = {}
        self._tickets: dict[str, Ticket] = {}
        self._waiting = RequestQueue()
        self._dying: dict[str, list[Ticket]] = {}
        self.endings = Endings(journal, lambda ticket: on_change("chat.done", ticket))
        self._holds = 0
        self._idle: asyncio.Event = asyncio.Event()
        self._idle.set()

    @property
    def in_flight(self) -> int:
        """Requests that are accepted and have not ended."""
        return len(self._tickets)

    def tickets(self) -> list[Ticket]:
        """The requests that have not ended."""
        return list(self._tickets.values())

    def submit(
        self,
        text: str,
        kind: str = "chat",
        session: str = "main",
        answered: Callable[[Ticket], None] | None = None,
        *,
        journalled: bool = True,
        pinned: bool = False,
    ) -> Ticket:
        """Accepts a request: journalled, then sent. `answered` is called once, when its end is durable.

        A request that only looks (`journalled` false) leaves no trace, and may not change the agent's state.

        Raises:
            RefusedError: Too many requests wait.
        """
        if len(self._tickets) >= QUEUE_LIMIT:
            raise RefusedError(f"{QUEUE_LIMIT} requests wait already", hint="try again when some have ended")
        request_id = f"{self._prefix}{next(self._numbers):06x}"
        ticket = Ticket(request_id, text, kind, session, time.time_ns(), answered or nobody, journalled)
        ticket.pinned = pinned
        self._tickets[ticket.request_id] = ticket
        if not journalled:
            ticket.kept = True
            self._waiting.add(ticket)
            self._pump()
            return ticket
        request = Request(request_id, text, kind, session, ticket.time_ns)
        self._journal.accept(request, lambda error: self._accepted(ticket, error))
        return ticket

    async def ask(
        self, text: str, kind: str = "chat", session: str = "main", *, journalled: bool = True, pinned: bool = False
    ) -> Ticket:
        """`submit`, and wait for the answer; `pinned`: the canary's, not main's."""
        future: asyncio.Future[Ticket] = asyncio.get_running_loop().create_future()

        def answered(ended: Ticket) -> None:
            if not future.done():
                future.set_result(ended)

        self.submit(text, kind, session, answered, journalled=journalled, pinned=pinned)
        return await future

    def resume(self, requests: list[Request]) -> None:
        """Takes up the requests that the last guardian left unfinished."""
        for request in requests:
            ticket = Ticket(
                request.request_id,
                request.text,
                request.kind,
                request.session,
                request.time_ns,
                nobody,
                attempts=request.attempts,
                proposed=request.committed,
                recovered=True,
                kept=True,
            )
            self._tickets[ticket.request_id] = ticket
            self._waiting.add(ticket)
        self._pump()

    def cancel(self, request_id: str) -> bool:
        """The answer is not wanted any more; False if there is no such request under way."""
        ticket = self._tickets.get(request_id)
        if ticket is None:
            return False
        ticket.cancelled = True
        if ticket.instance is not None:
            ticket.instance.send(messages.CancelRequest(), request_id)
        elif ticket.kept:
            self._end(ticket, False, "", CANCELLED)
        return True  # one that is not durable yet ends as soon as it is

    # --- main comes and goes

    def serve(self, main: Instance) -> None:
        """From now on requests go to this instance."""
        self._main = main
        self._pump()

    def divert(self, canary: Instance | None, share: float) -> None:
        """From now on this instance gets a share of the requests (0 to 1); what it has in hand it keeps."""
        self._canary, self._share = canary, share

    async def undiverted(self, timeout_s: float) -> bool:
        """Waits until the canary has nothing in hand; False if that took too long."""
        return await self._until(lambda: not self._diverted, timeout_s)

    def lost(self, instance: Instance) -> None:
        """An instance has died: what it had in hand goes to the next one.

        At once, where that is its first death; a request that has seen another instance die waits for `judge`, which
        comes when the cause is known.
        """
        if self._main is instance:
            self._main = None
        if self._canary is instance:
            self._canary = None
        mine = [ticket for ticket in self._tickets.values() if ticket.instance is instance]
        self._dying[instance.name] = mine
        for ticket in reversed(mine):
            self._diverted.pop(ticket.request_id, None)
            ticket.instance = None
            ticket.recovered = True
            ticket.deaths += 1
            self._waiting.over(ticket)
            if ticket.pinned:
                self._end(ticket, False, "", "the canary ended over it")
            elif ticket.deaths == 1:
                self._queue_again(ticket)
        self._idle.set()
        self._pump()  # a canary's are main's at once

    def judge(self, instance: Instance, *, crashed: bool) -> None:
        """Why an instance died is known: by itself (`crashed`), or by somebody else's hand. Harmless if said twice."""
        self._judge(instance.name, crashed)

    def judge_rest(self) -> None:
        """Nobody will say why: who is still to be judged did not die by itself, as far as is known."""
        for name in list(self._dying):
            self._judge(name, False)

    def _judge(self, name: str, crashed: bool) -> None:
        mine = self._dying.pop(name, [])
        for ticket in mine:
            ticket.crashes += crashed
            # who was there with others is suspected; who was there alone has done it
            ticket.proven = crashed and len(mine) == 1
            # it may have seen a further death while the cause of this one was on its way
            known = not any(ticket in dying for dying in self._dying.values())
            if known and ticket.deaths > 1 and ticket.instance is None and ticket not in self._waiting:
                self._again(ticket)
        self._pump()

    def hold(self) -> None:
        """Nothing more is sent until as many have called `release`; what is accepted waits."""
        self._holds += 1

    def release(self) -> None:
        """Ends a hold of one's own; others' go on."""
        self._holds -= 1
        self._pump()

    async def drain(self, timeout_s: float) -> bool:
        """Waits until nothing is at an instance; False if that took too long."""
        return await self._until(lambda: not self._busy(), timeout_s)

    async def _until(self, done: Callable[[], bool], timeout_s: float) -> bool:
        deadline = time.monotonic() + timeout_s
        while not done():
            self._idle.clear()
            try:
                async with asyncio.timeout(deadline - time.monotonic()):
                    await self._idle.wait()
            except TimeoutError:
                return False
        return True

    def take_back(self) -> None:
        """What is still at an instance waits again (its instance is about to be replaced on purpose)."""
        for ticket in list(self._tickets.values()):
            if ticket.instance is not None:
                ticket.instance = None
                ticket.recovered = True
                self._queue_again(ticket)
        self._diverted.clear()

    # --- frames of those who serve

    def event(self, instance: Instance, request_id: str, data: messages.Event) -> None:
        """A piece of an answer."""
        ticket = self._of(instance, request_id)
        if ticket is not None:
            self._on_event(ticket, data.kind, data.data)

    def effect(self, instance: Instance, request_id: str, data: messages.BrokerRequest) -> None:
        """An effect is asked for."""
        ticket = self._of(instance, request_id)
        if ticket is not None:
            ticket.effects += 1
            self._on_effect(ticket, instance, data)

    def propose(self, instance: Instance, request_id: str, items: list[messages.OperationProposal]) -> None:
        """Changes of state: checked, made durable, then sent to every replica."""
        ticket = self._of(instance, request_id)
        if ticket is not None or (request_id.startswith(OWN_WORK) and instance is self._main):
            self._proposals.take(ticket, instance, request_id, items)

    def done(self, instance: Instance, request_id: str, data: messages.Done) -> None:
        """The end of a request, as the instance sees it."""
        ticket = self._of(instance, request_id)
        if ticket is None:
            return
        instance.requests += 1
        if instance.role == "canary" and not (data.ok or ticket.cancelled or ticket.pinned):
            self._give_to_main(ticket, data.error)
        else:
            self._end(ticket, data.ok, data.text, data.error)

    # --- inside

    def _give_to_main(self, ticket: Ticket, error: str) -> None:
        """The canary failed at it: nobody who asks is to bear that, so the old code is given it under the same id."""
        self._diverted.pop(ticket.request_id, None)
        ticket.fault, ticket.recovered, ticket.instance = error, True, None
        self._waiting.again(ticket)
        self._idle.set()
        self._pump()

    def _accepted(self, ticket: Ticket, error: OError | None) -> None:
        if error is not None:
            self._tickets.pop(ticket.request_id, None)
            ticket.state, ticket.error, ticket.error_kind = "failed", str(error), kind_of(error)
            ticket.answered(ticket)
            return
        ticket.kept = True
        self._on_change("chat.request", ticket)
        if ticket.cancelled:
            self._end(ticket, False, "", CANCELLED)
        else:
            self._waiting.add(ticket)
            self._pump()

    def _again(self, ticket: Ticket) -> None:
        if ticket.request_id not in self._tickets:
            return
        if (ticket.crashes >= CRASHES_LIMIT and ticket.proven) or ticket.deaths >= DEATHS_LIMIT:
            ticket.state = "quarantined"
            self._on_quarantine(ticket)
            self._end(ticket, False, "", "this request ended two instances and is quarantined")
        else:
            self._queue_again(ticket)

    def _queue_again(self, ticket: Ticket) -> None:
        """Nobody sends again what nobody wants any more."""
        if ticket.cancelled:
            self._end(ticket, False, "", CANCELLED)
        else:
            self._waiting.again(ticket)

    def _pump(self) -> None:
        main = self._main
        if main is None or self._holds:
            return
        while (ticket := self._waiting.next(self._busy)) is not None:
            if ticket.request_id in self._tickets and ticket.instance is None:
                self._send(self._target(main, ticket), ticket)
            else:
                self._waiting.over(ticket)

    def _busy(self) -> bool:
        return any(ticket.instance for ticket in self._tickets.values())

    def _target(self, main: Instance, ticket: Ticket) -> Instance:
        """Main, or the canary for its share; what has failed once is main's, and so is a probe of the state."""
        canary = self._canary
        if canary is None or not canary.alive or ticket.deaths or ticket.fault or ticket.kind == "state.digest":
            return main
        return canary if ticket.pinned or takes(ticket.request_id, self._share) else main

    def _send(self, instance: Instance, ticket: Ticket) -> None:
        if instance is self._canary:
            self._divert(ticket)
        ticket.instance = instance
        ticket.sent_ns, ticket.waited_ns = time.monotonic_ns(), 0
        ticket.state = "running"
        ticket.attempts += 1
        self._journal.mark_running(ticket.request_id)
        # what the last instance proposed is in the writer's queue or in the log: it is not proposed again
        request = messages.ProcessRequest(
            text=ticket.text,
            kind=ticket.kind,
            session=ticket.session,
            time_ns=ticket.time_ns,
            attempt=ticket.attempts,
            committed=ticket.proposed,
            brain=self._brain(),
            embedder=self._embedder(),
        )
        instance.send(request, ticket.request_id)

    def _divert(self, ticket: Ticket) -> None:
        ticket.crowded = bool(self._diverted)
        for other in self._diverted.values():
            other.crowded = True
        self._diverted[ticket.request_id] = ticket

    def _of(self, instance: Instance, request_id: str) -> Ticket | None:
        ticket = self._tickets.get(request_id)
        return ticket if ticket is not None and ticket.instance is instance else None

    def _end(self, ticket: Ticket, ok: bool, answer: str, error: str) -> None:
        if self._tickets.pop(ticket.request_id, None) is None:
            return
        ticket.ok, ticket.answer, ticket.error = ok, answer, error
        now_ns = time.monotonic_ns()
        ticket.elapsed_ms = (now_ns - ticket.started_ns) / 1e6
        if ticket.instance is not None:
            ticket.by, ticket.active_ns = ticket.instance.role, now_ns - ticket.sent_ns - ticket.waited_ns
        self._diverted.pop(ticket.request_id, None)
        ticket.instance = None
        self._waiting.over(ticket)
        self.endings.end(ticket)
        self._idle.set()
        self._pump()
