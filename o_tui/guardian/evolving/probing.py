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
from collections.abc import Callable, Sequence
from itertools import chain
from typing import Any, TypeVar

import msgspec

from o_tui.evolution.attacks import signature
from o_tui.evolution.probe import changed, compare, observe, plan, properties, shrink
from o_tui.evolution.probe.case import Case
from o_tui.evolution.probe.harvest import Harvest, harvest
from o_tui.guardian.evolving import benches
from o_tui.guardian.evolving.benches import Seen, Subject

CPU_S = 1.7
"""What probing may cost, all processes together."""
SLOW_S = 0.08
"""A case that is faster is never too slow, whatever the reference takes."""
SLOW_TIMES = 15.0
GROWTH = 2.6
"""More than that, when the input doubles, is no longer in proportion."""
_LARGE_REFERENCE_S = 0.08
_LARGE_CANDIDATE_S = 0.4
_REFERENCE_S = 0.06
_CASE_S = 0.3
_LARGE_SHARE = 0.15
_SHRINKING_S = 0.5
_SMOKE_CASES = 40
_BOTH = 1.4
"""What a case costs on both sides, as a share of the reference's, which is traced."""
_T = TypeVar("_T")


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be probed.

    Attributes:
        gene: The gene, empty for any other module.
        files: The genome's other files, for a gene.
        strict: Every difference is a fault; else only what is wrong whatever the answer should be.
        attacks: Cases that were kept: they run first.
        tests: The genome's own tests are run too.
        contract: The candidate is judged by its gene's contract alone, whatever the reference says.
        repair: The same for kept attacks: it must not fail at any of them, though the reference may.
        seeds: Cases that were met in life: they are tried, and changed further.
        known: Cases that were kept: other faults are looked for than those that they show now. One that the
            candidate stands shows none, so the same fault may be found by another input.
        nice: How much it steps back behind everything else (nice(2)).
    """

    reference: str
    candidate: str
    gene: str = ""
    files: dict[str, str] = {}
    strict: bool = True
    attacks: list[Case] = []
    tests: bool = False
    contract: bool = False
    repair: bool = False
    seeds: list[Case] = []
    known: list[Case] = []
    nice: int = 0
    seed: int = 3
    cpu_s: float = CPU_S


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """A fault: the smallest case that shows it, and what is wrong there."""

    unit: str
    text: str
    case: Case
    kept: bool = False
    where: str = ""


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What came of it.

    Attributes:
        refused: Why nothing was run.
        broken: Why the candidate does not load; `neither`: nor does the reference.
        changed: How many answers were others, and no faults.
        failed: What the module, or a test of the genome's, raises; with `passed` tests.
        speed: CPU time of the candidate as a share of the reference's, on the same cases.
        ms: Of each part: attacks, probe, tests, smoke.
    """

    finding: Finding | None = None
    cases: int = 0
    attacks: int = 0
    changed: int = 0
    cpu_s: float = 0.0
    refused: str = ""
    broken: str = ""
    neither: bool = False
    failed: list[str] = []
    passed: int = 0
    speed: float = 0.0
    ms: dict[str, float] = {}


