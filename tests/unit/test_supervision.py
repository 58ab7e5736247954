"""The pure supervisor: random traces under virtual time, and OTP's rules one by one."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from o_tui.guardian.supervision import machine as sv
from o_tui.guardian.supervision.machine import ChildSpec, ExitReason, SupervisorSpec

CRASH = ExitReason("failure", "boom")
NORMAL = ExitReason("normal")
SECOND = 10**9


async def nothing() -> None:
    """Never called: the pure machine starts nothing."""


@dataclass
class World:
    """Carries out actions as late and in as odd an order as a test chooses, and checks every promise on the way."""

    spec: SupervisorSpec
    state: sv.State = field(init=False)
    now_ns: int = 0
    starting: set[tuple[str, int]] = field(default_factory=set)
    alive: set[tuple[str, int]] = field(default_factory=set)
    asked: set[tuple[str, int]] = field(default_factory=set)
    killed: set[tuple[str, int]] = field(default_factory=set)
    restarts_ns: list[int] = field(default_factory=list)
    log: list[sv.Action] = field(default_factory=list)
    ended: ExitReason | None = None
    ready: bool = False
    order: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.state = sv.initial(self.spec)
        self.order = [child.id for child in self.spec.children]

    def feed(self, event: sv.Event) -> None:
        before = self.state
        again = sv.step(before, event, self.now_ns)
        self.state, actions = sv.step(before, event, self.now_ns)
        assert again == (self.state, actions), "the same event gives the same result"
        for action in actions:
            self.log.append(action)
            self.check(action)

    def check(self, action: sv.Action) -> None:
        match action:
            case sv.Start(name, generation):
                self.check_start(name)
                self.starting.add((name, generation))
            case sv.Stop(name, generation) | sv.Kill(name, generation):
                assert (name, generation) in self.starting | self.alive, "only what is there is stopped"
                if self.state.phase == "stopping" and not self.state.brutal:
                    later = self.order[self.order.index(name) + 1 :]
                    up = {other for other, _ in self.starting | self.alive} - {name for name, _ in self.asked}
                    assert not up & set(later), "shutdown is in reverse order"
                self.asked.add((name, generation))
                if isinstance(action, sv.Kill):
                    self.killed.add((name, generation))
            case sv.Transition("", "ready"):
                self.ready = True
            case sv.Transition(_, "restarting"):
                self.restarts_ns.append(self.now_ns)
                period_ns = int(self.spec.max_seconds * SECOND)
                recent = [at for at in self.restarts_ns if self.now_ns - at <= period_ns]
                assert len(recent) <= self.spec.max_restarts, "never more restarts than allowed"
            case sv.Ended(reason):
                assert not self.starting and not self.alive, "nothing survives its supervisor"
                assert self.ended is None
                self.ended = reason
            case _:
                pass

    def check_start(self, name: str) -> None:
        assert self.ended is None and self.state.phase in ("init", "running")
        assert name not in {other for other, _ in self.starting | self.alive}, "no child is started twice"
        assert not self.starting, "children start one at a time"
        later = set(self.order[self.order.index(name) + 1 :])
        if self.state.phase == "init" or self.spec.strategy in ("one_for_all", "rest_for_one"):
            # only an exit that has not been dealt with, or a command, may leave a later one up here
            assert not later & {other for other, _ in self.alive}, "those after it start after it"

    def end(self, key: tuple[str, int], reason: ExitReason) -> None:
        self.alive.discard(key)
        self.asked.discard(key)
        self.feed(sv.Exited(*key, reason))

    def settle(self) -> None:
        """Lets everything that is under way come to its end."""
        for _ in range(10_000):
            if self.starting:
                key = min(self.starting)
                self.starting.discard(key)
                if key in self.asked:
                    self.asked.discard(key)
                    self.feed(sv.StartFailed(*key, ExitReason("shutdown")))
                else:
                    self.alive.add(key)
                    self.feed(sv.Started(*key))
            elif self.asked:
                self.end(min(self.asked), ExitReason("shutdown"))
            else:
                return
        raise AssertionError("it never comes to rest")


def names(world: World, kind: type) -> list[str]:
    return [action.id for action in world.log if isinstance(action, kind)]


def begun(spec: SupervisorSpec) -> World:
    world = World(spec)
    world.feed(sv.Begin())
    world.settle()
    world.log.clear()
    return world


def trio(strategy: sv.Strategy = "one_for_one", restart: sv.Restart = "permanent", **fields: object) -> SupervisorSpec:
    children = tuple(ChildSpec(name, nothing, restart) for name in "abc")
    return SupervisorSpec(children, strategy, **fields)  # type: ignore[arg-type]


SPECS = st.builds(
    SupervisorSpec,
    st.lists(
        st.tuples(
            st.sampled_from(["permanent", "transient", "temporary"]),
            st.sampled_from([0.0, 2.0, "brutal_kill", "infinity"]),
        ),
        max_size=5,
    ).map(lambda rows: tuple(ChildSpec(f"c{i}", nothing, *row) for i, row in enumerate(rows))),
    st.sampled_from(["one_for_one", "one_for_all", "rest_for_one"]),
    st.integers(0, 4),
    st.floats(0.5, 10),
)
MOVES = st.lists(
    st.tuples(
        st.sampled_from(
            ["start", "start", "start", "fail", "crash", "crash", "normal", "obey", "obey", "wait", "stale", "stop"]
        ),
        st.integers(0, 7),
    ),
    max_size=60,
)


def move(world: World, what: str, number: int) -> None:
    """One random thing that may happen in this world."""
    starting, alive, asked = sorted(world.starting), sorted(world.alive), sorted(world.asked & world.alive)
    if what == "start" and starting:
        key = starting[0]
        world.starting.discard(key)
        world.alive.add(key)
        world.feed(sv.Started(*key))
    elif what == "fail" and starting:
        key = starting[0]
        world.starting.discard(key)
        world.asked.discard(key)
        world.feed(sv.StartFailed(*key, CRASH))
    elif what in ("crash", "normal") and alive:
        world.end(alive[number % len(alive)], CRASH if what == "crash" else NORMAL)
    elif what == "obey" and asked:
        world.end(asked[number % len(asked)], ExitReason("shutdown"))
    elif what == "wait":
        world.now_ns += number * SECOND // 2
        world.feed(sv.Tick())
    elif what == "stale" and alive:
        name, generation = alive[number % len(alive)]
        world.feed(sv.Exited(name, generation - 1, CRASH))
    elif what == "stop" and number == 7:
        world.feed(sv.StopRequested())


@settings(max_examples=400)
@given(SPECS, MOVES)
def test_promises_hold_over_random_traces(spec: SupervisorSpec, moves: list[tuple[str, int]]) -> None:
    world = World(spec)
    world.feed(sv.Begin())
    for what, number in moves:
        move(world, what, number)
    world.settle()
    if world.ended is None:
        assert world.ready
        up = {name for name, _ in world.alive}
        must = {child.id for child in spec.children if child.restart == "permanent"}
        assert must <= up, "a permanent child runs, or its supervisor has given up"
    world.feed(sv.StopRequested())
    world.settle()
    assert world.ended is not None
    assert not world.alive


@settings(max_examples=200)
@given(SPECS, MOVES)
def test_a_child_that_does_not_obey_is_killed_when_its_time_is_over(
    spec: SupervisorSpec, moves: list[tuple[str, int]]
) -> None:
    world = begun(spec)
    for what, number in moves:
        move(world, what, number)
    world.feed(sv.StopRequested())
    limits = {child.id: child.shutdown for child in spec.children}
    for _ in range(100):
        if not world.asked:
            break
        name, generation = min(world.asked)
        if (name, generation) in world.starting:
            world.settle()
            continue
        if limits[name] != "infinity" and (name, generation) not in world.killed:
            due = sv.deadline_ns(world.state)
            assert due is not None and due <= world.now_ns + 2 * SECOND
            world.now_ns = due
            world.feed(sv.Tick())
            assert (name, generation) in world.killed
        world.end((name, generation), ExitReason("killed"))
    assert world.ended is not None


@settings(max_examples=200)
@given(SPECS, MOVES)
def test_brutal_stop_kills_everything_at_once(spec: SupervisorSpec, moves: list[tuple[str, int]]) -> None:
    world = begun(spec)
    for what, number in moves:
        move(world, what, number)
    if world.ended is not None:
        return
    world.feed(sv.StopRequested(brutal=True))
    assert world.alive | world.starting <= world.killed
    world.settle()
    assert world.ended is not None


def test_start_in_order_and_shutdown_in_reverse() -> None:
    world = World(trio())
    world.feed(sv.Begin())
    assert names(world, sv.Start) == ["a"]
    world.settle()
    assert names(world, sv.Start) == ["a", "b", "c"]
    assert sum(isinstance(action, sv.Ready) for action in world.log) == 1
    world.feed(sv.StopRequested())
    assert names(world, sv.Stop) == ["c"]
    world.settle()
    assert names(world, sv.Stop) == ["c", "b", "a"]
    assert world.ended == ExitReason("shutdown")


def test_one_for_one_restarts_only_the_dead_one() -> None:
    world = begun(trio())
    world.end(("b", 1), CRASH)
    world.settle()
    assert names(world, sv.Start) == ["b"]
    assert names(world, sv.Stop) == []
    assert sv.find(world.state, "b").restarts == 1


def test_rest_for_one_restarts_it_and_those_after_it() -> None:
    world = begun(trio("rest_for_one"))
    world.end(("b", 1), CRASH)
    assert names(world, sv.Stop) == ["c"]
    assert names(world, sv.Start) == []
    world.settle()
    assert names(world, sv.Start) == ["b", "c"]


def test_one_for_all_restarts_all_in_order_after_stopping_in_reverse() -> None:
    world = begun(trio("one_for_all"))
    world.end(("b", 1), CRASH)
    world.settle()
    assert names(world, sv.Stop) == ["c", "a"]
    assert names(world, sv.Start) == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("restart", "reason", "again"),
    [
        ("permanent", NORMAL, True),
        ("permanent", CRASH, True),
        ("transient", NORMAL, False),
        ("transient", ExitReason("shutdown"), False),
        ("transient", ExitReason("killed"), True),
        ("temporary", CRASH, False),
    ],
)
def test_what_an_exit_means(restart: sv.Restart, reason: ExitReason, again: bool) -> None:
    world = begun(trio(restart=restart))
    world.end(("a", 1), reason)
    world.settle()
    assert names(world, sv.Start) == (["a"] if again else [])
    assert (sv.find(world.state, "a") is None) == (restart == "temporary")


def test_intensity_is_a_sliding_window() -> None:
    world = begun(trio(max_restarts=2, max_seconds=10))
    for at_s in (0, 9, 11, 20):
        world.now_ns = at_s * SECOND
        world.end(("a", sv.find(world.state, "a").generation), CRASH)
        world.settle()
    assert world.ended is None, "never three within ten seconds"
    world.now_ns = 21 * SECOND
    world.end(("a", 5), CRASH)
    world.settle()
    assert world.ended is not None
    assert world.ended.kind == "shutdown"
    assert sv.INTENSITY_EXCEEDED in world.ended.detail
    assert names(world, sv.Stop) == ["c", "b"]


def test_a_restart_that_does_not_start_is_tried_again_and_counted() -> None:
    world = begun(trio("rest_for_one", max_restarts=3))
    world.end(("b", 1), CRASH)
    world.end(("c", 1), ExitReason("shutdown"))
    for generation in (2, 3, 4):
        assert world.starting == {("b", generation)}
        world.starting.clear()
        world.feed(sv.StartFailed("b", generation, CRASH))
    world.settle()
    assert world.ended is not None
    assert len(world.restarts_ns) == 3


def test_a_failed_first_start_undoes_what_was_started() -> None:
    world = World(trio())
    world.feed(sv.Begin())
    world.starting.clear()
    world.alive.add(("a", 1))
    world.feed(sv.Started("a", 1))
    world.starting.clear()
    world.feed(sv.StartFailed("b", 1, CRASH))
    assert names(world, sv.Stop) == ["a"]
    world.settle()
    assert world.ended == ExitReason("failure", "b did not start: boom")
    assert "c" not in names(world, sv.Start)


def test_exits_during_a_restart_wait_and_are_not_lost() -> None:
    world = begun(trio(max_restarts=5))
    world.end(("a", 1), CRASH)
    world.end(("b", 1), CRASH)
    assert world.starting == {("a", 2)}
    world.settle()
    assert names(world, sv.Start) == ["a", "b"]


def test_an_exit_of_a_child_that_the_restart_takes_along_counts_once() -> None:
    world = begun(trio("one_for_all", max_restarts=1))
    world.end(("b", 1), CRASH)
    world.end(("a", 1), CRASH)
    world.settle()
    assert world.ended is None
    assert {name for name, _ in world.alive} == {"a", "b", "c"}


def test_children_come_and_go() -> None:
    world = begun(SupervisorSpec())
    world.order = ["x"]
    spec = ChildSpec("x", nothing, restart="transient")
    world.feed(sv.AddChild(spec))
    with pytest.raises(ValueError, match="already"):
        sv.step(world.state, sv.AddChild(spec), 0)
    world.settle()
    world.end(("x", 1), ExitReason("normal"))
    world.settle()
    assert sv.find(world.state, "x").status == "down"
    world.feed(sv.StartChild("x"))
    world.settle()
    assert world.alive == {("x", 2)}
    world.feed(sv.RemoveChild("x"))
    world.settle()
    assert sv.find(world.state, "x") is None
    with pytest.raises(ValueError, match="no child"):
        sv.step(world.state, sv.RemoveChild("x"), 0)


def test_a_new_child_that_does_not_start_is_forgotten() -> None:
    world = begun(trio())
    world.order.append("x")
    world.feed(sv.AddChild(ChildSpec("x", nothing)))
    world.starting.clear()
    world.feed(sv.StartFailed("x", 1, CRASH))
    world.settle()
    assert sv.find(world.state, "x") is None
    assert world.ended is None


def test_specs_are_checked() -> None:
    with pytest.raises(ValueError, match="two children"):
        sv.initial(SupervisorSpec((ChildSpec("a", nothing), ChildSpec("a", nothing))))
    with pytest.raises(ValueError, match="intensity"):
        sv.initial(SupervisorSpec(max_restarts=-1))
