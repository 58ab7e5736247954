"""The words of supervision: specs, state, events and actions (`machine.py` is what works on them)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

Restart = Literal["permanent", "transient", "temporary"]
Strategy = Literal["one_for_one", "one_for_all", "rest_for_one"]
Shutdown: TypeAlias = float | Literal["brutal_kill", "infinity"]
Status = Literal["down", "starting", "running", "stopping", "dead"]
Phase = Literal["new", "init", "running", "stopping", "ended"]
Change = Literal[
    "starting",
    "started",
    "start_failed",
    "exited",
    "restarting",
    "stopping",
    "killed",
    "stopped",
    "removed",
    "ready",
    "escalated",
    "ended",
]

INTENSITY_EXCEEDED = "reached the maximum restart intensity"


@dataclass(frozen=True, slots=True)
class ExitReason:
    """Why a child ended. `normal` and `shutdown` are not abnormal: a transient child is not started again."""

    kind: Literal["normal", "shutdown", "failure", "killed"] = "normal"
    detail: str = ""

    @property
    def abnormal(self) -> bool:
        """It crashed, or was killed by someone else."""
        return self.kind in ("failure", "killed")


@dataclass(frozen=True, slots=True)
class ChildSpec:
    """How one child is started, and what its end means.

    Attributes:
        id: Its name among its siblings.
        start: What the driver starts: an async function that returns a handle, or a `SupervisorSpec`.
        restart: permanent: always started again; transient: only after an abnormal exit; temporary: never.
        shutdown: Seconds to end in by itself before it is killed; `brutal_kill`: at once; `infinity`: no limit.
        type: `supervisor` for a nested tree.
    """

    id: str
    start: Callable[[], Any] | SupervisorSpec
    restart: Restart = "permanent"
    shutdown: Shutdown = 5.0
    type: Literal["worker", "supervisor"] = "worker"


@dataclass(frozen=True, slots=True)
class SupervisorSpec:
    """A supervisor: its children in starting order, its strategy and its restart intensity."""

    children: tuple[ChildSpec, ...] = ()
    strategy: Strategy = "one_for_one"
    max_restarts: int = 3
    max_seconds: float = 5.0


def nested(name: str, spec: SupervisorSpec, *, restart: Restart = "permanent") -> ChildSpec:
    """The child spec of a supervisor under a supervisor; it has all the time it needs to end its children."""
    return ChildSpec(name, spec, restart, "infinity", "supervisor")


# --- state


@dataclass(frozen=True, slots=True)
class Child:
    """One child as it stands. `generation` counts its starts: events of an older one are not heard."""

    spec: ChildSpec
    status: Status = "down"
    generation: int = 0
    restarts: int = 0
    started_ns: int = 0
    kill_at_ns: int | None = None


@dataclass(frozen=True, slots=True)
class Step:
    """A part of a plan that is carried out one after the other."""

    what: Literal["start", "stop", "remove"]
    id: str
    why: Literal["init", "restart", "command"] = "command"


@dataclass(frozen=True, slots=True)
class State:
    """Everything a supervisor knows."""

    spec: SupervisorSpec
    phase: Phase = "new"
    children: tuple[Child, ...] = ()
    restarts_ns: tuple[int, ...] = ()
    plan: tuple[Step, ...] = ()
    waiting: tuple[Event, ...] = ()
    reason: ExitReason = field(default_factory=ExitReason)
    brutal: bool = False


# --- events


@dataclass(frozen=True, slots=True)
class Begin:
    """Start all children."""


@dataclass(frozen=True, slots=True)
class Started:
    """A start that was asked for is done."""

    id: str
    generation: int


@dataclass(frozen=True, slots=True)
class StartFailed:
    """A start that was asked for did not succeed; nothing of it is left."""

    id: str
    generation: int
    reason: ExitReason


@dataclass(frozen=True, slots=True)
class Exited:
    """A child that had started has ended."""

    id: str
    generation: int
    reason: ExitReason


@dataclass(frozen=True, slots=True)
class StopRequested:
    """End the supervisor: in reverse order, or with `brutal` all at once."""

    brutal: bool = False
    reason: ExitReason = field(default_factory=lambda: ExitReason("shutdown"))


@dataclass(frozen=True, slots=True)
class Tick:
    """Time has passed (see `deadline_ns`)."""


@dataclass(frozen=True, slots=True)
class AddChild:
    """A new last child, started at once; if that fails it is forgotten."""

    spec: ChildSpec


@dataclass(frozen=True, slots=True)
class StartChild:
    """Start a child that is down."""

    id: str


@dataclass(frozen=True, slots=True)
class RemoveChild:
    """Stop a child and forget it."""

    id: str


@dataclass(frozen=True, slots=True)
class Retry:
    """A restart whose start failed: it is tried, and counted, again."""

    id: str
    reason: ExitReason


Event: TypeAlias = (
    Begin | Started | StartFailed | Exited | StopRequested | Tick | AddChild | StartChild | RemoveChild
) | Retry


# --- actions


@dataclass(frozen=True, slots=True)
class Start:
    """Start this child; answer with Started or StartFailed."""

    id: str
    generation: int


@dataclass(frozen=True, slots=True)
class Stop:
    """Ask this child to end within `timeout_s` (None: no limit); answer with Exited (StartFailed if it only starts)."""

    id: str
    generation: int
    timeout_s: float | None


@dataclass(frozen=True, slots=True)
class Kill:
    """End this child at once; answer as to Stop."""

    id: str
    generation: int


@dataclass(frozen=True, slots=True)
class Ready:
    """All children have started."""


@dataclass(frozen=True, slots=True)
class Ended:
    """The supervisor is over and has no children."""

    reason: ExitReason


@dataclass(frozen=True, slots=True)
class Transition:
    """For the event log: what happened to `id` (empty: to the supervisor itself)."""

    id: str
    change: Change
    reason: ExitReason | None = None


Action: TypeAlias = Start | Stop | Kill | Ready | Ended | Transition


# --- questions


def find(state: State, name: str) -> Child | None:
    """The child of that name."""
    return next((child for child in state.children if child.spec.id == name), None)


def deadline_ns(state: State) -> int | None:
    """When `Tick` is due next; None: nothing waits for time."""
    return min((child.kill_at_ns for child in state.children if child.kill_at_ns is not None), default=None)


def idle(state: State) -> bool:
    """Nothing is under way: every event has been dealt with."""
    return not state.plan and not state.waiting


def describe(children: Iterable[Child]) -> list[dict[str, Any]]:
    """The children as plain data, without pids (which only a driver knows)."""
    return [
        {
            "id": child.spec.id,
            "type": child.spec.type,
            "state": child.status,
            "restart": child.spec.restart,
            "restarts": child.restarts,
            "started_ns": child.started_ns,
        }
        for child in children
    ]
