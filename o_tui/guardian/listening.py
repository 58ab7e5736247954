"""What the fleet tells, and what follows from it: frames, who takes over, who ends and why, what was refused."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from o_tui.guardian.background import Background, Tell
from o_tui.guardian.dispatch import Dispatch
from o_tui.guardian.effects import Effects
from o_tui.guardian.fleet.fleet import Fleet
from o_tui.guardian.fleet.instances import NO_FAULT, Instance, death_cause
from o_tui.guardian.fleet.poison import Poison
from o_tui.guardian.metrics import Metrics
from o_tui.guardian.storage.violations import Violations
from o_tui.protocol import frames, messages, refusals
from o_tui.protocol.refusals import Refusal

JUDGE_S = 4.5
"""How long to wait for the cause of a death, which the nursery tells. On a busy machine it may be late, and a request
that has ended two instances must not be given to a third. Less than an instance is known for after its end; where the
nursery has ended, nobody waits."""


@dataclass(slots=True)
class Listening:
    """The fleet's listener (`fleet.handles.Listener`).

    Attributes:
        fleet: Whose listener it is; there is none yet when this is made.
        intent: An instance would like a gene changed: gene, reason, hypothesis.
        died: An instance of the agent's has ended; `crashed`: by its own fault.
        served: Set when a main serves.
        last_failure: The last thing that somebody could not do, for an error that has to say why.
        last_recovery_ms: How long nobody served, the last time.
    """

    fleet: Callable[[], Fleet]
    dispatch: Dispatch
    effects: Effects
    poison: Poison
    violations: Violations
    metrics: Metrics
    background: Background
    tell: Tell
    intent: Callable[[str, str, str], None]
    died: Callable[[bool], None]
    served: asyncio.Event
    last_failure: str = "it gave no reason"
    last_recovery_ms: float = 0.0
    _lost_ns: int = 0

    def frame(self, instance: Instance, frame: frames.Frame) -> None:
        """A frame of main or the canary."""
        data, request_id = frame.data, frame.metadata.request_id
        kind = type(data)
        if kind is messages.Event:
            self.dispatch.event(instance, request_id, data)
        elif kind is messages.Done:
            self.dispatch.done(instance, request_id, data)
        elif kind is messages.OperationProposal:
            self.dispatch.propose(instance, request_id, [data])
        elif kind is messages.OperationProposals:
            self.dispatch.propose(instance, request_id, data.items)
        elif kind is messages.BrokerRequest:
            self.dispatch.effect(instance, request_id, data)
        elif kind is messages.Log:
            self.log(instance.name, data)
        elif kind is messages.Ready:
            if instance.role == "main":
                self._took_over(instance)
        elif kind is messages.EvolutionIntent:
            self.intent(data.gene.raw, data.reason.raw, data.hypothesis.raw)
        elif kind is not messages.Metrics:
            instance.offend(f"it sent a {frame.type}, which is not an instance's to send")

    def serving(self, main: Instance, promoted: bool) -> None:
        """Requests go to this instance from now on."""
        self.dispatch.serve(main)
        self.served.set()
        if self._lost_ns and not promoted:
            self._took_over(main)

    def _took_over(self, main: Instance) -> None:
        """The first word of a new main: how long nobody served."""
        if self._lost_ns:
            self.last_recovery_ms = (time.monotonic_ns() - self._lost_ns) / 1e6
            self.metrics.recovered(time.monotonic_ns() - self._lost_ns)
            self._lost_ns = 0
            how = "a fork of the nursery" if main.name.startswith("main") else "the standby"
            self.tell("fleet", "recovered", "info", f"{main.name} serves: {how}, {self.last_recovery_ms:.1f} ms")

    def ended(self, instance: Instance) -> None:
        """An instance has ended."""
        exceeded = [instance.exceeded] if instance.exceeded is not None else []
        self._refused(instance, instance.refused.look() + instance.refused.add(exceeded))
        if instance.offence:
            self.tell(
                "fleet", "offence", "error", f"{instance.name} (pid {instance.pid}) was killed: {instance.offence}"
            )
        if instance.role == "main":
            self._lost_ns = time.monotonic_ns()
            self.dispatch.lost(instance)
            if instance.killed_by_us:
                self.dispatch.judge(instance, crashed=not instance.killed_by_us.startswith(NO_FAULT))
            elif not instance.has_parent:
                self.dispatch.judge(instance, crashed=False)  # nobody will say why
            else:
                later = asyncio.get_running_loop().call_later
                later(JUDGE_S, lambda: self.dispatch.judge(instance, crashed=False))
        elif instance.role == "canary":
            self.dispatch.lost(instance)
            self.dispatch.judge(instance, crashed=False)  # it is its code that is to blame, no request
        self.effects.forget(instance)

    def nursery_ended(self) -> None:
        """The nursery has ended: the causes that are not known by now never will be."""
        self.dispatch.judge_rest()

    def reaped(self, instance: Instance, status: int) -> None:
        """The exit status is known. A SIGKILL that was not ours is no request's fault."""
        self.metrics.died(instance.role)
        self._refused(instance, instance.refused.look(status))
        if not instance.killed_by_us:
            self.tell("fleet", "died", "warning", f"{instance.name} (pid {instance.pid}) {death_cause(status)}")
        on_purpose = instance.killed_by_us.startswith(NO_FAULT)
        crashed = status not in (0, -signal.SIGKILL) or bool(instance.killed_by_us and not on_purpose)
        self.dispatch.judge(instance, crashed=crashed)
        if instance.role in ("main", "standby") and (crashed or not instance.killed_by_us):
            self.died(crashed)

    def failed(self, who: str, message: messages.Failed) -> None:
        """An instance or the nursery could not do something: a row, and the ladder where it happens again."""
        if not self._heard(who):
            return
        self.last_failure = f"{who}: {message.text}"
        self.tell(who, f"failed.{message.what}", "error", message.text, {"seq": message.seq})
        if message.what == "reduce" and message.seq:
            self.background.spawn(self.poison.failed(who, message.seq, message.text))

    def look_at(self, instance: Instance) -> None:
        """Whether the sandbox has refused an instance something since the last look."""
        self._refused(instance, instance.refused.look())

    def _refused(self, instance: Instance, found: Sequence[Refusal]) -> None:
        """The sandbox refused an instance something new."""
        if found:
            self.refused(instance.identity(), f"{instance.name} (pid {instance.pid})", found)

    def refused(self, identity: tuple[str, str, str, str], who: str, found: Sequence[Refusal]) -> None:
        """The sandbox refused somebody something: rows, and an event."""
        name, role, revision, evolution = identity
        data = {"instance": name, "role": role, "revision": revision, "evolution": evolution}
        refused = [{"layer": each.layer, "what": each.what} for each in found]
        self.tell(
            "sandbox", "violation", "warning", f"{who}: sandbox: {refusals.summary(found)}", data | {"refused": refused}
        )
        for each in found:
            self.metrics.refused(each.layer)
        self.background.spawn(self.violations.add(identity, found))

    def log(self, who: str, message: messages.Log) -> None:
        """A line of a process."""
        if self._heard(who):
            self.tell(who, "log", message.level, message.text.raw, message.data)

    def _heard(self, who: str) -> bool:
        """Whether what a process says becomes a row; an instance that says too much fills no disk."""
        instance = self.fleet().instances.get(who)
        if instance is None or instance.words.take():
            return True
        if instance.words.refused == 1:
            self.tell("fleet", "talk", "warning", f"{who} says too much: some of its lines are not kept")
        return False

    def silent(self, name: str, silence_s: float) -> None:
        """Somebody was silent for too long: killed, so that the tree starts it anew."""
        why = f"silent for {silence_s:.1f} s" if silence_s >= 1 else f"silent for {silence_s * 1000:.0f} ms"
        self.tell("health", "silent", "warning", f"{name} was {why} and is killed", {"name": name})
        fleet, instance = self.fleet(), self.fleet().instances.get(name)
        if instance is not None:
            instance.kill(why)
        elif name == "nursery" and fleet.nursery is not None:
            fleet.nursery.watch.kill()
        elif name == "broker" and self.effects.broker is not None:
            self.effects.broker.watch.kill()
