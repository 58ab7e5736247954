"""What the arbiter does in worlds where the truth is known: the table of the design, computed anew.

A world makes paired log ratios of equal code; a candidate that is faster or slower is the same, shifted. Noise is of
three kinds: lognormal; heavy-tailed, with stalls; autocorrelated, as on a machine that is now busy and now quiet. The
fourth world draws whole forks from recordings of unchanged genes (data/aa). In all of them processes differ for as long
as they live. Whether a run's evidence ever suffices is computed for all runs at once; those few for which it does are
given to the arbiter itself, pair by pair, and its word counts.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from statistics import median
from typing import Any

import numpy as np
import numpy.typing as npt

from o_tui.evolution.arbiter import Arbiter, Decision, Goal, Policy
from o_tui.evolution.eprocess import BETS, BLOCK
from o_tui.evolution.multiple import Race
from o_tui.evolution.samples import Pair, RecordedRequest, Side
from o_tui.paths import shipped

FORK_PAIRS = 10
"""Pairs of one pair of processes, as in guardian/shadows.py."""
MAIN_NS = 20_000_000
SPREAD = 0.12
"""Of a paired log ratio; recordings show 0.10 to 0.16."""
PROCESS = 0.011
"""Equal processes differ by so much on a quiet machine; recordings hold much more."""
DETECTED = 60
"""Runs of each world in which a true difference is looked for, at most; a tenth of the others is enough."""
RACES, SHADOWS, GOOD = 400, 100, 5
_CHUNK = 500

Floats = npt.NDArray[np.float64]
Spread = Callable[[Callable[[Any], Any], list[Any]], Iterable[Any]]
Noise = Callable[[np.random.Generator, int, int], Floats]


def _lognormal(dice: np.random.Generator, runs: int, pairs: int) -> Floats:
    return dice.normal(0, SPREAD, (runs, pairs))


def _heavy(dice: np.random.Generator, runs: int, pairs: int) -> Floats:
    """Student's t with 2.5 degrees of freedom; one request in fifty takes three times as long, on either side."""
    noise = dice.standard_t(2.5, (runs, pairs)) * SPREAD * 0.6
    stalls = (dice.random((runs, pairs)) < 0.02).astype(float) - (dice.random((runs, pairs)) < 0.02)
    return noise + stalls * math.log(3)


def _autocorrelated(dice: np.random.Generator, runs: int, pairs: int) -> Floats:
    noise = dice.normal(0, SPREAD, (runs, pairs))
    share = 0.6
    for at in range(1, pairs):
        noise[:, at] = share * noise[:, at - 1] + math.sqrt(1 - share**2) * noise[:, at]
    return noise


