"""What `seams.py` asks for, over the real guardian: the evolution's view of fleet, vault, journal and broker."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, cast

from o_tui.evolution.budget import Cost
from o_tui.evolution.candidates import ModelText
from o_tui.evolution.samples import RecordedRequest
from o_tui.guardian.core import Guardian
from o_tui.guardian.evolving.evolution_book import RUNNING
from o_tui.guardian.evolving.seams import GenomeLoadError, Seams, ShadowInstance
from o_tui.guardian.evolving.trial import Trial
from o_tui.guardian.fleet.code import Code
from o_tui.guardian.fleet.instances import UNCONFINED, GenomeError, Instance
from o_tui.guardian.fleet_traffic import FleetTraffic, brain_of, recorded_replies
from o_tui.guardian.storage.eventlog import Level
from o_tui.protocol import operations
from o_tui.protocol.errors import OError, PeerError
from o_tui.protocol.operations import Lifecycle

PROBE = "state.digest"
"""A kind of request that the kernel answers without a gene and without a trace."""


class FleetInstances:
    """Implements `seams.Instances`."""

    def __init__(self, guardian: Guardian) -> None:
        self._guardian = guardian

    async def fork_shadow(self, code: Code, role_name: str, evolution: str) -> ShadowInstance:
        """See the seam."""
        trial = Trial()
        try:
            trial.instance = await self._guardian.fleet.fork_shadow(code, trial.frame, role_name, evolution)
        except GenomeError as error:
            raise GenomeLoadError(str(error)) from error
        return trial

    async def hot_reload(self, code: Code, reason: str) -> None:
        """See the seam."""
        try:
            await self._guardian.fleet.reload(code)
        except GenomeError as error:
            raise GenomeLoadError(str(error)) from error
        switch = operations.GenomeSwitch(revision=code.revision, version=code.version, reason=reason)
        await self._guardian.replication.append(*operations.pack(switch))
        text = f"the agent runs v{code.version} ({code.revision[:12]}): {reason}"
        self._guardian.event("genome", "switch", "info", text)

    async def verify(self, revision: str, timeout_s: float) -> None:
        """See the seam."""
        main: Instance | None = self._guardian.fleet.main
        if main is None or main.revision != revision:
            raise OError(f"main does not run {revision[:12]}")
        try:
            async with asyncio.timeout(timeout_s):
                ticket = await self._guardian.dispatch.ask("{}", PROBE, journalled=False)
        except TimeoutError as error:
            raise OError(f"main did not answer a probe within {timeout_s:g} s") from error
        if not ticket.ok:
            raise OError(f"main failed a probe: {ticket.error}")


class VaultCheckpoints:
    """Implements `seams.Checkpoints`."""

    def __init__(self, guardian: Guardian) -> None:
        self._guardian = guardian

    async def create(self, reason: str) -> str:
        """See the seam."""
        row = await self._guardian.checkpoints.take(reason)
        return str(row["id"])

    async def restore(self, checkpoint_id: str) -> None:
        """See the seam."""
        await self._guardian.checkpoints.restore(checkpoint_id)


class JournalRecorded:
    """Implements `seams.Recorded`."""

    def __init__(self, guardian: Guardian) -> None:
        self._guardian = guardian

    async def requests(self, limit: int) -> Sequence[RecordedRequest]:
        """See the seam."""
        stores = self._guardian.stores
        page = await stores.journal.page("", limit * 2)
        rows = [row for row in page if row["kind"] == "chat" and row["state"] == "done"][:limit]
        effects = await stores.brokered.of_requests([row["request_id"] for row in rows])
        found: list[RecordedRequest] = []
        for row in rows:
            replies = recorded_replies(effects[row["request_id"]])
            found.append(
                RecordedRequest(
                    row["request_id"],
                    row["text"],
                    row["kind"],
                    row["session"],
                    row["time_ns"],
                    brain_of(replies),
                    replies,
                )
            )
        return found


class GuardianSurroundings:
    """Implements `seams.Surroundings`."""

    def __init__(self, guardian: Guardian) -> None:
        self._guardian = guardian

    def publish(self, topic: str, data: Mapping[str, Any]) -> None:
        """See the seam."""
        self._guardian.publish(topic, dict(data))
        if topic == "evolution":
            state: Lifecycle = "evolving" if data.get("state") in RUNNING else "running"
            self._guardian.background.spawn(self._guardian.lifecycle.enter(state))

    def event(self, level: str, text: str, data: Mapping[str, Any]) -> None:
        """See the seam."""
        self._guardian.event("evolution", "evolution", cast(Level, level), text, dict(data))

    def model(self) -> str:
        """See the seam."""
        return self._guardian.effects.model()

    async def ask_model(self, conversation: Sequence[Mapping[str, str]]) -> ModelText:
        """See the seam."""
        if not self.model():
            raise PeerError("there is no model to write a candidate", hint="give a file, or choose a brain first")
        answer = await self._guardian.effects.call(
            "llm.chat", {"messages": [dict(message) for message in conversation]}, 600.0
        )
        used = answer.get("usage") or {}
        tokens = sum(int(used.get(name) or 0) for name in ("input_tokens", "output_tokens"))
        cost = Cost(tokens=tokens, money=tokens * self._guardian.config.evolution.price / 1e6)
        return ModelText(str(answer.get("text", "")), str(answer.get("model") or self.model()), cost)

    def held(self) -> str:
        """See the seam."""
        if held := self._guardian.holding.why():
            return held
        if self._guardian.stores.database.read_only:
            return "storage takes nothing just now"
        main = self._guardian.fleet.main
        # one that has just been forked has not said yet; every shadow is looked at again before it gets a candidate
        return UNCONFINED if main is not None and main.tier == "X" else ""

    async def released(self) -> None:
        """See the seam."""
        while self.held():
            await self._guardian.looked_around.wait()


def seams_of(guardian: Guardian) -> Seams:
    """All that an evolution needs of this guardian."""
    return Seams(
        FleetInstances(guardian),
        VaultCheckpoints(guardian),
        FleetTraffic(guardian),
        JournalRecorded(guardian),
        guardian.stores.audit,
        GuardianSurroundings(guardian),
    )
