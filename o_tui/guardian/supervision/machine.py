"""OTP's supervision as a pure state machine: `step(state, event, now_ns) -> (state, actions)`.

Nothing here starts, waits or looks at a clock; `runner.py` does. The meaning is OTP's: children start in order and
stop in reverse, one at a time; a restart counts against `max_restarts` in `max_seconds`, and one too many ends the
supervisor with the reason `shutdown`, which its parent then judges like any other exit. What happens to other
children while a start or a stop is under way waits in a queue, as it would in an Erlang mailbox.
"""

from __future__ import annotations

from dataclasses import replace

from o_tui.guardian.supervision.terms import (
    INTENSITY_EXCEEDED,
    Action,
    AddChild,
    Begin,
    Change,
    Child,
    ChildSpec,
    Ended,
    Event,
    Exited,
    ExitReason,
    Kill,
    Phase,
    Ready,
    RemoveChild,
    Restart,
    Retry,
    Shutdown,
    Start,
    StartChild,
    Started,
    StartFailed,
    State,
    Status,
    Step,
    Stop,
    StopRequested,
    Strategy,
    SupervisorSpec,
    Tick,
    Transition,
    deadline_ns,
    describe,
    find,
    idle,
    nested,
)

__all__ = [
    "INTENSITY_EXCEEDED",
    "Action",
    "AddChild",
    "Begin",
    "Change",
    "Child",
    "ChildSpec",
    "Ended",
    "Event",
    "ExitReason",
    "Exited",
    "Kill",
    "Phase",
    "Ready",
    "RemoveChild",
    "Restart",
    "Retry",
    "Shutdown",
    "Start",
    "StartChild",
    "StartFailed",
    "Started",
    "State",
    "Status",
    "Step",
    "Stop",
    "StopRequested",
    "Strategy",
    "SupervisorSpec",
    "Tick",
    "Transition",
    "deadline_ns",
    "describe",
    "find",
    "idle",
    "initial",
    "nested",
    "step",
]


def initial(spec: SupervisorSpec) -> State:
    """The state before `Begin`.

    Raises:
        ValueError: Two children have one name, or the intensity is negative.
    """
    names = [child.id for child in spec.children]
    if len(set(names)) != len(names):
        raise ValueError(f"two children of one name among {names}")
    if spec.max_restarts < 0 or spec.max_seconds <= 0:
        raise ValueError("a restart intensity is max_restarts >= 0 in max_seconds > 0")
    return State(spec, children=tuple(Child(child) for child in spec.children))


def step(state: State, event: Event, now_ns: int) -> tuple[State, tuple[Action, ...]]:
    """One event; `now_ns` is monotonic. `state` itself is unchanged.

    Raises:
        ValueError: A child of the name is there already (AddChild), or there is none (the other commands).
    """
    work = _Work(state, now_ns)
    work.take(event)
    work.advance()
    return work.freeze(), tuple(work.actions)