def _recorded(dice: np.random.Generator, runs: int, pairs: int) -> Floats:
    forks = _recordings()
    chosen = dice.integers(0, len(forks), (runs, -(-pairs // FORK_PAIRS)))
    return forks[chosen].reshape(runs, -1)[:, :pairs]


NOISES: dict[str, Noise] = {"lognormal": _lognormal, "heavy": _heavy, "autocorrelated": _autocorrelated}
WORLDS: dict[str, Noise] = {**NOISES, "recorded": _recorded}


def _recordings() -> Floats:
    found = [json.loads(file.read_text()) for file in sorted((shipped("data") / "aa").glob("*.json"))]
    forks = [fork for recording in found for fork in recording["forks"] if len(fork) == FORK_PAIRS]
    return np.array([[wall for wall, _cpu in fork] for fork in forks])


def world(name: str, seed: int, runs: int, pairs: int, shift: float = 0.0) -> Floats:
    """Paired log ratios, `runs` times `pairs`; `shift` is the true one. Recordings hold their processes' own."""
    dice = np.random.default_rng([seed, *name.encode()])
    noise = WORLDS[name](dice, runs, pairs)
    if name in NOISES:
        processes = dice.standard_t(4, (runs, -(-pairs // FORK_PAIRS))) * PROCESS / math.sqrt(2)
        noise = noise + np.repeat(processes, FORK_PAIRS, axis=1)[:, :pairs]
    return noise + shift


@cache
def _needed(count: int, limit: float) -> npt.NDArray[np.int64]:
    """The fewest wins among the first 1 to `count` bets on signs with which the evidence is `limit` or more."""
    bets, needed = np.array(BETS), np.empty(count, dtype=np.int64)
    for at in range(1, count + 1):
        wins = np.arange(at + 1)[:, None]
        logs = np.logaddexp.reduce(wins * np.log1p(bets) + (at - wins) * np.log1p(-bets), axis=1)
        needed[at - 1] = np.searchsorted(logs - math.log(len(bets)), math.log(limit))
    return needed


def ever(won: npt.NDArray[np.bool_], limit: float) -> npt.NDArray[np.bool_]:
    """For each run of bets on signs whether its evidence ever reaches `limit`: that of `eprocess.EProcess`."""
    reached = np.cumsum(won, axis=1) >= _needed(won.shape[1], limit)
    return np.asarray(reached.any(axis=1), dtype=np.bool_)


def judge(ratios: Floats, policy: Policy, goal: Goal = "latency") -> tuple[Decision, int]:
    """The arbiter's word on one run, and after how many pairs it was given."""
    arbiter = Arbiter(policy, goal)
    main = Side("answered", "a", wall_ns=MAIN_NS)
    for at, ratio in enumerate(ratios.tolist()):
        candidate = Side("answered", "a", wall_ns=max(1, round(MAIN_NS * math.exp(ratio))))
        arbiter.add(Pair(_REQUEST, main, candidate, fork=at // FORK_PAIRS))
        decision = arbiter.decision()
        if decision.verdict != "continue":
            return decision, arbiter.pairs
    return arbiter.conclude(), arbiter.pairs


_REQUEST = RecordedRequest("r", "simulated")


def promoted(name: str, seed: int, runs: int, pairs: int, shifts: Sequence[float] = (0.0,)) -> list[int]:
    """How many of `runs` are promoted, looking after every pair of `pairs`: for each shift, with the same noise."""
    policy = Policy(budget=pairs)
    ratios = world(name, seed, runs, pairs)
    blocks = np.sort(ratios[:, : pairs - pairs % BLOCK].reshape(runs, -1, BLOCK), axis=2)[:, :, BLOCK // 2]
    counts = []
    for shift in shifts:
        hits = np.flatnonzero(ever(blocks + shift < math.log1p(-policy.margin), 1 / policy.alpha))
        counts.append(sum(judge(ratios[run] + shift, policy)[0].verdict == "promote" for run in hits))
    return counts


def detected(name: str, seed: int, runs: int, pairs: int, shift: float) -> list[tuple[str, int]]:
    """Verdict and pairs of each run."""
    policy = Policy(budget=pairs)
    found = [judge(ratios, policy) for ratios in world(name, seed, runs, pairs, shift)]
    return [(str(decision.verdict), at) for decision, at in found]


def failing(seed: int, runs: int, *, more: float, base: float = 0.02) -> list[tuple[str, int]]:
    """Verdict and pairs where the candidate fails `more` often (a share) than main, which fails at `base`."""
    dice, policy = np.random.default_rng(seed), Policy()
    answered, failed = Side("answered", "a"), Side("error", error="simulated")
    found = []
    for _ in range(runs):
        arbiter = Arbiter(policy)
        while (decision := arbiter.decision()).verdict == "continue":
            main, candidate = (failed if dice.random() < share else answered for share in (base, base + more))
            arbiter.add(Pair(RecordedRequest(f"r{arbiter.pairs}", "simulated"), main, candidate))
        found.append((str(decision.verdict), arbiter.pairs))
    return found


def race(name: str, seed: int, *, shadows: int = SHADOWS, good: int = 0) -> tuple[str, bool, int]:
    """One race and the fresh confirmation of its winner: (verdict, whether the winner is good, pairs in all)."""
    shifts = np.array([math.log(0.9)] * good + [0.0] * (shadows - good))
    rounds = math.ceil(math.log2(shadows)) + 1
    ratios = world(name, seed, shadows, rounds * FORK_PAIRS) + shifts[:, None]
    medians = np.median(ratios.reshape(shadows, rounds, FORK_PAIRS), axis=2)
    race, spent = Race([str(number) for number in range(shadows)]), 0
    while not race.over:
        spent += FORK_PAIRS * len(race.alive)
        until = race.rounds + 1
        race.end_round({each: -float(np.median(medians[int(each), :until])) for each in race.alive})
    winner = int(race.alive[0])
    fresh = world(name, seed + 1_000_003, 1, Policy().budget, float(shifts[winner]))[0]
    decision, pairs = judge(fresh, Policy())
    return decision.verdict, winner < good, spent + pairs


def simulate(
    runs: int = 10_000, pairs: int = 2_000, seed: int = 1, races: int = RACES, spread: Spread = map
) -> dict[str, Any]:
    """The table: how often equal code is promoted, how soon what is true is seen, in pairs.

    Args:
        runs: Evolutions of equal code in each world.
        pairs: How long each is looked at, after every pair.
        seed: The same seed gives the same table.
        races: Races of a hundred equal shadows.
        spread: Does the work: `map`, or that of a pool of processes.
    """
    jobs = [(name, seed + at, min(_CHUNK, runs - at), pairs) for name in WORLDS for at in range(0, runs, _CHUNK)]
    tries = min(DETECTED, max(1, runs // 10))
    counts = list(spread(_equal, jobs))
    seen = {name: _all(spread(_seen, [(noise, seed, tries, name) for noise in NOISES])) for name in SHIFTS}
    hard = _all(spread(_seen, [("recorded", seed, tries, "minus_10")]))
    errors = _all(spread(_failing, [(seed, tries), (seed + 1, tries)]))
    raced = list(spread(_race, [(seed + number, 0) for number in range(races)]))
    found = list(spread(_race, [(seed + number, GOOD) for number in range(races // 4)]))
    rates = {
        name: sum(count[0] for job, count in zip(jobs, counts, strict=True) if job[0] == name) / runs for name in WORLDS
    }
    return {
        "false_promotion_rate": max(rates.values()),
        "worlds": rates,
        "runs": runs,
        "pairs": pairs,
        "detect_minus_10pct": _when(seen["minus_10"], "promote"),
        "detect_minus_10pct_recorded": _when(hard, "promote"),
        "reject_plus_20pct": _when(seen["plus_20"], "reject"),
        "reject_plus_5pct": _when(seen["plus_5"], "reject"),
        "plus_5_promoted": sum(count[1] for count in counts) / (len(WORLDS) * runs),
        "reject_plus_5_points": _when(errors, "reject"),
        "races": {
            "shadows": SHADOWS,
            "races": races,
            "promoted_rate": _share(verdict == "promote" for verdict, _, _ in raced),
            "good": GOOD,
            "good_promoted_rate": _share(good and verdict == "promote" for verdict, good, _ in found),
            "executions": median(spent for _, _, spent in found) if found else 0,
        },
    }


SHIFTS: Mapping[str, float] = {"minus_10": math.log(0.9), "plus_20": math.log(1.2), "plus_5": math.log(1.05)}


def _equal(job: tuple[str, int, int, int]) -> list[int]:
    return promoted(*job, (0.0, SHIFTS["plus_5"]))


def _seen(job: tuple[str, int, int, str]) -> list[tuple[str, int]]:
    name, seed, runs, shift = job
    return detected(name, seed, runs, Policy().budget, SHIFTS[shift])


def _failing(job: tuple[int, int]) -> list[tuple[str, int]]:
    return failing(*job, more=0.05)


def _race(job: tuple[int, int]) -> tuple[str, bool, int]:
    seed, good = job
    names = list(NOISES)
    return race(names[seed % len(names)], seed, good=good)


def _all(parts: Iterable[list[tuple[str, int]]]) -> list[tuple[str, int]]:
    return [each for part in parts for each in part]


def _share(values: Iterable[bool]) -> float:
    known = list(values)
    return sum(known) / max(1, len(known))


def _when(found: list[tuple[str, int]], verdict: str) -> dict[str, float]:
    """How soon a verdict came (pairs), and in what share of the runs."""
    at = sorted(pairs for said, pairs in found if said == verdict)
    if not at:
        return {"median": 0, "p90": 0, "share": 0.0}
    return {"median": median(at), "p90": at[int(0.9 * (len(at) - 1))], "share": len(at) / len(found)}
