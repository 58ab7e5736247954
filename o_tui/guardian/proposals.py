"""What an instance may propose, and how that becomes durable and reaches every replica."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import msgspec

from o_tui.guardian.fleet.instances import Instance
from o_tui.guardian.fleet.replication import Replication
from o_tui.guardian.storage.wal import Proposed, Wal
from o_tui.guardian.ticket import Ticket, kind_of
from o_tui.protocol import messages, operations
from o_tui.protocol.errors import OError

LIMIT_BYTES = 192 * 1024
"""One operation's data at most."""
WAITING_BYTES = 32 << 20
"""What one instance may have proposed that is not durable yet; more is refused."""
LOOKS_ONLY = "this request may only look"


def problem(item: messages.OperationProposal, position: int | None) -> str:
    """Why a proposal is refused; empty if it is not. `position` is the one that it must have; None: any."""
    if item.operation not in operations.TYPES or item.operation in operations.GUARDIAN_ONLY:
        return f"an instance may not propose {item.operation[:40]!r}"
    if len(item.data) > LIMIT_BYTES:
        return f"an operation of {len(item.data)} bytes passes the limit of {LIMIT_BYTES}"
    if position is not None and item.position != position:
        return f"operation {item.position} is out of order"
    try:
        operations.unpack(item.operation, item.data)
    except (msgspec.DecodeError, RecursionError) as error:
        return f"not a {item.operation}: {error}"
    return ""


class Proposals:
    """Takes what instances propose. `lost` ends a request whose operations the disk did not take."""

    def __init__(self, wal: Wal, replication: Replication, lost: Callable[[Ticket, str], None]) -> None:
        self._wal = wal
        self._replication = replication
        self._lost = lost

    def take(
        self, ticket: Ticket | None, instance: Instance, request_id: str, items: Sequence[messages.OperationProposal]
    ) -> None:
        """Checks them, makes them durable, then sends them to every replica; None: they are of main's own work."""
        if not items:
            return
        proposed: list[Proposed] = []
        size = 0
        for item in items:
            size += len(item.data)
            why = problem(item, None if ticket is None else ticket.proposed + len(proposed))
            if not why and instance.unwritten_bytes + size > WAITING_BYTES:
                why = f"{WAITING_BYTES >> 20} MiB of operations wait for the disk already"
            if why:
                instance.send(messages.Refused(position=item.position, error=why), request_id)
                return
            proposed.append(Proposed(request_id, item.position, item.operation, item.data))
        if ticket is not None:
            if not ticket.journalled:
                instance.send(messages.Refused(position=items[0].position, error=LOOKS_ONLY), request_id)
                return
            ticket.proposed += len(proposed)
        self._append(ticket, instance, proposed, size)

    def _append(self, ticket: Ticket | None, instance: Instance, proposed: list[Proposed], size: int) -> None:
        asked_ns = time.monotonic_ns()
        instance.unwritten_bytes += size

        def committed(result: list[bytes] | OError) -> None:
            instance.unwritten_bytes -= size
            if ticket is not None:
                ticket.waited_ns += time.monotonic_ns() - asked_ns
            if isinstance(result, OError):
                if ticket is not None:
                    ticket.error_kind = kind_of(result)
                self._not_kept(ticket, instance, proposed[0], str(result))
                return
            self._replication.add(result)

        self._wal.append(proposed, committed)

    def _not_kept(self, ticket: Ticket | None, instance: Instance, first: Proposed, why: str) -> None:
        """The disk did not take them; the request's next instance may have been told that they are there."""
        current = instance if ticket is None else ticket.instance
        if current is not None:
            current.send(messages.Refused(position=first.position, error=why), first.request_id)
        elif ticket is not None:
            self._lost(ticket, f"an operation was refused: {why}")
