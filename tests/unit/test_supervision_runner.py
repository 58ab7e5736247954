"""The supervisor's driver on a real loop, with children that crash, hang, refuse to start and refuse to stop."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable

import pytest

from o_tui.guardian.supervision import runner
from o_tui.guardian.supervision.machine import ChildSpec, ExitReason, SupervisorSpec, nested
from o_tui.guardian.supervision.runner import Happened, StartError, Supervisor
from tests.support.patience import PATIENCE_S


class Probe:
    """A child under the test's control."""

    def __init__(self, name: str, log: list[str], stubborn: bool = False) -> None:
        self.name, self.log, self.stubborn = name, log, stubborn
        self.pid = 4711
        self.starts = 0
        self.refuse = False
        self.hang = False
        self.exited: asyncio.Future[ExitReason] = asyncio.get_running_loop().create_future()

    async def start(self) -> Probe:
        if self.hang:
            await asyncio.Event().wait()
        if self.refuse:
            raise OSError("no room")
        self.starts += 1
        self.log.append(f"+{self.name}")
        self.exited = asyncio.get_running_loop().create_future()
        return self

    def stop(self, timeout_s: float | None) -> None:
        self.log.append(f"-{self.name}{'!' if timeout_s == 0 else ''}")
        if timeout_s == 0 or not self.stubborn:
            self.end(ExitReason("killed" if timeout_s == 0 else "shutdown"))

    def end(self, reason: ExitReason) -> None:
        if not self.exited.done():
            self.exited.set_result(reason)


class Watch:
    """Lets a test await a transition."""

    def __init__(self) -> None:
        self.seen: list[Happened] = []
        self._wakes: list[tuple[Callable[[Happened], bool], asyncio.Future[Happened]]] = []

    def __call__(self, happened: Happened) -> None:
        self.seen.append(happened)
        for matches, future in self._wakes:
            if not future.done() and matches(happened):
                future.set_result(happened)

    async def next(self, path: str, change: str) -> Happened:
        future: asyncio.Future[Happened] = asyncio.get_running_loop().create_future()
        self._wakes.append((lambda seen: (seen.path, seen.change) == (path, change), future))
        return await asyncio.wait_for(future, PATIENCE_S)


CRASH = ExitReason("failure", "boom")


async def stopped(tree: Supervisor) -> ExitReason:
    tree.stop()
    return await asyncio.wait_for(tree.exited, PATIENCE_S)


async def test_starts_in_order_and_stops_in_reverse() -> None:
    log: list[str] = []
    tree = Supervisor("g", SupervisorSpec(tuple(ChildSpec(name, Probe(name, log).start) for name in "abc")))
    await tree.start()
    assert await stopped(tree) == ExitReason("shutdown")
    assert log == ["+a", "+b", "+c", "-c", "-b", "-a"]


async def test_a_crash_is_restarted_and_told() -> None:
    log: list[str] = []
    watch = Watch()
    probe = Probe("a", log)
    tree = Supervisor("g", SupervisorSpec((ChildSpec("a", probe.start),)), on_happened=watch)
    await tree.start()
    first = tree.tree()["children"][0]
    probe.end(CRASH)
    assert (await watch.next("g/a", "started")).restarts == 1
    assert [seen.change for seen in watch.seen] == [
        "starting",
        "started",
        "ready",
        "exited",
        "restarting",
        "starting",
        "started",
    ]
    assert watch.seen[3].reason == CRASH
    again = tree.tree()["children"][0]
    assert (again["id"], again["pid"], again["state"], again["restarts"]) == ("a", 4711, "running", 1)
    assert again["started_ns"] > first["started_ns"]
    await stopped(tree)


async def test_a_stubborn_child_is_killed_after_its_time() -> None:
    log: list[str] = []
    probe = Probe("a", log, stubborn=True)
    tree = Supervisor("g", SupervisorSpec((ChildSpec("a", probe.start, shutdown=0.05),)))
    await tree.start()
    await stopped(tree)
    assert log == ["+a", "-a", "-a!"]


async def test_a_failed_start_says_which_and_leaves_nothing() -> None:
    log: list[str] = []
    bad = Probe("b", log)
    bad.refuse = True
    spec = SupervisorSpec((ChildSpec("a", Probe("a", log).start), ChildSpec("b", bad.start)))
    tree = Supervisor("g", spec)
    with pytest.raises(StartError, match="b did not start: OSError: no room"):
        await tree.start()
    assert log == ["+a", "-a"]
    assert (await tree.exited).kind == "failure"


