"""One shadow under trial: requests in, outcomes out, and no effect on the world.

The shadow applies what it proposes to its own copy of the state (an overlay by copy-on-write that ends with it); its
effects are answered from what main was answered. Time is taken here, never there.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from o_tui.evolution.replay import Replay
from o_tui.evolution.samples import Outcome, RecordedRequest
from o_tui.guardian.evolving.seams import InstanceDiedError
from o_tui.guardian.fleet.instances import Instance
from o_tui.protocol import frames, messages
from o_tui.protocol.refusals import Refusal

DIVERGED = "main was not recorded to have asked for this: a shadow has no effects"


@dataclass(slots=True)
class _Running:
    request_id: str
    replay: Replay
    future: asyncio.Future[messages.Done]
    operations: int = 0
    wrote: Any = field(default_factory=hashlib.sha256)

    def take(self, name: str, data: bytes) -> None:
        """One operation: counted and digested, not kept, since a shadow may propose without end."""
        self.operations += 1
        self.wrote.update(f"{name} {len(data)}\n".encode() + data)


class Trial:
    """Implements `seams.ShadowInstance` over one forked instance."""

    def __init__(self) -> None:
        self.instance: Instance
        self._running: _Running | None = None

    @property
    def pid(self) -> int:
        """Its process."""
        return self.instance.pid

    async def request(self, request: RecordedRequest) -> Outcome:
        """See the seam."""
        if not self.instance.alive:
            raise InstanceDiedError(await self.instance.why())
        running = _Running(request.id, Replay(request.replies), asyncio.get_running_loop().create_future())
        self._running = running
        message = messages.ProcessRequest(
            text=request.text,
            kind=request.kind,
            session=request.session,
            time_ns=request.time_ns or time.time_ns(),
            brain=request.brain,
        )
        self.instance.exited.add_done_callback(self._ended)
        cpu_ns = self.cpu_ns()
        started_ns = time.monotonic_ns()
        self.instance.send(message, running.request_id)
        try:
            done = await running.future
        except InstanceDiedError as error:
            raise InstanceDiedError(await self.instance.why()) from error
        finally:
            self._running = None
            self.instance.exited.remove_done_callback(self._ended)
        return Outcome(
            ok=done.ok,
            text=done.text,
            error=done.error,
            wall_ns=time.monotonic_ns() - started_ns,
            operations=running.operations,
            wrote=running.wrote.digest(),
            effects=running.replay.effects,
            diverged=tuple(running.replay.diverged),
            would_have=running.replay.would_have,
            cpu_ns=max(0, self.cpu_ns() - cpu_ns),
        )

    def cpu_ns(self) -> int:
        """CPU time of the process so far."""
        return self.instance.cpu_ns()

    def rss_bytes(self) -> int:
        """Resident memory now."""
        return self.instance.resident_bytes()

    def peak_bytes(self) -> int:
        """The most memory it has had, as Linux counts it (VmHWM, from its fork on)."""
        try:
            status = Path(f"/proc/{self.pid}/status").read_text()
        except OSError:
            return self.rss_bytes()
        found = re.search(r"(?m)^VmHWM:\s+(\d+) kB$", status)
        return int(found[1]) * 1024 if found else self.rss_bytes()

    def refused(self) -> Sequence[Refusal]:
        """See the seam."""
        return self.instance.refused.all

    async def kill(self, exceeded: Refusal | None = None) -> None:
        """SIGKILL, and wait."""
        if exceeded is not None:
            self.instance.exceeded = exceeded
        self.instance.kill("its trial is over")
        await self.instance.exited

    def frame(self, instance: Instance, frame: frames.Frame) -> None:
        """What the shadow sends."""
        running, data = self._running, frame.data
        if running is None or frame.metadata.request_id != running.request_id:
            return
        if isinstance(data, messages.Done):
            if not running.future.done():
                running.future.set_result(data)
        elif isinstance(data, messages.OperationProposal):
            running.take(data.operation, data.data)
        elif isinstance(data, messages.OperationProposals):
            for item in data.items:
                running.take(item.operation, item.data)
        elif isinstance(data, messages.BrokerRequest):
            self._answer(running, data)

    def _answer(self, running: _Running, asked: messages.BrokerRequest) -> None:
        _match, recorded = running.replay.answer(asked.kind, asked.arguments)
        if recorded is None:
            data: dict[str, Any] = {"error": DIVERGED, "kind": "diverged", "retryable": False}
            reply = messages.BrokerReply(call_id=asked.call_id, state="error", data=data)
        else:
            reply = messages.BrokerReply(call_id=asked.call_id, state=recorded.state, data=recorded.data)
        self.instance.send(reply, running.request_id)

    def _ended(self, _status: asyncio.Future[int]) -> None:
        running = self._running
        if running is not None and not running.future.done():
            running.future.set_exception(InstanceDiedError(self.instance.cause))
