"""The driver of `machine.py` on asyncio: starts, stops and watches, and tells what happened.

A child is started by an async function that returns a *handle*; its end is `handle.exited`. Everything runs on one
loop; nothing here blocks it. `Supervisor.tree()` is what the Events pane shows.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Protocol

from o_tui.guardian.supervision import machine as sv
from o_tui.guardian.supervision.machine import ChildSpec, ExitReason, SupervisorSpec


class Handle(Protocol):
    """A running child."""

    @property
    def pid(self) -> int:
        """Its process; the guardian's own if it runs here."""

    @property
    def exited(self) -> asyncio.Future[ExitReason]:
        """Done when nothing of the child is left."""

    def stop(self, timeout_s: float | None) -> Awaitable[object] | None:
        """Asks it to end within `timeout_s` (None: no limit; 0: kill at once); then `exited`. May be called again."""


@dataclass(frozen=True, slots=True)
class Happened:
    """One transition, for the event log. `path` names the child from the root: `guardian/instances/main`."""

    path: str
    change: sv.Change
    reason: ExitReason | None
    pid: int
    restarts: int


class StartError(Exception):
    """A supervisor's children could not all be started; those that were are stopped again."""


class TaskHandle:
    """A child that is a coroutine on this loop."""

    def __init__(self, work: Coroutine[Any, Any, object], name: str) -> None:
        self.exited: asyncio.Future[ExitReason] = asyncio.get_running_loop().create_future()
        self._stopping = False
        self._task = asyncio.create_task(work, name=name)
        self._task.add_done_callback(self._done)

    @property
    def pid(self) -> int:
        """This process."""
        return os.getpid()

    def stop(self, timeout_s: float | None) -> None:
        """Cancels the task."""
        self._stopping = True
        self._task.cancel()

    def _done(self, task: asyncio.Task[object]) -> None:
        if task.cancelled():
            reason = ExitReason("shutdown") if self._stopping else ExitReason("killed", "cancelled")
        elif (error := task.exception()) is not None:
            reason = ExitReason("failure", f"{type(error).__name__}: {error}")
        else:
            reason = ExitReason("shutdown" if self._stopping else "normal")
        if not self.exited.done():
            self.exited.set_result(reason)


def task(name: str, function: Callable[[], Coroutine[Any, Any, object]], **fields: Any) -> ChildSpec:
    """The child spec of a coroutine function; `fields` are those of ChildSpec."""

    async def start() -> TaskHandle:
        return TaskHandle(function(), name)

    return ChildSpec(name, start, **fields)