async def test_too_many_crashes_escalate_to_the_parent_which_restarts_the_subtree() -> None:
    log: list[str] = []
    watch = Watch()
    a, b = Probe("a", log), Probe("b", log)
    inner = SupervisorSpec((ChildSpec("a", a.start), ChildSpec("b", b.start)), max_restarts=1, max_seconds=60)
    tree = Supervisor("g", SupervisorSpec((nested("inner", inner),)), on_happened=watch)
    await tree.start()
    b.end(CRASH)
    await watch.next("g/inner/b", "started")
    b.end(CRASH)
    await watch.next("g/inner", "started")
    assert "escalated" in [seen.change for seen in watch.seen if seen.path == "g/inner/b"]
    assert log == ["+a", "+b", "+b", "-a", "+a", "+b"]
    row = tree.tree()["children"][0]
    assert (row["id"], row["type"], row["restarts"], row["pid"]) == ("inner", "supervisor", 1, os.getpid())
    assert [child["restarts"] for child in row["children"]] == [0, 0]
    await stopped(tree)
    assert log[-2:] == ["-b", "-a"]


async def test_stop_while_a_start_hangs() -> None:
    log: list[str] = []
    hung = Probe("b", log)
    hung.hang = True
    watch = Watch()
    spec = SupervisorSpec(
        (ChildSpec("a", Probe("a", log).start), nested("n", SupervisorSpec((ChildSpec("b", hung.start),))))
    )
    tree = Supervisor("g", spec, on_happened=watch)
    starting = asyncio.create_task(tree.start())
    await watch.next("g/n/b", "starting")
    await stopped(tree)
    with pytest.raises(StartError):
        await starting
    assert log == ["+a", "-a"]


async def test_stop_before_the_start_had_its_first_step() -> None:
    log: list[str] = []
    tree = Supervisor("g", SupervisorSpec((ChildSpec("a", Probe("a", log).start),)))
    starting = asyncio.create_task(tree.start())
    tree.stop()
    await asyncio.wait_for(tree.exited, PATIENCE_S)
    with pytest.raises(StartError):
        await starting
    assert log == []


async def test_stop_at_once_kills_the_whole_tree() -> None:
    log: list[str] = []
    stubborn = Probe("a", log, stubborn=True)
    tree = Supervisor("g", SupervisorSpec((nested("n", SupervisorSpec((ChildSpec("a", stubborn.start),))),)))
    await tree.start()
    tree.stop(0)
    await asyncio.wait_for(tree.exited, PATIENCE_S)
    assert log == ["+a", "-a!"]


async def test_tasks_are_children_too() -> None:
    watch = Watch()
    crashes = [True]
    entered = asyncio.Event()

    async def work() -> None:
        if crashes.pop() if crashes else False:
            raise RuntimeError("once")
        entered.set()
        await asyncio.Event().wait()

    tree = Supervisor("g", SupervisorSpec((runner.task("w", work, shutdown=1.0),)), on_happened=watch)
    await tree.start()
    await asyncio.wait_for(entered.wait(), PATIENCE_S)
    assert [seen.reason for seen in watch.seen if seen.change == "exited"] == [
        ExitReason("failure", "RuntimeError: once")
    ]
    await stopped(tree)
    assert watch.seen[-2].change == "stopped" and watch.seen[-2].reason == ExitReason("shutdown")


async def test_children_come_and_go_while_it_runs() -> None:
    log: list[str] = []
    x = Probe("x", log)
    tree = Supervisor("g", SupervisorSpec())
    await tree.start()
    assert await tree.add(ChildSpec("x", x.start, "temporary"))
    assert tree.handle("x") is x
    with pytest.raises(ValueError, match="already"):
        await tree.add(ChildSpec("x", x.start))
    await tree.remove("x")
    assert tree.tree()["children"] == []
    x.refuse = True
    assert not await tree.add(ChildSpec("x", x.start))
    await stopped(tree)


async def test_a_listener_that_raises_stops_nothing() -> None:
    complaints: list[str] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context["message"]))

    def listener(_: Happened) -> None:
        raise ZeroDivisionError

    log: list[str] = []
    tree = Supervisor("g", SupervisorSpec((ChildSpec("a", Probe("a", log).start),)), on_happened=listener)
    await tree.start()
    await stopped(tree)
    assert log == ["+a", "-a"]
    assert all("listener" in text for text in complaints) and complaints
