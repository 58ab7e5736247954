"""The guardian: what must not die, put together. Starts, wires, tells, ends; every part has its own module."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import Callable
from typing import Any, Literal, cast, get_args

from o_tui.config import Config
from o_tui.guardian import checkpointing, workspace_watch
from o_tui.guardian.audience import Audience, Nobody
from o_tui.guardian.background import Background
from o_tui.guardian.dispatch import Dispatch
from o_tui.guardian.effects import Effects
from o_tui.guardian.evolving.holding import Holding
from o_tui.guardian.evolving.initiative import Initiative
from o_tui.guardian.evolving.perception import Intent, Perception
from o_tui.guardian.evolving.perception_rows import PerceptionRows
from o_tui.guardian.evolving.red_team import RedTeam
from o_tui.guardian.fleet.code import Code
from o_tui.guardian.fleet.fleet import Fleet
from o_tui.guardian.fleet.health import HealthMonitor
from o_tui.guardian.fleet.instances import Instance
from o_tui.guardian.fleet.ladder import Group, Ladder, Move
from o_tui.guardian.fleet.lifecycle import Lifecycle
from o_tui.guardian.fleet.poison import Poison
from o_tui.guardian.fleet.pulse import Pulse
from o_tui.guardian.fleet.replication import Replication
from o_tui.guardian.lifetime import Lifetime
from o_tui.guardian.listening import Listening
from o_tui.guardian.metrics import Metrics
from o_tui.guardian.storage.eventlog import Level
from o_tui.guardian.storage.findings import Finding
from o_tui.guardian.storage.stores import Stores
from o_tui.guardian.supervision.runner import Happened, StartError
from o_tui.guardian.telemetry import LoopMonitor
from o_tui.guardian.ticket import Ticket
from o_tui.guardian.tree import new_tree
from o_tui.paths import Paths
from o_tui.protocol import messages
from o_tui.protocol.errors import OError, PeerError, none_left

Placement = Literal["process", "embedded"]
TELEMETRY_S = 0.5
UPKEEP_S = 3600.0
LOOK_HINT = "o-tui doctor; the event log says what happened"
SERVE_S = 30.0


class Guardian:
    """One guardian over one workspace.

    Attributes:
        audience: The views; set by whoever serves them.
        stopping: Set when it is to end; whoever runs it waits for that.
        fatal: Why it cannot go on, if that is why it is stopping.
        finished: Told of each journalled request whose end is durable.
    """

    def __init__(self, paths: Paths, config: Config, stores: Stores, code: Code, placement: Placement) -> None:
        self.paths = paths
        self.config = config
        self.stores = stores
        self.placement: Placement = placement
        self.started_ns = time.monotonic_ns()
        self.audience: Audience = Nobody()
        self.lifetime = Lifetime(self.request_stop)
        self.loop_monitor = LoopMonitor()
        self.health = HealthMonitor(config.health.heartbeat_s, config.health.death_s, self._silent)
        self.pulse = Pulse(self._alive, self._silent, config.health.death_s)
        self.background = Background(self.event)
        self.effects = self._new_effects()
        self.stopped = asyncio.Event()
        self.stopping = asyncio.Event()
        self.stop_reason = ""
        self.fatal: OError | None = None
        self.finished: list[Callable[[Ticket], None]] = []
        self._served = asyncio.Event()
        self.looked_around = asyncio.Event()
        """Set for a moment whenever something may be otherwise than before: a hold released, main another one."""
        self.metrics = Metrics()
        self.holding = Holding(stores.learning, self._held)
        self.perception = Perception(self._perceived)
        self._perceptions = PerceptionRows(stores.database, self.perception)
        self.initiative: Initiative | None = None
        self.red_team: RedTeam | None = None
        self.replication = Replication(stores.wal, {})
        self.lifecycle = Lifecycle(
            self.replication.append, lambda state: self.publish("telemetry", {"lifecycle": state})
        )
        self.dispatch = self._new_dispatch()
        self.listening = self._new_listening()
        self.fleet = self._new_fleet(code)
        self.checkpoints = self._new_checkpoints()
        self.ladder = Ladder(self.fleet, start_group=self._start_group, tell=self._moves, give_up=self._give_up)
        self.tree = new_tree(self.fleet, self.effects, self.config.health, self._happened)

    # --- inside: the parts

    def _new_effects(self) -> Effects:
        return Effects(
            self.paths,
            lambda: self.config.brain,
            self.stores.brokered,
            self.health,
            spawn=self.background.spawn,
            publish=self.publish,
            log=self._log,
        )

    def _new_dispatch(self) -> Dispatch:
        return Dispatch(
            self.stores.journal,
            self.stores.wal,
            self.replication,
            on_event=self._chat_event,
            on_change=self._chat_changed,
            on_effect=self.effects.ask,
            on_quarantine=self._quarantined,
            brain=self.effects.model,
            embedder=self.effects.embedder,
        )

    def _new_listening(self) -> Listening:
        return Listening(
            lambda: self.fleet,
            self.dispatch,
            self.effects,
            Poison(self.stores.wal, self.replication, self.event),
            self.stores.violations,
            self.metrics,
            self.background,
            self.event,
            intent=self._asked,
            died=lambda crashed: self.ladder.died(crashed=crashed),
            served=self._served,
        )

    def _new_fleet(self, code: Code) -> Fleet:
        return Fleet(
            self.paths,
            self.stores.wal,
            self.stores.vault,
            self.replication,
            code,
            self.listening,
            self.health,
            self.config.health.heartbeat_s,
            self.stores.database.epoch,
        )

    def _new_checkpoints(self) -> checkpointing.Checkpointing:
        return checkpointing.Checkpointing(
            self.stores,
            self.fleet,
            self.dispatch,
            self.lifecycle,
            settings=lambda: self.config.vault,
            tell=self.event,
            publish=self.publish,
        )

    @property
    def pid(self) -> int:
        """The guardian's process."""
        return os.getpid()

    @property
    def tier(self) -> str:
        """How well instances are confined, as main says of itself; X: not at all."""
        return self.fleet.main.tier if self.fleet.main is not None else "X"

    # --- life

    def request_stop(self, reason: str) -> None:
        """Ends the guardian soon; whoever runs it waits for `stopping`. The first reason counts."""
        self.stop_reason = self.stop_reason or reason
        self.stopping.set()

    async def start(self) -> None:
        """Starts everything; returns when main serves.

        Raises:
            OError: It could not be started; what was started is stopped again.
        """
        self.stores.database.on_fenced = self._fenced
        self.stores.database.start(self._storage_state)
        for finding in self.stores.database.findings:
            self._found(finding)
        self.stores.vault.on_finding = self._found
        self.event("guardian", "start", "info", f"guardian started, epoch {self.stores.database.epoch}")
        self.dispatch.resume(await self.stores.journal.load())
        await self._perceptions.load(self.fleet.code.revision)
        # before anybody runs: whoever is started catches up with it
        await self.lifecycle.enter("running")
        await self._start_tree()
        self.loop_monitor.start()
        self.health.start()
        self.pulse.start()
        self.background.every(checkpointing.LOOK_S, "a checkpoint could not be seen to", self.checkpoints.look)
        self.background.every(TELEMETRY_S, "what goes on could not be seen to", self._look_around)
        still_there = workspace_watch.looks(self.paths.database, self._fenced)
        self.background.every(workspace_watch.LOOK_S, "the workspace could not be looked at", still_there)
        self.background.every(UPKEEP_S, "old rows could not be removed", self._upkeep)

    async def _start_tree(self) -> None:
        while True:
            try:
                await self.tree.start()
                break
            except StartError as error:
                self.listening.last_failure = str(error)
                if not await self.ladder.fell("start"):
                    hint = none_left(str(error)) or LOOK_HINT
                    raise PeerError(f"the agent could not be started: {error}", hint=hint) from error
                self.tree = new_tree(self.fleet, self.effects, self.config.health, self._happened)
        try:
            async with asyncio.timeout(SERVE_S):
                await self._served.wait()
        except TimeoutError as error:
            why = self.listening.last_failure
            hint = none_left(why) or LOOK_HINT
            raise PeerError(f"main did not serve within {SERVE_S:.0f} s: {why}", hint=hint) from error
        if self.fatal is not None:
            raise self.fatal

    async def stop(self, reason: str) -> None:
        """Ends everything in order: requests get a moment, then instances, broker, nursery, storage."""
        if self.stopped.is_set():
            return
        self.publish("stopping", {"reason": reason})
        self.dispatch.hold()  # for good
        await self.dispatch.drain(2.0)
        await self.lifecycle.enter("terminated")
        await self.background.stop()
        self.tree.stop()
        await self.tree.exited
        self.loop_monitor.stop()
        self.health.stop()
        self.pulse.stop()
        self.event("guardian", "stop", "info", f"guardian stopped: {reason}")
        await self.audience.close()
        await self._perceptions.keep(now=True)
        await self.stores.close()
        self.stopped.set()

    def publish(self, topic: str, data: dict[str, Any]) -> None:
        """A notice to the views that follow."""
        self.audience.publish(topic, data)

    def event(self, source: str, kind: str, level: Level, text: str, data: dict[str, Any] | None = None) -> None:
        """A row of the event log, and a notice of it."""
        try:
            row = self.stores.events.add(source, kind, level, text, data or {})
        except OError:
            return  # the storage is closed: too late for a row
        self.publish("event", row)

    # --- inside: the tree

    async def _start_group(self, name: str) -> bool:
        if name == "agents":
            # not in the tree: while it starts one group it starts no other, and they would wait for each other
            with contextlib.suppress(PeerError):
                await self.fleet.wait_nursery()
        return await self.tree.start_child(name)

    def _moves(self, group: str, move: Move) -> None:
        level: Level = "error" if move.action != "again" else "warning"
        text = f"{group} gave up after too many restarts: {move.why}"
        self.event("ladder", move.action, level, text, {"group": group, "pause_s": move.pause_s})

    def _give_up(self, why: str) -> None:
        text = f"the agent cannot be kept alive: {why}: {self.listening.last_failure}"
        self.fatal = PeerError(text, hint=none_left(text) or LOOK_HINT)
        self._served.set()
        self.request_stop(str(self.fatal))

    def _fenced(self, error: OError) -> None:
        """Nothing is kept any more: whoever is asked to say something to us says it to nobody."""
        if self.fatal is None:
            self.fatal = error
            self._served.set()
            self.request_stop(str(error))

    def _happened(self, happened: Happened) -> None:
        reason = happened.reason.detail if happened.reason is not None else ""
        level: Level = "warning" if happened.change in ("exited", "start_failed", "killed", "escalated") else "info"
        if happened.change in ("exited", "start_failed", "escalated", "started", "ended"):
            text = f"{happened.path} {happened.change.replace('_', ' ')}" + (f": {reason}" if reason else "")
            self.event("supervisor", happened.change, level, text, {"pid": happened.pid, "restarts": happened.restarts})
        group = happened.path.removeprefix("guardian/")
        if happened.change == "exited" and group in get_args(Group) and not self.stopping.is_set():
            self.background.spawn(self.ladder.fell(cast(Group, group)))
        if self.audience.followers:
            self.publish("instance", {"instances": self.instance_rows()})
            self.publish("tree", self.tree.tree())

    def instance_rows(self) -> list[dict[str, Any]]:
        """One row for each process that runs."""
        return [instance.row() for instance in self._alive()]

    def _alive(self) -> list[Instance]:
        return [instance for instance in self.fleet.instances.values() if instance.alive]

    # --- inside: requests

    def _chat_changed(self, topic: str, ticket: Ticket) -> None:
        if topic == "chat.done":
            self.metrics.answered(ticket.state, ticket.elapsed_ms)
            if ticket.kind == "chat" and not ticket.recovered and ticket.by != "canary":
                error, timed = None if ticket.ok else ticket.error, not self.effects.model()
                revision = self.fleet.code.revision
                self.perception.answered(ticket.request_id, revision, ticket.elapsed_ms, error, timed=timed)
            for told in self.finished:
                told(ticket)
        if ticket.kind == "chat" and self.audience.followers:
            self.publish(topic, ticket.row())

    def _chat_event(self, ticket: Ticket, kind: str, data: dict[str, Any]) -> None:
        if kind == "recall" and ticket.kind == "chat":
            self.perception.recalled(ticket.request_id, data)
        if self.audience.followers:
            self.publish("chat.event", {"request_id": ticket.request_id, "kind": kind, "data": data})

    def _quarantined(self, ticket: Ticket) -> None:
        self.event(
            "dispatch",
            "quarantine",
            "error",
            f"request {ticket.request_id[:8]} ended two instances and is quarantined",
            {"request_id": ticket.request_id},
        )

    # --- inside: what runs beside

    async def _upkeep(self) -> None:
        """Keeps what only grows within its limits."""
        stores = self.stores
        if removed := await stores.prune():
            self.event("storage", "prune", "info", f"{removed} old rows were removed")
        if await stores.brokered.learn():
            self.event("storage", "dictionary", "info", "recorded effects are kept smaller from now on")

    def _held(self, text: str, row: dict[str, Any]) -> None:
        self._wake()
        self.publish("telemetry", {"hold": row})
        self.event("evolution", "hold", "warning" if row["held"] else "info", text, row)

    def _found(self, finding: Finding) -> None:
        self.event("storage", finding.kind, finding.level, finding.text, finding.data)

    def _wake(self) -> None:
        self.looked_around.set()
        self.looked_around.clear()

    async def _look_around(self) -> None:
        """What instances were refused, what views show, what main uses; and what has been seen, when there is time."""
        self._wake()
        for instance in self._alive():
            self.listening.look_at(instance)
        if self.audience.followers:
            self.publish("telemetry", self.telemetry())
        main = self.fleet.main
        if main is not None and main.alive:
            self.perception.used(main.pid, main.requests, main.cpu_ns(), main.resident_bytes())
        if self.initiative is not None:
            await self.initiative.look(self.dispatch.in_flight)
        if self.red_team is not None:
            self.red_team.look(self.dispatch.in_flight)
        await self._perceptions.keep()

    def feedback(self, row: dict[str, Any]) -> None:
        """An operator has judged an answer."""
        self.perception.judged(row["request_id"], row["verdict"], row["text"])
        self.event("operator", "feedback", "info", f"{row['who']} found an answer {row['verdict']}: {row['text']}", row)

    def _silent(self, name: str, silence_s: float) -> None:
        self.listening.silent(name, silence_s)

    def _log(self, who: str, message: messages.Log) -> None:
        self.listening.log(who, message)

    def _asked(self, gene: str, reason: str, hypothesis: str) -> None:
        if self.initiative is not None:
            self.initiative.asked(gene, reason, hypothesis)

    def _perceived(self, intent: Intent) -> None:
        if self.initiative is not None:
            self.initiative.raised(intent)

    def telemetry(self) -> dict[str, Any]:
        """What changes all the time: latest wins."""
        wal = self.stores.wal
        return {
            "instances": self.instance_rows(),
            "wal": {"seq": wal.seq, "digest": wal.digest.hex(), "read_only": self.stores.database.read_only},
            "loop": self.loop_monitor.summary(),
            "brain": self.effects.row(),
            "genome": {"revision": self.fleet.code.revision, "version": self.fleet.code.version},
            "lifecycle": self.lifecycle.state,
            "usage": self.effects.usage.row(),
            "in_flight": self.dispatch.in_flight,
            "recovery_ms": self.listening.last_recovery_ms,
            "hold": self.holding.row(),
        }

    def _storage_state(self, read_only: bool, text: str) -> None:
        if not read_only:
            self.dispatch.endings.write_again()
        self.publish("storage", {"read_only": read_only, "text": text})
        self.event("storage", "state", "error" if read_only else "info", text)
