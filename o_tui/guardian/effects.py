"""The effects that instances ask for: allowed or not, answered from the record or by the broker, and recorded."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

from o_tui.config import BrainConfig
from o_tui.evolution.replay import digest_arguments
from o_tui.guardian.fleet.broker_link import Broker
from o_tui.guardian.fleet.handles import InstanceHandle
from o_tui.guardian.fleet.health import HealthMonitor
from o_tui.guardian.fleet.instances import Instance, death_cause
from o_tui.guardian.storage.brokered import Brokered
from o_tui.guardian.supervision.machine import ExitReason
from o_tui.guardian.ticket import Ticket
from o_tui.paths import Paths
from o_tui.protocol import messages
from o_tui.protocol.errors import OError, PeerError

SETTLED_S = 5.0
"""How long an operator who has chosen a model waits to hear whether it answers."""
ALLOWED = frozenset({"llm.chat", "llm.embed", "tool.clock"})
"""What an instance may ask for."""
EFFECTS_LIMIT = 10_000
"""How often one request may ask."""
ANSWER_BYTES, ROUND_BYTES = 160 * 1024, 4 * 1024
"""What a model may write for one request, so that all of it fits the operation that keeps it
(`proposals.LIMIT_BYTES`); in each of its rounds it may write so much in any case."""
Deliver = Callable[[messages.BrokerReply], None]


@dataclass(slots=True)
class Usage:
    """What the model has cost since this guardian began."""

    calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0

    def count(self, kind: str, data: dict[str, Any]) -> None:
        """An effect has ended; models say in `usage` how many tokens went in and came out."""
        if kind in ("llm.chat", "llm.embed"):
            said = data.get("usage") or {}
            self.calls += 1
            self.input_tokens += int(said.get("input_tokens") or 0)
            self.output_tokens += int(said.get("output_tokens") or 0)

    def row(self) -> dict[str, int]:
        """Plain data."""
        return {"calls": self.calls, "input_tokens": self.input_tokens, "output_tokens": self.output_tokens}


class Effects:
    """The broker as the guardian has it: its process, the model that is configured, and every call to it.

    Args:
        paths: The workspace.
        settings: Which model is configured now.
        record: Where effects and their answers are kept.
        health: Who watches that it is not silent.
        spawn: Runs a coroutine beside everything else.
        publish: `(topic, data)` to the views.
        log: A line of the broker for the event log.
    """

    def __init__(
        self,
        paths: Paths,
        settings: Callable[[], BrainConfig],
        record: Brokered,
        health: HealthMonitor,
        *,
        spawn: Callable[[Coroutine[Any, Any, None]], object],
        publish: Callable[[str, dict[str, Any]], None],
        log: Callable[[str, messages.Log], None],
    ) -> None:
        brain = settings()
        self.broker: Broker | None = None
        self.usage = Usage()
        self._paths = paths
        self._settings = settings
        self._record = record
        self._health = health
        self._spawn = spawn
        self._publish = publish
        self._log = log
        self._brain = messages.BrainState(provider=brain.provider, model=brain.model, ok=False, detail="starting")
        self._known = asyncio.Event()

    # --- the process and the model

    async def start_broker(self) -> InstanceHandle:
        """A child of the supervision tree: the process with the keys."""
        broker = Broker(
            self._paths, on_brain=self._changed, on_log=self._log, on_beat=lambda: self._health.beat("broker")
        )
        await broker.spawn()
        self._health.watch("broker")
        broker.configure(self._settings())
        self.broker = broker
        exited: asyncio.Future[ExitReason] = asyncio.get_running_loop().create_future()

        def ended(status: asyncio.Future[int]) -> None:
            self._health.forget("broker")
            code = status.result()
            exited.set_result(ExitReason("normal") if code == 0 else ExitReason("killed", death_cause(code)))

        broker.watch.exited.add_done_callback(ended)
        return InstanceHandle(broker.watch.pid, exited, broker.stop)

    def configure(self) -> None:
        """The settings have changed."""
        self._known.clear()
        if self.broker is not None and self.broker.alive:
            self.broker.configure(self._settings())

    async def settled(self) -> None:
        """Returns when the broker has said whether the model that is configured answers, or after a while."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(SETTLED_S):
                await self._known.wait()

    def model(self) -> str:
        """The model's name for requests; empty in offline mode."""
        brain = self._settings()
        return "" if brain.provider == "offline" else brain.model or brain.provider

    def embedder(self) -> str:
        """The model that embeds memories; empty: there is none."""
        brain = self._settings()
        return "" if brain.provider == "offline" else brain.embedding_model

    def row(self) -> dict[str, Any]:
        """What `status` says of the model."""
        brain = self._brain
        keys = ("provider", "model", "ok", "detail", "key")
        return {key: getattr(brain, key) for key in keys}

    def _changed(self, brain: messages.BrainState) -> None:
        self._brain = brain
        wanted = self._settings()
        same = brain.provider == wanted.provider and brain.model in (wanted.model, "")
        if same and brain.detail != "connecting":
            self._known.set()
        self._publish("brain", self.row())

    # --- calls

    async def call(self, kind: str, arguments: dict[str, Any], timeout_s: float = 120.0) -> dict[str, Any]:
        """An effect that the guardian itself wants; raises PeerError."""
        if self.broker is None or not self.broker.alive:
            raise PeerError("the broker is being started again", hint="try again in a moment")
        await self.broker.ready()
        data = await self.broker.ask(kind, arguments, timeout_s)
        self.usage.count(kind, data)
        return data

    def forget(self, instance: Instance) -> None:
        """An instance has ended: nobody waits for its calls."""
        if self.broker is not None:
            self.broker.forget(instance)

    def ask(self, ticket: Ticket, instance: Instance, asked: messages.BrokerRequest) -> None:
        """An instance asks for an effect; it gets replies until `done` or `error`."""

        def deliver(reply: messages.BrokerReply) -> None:
            if instance.alive:
                answer = messages.BrokerReply(call_id=asked.call_id, state=reply.state, data=reply.data)
                instance.send(answer, ticket.request_id)

        if ticket.effects > EFFECTS_LIMIT:
            deliver(_error(f"a request may ask for {EFFECTS_LIMIT} effects", "refused"))
        elif asked.kind in ALLOWED:
            self._spawn(self._do(ticket, instance, asked, deliver))
        else:
            deliver(_error(f"an instance may not ask for {asked.kind[:40]!r}", "refused"))

    async def _do(self, ticket: Ticket, instance: Instance, asked: messages.BrokerRequest, deliver: Deliver) -> None:
        digest = digest_arguments(asked.arguments)
        if ticket.attempts > 1:
            # an instance died over this request: what it had been answered already is not asked, or paid for, again
            try:
                known = await self._record.find(ticket.request_id, asked.kind, digest)
            except OError as error:
                deliver(_error(f"what it was answered before cannot be read: {error}", "lost", retryable=True))
                return
            if known is not None:
                deliver(messages.BrokerReply(call_id=asked.call_id, state="done", data=known))
                return
        if not instance.alive:
            return  # its next life asks again
        broker = self.broker
        if broker is None or not broker.alive:
            ticket.error_kind = "lost"
            deliver(_error("the broker is being started again; try again", "lost", retryable=True))
            return

        def on_reply(reply: messages.BrokerReply) -> None:
            if reply.state != "delta":
                self.usage.count(asked.kind, reply.data)
                ticket.written_bytes += len(str(reply.data.get("text", "")).encode())
                ticket.error_kind = str(reply.data.get("kind", "")) if reply.state == "error" else ""
                self._record.record(
                    ticket.request_id, asked.call_id, asked.kind, digest, asked.arguments, reply.state, reply.data
                )
            deliver(reply)

        arguments = asked.arguments
        if asked.kind == "llm.chat":
            arguments = arguments | {"answer_bytes": max(ROUND_BYTES, ANSWER_BYTES - ticket.written_bytes)}
        broker.call(asked.kind, arguments, instance, on_reply)


def _error(text: str, kind: str, *, retryable: bool = False) -> messages.BrokerReply:
    data = {"error": text, "kind": kind, "retryable": retryable}
    return messages.BrokerReply(call_id="", state="error", data=data)