class _Work:
    """A state while one event is dealt with."""

    def __init__(self, state: State, now_ns: int) -> None:
        self._old = state
        self._now_ns = now_ns
        self._spec = state.spec
        self._phase: Phase = state.phase
        self._children = {child.spec.id: child for child in state.children}
        self._restarts_ns = list(state.restarts_ns)
        self._plan = list(state.plan)
        self._waiting: list[Event] = list(state.waiting)
        self._reason = state.reason
        self._brutal = state.brutal
        self.actions: list[Action] = []

    def freeze(self) -> State:
        return replace(
            self._old,
            phase=self._phase,
            children=tuple(self._children.values()),
            restarts_ns=tuple(self._restarts_ns),
            plan=tuple(self._plan),
            waiting=tuple(self._waiting),
            reason=self._reason,
            brutal=self._brutal,
        )

    # --- an event comes in

    def take(self, event: Event) -> None:
        match event:
            case Begin() if self._phase == "new":
                self._phase = "init"
                self._plan = [Step("start", name, "init") for name in self._children]
            case Started(name, generation):
                self._started(name, generation)
            case StartFailed(name, generation, reason):
                self._start_failed(name, generation, reason)
            case Exited(name, generation, reason):
                self._exited(event, name, generation, reason)
            case StopRequested(brutal, reason):
                self._end(reason, brutal)
            case Tick():
                self._kill_late()
            case AddChild() | StartChild() | RemoveChild():
                self._check(event)
                self._waiting.append(event)
            case _:
                pass

    def _check(self, event: AddChild | StartChild | RemoveChild) -> None:
        if self._phase in ("stopping", "ended"):
            raise ValueError("the supervisor is stopping")
        name = event.spec.id if isinstance(event, AddChild) else event.id
        coming = any(isinstance(other, AddChild) and other.spec.id == name for other in self._waiting)
        known = name in self._children or coming
        if known == isinstance(event, AddChild):
            raise ValueError(f"there is {'already a' if known else 'no'} child {name!r}")

    def _current(self, name: str, generation: int) -> Child | None:
        child = self._children.get(name)
        return child if child is not None and child.generation == generation else None

    def _started(self, name: str, generation: int) -> None:
        child = self._current(name, generation)
        if child is None or child.status not in ("starting", "stopping"):
            return
        self._note(name, "started")
        if child.status == "starting":
            self._children[name] = replace(child, status="running", started_ns=self._now_ns)
        else:
            # it was asked to stop while it was starting: what has started now hears it too
            self._ask_to_stop(child)

    def _start_failed(self, name: str, generation: int, reason: ExitReason) -> None:
        child = self._current(name, generation)
        if child is None or child.status not in ("starting", "stopping"):
            return
        self._note(name, "start_failed" if child.status == "starting" else "stopped", reason)
        self._children[name] = replace(child, status="down", kill_at_ns=None)
        if child.status == "stopping" or not self._plan:
            return
        why = self._plan[0].why
        if why == "init":
            self._end(ExitReason("failure", f"{name} did not start: {reason.detail}"), False)
            return
        # the rest of a restart is void: the new attempt plans it again
        self._plan = []
        if why == "restart":
            self._waiting.insert(0, Retry(name, reason))
        elif child.generation == 1:
            self._forget(name)

    def _exited(self, event: Event, name: str, generation: int, reason: ExitReason) -> None:
        child = self._current(name, generation)
        if child is None or child.status in ("down", "dead"):
            return
        if child.status == "stopping":
            self._note(name, "stopped", reason)
            self._children[name] = replace(child, status="down", kill_at_ns=None)
            return
        self._note(name, "exited", reason)
        self._children[name] = replace(child, status="dead")
        if self._phase != "stopping":
            self._waiting.append(event)

    def _kill_late(self) -> None:
        for child in list(self._children.values()):
            if child.kill_at_ns is not None and child.kill_at_ns <= self._now_ns:
                self._kill(child)

    # --- what follows from it

    def advance(self) -> None:
        """Carries out the plan as far as it goes, then takes what waits."""
        while True:
            if self._plan:
                if not self._carry_out(self._plan[0]):
                    return
                self._plan.pop(0)
            elif self._phase == "init":
                self._phase = "running"
                self.actions.append(Ready())
                self._note("", "ready")
            elif self._phase == "stopping":
                self._phase = "ended"
                self._note("", "ended", self._reason)
                self.actions.append(Ended(self._reason))
                return
            elif self._phase == "running" and self._waiting:
                self._deal_with(self._waiting.pop(0))
            else:
                return

    def _carry_out(self, part: Step) -> bool:
        """Does one step; True when it is complete."""
        child = self._children.get(part.id)
        if child is None:
            return True
        if part.what == "start":
            if child.status == "down":
                self._launch(child, part.why)
            return child.status in ("running", "dead")
        if child.status in ("running", "starting"):
            self._ask_to_stop(child)
            return False
        if child.status == "stopping":
            return False
        if child.status == "dead":
            self._children[part.id] = replace(child, status="down")
            self._waiting = [event for event in self._waiting if not _concerns(event, child)]
        if part.what == "remove" or (child.spec.restart == "temporary" and self._phase != "stopping"):
            self._forget(part.id)
        return True

    def _launch(self, child: Child, why: str) -> None:
        generation = child.generation + 1
        restarts = child.restarts + (1 if why == "restart" else 0)
        self._children[child.spec.id] = replace(
            child, status="starting", generation=generation, restarts=restarts, kill_at_ns=None
        )
        self._note(child.spec.id, "starting")
        self.actions.append(Start(child.spec.id, generation))

    def _ask_to_stop(self, child: Child) -> None:
        name, limit = child.spec.id, child.spec.shutdown
        if child.status != "stopping":
            self._note(name, "stopping")
        child = replace(child, status="stopping")
        if self._brutal or limit == "brutal_kill":
            self._kill(child)
            return
        timeout_s = None if limit == "infinity" else float(limit)
        kill_at_ns = child.kill_at_ns
        if timeout_s is not None and kill_at_ns is None:
            kill_at_ns = self._now_ns + int(timeout_s * 1e9)
        self._children[name] = replace(child, kill_at_ns=kill_at_ns)
        self.actions.append(Stop(name, child.generation, timeout_s))

    def _kill(self, child: Child) -> None:
        self._children[child.spec.id] = replace(child, status="stopping", kill_at_ns=None)
        self._note(child.spec.id, "killed")
        self.actions.append(Kill(child.spec.id, child.generation))

    def _deal_with(self, event: Event) -> None:
        match event:
            case Exited(name, _, reason):
                self._judge(self._children[name], reason)
            case Retry(name, _) if name in self._children:
                self._restart(self._children[name])
            case AddChild(spec):
                self._children[spec.id] = Child(spec)
                self._plan = [Step("start", spec.id)]
            case StartChild(name):
                self._plan = [Step("start", name)]
            case RemoveChild(name):
                self._plan = [Step("remove", name)]
            case _:
                pass

    def _judge(self, child: Child, reason: ExitReason) -> None:
        name = child.spec.id
        self._children[name] = child = replace(child, status="down")
        if child.spec.restart == "temporary":
            self._forget(name)
        elif child.spec.restart == "permanent" or reason.abnormal:
            self._restart(child)

    def _restart(self, child: Child) -> None:
        name = child.spec.id
        horizon_ns = self._now_ns - int(self._spec.max_seconds * 1e9)
        self._restarts_ns = [at for at in self._restarts_ns if at >= horizon_ns] + [self._now_ns]
        if len(self._restarts_ns) > self._spec.max_restarts:
            self._restarts_ns.pop()
            self._note(name, "escalated", ExitReason("shutdown", INTENSITY_EXCEEDED))
            self._end(ExitReason("shutdown", f"{name}: {INTENSITY_EXCEEDED}"), False)
            return
        self._note(name, "restarting")
        group = self._group(name)
        self._plan = [Step("stop", other, "restart") for other in reversed(group) if other != name]
        self._plan += [Step("start", other, "restart") for other in group]

    def _group(self, name: str) -> list[str]:
        names = list(self._children)
        if self._spec.strategy == "one_for_one":
            return [name]
        return names if self._spec.strategy == "one_for_all" else names[names.index(name) :]

    def _end(self, reason: ExitReason, brutal: bool) -> None:
        if self._phase == "ended":
            return
        if self._phase != "stopping":
            self._phase = "stopping"
            self._reason = reason
            self._plan = [Step("stop", name) for name in reversed(self._children)]
            self._waiting = []
        if brutal and not self._brutal:
            self._brutal = True
            for child in list(self._children.values()):
                if child.status in ("starting", "running", "stopping"):
                    self._kill(child)

    def _forget(self, name: str) -> None:
        del self._children[name]
        self._waiting = [event for event in self._waiting if getattr(event, "id", None) != name]
        self._note(name, "removed")

    def _note(self, name: str, change: Change, reason: ExitReason | None = None) -> None:
        self.actions.append(Transition(name, change, reason))


def _concerns(event: Event, child: Child) -> bool:
    return isinstance(event, Exited) and event.id == child.spec.id and event.generation == child.generation
