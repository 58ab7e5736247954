"""What the arbiter does in worlds where the truth is known: the table of the design, computed anew.

A world makes paired log ratios of equal code (worlds.py). Whether a run's evidence ever suffices is computed for all
runs at once; those few for which it does are given to the arbiter itself, pair by pair, and its word counts. The watch
after a promotion is simulated in watch_simulation.py.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from statistics import median
from typing import Any

import numpy as np
import numpy.typing as npt

from o_tui.evolution import watch_simulation
from o_tui.evolution.arbiter import Arbiter, Decision, Goal, Policy
from o_tui.evolution.eprocess import BETS, BLOCK
from o_tui.evolution.multiple import Race
from o_tui.evolution.samples import Pair, RecordedRequest, Side
from o_tui.evolution.worlds import FORK_PAIRS, MAIN_NS, NOISES, WORLDS, Floats, cpu, recordings, world

DETECTED = 240
"""Runs of each world in which a true difference is looked for, at most: with 60 a median was 20 % off by chance."""
RACES, SHADOWS, GOOD = 400, 100, 5
WATCHED = 5
"""Of so many runs one is watched as well, each for 1,000 requests."""
_CHUNK = 500

Spread = Callable[[Callable[[Any], Any], list[Any]], Iterable[Any]]


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


def judge(
    ratios: Floats, policy: Policy, goal: Goal = "latency", cpu_ratios: Floats | None = None
) -> tuple[Decision, int]:
    """The arbiter's word on one run, and after how many pairs it was given; CPU time is unknown where left out."""
    arbiter = Arbiter(policy, goal)
    main = Side("answered", "a", wall_ns=MAIN_NS, cpu_ns=0 if cpu_ratios is None else MAIN_NS)
    used_ns = [0] * len(ratios) if cpu_ratios is None else _took_ns(cpu_ratios)
    for at, (wall_ns, cpu_ns) in enumerate(zip(_took_ns(ratios), used_ns, strict=True)):
        candidate = Side("answered", "a", wall_ns=wall_ns, cpu_ns=cpu_ns)
        arbiter.add(Pair(_REQUEST, main, candidate, fork=at // FORK_PAIRS))
        decision = arbiter.decision()
        if decision.verdict != "continue":
            return decision, arbiter.pairs
    return arbiter.conclude(), arbiter.pairs


def _took_ns(ratios: Floats) -> list[int]:
    return [max(1, round(MAIN_NS * math.exp(ratio))) for ratio in ratios.tolist()]


_REQUEST = RecordedRequest("r", "simulated")


def promoted(name: str, seed: int, runs: int, pairs: int, shifts: Sequence[float] = (0.0,)) -> list[int]:
    """How many of `runs` are promoted, looking after every pair of `pairs`: for each shift, with the same noise."""
    policy = Policy(budget=pairs)
    times = [world(name, seed, runs, pairs)]
    if (used := cpu(name, seed, runs, pairs)) is not None:
        times.append(used)
    counts = []
    for shift in shifts:  # the mean of two e-values suffices only where one of them does
        hits = np.flatnonzero(np.any([_suffices(time + shift, policy) for time in times], axis=0))
        verdicts = [judge(times[0][run] + shift, policy, cpu_ratios=_row(used, run, shift))[0].verdict for run in hits]
        counts.append(verdicts.count("promote"))
    return counts


def _suffices(ratios: Floats, policy: Policy) -> npt.NDArray[np.bool_]:
    runs, pairs = ratios.shape
    blocks = np.sort(ratios[:, : pairs - pairs % BLOCK].reshape(runs, -1, BLOCK), axis=2)[:, :, BLOCK // 2]
    return ever(blocks < math.log1p(-policy.margin), 1 / policy.alpha)


def _row(ratios: Floats | None, run: int | np.integer[Any], shift: float) -> Floats | None:
    return None if ratios is None else ratios[run] + shift


def detected(name: str, seed: int, runs: int, pairs: int, shift: float) -> list[tuple[str, int]]:
    """Verdict and pairs of each run."""
    policy = Policy(budget=pairs)
    used = cpu(name, seed, runs, pairs)
    walls = world(name, seed, runs, pairs, shift)
    found = [judge(wall, policy, cpu_ratios=_row(used, run, shift)) for run, wall in enumerate(walls)]
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
    seen = {name: _joined(spread(_seen, [(noise, seed, tries, name) for noise in NOISES])) for name in SHIFTS}
    hard = _joined(spread(_seen, [("recorded", seed, tries, "minus_10")]))
    watches = watch_simulation.table(seed, max(1, runs // WATCHED), tries, spread)
    errors = _joined(spread(_failing, [(seed, tries), (seed + 1, tries)]))
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
        "minus_10pct_recorded_bound": {time: bound(at) for at, time in enumerate(("wall", "cpu"))},
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
        "watch": watches,
    }


def bound(time: int) -> dict[str, float]:
    """What recordings allow a bet on signs at -10 %: how often it wins, and the pairs that the best bet needs.

    A bettor who knew the share `won` would gain at most log 2 - H(won) a block (Kelly), so no bet on these signs shows
    a gain at level `alpha` sooner than after `pairs`, in the mean.
    """
    policy = Policy()
    blocks = np.median(recordings()[:, :, time].reshape(-1, BLOCK), axis=1)
    won = float(np.mean(blocks + SHIFTS["minus_10"] < math.log1p(-policy.margin)))
    growth = math.log(2) + won * math.log(won) + (1 - won) * math.log1p(-won)
    return {"won": round(won, 3), "pairs": round(BLOCK * math.log(1 / policy.alpha) / growth)}


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


def _joined(parts: Iterable[list[tuple[str, int]]]) -> list[tuple[str, int]]:
    return [each for part in parts for each in part]


def _share(values: Iterable[bool]) -> float:
    known = list(values)
    return sum(known) / max(1, len(known))


def _when(found: Sequence[tuple[str, int]], verdict: str) -> dict[str, float]:
    """How soon a verdict came (pairs), and in what share of the runs."""
    at = sorted(pairs for said, pairs in found if said == verdict)
    if not at:
        return {"median": 0, "p90": 0, "share": 0.0}
    return {"median": median(at), "p90": at[int(0.9 * (len(at) - 1))], "share": len(at) / len(found)}
