"""Watches new code that serves beside the old: the same requests went to both, so only what differs can alarm.

Used while a canary takes its share (a fresh watch for each step) and after a promotion, when the old version is kept as
a warm twin. A machine that slows down slows both sides: their ratio stays. Bets are on signs, so that no single stall
weighs more than another: of the median of five paired log ratios, which is one pair of processes (guardian/twin.py), as
equal processes differ for as long as they live; and of who failed at a request more often. What is far slower is seen
from single pairs, within a canary's step. See eprocess.py for the method and its sources.

By the bound, code that is just half as much slower as is to be seen alarms once in `BLOCK / TIME_ALPHA` requests, and
code that fails twice as often as main alone (`_EVEN`) once in `1 / ERRORS_ALPHA` requests that only one side failed at.
Equal code lies far below both: how often it alarms within 1,000 requests is what `simulation.watched` measures.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from statistics import median

from o_tui.evolution.eprocess import Blocks, ECusum, bounded, sign

TIME_ALPHA = 0.025
ERRORS_ALPHA = 0.06
ONCE_ALPHA = 0.003
RARE_ALPHA = 0.0005
"""For what is seen from single pairs: far slower code, and stalls."""
BLOW_UP = 2.0
"""A pair in which one side took this many times longer, and `BLOW_UP_NS` longer, is a blow-up."""
BLOW_UP_NS = 1_000_000
_SHARE = 0.5
"""Of the slow-down that is to be seen; what the evidence must exceed."""
_FAR = 2.0
"""Times the slow-down that is to be seen: far slower."""
_CLIP = 0.3
_STALLS = 0.02
"""Stalls in excess of main's, as a share of the requests, that are nobody's."""
_EVEN = 0.3
"""Of the requests that one side failed at more often, (1 + `_EVEN`) / 2 may be the new code's: chance is not harm."""
_RECENT = 50


@dataclass(frozen=True, slots=True)
class Paired:
    """One request, given to the code that served before (`main`) and to the new one.

    Attributes:
        main_failed, candidate_failed: The share of its tries that failed, 0 to 1.
        main_ns, candidate_ns: What it took; counts where nothing failed.
    """

    main_failed: float
    candidate_failed: float
    main_ns: int
    candidate_ns: int


class Failing:
    """Sees that one side fails more often: bets on the sign of each request's difference, weighted by its size.

    Requests that both take alike say nothing about that, and cost nothing (McNemar's pairs). `ERRORS_ALPHA` is for
    requests that are tried again where only one side failed; `ONCE_ALPHA` where each is tried once: chance weighs more.
    """

    def __init__(self, alpha: float = ERRORS_ALPHA) -> None:
        self._limit = 1.0 / alpha
        self._detector = ECusum()
        self.only_main, self.only_candidate = 0, 0

    def add(self, main_failed: float, candidate_failed: float) -> bool:
        """One more request, by the shares of its tries that failed; whether the candidate is shown to fail more."""
        more = candidate_failed - main_failed
        self.only_candidate += more > 0
        self.only_main += more < 0
        increment = (more - _EVEN * abs(more)) / (1.0 + _EVEN)
        return bool(more) and self._detector.add(increment) >= self._limit


class HarmWatch:
    """Says when the new code is shown to be worse: slower, failing, or now and then much slower.

    Args:
        latency: The slow-down that is to be seen (0.2: 20 %).
        expected: The ratio of times that was approved (better answers may take longer): what goes beyond it counts.
    """

    def __init__(self, *, latency: float = 0.20, expected: float = 1.0) -> None:
        self.pairs = 0
        self._expected = expected
        self._slower_than, self._far_than = math.log1p(latency * _SHARE), math.log1p(latency * _FAR)
        self._slower, self._far, self._stalling = ECusum(), ECusum(), ECusum()
        self._failing, self._blocks = Failing(), Blocks()
        self._logs: deque[float] = deque(maxlen=_RECENT)
        self._slow = 0
        self._said = ""

    def add(self, pair: Paired) -> str:
        """One more request; returns one sentence once harm is shown, and the same from then on; until then ""."""
        self.pairs += 1
        self._said = self._said or self._errors(pair) or self._time(pair)
        return self._said

    def _errors(self, pair: Paired) -> str:
        failing = self._failing
        if not failing.add(pair.main_failed, pair.candidate_failed):
            return ""
        other = f"{failing.only_main} the other way round"
        return f"{failing.only_candidate} of {self.pairs} requests failed that the version before answered ({other})"

    def _time(self, pair: Paired) -> str:
        if pair.main_failed or pair.candidate_failed or min(pair.main_ns, pair.candidate_ns) <= 0:
            return ""
        candidate_ns = pair.candidate_ns / self._expected
        if self._is_slower(math.log(candidate_ns / pair.main_ns)):
            now = 100 * (self._expected * math.exp(median(self._logs)) - 1)
            return f"latency {now:+.0f} % against the version before (last {len(self._logs)} of {self.pairs} requests)"
        slow = blow_up(pair.main_ns, candidate_ns)
        self._slow += slow > 0
        if self._stalling.add(bounded(slow, _STALLS)) >= 1.0 / RARE_ALPHA:
            return f"{self._slow} of {self.pairs} requests took twice as long as in the version before, or longer"
        return ""

    def _is_slower(self, log: float) -> bool:
        self._logs.append(log)
        far = max(-1.0, min(1.0, (log - self._far_than) / _CLIP))
        if self._far.add(far) >= 1.0 / RARE_ALPHA:
            return True
        middle = self._blocks.add(log)
        return middle is not None and self._slower.add(sign(middle - self._slower_than)) >= 1.0 / TIME_ALPHA


def blow_up(main_ns: float, candidate_ns: float) -> int:
    """1: the candidate took twice as long or longer, and a millisecond more; -1: main did; 0: neither."""
    slow = candidate_ns > BLOW_UP * main_ns and candidate_ns - main_ns > BLOW_UP_NS
    fast = main_ns > BLOW_UP * candidate_ns and main_ns - candidate_ns > BLOW_UP_NS
    return slow - fast
