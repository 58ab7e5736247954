"""The effects that instances ask for: allowed or not, answered from the record or by the broker, and recorded."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from o_tui.evolution.replay import digest_arguments
from o_tui.guardian.broker_link import Broker
from o_tui.guardian.brokered import Brokered
from o_tui.guardian.instances import Instance
from o_tui.guardian.ticket import Ticket
from o_tui.protocol import messages

ALLOWED = frozenset({"llm.chat", "tool.clock"})
"""What an instance may ask for."""
Deliver = Callable[[messages.BrokerReply], None]


class Effects:
    """Between dispatch and broker. `spawn` runs a coroutine beside everything else."""

    def __init__(
        self,
        record: Brokered,
        broker: Callable[[], Broker | None],
        spawn: Callable[[Coroutine[Any, Any, None]], object],
    ) -> None:
        self._record = record
        self._broker = broker
        self._spawn = spawn

    def ask(self, ticket: Ticket, instance: Instance, asked: messages.BrokerRequest) -> None:
        """An instance asks for an effect; it gets replies until `done` or `error`."""

        def deliver(reply: messages.BrokerReply) -> None:
            if instance.alive:
                answer = messages.BrokerReply(call_id=asked.call_id, state=reply.state, data=reply.data)
                instance.send(answer, ticket.request_id)

        if asked.kind in ALLOWED:
            self._spawn(self._do(ticket, instance, asked, deliver))
        else:
            deliver(_error(f"an instance may not ask for {asked.kind[:40]!r}", "refused"))

    async def _do(self, ticket: Ticket, instance: Instance, asked: messages.BrokerRequest, deliver: Deliver) -> None:
        digest = digest_arguments(asked.arguments)
        if ticket.attempts > 1:
            # an instance died over this request: what it had been answered already is not asked, or paid for, again
            known = await self._record.find(ticket.request_id, asked.kind, digest)
            if known is not None:
                deliver(messages.BrokerReply(call_id=asked.call_id, state="done", data=known))
                return
        broker = self._broker()
        if broker is None or not broker.alive:
            deliver(_error("the broker is being started again; try again", "lost", retryable=True))
            return

        def on_reply(reply: messages.BrokerReply) -> None:
            if reply.state != "delta":
                self._record.record(
                    ticket.request_id, asked.call_id, asked.kind, digest, asked.arguments, reply.state, reply.data
                )
            deliver(reply)

        broker.call(asked.kind, asked.arguments, instance, on_reply)


def _error(text: str, kind: str, *, retryable: bool = False) -> messages.BrokerReply:
    data = {"error": text, "kind": kind, "retryable": retryable}
    return messages.BrokerReply(call_id="", state="error", data=data)
