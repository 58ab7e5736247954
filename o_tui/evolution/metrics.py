"""What the arbiter bets on, metric by metric: times, failures, quality; each takes pairs and is O(1) a pair."""

from __future__ import annotations

import math
from statistics import median

from o_tui.evolution.eprocess import Blocks, EProcess, bounded, sign
from o_tui.evolution.evidence import Ratio, ratio, said
from o_tui.evolution.samples import Pair
from o_tui.evolution.watch import blow_up


class Times:
    """One kind of time. Bets are on the sign of the median of five consecutive paired log ratios.

    `better` bets against "no faster than the margin", `slower` against "no slower than `harm`", `far` than `far_harm`.
    """

    def __init__(self, margin: float, harm: float, far_harm: float) -> None:
        self._faster_than, self._slower_than, self._far = (math.log1p(limit) for limit in (-margin, harm, far_harm))
        self.better, self.slower, self.far = EProcess(), EProcess(), EProcess()
        self._blocks = Blocks()
        self._forks: list[int] = []
        self._times_ns: list[tuple[int, int]] = []
        self._single = 0

    @property
    def known(self) -> bool:
        """Whether there are such times at all."""
        return bool(self._times_ns)

    @property
    def forks(self) -> int:
        """Pairs of processes that were seen; a pair without one counts as its own."""
        return len(set(self._forks))

    def add(self, fork: int, main_ns: int, candidate_ns: int) -> None:
        """One request that both answered; a time of 0 is unknown."""
        if min(main_ns, candidate_ns) <= 0:
            return
        self._single += fork < 0
        self._forks.append(fork if fork >= 0 else -self._single)
        self._times_ns.append((main_ns, candidate_ns))
        middle = self._blocks.add(math.log(candidate_ns / main_ns))
        if middle is not None:
            self.better.add(sign(self._faster_than - middle))
            self.slower.add(sign(middle - self._slower_than))
            self.far.add(sign(middle - self._far))

    def estimate(self) -> float:
        """The median over the processes of their median log ratio; 0 for none."""
        logs: dict[int, list[float]] = {}
        for fork, (main_ns, candidate_ns) in zip(self._forks, self._times_ns, strict=True):
            logs.setdefault(fork, []).append(math.log(candidate_ns / main_ns))
        return median(median(values) for values in logs.values()) if logs else 0.0

    def ratio(self) -> Ratio:
        """All that is shown of it."""
        return ratio(self._forks, self._times_ns)


class Stalls:
    """Requests that took one side twice as long or longer: bets that the candidate's are more, beyond `share`.

    Of one pair of processes (a fork) bets are made until the first stall, whosever it is: on a busy machine a process
    that got the worse core stalls at every request, and seven in a row would show by chance what no bettor may win by.
    Equal processes are as likely either side of it, so a fork wins or loses once, and the evidence does not grow in the
    mean, whatever its pairs share (optional stopping).
    """

    def __init__(self, share: float) -> None:
        self.worse = EProcess()
        self.main, self.candidate = 0, 0
        self._share = share
        self._over = -1

    def add(self, fork: int, main_ns: int, candidate_ns: int) -> None:
        """One request that both answered, of the newest fork; a negative one is of its own."""
        stall = blow_up(main_ns, candidate_ns)
        self.main += stall < 0
        self.candidate += stall > 0
        if fork < 0 or fork != self._over:
            self.worse.add(bounded(stall, self._share))
        if stall and fork >= 0:
            self._over = fork

    def sentence(self, pairs: int) -> str:
        """The figures."""
        return f"{self.candidate} of {pairs} requests took twice as long or longer; {self.main} did of main's"


class Failures:
    """Requests that one side failed at and the other answered (McNemar's pairs, as bets on which side it is).

    For a gain each request counts once, however often it was tried: a repair must be shown on several. `repaired` are
    kept attacks that main fails at, each time it is tried, and the candidate does not.
    """

    def __init__(self) -> None:
        self.better, self.worse = EProcess(), EProcess()
        self.main, self.candidate, self.excess = 0, 0, 0
        self.fatal = ""
        self.repaired: set[str] = set()
        self._first = ""
        self._crashes, self._hangs = 0, 0
        self._seen: set[str] = set()

    def add(self, pair: Pair) -> None:
        """One pair."""
        main, candidate = pair.main, pair.candidate
        self.main += not main.ok
        self.candidate += not candidate.ok
        if main.ok == candidate.ok:
            return
        self.excess += main.ok - candidate.ok
        if candidate.ok and pair.request.source == "attack":
            self.repaired.add(pair.request.key)
        self.worse.add(1.0 if main.ok else -1.0)
        if pair.request.key not in self._seen:
            self._seen.add(pair.request.key)
            self.better.add(-1.0 if main.ok else 1.0)
        if main.ok and pair.request.source == "attack":
            self.fatal = self.fatal or f"a kept attack breaks it: {said(candidate)} ({pair.request.key})"
        if main.ok:
            self._first = self._first or said(candidate)
            self._crashes += candidate.ending == "crash"
            self._hangs += candidate.ending == "hang"
            if self._crashes or self._hangs:
                kinds = (("crash", "crashes", self._crashes), ("hang", "hangs", self._hangs))
                counts = [f"{count} {one if count == 1 else many}" for one, many, count in kinds if count]
                self.fatal = f"{' and '.join(counts)} where main's code answered ({self._first})"

    def tolerated(self, pairs: int) -> float:
        """Additional failures that may be chance: none where main never fails, else one in a hundred."""
        return 0.01 * pairs if self.main else 0.0

    def sentence(self, pairs: int) -> str:
        """The figures."""
        return f"{self.candidate} of {pairs} requests failed, {self.main} of main's ({self._first})"


class Quality:
    """Differences of quality, each request once: code gives the same answer again, and that is no new evidence.

    Bets on bounded differences (Waudby-Smith and Ramdas 2023): `better` against "no better", `worse` against "no worse
    than `slack`".
    """

    def __init__(self, slack: float) -> None:
        self.better, self.worse = EProcess(), EProcess()
        self._slack = slack
        self._main, self._candidate = 0.0, 0.0
        self._seen: set[str] = set()

    @property
    def count(self) -> int:
        """Requests that were judged."""
        return len(self._seen)

    @property
    def gain(self) -> float:
        """The mean difference, candidate over main."""
        return (self._candidate - self._main) / self.count if self._seen else 0.0

    def add(self, pair: Pair) -> bool:
        """One pair; returns whether its answers could be judged."""
        main, candidate = pair.main.quality, pair.candidate.quality
        if main is None or candidate is None:
            return False
        if pair.request.key not in self._seen:
            self._seen.add(pair.request.key)
            self._main += main
            self._candidate += candidate
            self.better.add(bounded(candidate - main, 0.0))
            self.worse.add(bounded(main - candidate, self._slack))
        return True

    def sentence(self) -> str:
        """The figures."""
        ours, theirs = (value / max(1, self.count) for value in (self._main, self._candidate))
        return f"quality {ours:.3f} -> {theirs:.3f} ({self.gain:+.3f}) over {self.count} requests"