class Supervisor:
    """Runs one supervisor; it is itself a handle, so supervisors nest."""

    def __init__(
        self,
        name: str,
        spec: SupervisorSpec,
        *,
        on_happened: Callable[[Happened], None] | None = None,
        clock_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self.name = name
        self.exited: asyncio.Future[ExitReason] = asyncio.get_running_loop().create_future()
        self._state = sv.initial(spec)
        self._on_happened = on_happened
        self._clock_ns = clock_ns
        self._ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._handles: dict[tuple[str, int], Handle] = {}
        self._starting: dict[tuple[str, int], asyncio.Task[Handle]] = {}
        self._started_ns: dict[str, int] = {}
        self._events: deque[sv.Event] = deque()
        self._feeding = False
        self._timer: asyncio.TimerHandle | None = None
        self._stops: set[asyncio.Future[object]] = set()
        self._settled: list[asyncio.Future[None]] = []
        self._born_ns = time.time_ns()

    @property
    def pid(self) -> int:
        """This process."""
        return os.getpid()

    async def start(self) -> None:
        """Starts all children in order.

        Raises:
            StartError: One did not start; those before it have been stopped.
        """
        self._feed(sv.Begin())
        try:
            await asyncio.shield(self._ready)
        except asyncio.CancelledError:
            # not left half started: what runs is stopped first, and killed if we are cancelled again
            self.stop()
            while not self.exited.done():
                try:
                    await asyncio.shield(self.exited)
                except asyncio.CancelledError:
                    self.stop(0)
            raise

    def stop(self, timeout_s: float | None = None) -> None:
        """Ends it: children in reverse order, each within its own time; 0: all killed at once. `exited` follows."""
        self._feed(sv.StopRequested(brutal=timeout_s == 0))

    async def add(self, spec: ChildSpec) -> bool:
        """Starts a new last child; False if it did not start (then it is forgotten).

        Raises:
            ValueError: There is a child of that name, or the supervisor is stopping.
        """
        await self._command(sv.AddChild(spec))
        return sv.find(self._state, spec.id) is not None

    async def start_child(self, name: str) -> bool:
        """Starts a child that is down; False if it did not start. Raises ValueError if there is none of that name."""
        await self._command(sv.StartChild(name))
        child = sv.find(self._state, name)
        return child is not None and child.status == "running"

    async def remove(self, name: str) -> None:
        """Stops a child and forgets it; raises ValueError if there is none of that name."""
        await self._command(sv.RemoveChild(name))

    def handle(self, name: str) -> Handle | None:
        """The handle of a child that runs."""
        child = sv.find(self._state, name)
        return self._handles.get((name, child.generation)) if child is not None else None

    def tree(self) -> dict[str, Any]:
        """The tree as plain data: id, type, state, pid, restarts, started_ns (UTC), children."""
        rows: list[dict[str, Any]] = []
        for child, row in zip(self._state.children, sv.describe(self._state.children), strict=True):
            handle = self._handles.get((child.spec.id, child.generation))
            if isinstance(handle, Supervisor):
                row |= handle.tree() | {key: row[key] for key in ("id", "restart", "restarts")}
            row["pid"] = handle.pid if handle is not None else 0
            row["started_ns"] = self._started_ns.get(child.spec.id, 0)
            rows.append(row)
        return {
            "id": self.name.rpartition("/")[2],
            "type": "supervisor",
            "state": self._state.phase,
            "strategy": self._state.spec.strategy,
            "restarts": 0,
            "started_ns": self._born_ns,
            "pid": self.pid,
            "children": rows,
        }

    # --- the machine's events and actions

    async def _command(self, event: sv.Event) -> None:
        settled: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._feed(event)
        self._settled.append(settled)
        self._settle()
        await settled

    def _settle(self) -> None:
        if sv.idle(self._state) or self._state.phase == "ended":
            for future in self._settled:
                if not future.done():
                    future.set_result(None)
            self._settled.clear()

    def _feed(self, event: sv.Event) -> None:
        """Takes an event; one that comes while another is dealt with waits for it."""
        if self._feeding:
            self._events.append(event)
            return
        self._feeding = True
        try:
            self._advance(event)
            while self._events:
                self._advance(self._events.popleft())
        finally:
            self._feeding = False
        self._set_timer()
        self._settle()

    def _advance(self, event: sv.Event) -> None:
        self._state, actions = sv.step(self._state, event, self._clock_ns())
        for action in actions:
            self._perform(action)

    def _perform(self, action: sv.Action) -> None:
        match action:
            case sv.Start(name, generation):
                self._launch(name, generation)
            case sv.Stop(name, generation, timeout_s):
                self._stop(name, generation, timeout_s)
            case sv.Kill(name, generation):
                self._stop(name, generation, 0)
            case sv.Ready():
                if not self._ready.done():
                    self._ready.set_result(None)
            case sv.Ended(reason):
                self._ended(reason)
            case sv.Transition():
                self._tell(action)

    def _ended(self, reason: ExitReason) -> None:
        if not self._ready.done():
            self._ready.set_exception(StartError(reason.detail or "stopped while it started"))
            self._ready.exception()  # nobody has to wait for it
        if not self.exited.done():
            self.exited.set_result(reason)

    def _tell(self, note: sv.Transition) -> None:
        child = sv.find(self._state, note.id)
        handle = self._handles.get((note.id, child.generation)) if child is not None else None
        if note.change == "started":
            self._started_ns[note.id] = time.time_ns()
        if self._on_happened is not None:
            path = f"{self.name}/{note.id}" if note.id else self.name
            pid = handle.pid if handle is not None else 0
            happened = Happened(path, note.change, note.reason, pid, child.restarts if child else 0)
            try:
                self._on_happened(happened)
            except Exception as error:  # noqa: BLE001 - whoever listens must not stop the supervisor
                self._complain("a listener failed", error)

    def _complain(self, text: str, error: Exception) -> None:
        context = {"message": f"supervisor {self.name}: {text}", "exception": error}
        asyncio.get_running_loop().call_exception_handler(context)

    def _launch(self, name: str, generation: int) -> None:
        child = sv.find(self._state, name)
        assert child is not None
        starting = asyncio.create_task(self._start(child.spec), name=f"start {self.name}/{name}")
        self._starting[name, generation] = starting
        # a callback, not the task's own code: a task that is cancelled before its first step never runs any
        starting.add_done_callback(lambda done: self._launched((name, generation), done))

    def _launched(self, key: tuple[str, int], done: asyncio.Task[Handle]) -> None:
        del self._starting[key]
        if done.cancelled():
            self._feed(sv.StartFailed(*key, ExitReason("shutdown", "stopped while it started")))
        elif (error := done.exception()) is not None:
            self._feed(sv.StartFailed(*key, ExitReason("failure", f"{type(error).__name__}: {error}")))
        else:
            handle = self._handles[key] = done.result()
            self._feed(sv.Started(*key))
            handle.exited.add_done_callback(lambda future: self._child_exited(key, future))

    async def _start(self, spec: ChildSpec) -> Handle:
        if isinstance(spec.start, SupervisorSpec):
            inner = Supervisor(
                f"{self.name}/{spec.id}", spec.start, on_happened=self._on_happened, clock_ns=self._clock_ns
            )
            await inner.start()
            return inner
        handle: Handle = await spec.start()
        return handle

    def _child_exited(self, key: tuple[str, int], future: asyncio.Future[ExitReason]) -> None:
        if future.cancelled():
            reason = ExitReason("failure", "its handle was cancelled")
        elif (error := future.exception()) is not None:
            reason = ExitReason("failure", f"{type(error).__name__}: {error}")
        else:
            reason = future.result()
        self._feed(sv.Exited(*key, reason))
        self._handles.pop(key, None)

    def _stop(self, name: str, generation: int, timeout_s: float | None) -> None:
        starting = self._starting.get((name, generation))
        if starting is not None:
            starting.cancel()
        handle = self._handles.get((name, generation))
        if handle is None:
            return
        try:
            waiting = handle.stop(timeout_s)
        except Exception as error:  # noqa: BLE001 - a handle that cannot stop its child must not stop the supervisor
            self._complain(f"{self.name}/{name} could not be asked to stop", error)
            return
        if waiting is not None:
            future = asyncio.ensure_future(waiting)
            self._stops.add(future)
            future.add_done_callback(self._stops.discard)

    def _set_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        due_ns = sv.deadline_ns(self._state)
        if due_ns is not None:
            delay_s = max(0.0, (due_ns - self._clock_ns()) / 1e9)
            self._timer = asyncio.get_running_loop().call_later(delay_s, self._feed, sv.Tick())
