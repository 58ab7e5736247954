"""Which request is sent next: first what an instance's death has sent back; a suspect with nobody else at risk."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from o_tui.guardian.ticket import Ticket


class RequestQueue:
    """The requests that are at no instance."""

    def __init__(self) -> None:
        self._waiting: deque[Ticket] = deque()
        self._suspects: deque[Ticket] = deque()
        self._alone: Ticket | None = None

    def __contains__(self, ticket: Ticket) -> bool:
        return any(ticket is each for each in self._waiting) or any(ticket is each for each in self._suspects)

    def add(self, ticket: Ticket) -> None:
        """It waits behind all others."""
        self._waiting.append(ticket)

    def again(self, ticket: Ticket) -> None:
        """It is sent before whatever waits; one that may have ended an instance, when nobody else is at risk."""
        self.over(ticket)
        if ticket.crashes:
            self._suspects.append(ticket)
        else:
            self._waiting.appendleft(ticket)

    def over(self, ticket: Ticket) -> None:
        """It runs no more; if it ran alone, others may run again."""
        if ticket is self._alone:
            self._alone = None

    def next(self, busy: Callable[[], bool]) -> Ticket | None:
        """Whom to send now; None: nobody. `busy`: whether somebody runs."""
        if self._alone is not None:
            return None
        if self._suspects:
            if busy():
                return None
            self._alone = self._suspects.popleft()
            return self._alone
        return self._waiting.popleft() if self._waiting else None
