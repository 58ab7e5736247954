"""Decides from pairs, and may be asked after each: looking all the time does not raise the error rate.

A goal is shown at level `alpha` by betting against "no better than the margin"; guards are shown broken at
`guard_alpha`. Neither, when the budget has ended, is an outcome of its own: no evidence. The numbers are in the
reasons; what cannot be told from the numbers is said to be so. See eprocess.py for the method and its sources.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from o_tui.evolution.evidence import MIN_FORKS
from o_tui.evolution.metrics import Failures, Quality, Stalls, Times
from o_tui.evolution.samples import Pair, Trial
from o_tui.protocol.refusals import Refusal

Verdict = Literal["promote", "reject", "no_evidence", "continue"]
Goal = Literal["latency", "errors", "quality", "any"]
GOALS: tuple[Goal, ...] = ("latency", "errors", "quality", "any")

_NAMED = 5


@dataclass(frozen=True, slots=True)
class Policy:
    """What counts as better and as worse.

    Attributes:
        alpha: How often no better code may be shown to be better, however often one looks.
        guard_alpha: The same for each guard.
        budget: Pairs after which there is no evidence.
        least: Pairs without which nothing is promoted (the budget, where that is less): what comes seldom must have
            had a chance to come.
        margin: Identical processes differ by this share: a gain must lie beyond it.
        minimum_gain: The smallest gain of the median time that is worth a change.
        errors_gain: The share of main's errors that must be gone.
        quality_gain: The smallest gain of quality (0 to 1) that is worth a change.
        harm: A slow-down that is shown to be larger than this share rejects.
        harm_for_quality: The same where quality is the goal or better: it may cost time.
        errors_points: Additional errors, as a share of the pairs, that reject without being shown at `guard_alpha`.
        memory_ratio: Peak memory beyond this many times main's rejects, if it is `memory_slack_bytes` more as well.
        memory_slack_bytes: See above.
        blow_up_share: Requests that took twice as long or longer, in excess of main's, as a share of the pairs:
            shown to be more, it rejects; as long as it is more than half of it, nothing is promoted.
        divergence: A share of pairs with effects that main did not ask for beyond which is rejected.
    """

    alpha: float = 0.01
    guard_alpha: float = 0.05
    budget: int = 800
    least: int = 100
    margin: float = 0.03
    minimum_gain: float = 0.05
    errors_gain: float = 0.10
    quality_gain: float = 0.01
    harm: float = 0.05
    harm_for_quality: float = 1.0
    errors_points: float = 0.05
    memory_ratio: float = 1.5
    memory_slack_bytes: int = 4 * 1024 * 1024
    blow_up_share: float = 0.04
    divergence: float = 0.5


SEED = Policy(minimum_gain=0.10, errors_gain=0.20)
"""The profile with the thresholds that O's seeds asked for."""


@dataclass(frozen=True, slots=True)
class Decision:
    """A verdict and why, one sentence each, the weightiest first.

    Attributes:
        shown: It is better, and no guard is broken, but something about it is left for an operator to judge.
    """

    verdict: Verdict
    reasons: tuple[str, ...] = ()
    shown: bool = False


CONTINUE = Decision("continue")


