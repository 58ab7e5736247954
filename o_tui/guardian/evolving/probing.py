"""The differential prober's program: an order on stdin, findings on stdout, everything judged in confined forks.

    python -I -X utf8 -m o_tui.guardian.evolving.probing < ORDER > REPORT

A difference counts when it comes again in new processes, and the reference does not differ from itself there.
"""

from __future__ import annotations

import ast
import os
import resource
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import closing
from itertools import chain, islice
from typing import TypeVar

import msgspec

from o_tui.evolution.probe import changed, compare, plan, properties
from o_tui.evolution.probe.case import Case
from o_tui.evolution.probe.harvest import Harvest, harvest
from o_tui.evolution.probe.plan import Batch
from o_tui.guardian.evolving import benches
from o_tui.guardian.evolving.benches import Seen
from o_tui.guardian.evolving.comparing import CASE_S, SLOW_TIMES, Sides, twins
from o_tui.guardian.evolving.probe_orders import Finding, Order, Report

_LARGE_REFERENCE_S = 0.04
_LARGE_CANDIDATE_S = 0.3
_REFERENCE_S = 0.06
_LARGE_SHARE = 0.15
_SHRINKING_S, _SHRINKING_LEAST_S = 0.4, 0.1
"""What making a case smaller may cost, and what is left for it where the budget is spent."""
_SMOKE_CASES = 40
_AHEAD = 64
"""So many cases the reference runs before the candidate does: a fork costs as much as many small ones."""
_TORN = 3
"""Two calls that come out so often as no order of them does, with the reference too, are not tried together again."""
_UNSURE = 8
"""Faults of a unit that did not come again in new processes, after which no more of it is asked for."""
_T = TypeVar("_T")


