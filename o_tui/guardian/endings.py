"""How requests end: durably, and only then answered. What the disk does not take is written as soon as it does."""

from __future__ import annotations

from collections.abc import Callable

from o_tui.guardian.storage.journal import Journal, Outcome
from o_tui.guardian.ticket import Ticket, kind_of, nobody
from o_tui.protocol.errors import BusyError, OError, PeerError


class Endings:
    """The ends of one guardian's requests; `told` hears of each that was journalled before its caller does."""

    def __init__(self, journal: Journal, told: Callable[[Ticket], None]) -> None:
        self._journal = journal
        self._told = told
        self._unwritten: list[Callable[[], None]] = []

    def end(self, ticket: Ticket) -> None:
        """`ok`, `answer` and `error` of a ticket are known: kept, where the request was; its caller is answered."""
        if not ticket.journalled:
            ticket.state = "done" if ticket.ok else "failed"
            ticket.answered(ticket)
            return
        outcome: Outcome = "quarantined" if ticket.state == "quarantined" else "done" if ticket.ok else "failed"
        ticket.state = outcome
        self._write(ticket, outcome, ticket.answer, ticket.error, lambda problem: self._finished(ticket, problem))

    def write_again(self) -> None:
        """The disk takes something again: the ends that it did not take are written now."""
        again, self._unwritten = self._unwritten, []
        for write in again:
            write()

    def _write(
        self, ticket: Ticket, outcome: Outcome, answer: str, error: str, done: Callable[[OError | None], None]
    ) -> None:
        def written(problem: OError | None) -> None:
            if isinstance(problem, PeerError | BusyError):
                self._unwritten.append(lambda: self._write(ticket, outcome, answer, error, nobody))
            done(problem)

        self._journal.finish(ticket.request_id, outcome, answer, error, ticket.elapsed_ms, ticket.recovered, written)

    def _finished(self, ticket: Ticket, problem: OError | None) -> None:
        if problem is not None:
            ticket.ok, ticket.error_kind = False, kind_of(problem)
            ticket.error = f"{problem}; this end of the request is written down as soon as the disk takes it"
        try:
            self._told(ticket)
        finally:
            ticket.answered(ticket)  # whatever they do who only look on: somebody waits for this
