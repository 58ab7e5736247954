"""Implements `seams.Traffic` over the real guardian: the canary among the fleet, and the requests that end."""

from __future__ import annotations

from collections.abc import Callable

from o_tui.evolution.samples import RecordedReply, RecordedRequest
from o_tui.guardian.core import Guardian
from o_tui.guardian.evolving.seams import Fault, GenomeLoadError, Served
from o_tui.guardian.fleet.code import Code
from o_tui.guardian.fleet.instances import NO_FAULT, GenomeError, Instance
from o_tui.guardian.ticket import Ticket
from o_tui.protocol import refusals
from o_tui.protocol.errors import OError

MIGRATE = "genome.migrate"
DRAIN_S = 2.0
"""How long what a canary has in hand may take when it is to end; main is given it then."""
_KILLED = "killed by SIGKILL"


class FleetTraffic:
    """One canary at a time."""

    def __init__(self, guardian: Guardian) -> None:
        self._guardian = guardian
        self._canary: Instance | None = None

    async def start(self, code: Code, evolution: str) -> None:
        """See the seam."""
        try:
            self._canary = await self._guardian.fleet.start_canary(code, evolution)
        except GenomeError as error:
            raise GenomeLoadError(str(error)) from error

    async def migrate(self, text: str) -> None:
        """See the seam."""
        dispatch = self._guardian.dispatch
        dispatch.divert(self._canary, 0.0)
        ticket = await dispatch.ask(text, MIGRATE, "", pinned=True)
        if not ticket.ok:
            raise OError(f"the state could not be migrated: {ticket.error}")

    def divert(self, share: float) -> None:
        """See the seam."""
        self._guardian.dispatch.divert(self._canary, share)

    async def fault(self) -> Fault | None:
        """See the seam."""
        canary = self._canary
        if canary is None:
            return Fault("there is no canary", blame=False)
        self._guardian.listening.look_at(canary)
        found = [refusal for refusal in canary.refused.all if refusal.layer != "limits"]
        if found:
            return Fault(f"the sandbox refused it {refusals.summary(found)}")
        if canary.alive:
            return None
        why = await canary.why()
        ours = canary.killed_by_us.startswith(NO_FAULT)
        # a SIGKILL from elsewhere is no code's doing
        return Fault(f"it ended in service: {why}", blame=not (ours or (not canary.killed_by_us and why == _KILLED)))

    async def end(self, *, at_once: bool) -> None:
        """See the seam."""
        canary, self._canary = self._canary, None
        if canary is None:
            return
        self._guardian.dispatch.divert(None, 0.0)
        if not at_once:
            await self._guardian.dispatch.undiverted(DRAIN_S)
        canary.kill("it was stopped: its time as canary is over")
        await canary.exited

    def follow(self, told: Callable[[Served], None]) -> Callable[[], None]:
        """See the seam."""

        def finished(ticket: Ticket) -> None:
            if ticket.kind != MIGRATE and not ticket.cancelled:
                told(_served(ticket))

        self._guardian.finished.append(finished)
        return lambda: self._guardian.finished.remove(finished)

    async def recorded(self, served: Served) -> RecordedRequest:
        """See the seam."""
        replies: tuple[RecordedReply, ...] = ()
        if served.effects:
            effects = await self._guardian.stores.brokered.of_requests([served.request_id])
            replies = recorded_replies(effects[served.request_id])
        return RecordedRequest(
            served.request_id, served.text, served.kind, served.session, served.time_ns, brain_of(replies), replies
        )


def recorded_replies(effects: list[dict[str, object]]) -> tuple[RecordedReply, ...]:
    """The replies that effects got, from their rows."""
    return tuple(
        RecordedReply(row["kind"], row["args_sha256"], row["data"], row["state"])  # type: ignore[arg-type]
        for row in effects
        if row["state"] in ("done", "error")
    )


def brain_of(replies: tuple[RecordedReply, ...]) -> str:
    """The model's name for a replayed request: empty where no model was asked."""
    return "recorded" if any(reply.kind.startswith("llm.") for reply in replies) else ""


def _served(ticket: Ticket) -> Served:
    alone = not (ticket.crowded or ticket.effects)
    return Served(
        ticket.request_id,
        ticket.text,
        ticket.kind,
        ticket.session,
        ticket.time_ns,
        by=ticket.by,
        ok=ticket.ok,
        fault=ticket.fault,
        active_ns=ticket.active_ns if alone else 0,
        effects=ticket.effects,
    )