class Prober:
    """One order."""

    def __init__(self, order: Order) -> None:
        self._order = order
        self._reference = Subject("reference.py", order.reference, order.gene, order.files)
        self._candidate = Subject("candidate.py", order.candidate, order.gene, order.files)
        self._start = _cpu_s()
        self._harvest = self._read()
        self._cases = 0
        self._changed = 0
        self._large_s = 0.0
        self._corpus = plan.Corpus()
        self._been: set[int] = set()
        self._ms: dict[str, float] = {}
        self._known: frozenset[str] = frozenset()
        self._where = ""

    def run(self) -> Report:
        """Probes until the first fault, or until the budget is spent."""
        order = self._order
        if broken := benches.load_error(self._candidate):
            return Report(broken=broken, neither=bool(benches.load_error(self._reference)))
        finding = self._timed("attacks", lambda: self._batch(order.attacks, kept=True) if order.attacks else None)
        attacked = self._cases
        if order.known:
            self._known = self._shown(order.known)
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
            changed=self._changed,
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
        for cases in chain([self._order.seeds], plan.batches(self._harvest, self._order.seed, self._corpus)):
            if cases and (finding := self._batch(cases)) is not None:
                return finding
            if self.spent_s > self._order.cpu_s:
                break
        return None

    def _tests(self) -> tuple[int, list[str]]:
        """The genome's tests: how many passed, and which failed that pass with the reference."""
        passed, failed = benches.tests(self._candidate)
        if failed:
            _passed, known = benches.tests(self._reference)
            failed = [name for name in failed if name not in known]
        return passed, failed

    def _speed(self) -> float:
        cases = self._corpus.cases[-_SMOKE_CASES:]
        spent = []
        for subject in (self._reference, self._candidate):
            spent.append(sum(seen.cpu_s for seen in benches.run(subject, cases)))
        return round(spent[1] / spent[0], 2) if len(cases) >= _SMOKE_CASES // 4 and spent[0] > 0 else 0.0

    @property
    def spent_s(self) -> float:
        """CPU seconds so far, of this process and its forks."""
        return _cpu_s() - self._start

    def _read(self) -> Harvest:
        known = []
        if self._order.gene:
            for name in ("o_tui.protocol.operations", "o_tui.agent.dsl"):
                with open(str(sys.modules[name].__file__), encoding="utf-8") as file:  # noqa: PTH123
                    known.append(ast.parse(file.read()))
        reference, candidate = ast.parse(self._order.reference), ast.parse(self._order.candidate)
        found = harvest(reference, candidate, known=known)
        found.suspects = changed.suspects(reference, candidate)
        return properties.narrowed(found, self._order.gene) if self._order.gene else found

    # --- one batch

    def _batch(self, cases: Sequence[Case], *, kept: bool = False) -> Finding | None:
        if self._order.contract:
            return self._by_contract(cases)
        if kept and self._order.repair and (found := self._by_contract(cases)) is not None:
            return msgspec.structs.replace(found, kept=True)
        large = cases[0].kind == "large"
        cases, expected = self._expected(cases, kept=kept)
        if not cases:
            return None

        def limit(index: int) -> float:
            return max(_LARGE_CANDIDATE_S if large else _CASE_S, SLOW_TIMES * expected[index].cpu_s * 1.5)

        small: Seen | None = None
        running_s = 0.0
        for index, seen in enumerate(benches.run(self._candidate, cases, limits=limit)):
            self._cases += 1
            running_s += seen.cpu_s
            case = cases[index]
            text = self._fault(case, expected[index], seen)
            if not text and large:
                pair = case.calls[0] if case.target else None
                smaller = index > 0 and _twins(cases[index - 1], case)
                text = self._slow(expected[index], seen, small if smaller else None) if smaller or pair is None else ""
            small = seen
            if text and self._is_new(case, text, seen) and (found := self._confirmed(case, cases[: index + 1], text)):
                return msgspec.structs.replace(found, kept=kept)
            if not kept and self._is_spent(running_s):
                return None
        return None

    def _by_contract(self, cases: Sequence[Case]) -> Finding | None:
        """The same, by the contract of the gene alone."""
        cases = [case for case in cases if case.kind == "calls"]
        run = benches.run(self._candidate, cases, limits=lambda _i: _CASE_S, harvest=self._harvest, as_given=True)
        running_s = 0.0
        for planned, seen in zip(cases, run, strict=False):
            self._cases += 1
            running_s += seen.cpu_s
            case = seen.case or planned
            self._corpus.learn(planned, case, not self._been.issuperset(seen.went))
            self._been.update(seen.went)
            text = self._breach(case, seen)
            if text and self._is_new(case, text, seen) and (found := self._confirmed(case, [case], text)):
                return found
            if self._is_spent(running_s):
                return None
        return None

    def _breach(self, case: Case, seen: Seen) -> str:
        return seen.ended or properties.breach(self._order.gene, case, seen.observation, self._harvest.functions)

    def _shown(self, cases: Sequence[Case]) -> frozenset[str]:
        """The signatures of the faults that these cases show in the candidate as it is."""

        def run(subject: Subject) -> list[Seen]:
            return list(benches.run(subject, cases, limits=lambda _i: _CASE_S))

        found, answers = run(self._candidate), self._changed
        texts = [self._breach(case, seen) for case, seen in zip(cases, found, strict=False)]
        if not self._order.contract:
            sides = zip(cases, run(self._reference), found, strict=False)
            relative = [self._fault(case, expected, seen) for case, expected, seen in sides]
            texts = [text or other for text, other in zip(texts, relative, strict=False)]
        self._changed = answers
        every = zip(cases, texts, found, strict=False)
        return frozenset(self._signature(case, text, seen) for case, text, seen in every if text)

    def _signature(self, case: Case, text: str, seen: Seen) -> str:
        return signature(self._order.gene, case.unit, text, _where(seen.observation))

    def _is_new(self, case: Case, text: str, seen: Seen) -> bool:
        return self._signature(case, text, seen) not in self._known

    def _is_spent(self, running_s: float) -> bool:
        """Whether the budget is; of a fork that still runs the kernel does not tell, so what it has used is given."""
        return self.spent_s + running_s > self._order.cpu_s

    def _expected(self, cases: Sequence[Case], *, kept: bool) -> tuple[list[Case], list[Seen]]:
        """The reference's observations, without the cases that it does not end in time; kept ones as they are."""
        large = cases[0].kind == "large"
        done: list[Case] = []
        seen: list[Seen] = []
        limit = _LARGE_REFERENCE_S if large else _REFERENCE_S
        sides = benches.run(self._reference, cases, limits=lambda _i: limit, harvest=self._harvest, as_given=kept)
        running_s = 0.0
        for planned, each in zip(cases, sides, strict=False):
            running_s += each.cpu_s
            case = each.case or planned
            self._corpus.learn(planned, case, not self._been.issuperset(each.went))
            self._been.update(each.went)
            if each.ended:
                self._large_s += each.cpu_s
            else:
                done.append(case)
                seen.append(each)
                self._large_s += each.cpu_s if large else 0.0
            if large and self._large_s > _LARGE_SHARE * self._order.cpu_s:
                break
            if not kept and self._is_spent(running_s * _BOTH):
                break  # what is left is for the candidate
        return done, seen

    def _fault(self, case: Case, expected: Seen, seen: Seen) -> str:
        """What is wrong; empty: nothing, or nothing that is a fault in a gene that may answer otherwise."""
        if seen.ended:
            return f"{seen.ended}; the reference does" if compare.promised(expected.observation) else ""
        _index, text = compare.difference(case, expected.observation, seen.observation)
        if not text or self._order.strict:
            return text
        fault = properties.fault(self._order.gene, case, expected.observation, seen.observation)
        self._changed += not fault
        return fault

    def _slow(self, expected: Seen, seen: Seen, small: Seen | None) -> str:
        if seen.cpu_s < SLOW_S or seen.cpu_s < SLOW_TIMES * max(expected.cpu_s, 0.001):
            return ""
        if small is not None and seen.cpu_s < GROWTH * small.cpu_s:
            return ""
        return f"takes {seen.cpu_s:.2f} s, the reference {expected.cpu_s:.3f} s, and more as the input grows"

    # --- is it so?

    def _confirmed(self, case: Case, before: Sequence[Case], text: str) -> Finding | None:
        """Once more, in new processes: alone, or (for the time it takes) with what came before it."""
        if case.kind == "large":
            cases = before[-2:] if len(before) > 1 and _twins(before[-2], case) else [case]
            again = (
                list(benches.run(self._reference, cases)),
                list(benches.run(self._candidate, cases, limits=lambda _i: 1.0)),
            )
            if not all(again):
                return None
            if (
                again[1][-1].ended
                or self._slow(again[0][-1], again[1][-1], None)
                or self._fault(case, again[0][-1], again[1][-1])
            ):
                return Finding(unit=case.unit, text=text, case=case)
            return None
        if not self.differs(case):
            return None
        smallest = shrink.shrink(case, self.differs, self._time_left())
        text = self.differs(smallest) or text
        return Finding(unit=smallest.unit, text=text, case=smallest, where=self._where)

    def differs(self, case: Case) -> str:
        """What is wrong in this case alone; empty where nothing is, or where the reference differs from itself."""
        if self._order.contract or (self._order.repair and self._breaks(case)):
            return self._breaks(case)
        sides = []
        for subject, salt in ((self._reference, 0), (self._reference, 3), (self._candidate, 0)):
            quiet = msgspec.structs.replace(case, scribble=False) if salt and not self._scribbles(case) else case
            sides.append(next(benches.run(subject, [quiet], salt), None))
            if sides[-1] is None or (sides[-1].ended and subject is self._reference):
                return ""
        first, second, found = (seen for seen in sides if seen is not None)
        if case.kind != "race" and not _stable(case, first.observation, second.observation):
            return ""
        answers = self._changed
        text = self._fault(case, first, found)
        self._changed = answers
        self._where = _where(found.observation) if text else self._where
        return text

    def _breaks(self, case: Case) -> str:
        """What is wrong in this case alone by the contract."""
        seen = next(benches.run(self._candidate, [case], limits=lambda _i: 1.0), None)
        text = self._breach(case, seen) if seen is not None else ""
        if seen is not None and text:
            self._where = _where(seen.observation)
        return text

    def _scribbles(self, case: Case) -> bool:
        return not case.scribble

    def _time_left(self) -> Callable[[], bool]:
        end_s = self.spent_s + _SHRINKING_S
        return lambda: self.spent_s < end_s


def _stable(case: Case, one: Any, other: Any) -> bool:
    """Whether the reference says the same twice: with other chance, another time, results written over or not."""
    if not case.scribble:
        return bool(observe.same(one, other))
    cut = [[call[:3] if isinstance(call, list) else call for call in side] for side in (one, other)]
    return bool(observe.same(cut[0], cut[1]))


def _twins(small: Case, large: Case) -> bool:
    return small.unit == large.unit and [c.name for c in small.calls] == [c.name for c in large.calls]


def _where(observation: Any) -> str:
    """The deepest line of the first exception in an observation; empty: there is none."""
    for call in observation[1:]:
        if isinstance(call, list) and len(call) > 3 and call[0] == "raises":
            return str(call[3])
    return ""


def _cpu_s() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)


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
