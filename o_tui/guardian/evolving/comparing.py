"""Both sides of one order: what is a fault between them, whether it comes again, the smallest case that shows it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from o_tui.evolution.attacks import signature
from o_tui.evolution.probe import compare, observe, properties, shrink
from o_tui.evolution.probe.case import Case
from o_tui.evolution.probe.harvest import Function
from o_tui.guardian.evolving import benches
from o_tui.guardian.evolving.benches import Seen, Subject
from o_tui.guardian.evolving.probe_orders import Finding, Order

CASE_S = 0.3
"""What a small case may cost the candidate."""
SLOW_S = 0.08
"""A case that is faster is never too slow, whatever the reference takes."""
SLOW_TIMES = 15.0
GROWTH = 2.6
"""More than that, when the input doubles, is no longer in proportion."""
_SHRUNK_S = 0.1


class Sides:
    """The reference and the candidate of an order.

    Attributes:
        changed: How many answers were others, and no faults.
        known: Signatures of faults that are not looked for.
    """

    def __init__(self, order: Order, functions: Mapping[str, Function]) -> None:
        self._order = order
        self._functions = functions
        self.reference = Subject("reference.py", order.reference, order.gene, order.files)
        self.candidate = Subject("candidate.py", order.candidate, order.gene, order.files)
        self.changed = 0
        self.known: frozenset[str] = frozenset()
        self._where = ""

    # --- what is a fault

    def fault(self, case: Case, expected: Seen, seen: Seen) -> str:
        """What is wrong; empty: nothing, or nothing that is a fault in a gene that may answer otherwise."""
        if seen.ended:
            return f"{seen.ended}; the reference does" if compare.promised(expected.observation) else ""
        _index, text = compare.difference(case, expected.observation, seen.observation)
        if not text or self._order.strict:
            return text
        fault = properties.fault(self._order.gene, case, expected.observation, seen.observation)
        self.changed += not fault
        return fault

    def breach(self, case: Case, seen: Seen) -> str:
        """What is wrong by the contract of the gene alone."""
        return seen.ended or properties.breach(self._order.gene, case, seen.observation, self._functions)

    def slow(self, expected: Seen, seen: Seen, small: Seen | None) -> str:
        """What is wrong with the time it took; `small` is the same of half the input."""
        if seen.cpu_s < SLOW_S or seen.cpu_s < SLOW_TIMES * max(expected.cpu_s, 0.001):
            return ""
        if small is not None and seen.cpu_s < GROWTH * small.cpu_s:
            return ""
        return f"takes {seen.cpu_s:.2f} s, the reference {expected.cpu_s:.3f} s, and more as the input grows"

    def learn_known(self, cases: Sequence[Case]) -> None:
        """The faults that these cases show in the candidate as it is are not looked for."""

        def run(subject: Subject) -> list[Seen]:
            return list(benches.run(subject, cases, limits=lambda _i: CASE_S))

        found, answers = run(self.candidate), self.changed
        texts = [self.breach(case, seen) for case, seen in zip(cases, found, strict=False)]
        if not self._order.contract:
            sides = zip(cases, run(self.reference), found, strict=False)
            relative = [self.fault(case, expected, seen) for case, expected, seen in sides]
            texts = [text or other for text, other in zip(texts, relative, strict=False)]
        self.changed = answers
        every = zip(cases, texts, found, strict=False)
        self.known = frozenset(self._signature(case, text, seen) for case, text, seen in every if text)

    def is_new(self, case: Case, text: str, seen: Seen) -> bool:
        """Whether this fault is looked for."""
        return self._signature(case, text, seen) not in self.known

    def _signature(self, case: Case, text: str, seen: Seen) -> str:
        return signature(self._order.gene, case.unit, text, _where(seen.observation))

    # --- is it so?

    def confirmed(self, case: Case, before: Sequence[Case], text: str, time_left: Callable[[], bool]) -> Finding | None:
        """Once more, in new processes: alone, or (for the time it takes) with what came before it; then smaller."""
        if case.kind == "large":
            return self._slow_again(case, before, text)
        if not self.differs(case):
            case = msgspec.structs.replace(case, again=True)  # perhaps by what an earlier case has left behind
            if case.kind == "race" or not self.differs(case):
                return None
        smallest = shrink.shrink(case, self.first, time_left)
        again = self.differs(smallest)
        if not again:  # it was seen beside other cases only: what they left behind was part of it
            smallest = shrink.shrink(case, self._one_by_one, time_left)
            again = self.differs(smallest)
        return Finding(unit=smallest.unit, text=again or text, case=smallest, where=self._where)

    def _slow_again(self, case: Case, before: Sequence[Case], text: str) -> Finding | None:
        cases = before[-2:] if len(before) > 1 and twins(before[-2], case) else [case]
        ours = list(benches.run(self.reference, cases))

        def limit(index: int) -> float:
            return 1.2 * max(SLOW_S, SLOW_TIMES * ours[index].cpu_s)  # who takes longer is too slow

        theirs = list(benches.run(self.candidate, cases, limits=limit)) if len(ours) == len(cases) else []
        if not theirs:
            return None
        expected, seen = ours[-1], theirs[-1]
        if seen.ended or self.slow(expected, seen, None) or self.fault(case, expected, seen):
            return Finding(unit=case.unit, text=text, case=case)
        return None

    def differs(self, case: Case) -> str:
        """What is wrong in this case alone; empty where nothing is, or where the reference differs from itself."""
        if self._order.contract or (self._order.repair and self._breaks(case)):
            return self._breaks(case)
        found = self._alone(self.candidate, case)
        if found is None or (case.kind == "race" and not found.ended and not compare.torn(found.observation)):
            return ""
        first = self._alone(self.reference, case)
        if first is None or first.ended:
            return ""
        if case.kind != "race":
            quiet = msgspec.structs.replace(case, scribble=False)
            second = self._alone(self.reference, quiet, salt=3)
            if second is None or second.ended or not _stable(case, first.observation, second.observation):
                return ""
        answers = self.changed
        text = self.fault(case, first, found)
        self.changed = answers
        self._where = _where(found.observation) if text else self._where
        return text

    def _alone(self, subject: Subject, case: Case, salt: int = 0) -> Seen | None:
        return next(benches.run(subject, [case], salt), None)

    def _breaks(self, case: Case) -> str:
        """What is wrong in this case alone by the contract."""
        seen = next(benches.run(self.candidate, [case], limits=lambda _i: 1.0), None)
        text = self.breach(case, seen) if seen is not None else ""
        if seen is not None and text:
            self._where = _where(seen.observation)
        return text

    def first(self, cases: Sequence[Case]) -> int:
        """The first of some cases, run one after the other on each side, that shows a fault; -1: none does."""

        def run(subject: Subject) -> list[Seen]:
            return list(benches.run(subject, cases, limits=lambda _i: _SHRUNK_S))

        found, answers = run(self.candidate), self.changed
        if self._order.contract:
            texts = [self.breach(case, seen) for case, seen in zip(cases, found, strict=False)]
        else:
            sides = zip(cases, run(self.reference), found, strict=False)
            texts = ["" if ours.ended else self.fault(case, ours, seen) for case, ours, seen in sides]
            if self._order.repair:
                texts = [text or self.breach(case, seen) for text, case, seen in zip(texts, cases, found, strict=False)]
        self.changed = answers
        return next((place for place, text in enumerate(texts) if text), -1)

    def _one_by_one(self, cases: Sequence[Case]) -> int:
        return next((place for place, case in enumerate(cases) if self.differs(case)), -1)


def _stable(case: Case, one: Any, other: Any) -> bool:
    """Whether the reference says the same twice: with other chance, another time, results written over or not."""
    if not case.scribble:
        return bool(observe.same(one, other))
    cut = [[call[:3] if isinstance(call, list) else call for call in side] for side in (one, other)]
    return bool(observe.same(cut[0], cut[1]))


def twins(small: Case, large: Case) -> bool:
    """Whether two cases are the same but for their size."""
    return small.unit == large.unit and [c.name for c in small.calls] == [c.name for c in large.calls]


def _where(observation: Any) -> str:
    """The deepest line of the first exception in an observation; empty: there is none."""
    for call in observation[1:]:
        if isinstance(call, list) and len(call) > 3 and call[0] == "raises":
            return str(call[3])
    return ""
