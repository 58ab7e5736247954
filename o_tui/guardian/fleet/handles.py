"""The fleet's processes as children of the supervisor and as replicas of the log, and whom the fleet tells."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Protocol

from o_tui.guardian.fleet.instances import Instance, death_cause
from o_tui.guardian.fleet.nursery import Nursery
from o_tui.guardian.supervision.machine import ExitReason
from o_tui.protocol import frames, messages


class Listener(Protocol):
    """What the fleet tells of."""

    def frame(self, instance: Instance, frame: frames.Frame) -> None:
        """A frame of main, or of an instance that was main."""

    def serving(self, main: Instance, promoted: bool) -> None:
        """An instance is main from now on."""

    def ended(self, instance: Instance) -> None:
        """An instance has ended; called before the next one serves."""

    def reaped(self, instance: Instance, status: int) -> None:
        """The exit status of an instance that has ended."""

    def nursery_ended(self) -> None:
        """The nursery has ended: nobody says any more how its children end."""

    def failed(self, who: str, message: messages.Failed) -> None:
        """An instance or the nursery could not do something."""

    def log(self, who: str, message: messages.Log) -> None:
        """A line for the event log."""


class InstanceHandle:
    """An instance (or the nursery) as a child of the supervisor."""

    def __init__(
        self, pid: int, exited: asyncio.Future[ExitReason], stop: Callable[[float], Awaitable[object]]
    ) -> None:
        self.pid = pid
        self.exited = exited
        self._stop = stop

    def stop(self, timeout_s: float | None) -> Awaitable[object]:
        """Asks it to end; see runner.Handle."""
        return self._stop(3600.0 if timeout_s is None else timeout_s)


class NurseryReplica:
    """The nursery as a replica of the log."""

    def __init__(self, nursery: Nursery, seq: int) -> None:
        self._nursery = nursery
        self.seq = seq

    @property
    def alive(self) -> bool:
        """It runs."""
        return self._nursery.alive

    def send_entries(self, raw: bytes) -> None:
        """Forwards to its stream."""
        self._nursery.channel.send_bytes(raw)


class InstanceReplica:
    """An instance as a replica of the log."""

    def __init__(self, instance: Instance) -> None:
        self._instance = instance

    @property
    def seq(self) -> int:
        """The last entry that it was sent."""
        return self._instance.seq

    @seq.setter
    def seq(self, value: int) -> None:
        self._instance.seq = value

    @property
    def alive(self) -> bool:
        """It runs."""
        return self._instance.alive

    def send_entries(self, raw: bytes) -> None:
        """Forwards to its socket."""
        self._instance.channel.send_bytes(raw)


def exit_reason(status: int, cause: str) -> ExitReason:
    """The supervisor's word for a status of Watch."""
    if status == 0:
        return ExitReason("shutdown" if cause else "normal", cause)
    return ExitReason("killed" if status < 0 else "failure", cause or death_cause(status))
