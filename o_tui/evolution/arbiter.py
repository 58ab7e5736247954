"""Decides from evidence. The numbers are in the reasons; what cannot be told from the numbers is said to be so.

`decide` is the seam at which the sequential test will stand: it may be asked after any number of pairs.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from o_tui.evolution.evidence import MIN_FORKS, Evidence, Ratio

Verdict = Literal["promote", "reject", "no_evidence"]

_NAMED = 5


@dataclass(frozen=True, slots=True)
class Policy:
    """What counts as better and as worse.

    Attributes:
        margin: Identical processes differ by this share: the interval must lie beyond it.
        minimum_gain: The smallest gain of the median that is worth a change.
        harm: A slow-down that is shown to be larger than this share rejects.
        memory_ratio: Peak memory beyond this many times main's rejects, if it is `memory_slack_bytes` more as well.
        memory_slack_bytes: See above.
        blow_up_share: Requests that took twice as long or longer, in excess of main's, as a share of the pairs:
            beyond it nothing is promoted.
        blow_up_chance: And rejected, where chance explains the excess no more often than this.
    """

    margin: float = 0.03
    minimum_gain: float = 0.05
    harm: float = 0.05
    memory_ratio: float = 1.5
    memory_slack_bytes: int = 4 * 1024 * 1024
    blow_up_share: float = 0.04
    blow_up_chance: float = 0.025


@dataclass(frozen=True, slots=True)
class Decision:
    """A verdict and why, one sentence each, the weightiest first."""

    verdict: Verdict
    reasons: tuple[str, ...]


def decide(evidence: Evidence, policy: Policy | None = None) -> Decision:
    """Judges a candidate.

    Returns:
        reject: harm is shown. promote: it is shown better, and answers the same. no_evidence: neither; an operator
        may know why it should be promoted all the same.
    """
    policy = policy or Policy()
    harm = [*_violations(evidence), *_failures(evidence), *_resources(evidence, policy), *_slower(evidence, policy)]
    if harm:
        return Decision("reject", tuple(harm))
    if evidence.pairs < MIN_FORKS:
        return Decision("no_evidence", (f"{evidence.pairs} pairs are too few to tell; {MIN_FORKS} are the least",))
    times = (("latency", evidence.latency), ("CPU time", evidence.cpu))
    better = [_sentence(name, ratio) for name, ratio in times if _is_better(ratio, policy)]
    said = _sentence("latency", evidence.latency)
    if evidence.answers.different:
        count = evidence.answers.same + evidence.answers.different
        text = f"{evidence.answers.different} of {count} answers differ, and which are better is not measured"
        return Decision("no_evidence", (f"{text}; the operator decides", said))
    slow, fast = _blow_ups(evidence)
    if slow - fast > max(2, policy.blow_up_share * evidence.pairs):
        return Decision("no_evidence", (f"{_blow_up_sentence(evidence)}; the operator decides", said))
    if better:
        return Decision("promote", (*better, f"all {evidence.answers.same} answers are the same, no new errors"))
    return Decision("no_evidence", (f"not shown better; the operator decides: {said}",))


def _violations(evidence: Evidence) -> list[str]:
    refused = evidence.sandbox.candidate
    if not refused:
        return []
    more = f" and {len(refused) - _NAMED} more" if len(refused) > _NAMED else ""
    return [f"the sandbox refused it {', '.join(refused[:_NAMED])}{more}"]


def _failures(evidence: Evidence) -> list[str]:
    errors = evidence.errors
    if errors.candidate_crashes or errors.candidate_hangs:
        kinds = (("crash", "crashes", errors.candidate_crashes), ("hang", "hangs", errors.candidate_hangs))
        counts = [f"{count} {one if count == 1 else many}" for one, many, count in kinds if count]
        return [f"{' and '.join(counts)} where main's code answered ({errors.first})"]
    if errors.candidate > errors.main:
        return [f"{errors.candidate} of {evidence.pairs} requests failed, {errors.main} of main's ({errors.first})"]
    return []


def _resources(evidence: Evidence, policy: Policy) -> list[str]:
    found: list[str] = []
    ours, theirs = evidence.memory.main_bytes, evidence.memory.candidate_bytes
    if ours and theirs > policy.memory_ratio * ours and theirs - ours > policy.memory_slack_bytes:
        found.append(
            f"peak memory {_mib(theirs)}, main's {_mib(ours)}: {theirs / ours:.1f} times, limit {policy.memory_ratio}"
        )
    slow, fast = _blow_ups(evidence)
    if slow - fast > policy.blow_up_share * evidence.pairs and _chance(slow, fast) <= policy.blow_up_chance:
        found.append(_blow_up_sentence(evidence))
    return found


def _blow_ups(evidence: Evidence) -> tuple[int, int]:
    return evidence.blow_ups.get("candidate", 0), evidence.blow_ups.get("main", 0)


def _blow_up_sentence(evidence: Evidence) -> str:
    slow, fast = _blow_ups(evidence)
    return f"{slow} of {evidence.pairs} requests took twice as long or longer; {fast} did of main's"


def _chance(slow: int, fast: int) -> float:
    """How likely so many or more of the blow-ups fall on the candidate, if they fall on either side alike."""
    total = slow + fast
    return float(sum(math.comb(total, count) for count in range(slow, total + 1)) / 2**total)


def _slower(evidence: Evidence, policy: Policy) -> list[str]:
    times = (("latency", evidence.latency), ("CPU time", evidence.cpu))
    return [f"slower: {_sentence(name, ratio)}" for name, ratio in times if ratio.ci_low > 1 + policy.harm]


def _is_better(ratio: Ratio, policy: Policy) -> bool:
    return ratio.ci_high < 1 - policy.margin and ratio.ratio_median <= 1 - policy.minimum_gain


def _sentence(name: str, ratio: Ratio) -> str:
    if ratio.forks < MIN_FORKS:
        return f"{name} of {ratio.pairs} pairs: too few to tell"
    change, low, high = (100 * (value - 1) for value in (ratio.ratio_median, ratio.ci_low, ratio.ci_high))
    return (
        f"{name} {change:+.1f} % (95 %: {low:+.1f} to {high:+.1f}), {ratio.main_p50_ms:.2f} -> "
        f"{ratio.candidate_p50_ms:.2f} ms over {ratio.pairs} pairs"
    )


def _mib(size_bytes: int) -> str:
    return f"{size_bytes / 1024**2:.1f} MiB"