class Arbiter:
    """Takes pairs one by one; `decision` is cheap and may be asked after each (tens of microseconds a pair).

    Goal "any" takes what is shown first of time, errors and quality, at `alpha` for all together.
    """

    def __init__(self, policy: Policy | None = None, goal: Goal = "any") -> None:
        self.policy = policy = policy or Policy()
        self.goal = goal
        limits = (policy.margin, policy.harm, policy.harm_for_quality)
        self._times = {name: Times(*limits) for name in ("latency", "CPU time")}
        self._failures, self._quality = Failures(), Quality(policy.quality_gain)
        self._stalls = Stalls(policy.blow_up_share)
        self._peaks = (0, 0)
        self._would_have = [0, 0]
        self._refused: list[str] = []
        self._answers = [0, 0, 0, 0]
        self.pairs = 0

    def add(self, pair: Pair) -> None:
        """One more pair, in the order in which they were measured."""
        main, candidate = pair.main, pair.candidate
        self.pairs += 1
        self._failures.add(pair)
        self._would_have[0] += main.would_have > 0
        self._would_have[1] += candidate.would_have > 0
        if not (main.ok and candidate.ok):
            return
        self._times["latency"].add(pair.fork, main.wall_ns, candidate.wall_ns)
        self._times["CPU time"].add(pair.fork, main.cpu_ns, candidate.cpu_ns)
        self._stalls.add(pair.fork, main.wall_ns, candidate.wall_ns)
        judged = self._quality.add(pair)
        # same, different and judged, different and not judged, different at an attack that both stand
        other = 1 if judged else 3 if pair.request.attack else 2
        self._answers[0 if main.answer == candidate.answer else other] += 1

    def observed(self, main_peak_bytes: int, candidate_peak_bytes: int, refused: Sequence[Refusal]) -> None:
        """What is known of the processes so far: peak memory (0: unknown), what the sandbox refused the candidate."""
        self._peaks = (main_peak_bytes, candidate_peak_bytes)
        self._refused = [f"{refusal.layer}: {refusal.what}" for refusal in refused]

    def decision(self) -> Decision:
        """The verdict so far; "continue" as long as there is none and the budget lasts."""
        if self._is_harm() and (harm := self._harm()):
            return Decision("reject", tuple(harm))
        if (better := self._better()) and not self._open():
            return Decision("promote", (*better, self._sameness()))
        return CONTINUE if self.pairs < self.policy.budget else self.conclude()

    def conclude_at(self, alpha: float) -> Decision:
        """The verdict when no more pairs come, where a gain counts as shown at another level."""
        level, self.policy = self.policy, replace(self.policy, alpha=alpha)
        try:
            return self.conclude()
        finally:
            self.policy = level

    def evidence(self) -> float:
        """The evidence for the goal: what is compared with 1/alpha, and over several candidates by e-BH."""
        values = self._goals()
        return math.fsum(values.values()) / len(values)

    @property
    def repaired(self) -> int:
        """How many kept attacks main's code fails at and the candidate stands."""
        return len(self._failures.repaired)

    def conclude(self) -> Decision:
        """The verdict when no more pairs come: never "continue"."""
        if harm := self._harm(at_the_end=True):
            return Decision("reject", tuple(harm))
        better, left = self._better(), self._open()
        if better and not left:
            return Decision("promote", (*better, self._sameness()))
        return Decision("no_evidence", (*left, *better), shown=True) if better else self._no_evidence()

    def e_values(self) -> dict[str, float]:
        """The evidence per metric: for a gain, and against each guard; 1 is none, 1/alpha shows it."""
        values = {"better_errors": self._failures.better.value, "better_quality": self._quality.better.value}
        for name, key in (("latency", "latency"), ("CPU time", "cpu")):
            values[f"better_{key}"] = self._times[name].better.value
            values[f"slower_{key}"] = self._times[name].slower.value
        values |= {"worse_errors": self._failures.worse.value, "worse_quality": self._quality.worse.value}
        values["blow_ups"] = self._stalls.worse.value
        return {name: round(value, 4) for name, value in values.items()}

    # --- better

    def _better(self) -> list[str]:
        """What is shown better, past its minimum gain; empty: nothing."""
        values, policy = self._goals(), self.policy
        if self.pairs < min(policy.least, policy.budget):
            return []
        if self.goal == "errors" and (repaired := self.repaired):
            return [f"it stands {repaired} kept attack{'s' if repaired > 1 else ''} that main's code fails at"]
        if self.evidence() < 1 / policy.alpha:
            return []
        name = max(values, key=lambda goal: values[goal])
        return {"latency": self._faster, "errors": self._fewer, "quality": self._wiser}[name]()

    def _goals(self) -> dict[str, float]:
        """The evidence of each goal: their mean is an e-process too. Wall and CPU time share one goal in halves."""
        wall, cpu = self._times["latency"], self._times["CPU time"]
        time = (wall.better.value + cpu.better.value) / 2 if cpu.known else wall.better.value
        values = {"latency": time, "errors": self._failures.better.value, "quality": self._quality.better.value}
        return values if self.goal == "any" else {self.goal: values[self.goal]}

    def _faster(self) -> list[str]:
        least, limit = math.log1p(-self.policy.minimum_gain), 1 / self.policy.alpha
        shown = [
            name for name, times in self._times.items() if times.better.value >= limit and times.estimate() <= least
        ]
        return [self._sentence(name) for name in shown if self._times[name].forks >= MIN_FORKS]

    def _fewer(self) -> list[str]:
        found = self._failures
        if found.candidate > (1 - self.policy.errors_gain) * found.main:
            return []
        return [f"{found.main} of {self.pairs} requests failed in main's code, {found.candidate} in the candidate's"]

    def _wiser(self) -> list[str]:
        if self._quality.gain < self.policy.quality_gain:
            return []
        return [self._quality.sentence()]

    # --- harm

    def _is_harm(self) -> bool:
        """Whether `_harm` would find anything: asked after each pair, so it is cheap."""
        limit = 1 / self.policy.guard_alpha
        shown = (*(times.slower for times in self._times.values()), self._failures.worse, self._quality.worse)
        return bool(
            self._refused
            or self._failures.fatal
            or self._stalls.worse.value >= limit
            or any(process.value >= limit for process in shown)
            or self._memory()
            or self._divergence()
        )

    def _harm(self, *, at_the_end: bool = False) -> list[str]:
        limit = 1 / self.policy.guard_alpha
        failures = self._failures
        found: list[str] = []
        if self._refused:
            more = f" and {len(self._refused) - _NAMED} more" if len(self._refused) > _NAMED else ""
            found.append(f"the sandbox refused it {', '.join(self._refused[:_NAMED])}{more}")
        if failures.fatal:
            found.append(failures.fatal)
        elif failures.worse.value >= limit or (at_the_end and failures.excess > self.policy.errors_points * self.pairs):
            found.append(failures.sentence(self.pairs))
        if self._quality.worse.value >= limit:
            found.append(f"worse: {self._quality.sentence()}")
        found += [*self._memory(), *self._divergence()]
        if self._stalls.worse.value >= limit:
            found.append(self._stalls.sentence(self.pairs))
        return [*found, *(f"slower: {self._sentence(name)}" for name in self._slow(at_the_end))]

    def _slow(self, at_the_end: bool) -> list[str]:
        """Which times are shown to be longer than they may: better answers may cost time, wanted or shown."""
        quality, policy = self._quality, self.policy
        wise = self.goal == "any" and quality.count > 0 and quality.gain >= policy.quality_gain
        wise = wise and (not at_the_end or quality.better.value >= 1 / policy.alpha)
        wise = wise or self.goal == "quality"
        limit = 1 / policy.guard_alpha
        return [name for name, time in self._times.items() if (time.far if wise else time.slower).value >= limit]

    def _memory(self) -> list[str]:
        (ours, theirs), policy = self._peaks, self.policy
        if not ours or theirs <= policy.memory_ratio * ours or theirs - ours <= policy.memory_slack_bytes:
            return []
        times = f"{theirs / ours:.1f} times, limit {policy.memory_ratio}"
        return [f"peak memory {_mib(theirs)}, main's {_mib(ours)}: {times}"]

    def _divergence(self) -> list[str]:
        more = self._would_have[1] - self._would_have[0]
        if more < MIN_FORKS or more <= self.policy.divergence * self.pairs:
            return []
        return [f"in {more} of {self.pairs} requests it would have done what main did not: a shadow cannot show it"]

    # --- neither

    def _open(self) -> list[str]:
        """What keeps a candidate that is better from being promoted: it is for the operator to judge."""
        failures, stalls = self._failures, self._stalls
        found: list[str] = []
        # where quality is measured answers may differ: those to attacks are right by what the attack is about
        if unknown := self._answers[2] + (0 if self._quality.count else self._answers[3]):
            found.append(f"{unknown} of {sum(self._answers)} answers differ, and which are better is not measured")
        if failures.excess > failures.tolerated(self.pairs):
            found.append(failures.sentence(self.pairs))
        if stalls.candidate - stalls.main > max(1.0, self.policy.blow_up_share / 2 * self.pairs):
            found.append(stalls.sentence(self.pairs))
        if self._would_have[1] > self._would_have[0]:
            more = self._would_have[1] - self._would_have[0]
            found.append(f"in {more} requests it would have done what main did not")
        return found

    def _no_evidence(self) -> Decision:
        said = self._sentence("latency")
        if self.pairs < MIN_FORKS:
            return Decision("no_evidence", (f"{self.pairs} pairs are too few to tell; {MIN_FORKS} are the least",))
        if found := self._open():
            return Decision("no_evidence", (*found, said))
        more = [self._quality.sentence()] if self._quality.count else []
        return Decision("no_evidence", (f"not shown better: {said}", *more))

    def _sameness(self) -> str:
        same, judged, *_ = self._answers
        text = (
            f"{judged} of {same + judged} answers differ, judged by quality"
            if judged
            else f"all {same} answers are the same"
        )
        return f"{text}, {'no new errors' if self._failures.excess <= 0 else 'errors within the guard'}"

    def _sentence(self, name: str) -> str:
        found = self._times[name].ratio()
        if not found.forks:
            return f"{name}: nothing to tell from"
        change, low, high = (100 * (value - 1) for value in (found.ratio_median, found.ci_low, found.ci_high))
        interval = f" (95 %: {low:+.1f} to {high:+.1f})" if found.forks >= MIN_FORKS else ""
        times = f"medians {found.main_p50_ms:.2f} -> {found.candidate_p50_ms:.2f} ms"  # may go the other way by chance
        return f"{name} {change:+.1f} % pair by pair{interval}, {times} over {found.pairs} pairs"


def decide(trial: Trial, policy: Policy | None = None, goal: Goal = "any") -> Decision:
    """The decision over a whole trial: that of the first pair after which there was one."""
    arbiter = Arbiter(policy, goal)
    arbiter.observed(trial.main_peak_bytes, trial.candidate_peak_bytes, trial.candidate_refused)
    for pair in trial.pairs:
        arbiter.add(pair)
        if (decision := arbiter.decision()).verdict != "continue":
            return decision
    return arbiter.conclude()


def _mib(size_bytes: int) -> str:
    return f"{size_bytes / 1024**2:.1f} MiB"