class Prober:
    """One order."""

    def __init__(self, order: Order) -> None:
        self._order = order
        self._harvest = self._read()
        self._sides = Sides(order, self._harvest.functions)
        self._cases = 0
        self._large_s = 0.0
        self._corpus = plan.Corpus()
        self._been: set[int] = set()
        self._torn: Counter[tuple[str, ...]] = Counter()
        self._unsure: Counter[str] = Counter()
        self._alive_s = 0.0
        self._ms: dict[str, float] = {}

    def run(self) -> Report:
        """Probes until the first fault, or until the budget is spent."""
        order = self._order
        if broken := benches.load_error(self._sides.candidate):
            return Report(broken=broken, neither=bool(benches.load_error(self._sides.reference)))
        finding = self._timed(
            "attacks", lambda: self._batch(Batch(order.attacks), kept=True) if order.attacks else None
        )
        attacked = self._cases
        if order.known:
            self._sides.learn_known(order.known)
        if finding is None and (order.contract or order.reference != order.candidate):
            finding = self._timed("probe", self._probe)
        passed, speed = 0, 0.0
        failed: list[str] = []
        if finding is None and order.tests:
            passed, failed = self._timed("tests", self._tests)
        if finding is None and not failed:
            speed = self._timed("smoke", self._speed)
        return Report(
            finding=finding,
            cases=self._cases - attacked,
            attacks=min(attacked, len(order.attacks)),  # a repair meets each of them twice
            changed=self._sides.changed,
            cpu_s=round(self.spent_s, 3),
            failed=failed,
            passed=passed,
            speed=speed,
            ms=self._ms,
        )

    def _timed(self, name: str, part: Callable[[], _T]) -> _T:
        start = time.perf_counter()
        try:
            return part()
        finally:
            self._ms[name] = round((time.perf_counter() - start) * 1000, 1)

    def _probe(self) -> Finding | None:
        # planned one by one: what comes later depends on where the earlier ones went
        for batch in chain([Batch(self._order.seeds)], plan.batches(self._harvest, self._order.seed, self._corpus)):
            if not batch.cases or (batch.is_large and self._large_s > _LARGE_SHARE * self._order.cpu_s):
                continue
            if (finding := self._batch(batch)) is not None:
                return finding
            if self.spent_s > self._order.cpu_s:
                break
        return None

    def _tests(self) -> tuple[int, list[str]]:
        """The genome's tests: how many passed, and which failed that pass with the reference."""
        passed, failed = benches.tests(self._sides.candidate)
        if failed:
            _passed, known = benches.tests(self._sides.reference)
            failed = [name for name in failed if name not in known]
        return passed, failed

    def _speed(self) -> float:
        cases = self._corpus.cases[-_SMOKE_CASES:]
        spent = []
        for subject in (self._sides.reference, self._sides.candidate):
            spent.append(sum(seen.cpu_s for seen in benches.run(subject, cases)))
        return round(spent[1] / spent[0], 2) if len(cases) >= _SMOKE_CASES // 4 and spent[0] > 0 else 0.0

    @property
    def spent_s(self) -> float:
        """CPU seconds so far, of this process and its forks."""
        used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
        return self._alive_s + sum(each.ru_utime + each.ru_stime for each in used)

    def _read(self) -> Harvest:
        known = []
        if self._order.gene:
            for name in ("o_tui.protocol.operations", "o_tui.agent.dsl"):
                with open(str(sys.modules[name].__file__), encoding="utf-8") as file:  # noqa: PTH123
                    known.append(ast.parse(file.read()))
        reference, candidate = ast.parse(self._order.reference), ast.parse(self._order.candidate)
        found = harvest(reference, candidate, known=known)
        found.suspects = changed.suspects(reference, candidate)
        found.unguarded = found.threaded and changed.unguarded(reference, candidate)
        return properties.narrowed(found, self._order.gene) if self._order.gene else found

    # --- one batch

    def _batch(self, batch: Batch, *, kept: bool = False) -> Finding | None:
        cases = batch.cases
        if self._order.contract:
            return self._by_contract(cases)
        if kept and self._order.repair and (found := self._by_contract(cases)) is not None:
            return msgspec.structs.replace(found, kept=True)
        if cases[0].kind == "race" and not kept:
            return self._races(cases)
        limit = _LARGE_REFERENCE_S if cases[0].kind == "large" else _REFERENCE_S
        ahead = len(cases) if kept or cases[0].kind == "large" else max(_AHEAD, len(cases) // 2)
        given = kept or batch.given
        run = benches.run(
            self._sides.reference, cases, limits=lambda _i: limit, harvest=self._harvest, as_given=given, ahead=ahead
        )
        waiting, found = iter(cases), None
        with closing(run):
            while some := list(islice(waiting, ahead)):
                expected: list[Seen] = []
                for seen in islice(run, len(some)):
                    expected.append(seen)
                    self._alive_s += seen.cpu_s
                    if not kept and self._is_spent():
                        break
                found = self._compared(*self._learned(some, expected), kept=kept)
                if found is not None or len(expected) < len(some) or (not kept and self._is_spent()):
                    break
        self._alive_s = 0.0
        return found

    def _learned(self, planned: Sequence[Case], sides: Sequence[Seen]) -> tuple[list[Case], list[Seen]]:
        """The cases as the reference has run them, and what it said, without those that it does not end in time."""
        done: list[Case] = []
        seen: list[Seen] = []
        for plan_, each in zip(planned, sides, strict=False):
            case = each.case or plan_
            self._learn(plan_, case, each)
            self._large_s += each.cpu_s if case.kind == "large" else 0.0
            if not each.ended:
                done.append(case)
                seen.append(each)
        return done, seen

    def _learn(self, planned: Case, case: Case, seen: Seen) -> None:
        if seen.went:
            self._corpus.learn(planned, case, not self._been.issuperset(seen.went))
            self._been.update(seen.went)

    def _compared(self, cases: Sequence[Case], expected: Sequence[Seen], *, kept: bool) -> Finding | None:
        """The candidate runs what the reference has run."""
        large = bool(cases) and cases[0].kind == "large"

        def limit(index: int) -> float:
            return max(_LARGE_CANDIDATE_S if large else CASE_S, SLOW_TIMES * expected[index].cpu_s * 1.5)

        small: Seen | None = None
        running_s = 0.0
        for index, seen in enumerate(benches.run(self._sides.candidate, cases, limits=limit)):
            self._cases += 1
            running_s += seen.cpu_s
            case = cases[index]
            text = self._sides.fault(case, expected[index], seen)
            if large and not text:
                before = small if index > 0 and twins(cases[index - 1], case) else None
                text = self._sides.slow(expected[index], seen, before) if before or not case.target else ""
            small = seen
            if found := self._confirmed(case, cases[: index + 1], text, seen):
                return msgspec.structs.replace(found, kept=kept)
            if not kept and self._is_spent(running_s):
                return None
        return None

    def _races(self, cases: Sequence[Case]) -> Finding | None:
        """The candidate first: where two calls come out as some order of them does, the reference is not asked."""
        cases = [case for case in cases if self._torn[_pair(case)] < _TORN]
        running_s = 0.0
        for case, seen in zip(cases, benches.run(self._sides.candidate, cases, limits=lambda _i: CASE_S), strict=False):
            self._cases += 1
            running_s += seen.cpu_s
            if (seen.ended or compare.torn(seen.observation)) and self._torn[_pair(case)] < _TORN:
                self._torn[_pair(case)] += 1
                if found := self._confirmed(case, [case], "two calls at once differ", seen):
                    return found
            if self._is_spent(running_s):
                return None
        return None

    def _by_contract(self, cases: Sequence[Case]) -> Finding | None:
        """The same, by the contract of the gene alone."""
        cases = [case for case in cases if case.kind == "calls"]
        run = benches.run(self._sides.candidate, cases, limits=lambda _i: CASE_S, harvest=self._harvest, as_given=True)
        running_s = 0.0
        for planned, seen in zip(cases, run, strict=False):
            self._cases += 1
            running_s += seen.cpu_s
            case = seen.case or planned
            self._learn(planned, case, seen)
            if found := self._confirmed(case, [case], self._sides.breach(case, seen), seen):
                return found
            if self._is_spent(running_s):
                return None
        return None

    def _confirmed(self, case: Case, before: Sequence[Case], text: str, seen: Seen) -> Finding | None:
        if not text or self._unsure[case.unit] >= _UNSURE or not self._sides.is_new(case, text, seen):
            return None
        self._unsure[case.unit] += 1
        end_s = self.spent_s + _SHRINKING_LEAST_S
        end_s = min(end_s + _SHRINKING_S, max(end_s, self._order.cpu_s))
        return self._sides.confirmed(case, before, text, lambda: self.spent_s < end_s)

    def _is_spent(self, running_s: float = 0.0) -> bool:
        """Whether the budget is; of a fork that still runs the kernel does not tell, so what it has used is given."""
        return self.spent_s + running_s > self._order.cpu_s


def _pair(case: Case) -> tuple[str, ...]:
    """Which two calls are made at once."""
    return (case.target, *(call.name for call in case.calls[-2:]))


def main() -> int:
    """The program."""
    benches.preload()  # before the order: who asks may still be reading
    order = msgspec.msgpack.decode(sys.stdin.buffer.read(), type=Order)
    os.nice(order.nice)
    try:
        report = Prober(order).run()
    except benches.UnconfinedError as error:
        report = Report(refused=str(error))
    sys.stdout.buffer.write(msgspec.msgpack.encode(report))
    sys.stdout.buffer.flush()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
