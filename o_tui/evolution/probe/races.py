"""Two calls at once, without threads: the second is run whole at each line of the first, where no lock forbids it.

Two coroutines are run in one loop instead: each goes on until it waits.

A difference counts only where the reference is atomic: whatever the preemption, its outcomes are those of the two
calls one after the other. A candidate that has another outcome then has lost a lock, or its scope.
"""

from __future__ import annotations

import inspect
import sys
from types import FrameType
from typing import TYPE_CHECKING, Any

from o_tui.evolution.probe import loop
from o_tui.evolution.probe.case import Call, Case
from o_tui.evolution.probe.observe import Observer
from o_tui.evolution.probe.world import BlockedError, HangError

if TYPE_CHECKING:
    from o_tui.evolution.probe.execute import Bench

POINTS = 40
"""At most so many lines of the first call are tried."""


def run(bench: Bench, case: Case) -> Any:
    """["race", serial outcomes, all outcomes]: each the two calls' results and what the object shows afterwards."""
    *before, one, other = case.calls
    ends = [(point, order) for order in ((one, other), (other, one)) for point in range(POINTS)]
    serial = [
        _play(bench, case, before, one, other, -1)[0],
        _play(bench, case, before, other, one, -1, swapped=True)[0],
    ]
    outcomes: list[Any] = []
    finished: set[int] = set()
    if _are_coroutines(bench, case, one, other):
        return ["race", serial, [_together(bench, case, calls) for calls in ((one, other), (other, one))]]
    for point, (first, second) in ends:
        swapped = first is not one
        if int(swapped) in finished:
            continue
        outcome, reached = _play(bench, case, before, first, second, point, swapped=swapped)
        if not reached:
            finished.add(int(swapped))
        elif outcome not in outcomes:
            outcomes.append(outcome)
    return ["race", serial, sorted(outcomes, key=repr)]


def _are_coroutines(bench: Bench, case: Case, *calls: Call) -> bool:
    names = vars(bench.named(case.target)) if case.target else bench.module
    return all(inspect.iscoroutinefunction(names.get(call.name)) for call in calls)


def _together(bench: Bench, case: Case, calls: tuple[Call, Call]) -> Any:
    """Two coroutines in one loop, each until it waits: the outcome."""
    *before, one, _other = case.calls
    bench.world.reset(0)
    target = bench.target(case)
    for call in before:
        bench.call(target, call)
    told = [bench.made(call) for call in calls]

    async def result(place: int) -> Any:
        function = bench.named(calls[place].name) if target is bench.module else getattr(target, calls[place].name)
        try:
            value = await function(*told[place][0], **told[place][1])
            return ["value", Observer(bench.module).freeze(value)]
        except Exception as error:  # noqa: BLE001 - the border to code under test
            return bench.raised(error)[:3]

    ended = loop.run(loop.both(result(0), result(1)))
    results = ended if calls[0] is one else ended[::-1]
    return [*results, bench.looks(target), _shown(bench, target)]


def _play(
    bench: Bench, case: Case, before: list[Call], first: Call, second: Call, point: int, *, swapped: bool = False
) -> tuple[Any, bool]:
    """One schedule: the outcome, and whether the first call got as far as its line number `point`."""
    bench.world.reset(0)
    target = bench.target(case)
    for call in before:
        bench.call(target, call)
    told = [bench.made(first), bench.made(second)]
    results: list[Any] = [None, None]
    lines = 0
    met = False

    def play(which: int, call: Call) -> None:
        bench.world.thread = which
        try:
            value = bench.invoke(target, call.name, *told[which])
            results[which] = ["value", Observer(bench.module).freeze(value)]
        except HangError:
            results[which] = ["raises", "hang", True]
        except Exception as error:  # noqa: BLE001 - the border to code under test
            results[which] = bench.raised(error)[:3]  # where it came from is no part of an outcome

    def trace(frame: FrameType, event: str, _argument: Any) -> Any:
        nonlocal lines, met
        if frame.f_code.co_filename != bench.filename:
            return None
        if event == "line" and not met:
            if lines == point:
                met = True
                sys.settrace(None)
                _preempt(play, second)
                bench.world.thread = 0
                sys.settrace(trace)
            lines += 1
        return trace

    sys.settrace(trace if point >= 0 else None)
    try:
        play(0, first)
    finally:
        sys.settrace(None)
    if results[1] is None:
        play(1, second)
    bench.world.thread = 0
    ordered = results[::-1] if swapped else results
    return [*ordered, bench.looks(target), _shown(bench, target)], met


def _preempt(play: Any, second: Call) -> None:
    try:
        play(1, second)
    except BlockedError:
        pass  # it waits until the first has ended


def _shown(bench: Bench, target: Any) -> Any:
    """What the object's properties and length say afterwards."""
    if target is bench.module:
        return None
    seen = []
    for name in sorted(dir(type(target))):
        if isinstance(getattr(type(target), name, None), property) and not name.startswith("_"):
            seen.append([name, bench.call(target, Call(name))[:3]])
    if hasattr(type(target), "__len__"):
        seen.append(["len", bench.call(target, Call("__len__"))[:3]])
    return seen
