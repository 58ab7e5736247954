"""Watches new code that serves beside the old: the same requests went to both, so only what differs can alarm.

Used while a canary takes its share (a fresh watch for each step) and after a promotion, when the old version is kept as
a warm twin. A machine that slows down slows both sides: their ratio stays. Bets are on single paired log ratios, cut
off at `_CLIP`, not on blocks as the arbiter's: harm must be seen soon. See eprocess.py for the method and its sources.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from statistics import median

from o_tui.evolution.eprocess import ECusum, bounded

ALPHA = 0.0005
"""A quiet watch alarms no more often than once in 1/ALPHA requests, by the bound; far less in fact, since what is bet
on lies well beyond no difference."""
BLOW_UP = 2.0
"""A pair in which one side took this many times longer, and `BLOW_UP_NS` longer, is a blow-up."""
BLOW_UP_NS = 1_000_000
_LATENCY_SHARE = 0.5
_ERRORS_SHARE = 0.1
_CLIP = 0.3
_RECENT = 50


@dataclass(frozen=True, slots=True)
class Paired:
    """One request, answered by the code that served before (`main`) and by the new one; times in ns."""

    main_ok: bool
    candidate_ok: bool
    main_ns: int
    candidate_ns: int


class HarmWatch:
    """Says when the new code is shown to be worse: slower, failing, or now and then much slower.

    Equal processes differ for as long as they live, by up to 4 % on a quiet machine and more on a busy one: who watches
    for long does well to fork the twin anew now and then.

    Args:
        alpha: See `ALPHA`.
        latency: The slow-down that is to be seen (0.2: 20 %); half of it is what the evidence must exceed.
        errors: The share of additional errors that is to be seen; a tenth of it is what the evidence must exceed.
        expected: The ratio of times that was approved (better answers may take longer): what goes beyond it counts.
    """

    def __init__(
        self, *, alpha: float = ALPHA, latency: float = 0.20, errors: float = 0.20, expected: float = 1.0
    ) -> None:
        self.pairs = 0
        self._expected = expected
        self._limit = 1.0 / alpha
        self._slower_than = math.log1p(latency * _LATENCY_SHARE)
        self._points = errors * _ERRORS_SHARE
        self._slower, self._failing, self._stalling = ECusum(), ECusum(), ECusum()
        self._logs: deque[float] = deque(maxlen=_RECENT)
        self._only_main, self._only_candidate, self._slow = 0, 0, 0
        self._said = ""

    def add(self, pair: Paired) -> str:
        """One more request; returns one sentence once harm is shown, and the same from then on; until then ""."""
        self.pairs += 1
        self._said = self._said or self._errors(pair) or self._time(pair)
        return self._said

    def _errors(self, pair: Paired) -> str:
        self._only_main += pair.candidate_ok and not pair.main_ok
        self._only_candidate += pair.main_ok and not pair.candidate_ok
        if self._failing.add(bounded(pair.main_ok - pair.candidate_ok, self._points)) < self._limit:
            return ""
        other = f"{self._only_main} the other way round"
        return f"{self._only_candidate} of {self.pairs} requests failed that the version before answered ({other})"

    def _time(self, pair: Paired) -> str:
        if not (pair.main_ok and pair.candidate_ok and min(pair.main_ns, pair.candidate_ns) > 0):
            return ""
        candidate_ns = pair.candidate_ns / self._expected
        self._logs.append(math.log(candidate_ns / pair.main_ns))
        beyond = (self._logs[-1] - self._slower_than) / _CLIP
        if self._slower.add(max(-1.0, min(1.0, beyond))) >= self._limit:
            now = 100 * (self._expected * math.exp(median(self._logs)) - 1)
            return f"latency {now:+.0f} % against the version before (last {len(self._logs)} of {self.pairs} requests)"
        slow = blow_up(pair.main_ns, candidate_ns)
        self._slow += slow > 0
        if self._stalling.add(bounded(slow, self._points)) >= self._limit:
            return f"{self._slow} of {self.pairs} requests took twice as long as in the version before, or longer"
        return ""


def blow_up(main_ns: float, candidate_ns: float) -> int:
    """1: the candidate took twice as long or longer, and a millisecond more; -1: main did; 0: neither."""
    slow = candidate_ns > BLOW_UP * main_ns and candidate_ns - main_ns > BLOW_UP_NS
    fast = main_ns > BLOW_UP * candidate_ns and main_ns - candidate_ns > BLOW_UP_NS
    return slow - fast
