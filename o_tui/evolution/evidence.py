"""What the pairs of a trial show: every figure is on paired differences, none is taken from what a shadow says.

Equal processes differ by several per cent for as long as they live, so pairs of the same processes count as one: the
median of their ratios. Intervals are of the median of those, by order statistics (the sign test turned round): exact
whatever the distribution, and so they need six forks at least.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Sequence
from statistics import median
from typing import Any

import msgspec

from o_tui.evolution.samples import Pair, Side, Trial
from o_tui.evolution.watch import blow_up
from o_tui.protocol.refusals import Refusal

NO_INTERVAL = (0.0, 999.0)
"""The interval of a ratio of which too little is known."""
MIN_FORKS = 6
"""With fewer independent ratios there is no 95 % interval of their median."""
_EXAMPLES = 5
_EXAMPLE_CHARS = 240
_TREND = 120


class Ratio(msgspec.Struct, frozen=True, kw_only=True):
    """Candidate over main: below 1 the candidate is faster. Times in ms over the pairs that both answered."""

    main_p50_ms: float = 0.0
    candidate_p50_ms: float = 0.0
    main_p95_ms: float = 0.0
    candidate_p95_ms: float = 0.0
    ratio_median: float = 1.0
    ci_low: float = NO_INTERVAL[0]
    ci_high: float = NO_INTERVAL[1]
    pairs: int = 0
    forks: int = 0


class Errors(msgspec.Struct, frozen=True, kw_only=True):
    """Requests that ended in an error, a crash or a hang, on each side; `both` counts the same request."""

    main: int = 0
    candidate: int = 0
    both: int = 0
    candidate_crashes: int = 0
    candidate_hangs: int = 0
    first: str = ""


class Memory(msgspec.Struct, frozen=True, kw_only=True):
    """Peak resident memory; 0: unknown."""

    main_bytes: int = 0
    candidate_bytes: int = 0


class Example(msgspec.Struct, frozen=True, kw_only=True):
    """One request that was answered differently, cut short."""

    request: str
    main: str
    candidate: str


class Answers(msgspec.Struct, frozen=True, kw_only=True):
    """The answers compared, and what memory would hold of them, over the pairs that both answered."""

    same: int = 0
    different: int = 0
    examples: list[Example] = []


class Effects(msgspec.Struct, frozen=True, kw_only=True):
    """Effects: answered from the record, or not asked like this by main (`main_diverged`: by its twin either).

    `would_have` of those that diverged were refused: main asked for nothing of the kind.
    """

    recorded: int = 0
    diverged: int = 0
    main_diverged: int = 0
    would_have: int = 0
    examples: list[str] = []


class Sandbox(msgspec.Struct, frozen=True, kw_only=True):
    """What the sandbox refused each side: `layer: what`, each thing once."""

    main: list[str] = []
    candidate: list[str] = []


class Sources(msgspec.Struct, frozen=True, kw_only=True):
    """Where the requests came from, in pairs; `attacks_failed` are kept attacks that the candidate alone failed at."""

    recorded: int = 0
    workload: int = 0
    attacks: int = 0
    attacks_failed: int = 0
    mirrored: int = 0


class Quality(msgspec.Struct, frozen=True, kw_only=True):
    """The mean quality of answers (0 to 1) over the requests that say what is expected; each request once."""

    main: float = 0.0
    candidate: float = 0.0
    difference: float = 0.0
    requests: int = 0


class Evidence(msgspec.Struct, frozen=True, kw_only=True):
    """Everything a decision is made from, and shown beside the diff.

    `paired` are the log ratios of the wall times in order, for a plot; `e_values` see Arbiter.e_values.
    """

    pairs: int
    latency: Ratio
    cpu: Ratio
    errors: Errors
    memory: Memory
    answers: Answers
    effects: Effects
    requests_from: Sources
    sandbox: Sandbox = Sandbox()
    blow_ups: dict[str, int] = {}
    quality: Quality = Quality()
    trend: list[float] = []
    paired: list[float] = []
    e_values: dict[str, float] = {}
    decision: str = ""
    reasons: list[str] = []

    def row(self) -> dict[str, Any]:
        """As plain data."""
        plain: dict[str, Any] = msgspec.to_builtins(self)
        return plain


def measure(trial: Trial) -> Evidence:
    """The evidence of a trial; `decision` and `reasons` and `e_values` are still empty (see arbiter.py)."""
    both = [pair for pair in trial.pairs if pair.main.ok and pair.candidate.ok]
    walls = [(pair.main.wall_ns, pair.candidate.wall_ns) for pair in both]
    forks = [pair.fork if pair.fork >= 0 else -1 - at for at, pair in enumerate(both)]
    stalls = [blow_up(*times) for times in walls]
    return Evidence(
        pairs=len(trial.pairs),
        latency=ratio(forks, walls),
        cpu=ratio(forks, [(pair.main.cpu_ns, pair.candidate.cpu_ns) for pair in both]),
        errors=_errors(trial.pairs),
        memory=Memory(main_bytes=trial.main_peak_bytes, candidate_bytes=trial.candidate_peak_bytes),
        answers=_answers(both),
        effects=_effects(trial.pairs),
        requests_from=Sources(
            recorded=sum(pair.request.source == "recorded" for pair in trial.pairs),
            workload=sum(pair.request.source == "workload" for pair in trial.pairs),
            attacks=sum(pair.request.source == "attack" for pair in trial.pairs),
            attacks_failed=sum(_breaks(pair) for pair in trial.pairs),
            mirrored=sum(pair.request.source == "mirror" for pair in trial.pairs),
        ),
        sandbox=Sandbox(main=_refused(trial.main_refused), candidate=_refused(trial.candidate_refused)),
        blow_ups={"candidate": stalls.count(1), "main": stalls.count(-1)},
        quality=_quality(both),
        trend=trend(trial.pairs, _TREND),
        paired=[round(math.log(theirs / ours), 4) for ours, theirs in walls if min(ours, theirs) > 0],
    )


def digest(row: dict[str, Any]) -> str:
    """SHA-256 over the evidence as plain data, as hex: what an approval names beside the diff."""
    text = json.dumps(row, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()


def median_interval(values: Sequence[float]) -> tuple[float, float] | None:
    """The 95 % interval of the median, exact for any distribution; None for fewer than six values."""
    count = len(values)
    if count < MIN_FORKS:
        return None
    # the largest k with P(Binomial(n, 1/2) < k) <= 2.5 %: from the k-th smallest to the k-th largest value
    tail, below = 0, 0
    while (tail + math.comb(count, below)) * 40 <= 2**count:
        tail += math.comb(count, below)
        below += 1
    ordered = sorted(values)
    return ordered[below - 1], ordered[count - below]


def trend(pairs: Sequence[Pair], limit: int) -> list[float]:
    """Candidate over main of the last pairs that both answered, oldest first: what a sparkline shows."""
    ratios = [
        round(pair.candidate.wall_ns / pair.main.wall_ns, 4)
        for pair in pairs
        if pair.main.ok and pair.candidate.ok and pair.main.wall_ns > 0
    ]
    return ratios[-limit:]


def percentile_ms(times_ns: Sequence[int], share: float) -> float:
    """A percentile of times in ns, in ms (nearest rank); 0 for none."""
    if not times_ns:
        return 0.0
    ordered = sorted(times_ns)
    return round(ordered[min(len(ordered) - 1, math.ceil(share * len(ordered)) - 1)] / 1e6, 4)


def ratio(forks: Sequence[int], times_ns: Sequence[tuple[int, int]]) -> Ratio:
    """Candidate over main from paired times (main's, candidate's) in ns; pairs of the same fork count as one."""
    ours = [pair[0] for pair in times_ns if min(pair) > 0]
    theirs = [pair[1] for pair in times_ns if min(pair) > 0]
    if not ours:
        return Ratio()
    logs: dict[int, list[float]] = {}
    for fork, (main_ns, candidate_ns) in zip(forks, times_ns, strict=True):
        if main_ns > 0 and candidate_ns > 0:
            logs.setdefault(fork, []).append(math.log(candidate_ns / main_ns))
    medians = [median(values) for values in logs.values()]
    interval = median_interval(medians)
    low, high = (math.exp(interval[0]), math.exp(interval[1])) if interval else NO_INTERVAL
    return Ratio(
        main_p50_ms=percentile_ms(ours, 0.5),
        candidate_p50_ms=percentile_ms(theirs, 0.5),
        main_p95_ms=percentile_ms(ours, 0.95),
        candidate_p95_ms=percentile_ms(theirs, 0.95),
        ratio_median=round(math.exp(median(medians)), 4),
        ci_low=round(low, 4),
        ci_high=round(high, 4),
        pairs=len(ours),
        forks=len(medians),
    )


def _errors(pairs: Sequence[Pair]) -> Errors:
    alone = [pair for pair in pairs if pair.main.ok and not pair.candidate.ok]
    return Errors(
        main=sum(not pair.main.ok for pair in pairs),
        candidate=sum(not pair.candidate.ok for pair in pairs),
        both=sum(not pair.main.ok and not pair.candidate.ok for pair in pairs),
        candidate_crashes=sum(pair.candidate.ending == "crash" for pair in alone),
        candidate_hangs=sum(pair.candidate.ending == "hang" for pair in alone),
        first=next((said(pair.candidate) for pair in alone), ""),
    )


def said(side: Side) -> str:
    """How a side failed, in one line."""
    return _short(f"{side.ending}: {side.error}" if side.error else side.ending)


def _breaks(pair: Pair) -> bool:
    return pair.request.source == "attack" and pair.main.ok and not pair.candidate.ok


def _quality(both: Sequence[Pair]) -> Quality:
    scores: dict[str, tuple[float, float]] = {}
    for pair in both:
        if pair.main.quality is not None and pair.candidate.quality is not None:
            scores.setdefault(pair.request.key, (pair.main.quality, pair.candidate.quality))
    if not scores:
        return Quality()
    main, candidate = (math.fsum(side) / len(scores) for side in zip(*scores.values(), strict=True))
    return Quality(
        main=round(main, 4),
        candidate=round(candidate, 4),
        difference=round(candidate - main, 4),
        requests=len(scores),
    )


def _answers(both: Sequence[Pair]) -> Answers:
    different = [pair for pair in both if pair.main.answer != pair.candidate.answer]
    examples = [
        Example(request=_short(p.request.text), main=_told(p.main, p.candidate), candidate=_told(p.candidate, p.main))
        for p in different[:_EXAMPLES]
    ]
    return Answers(same=len(both) - len(different), different=len(different), examples=examples)


def _told(side: Side, other: Side) -> str:
    """Its answer; where that is the other's too, what it would keep of the request."""
    if side.text != other.text:
        return _short(side.text)
    return f"(the same answer, but another memory of it: {side.operations} operations)"


def _effects(pairs: Sequence[Pair]) -> Effects:
    diverged = [what for pair in pairs for what in pair.candidate.diverged]
    return Effects(
        recorded=sum(pair.candidate.effects for pair in pairs),
        diverged=len(diverged),
        main_diverged=sum(len(pair.main.diverged) for pair in pairs),
        would_have=sum(pair.candidate.would_have for pair in pairs),
        examples=[_short(what) for what in diverged[:_EXAMPLES]],
    )


def _refused(found: Sequence[Refusal]) -> list[str]:
    return [f"{refusal.layer}: {_short(refusal.what)}" for refusal in found]


def _short(text: str) -> str:
    return text if len(text) <= _EXAMPLE_CHARS else text[: _EXAMPLE_CHARS - 1] + "…"
