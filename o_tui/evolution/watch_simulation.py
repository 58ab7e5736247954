"""What the watch after a promotion does in worlds where the truth is known: false alarms, and how soon harm is seen.

Times are the CPU's where recordings hold them, as `guardian/twin.py` takes them; `recorded wall` shows what is left
where the system does not say. Processes are forked anew every `BLOCK` pairs. A request that only one side failed at is
tried again, as there; failures are chance, of each try anew, or the same for each try of a request. Which of many runs
of equal code alarm is computed for all at once; those few are given to the watch itself, and its word counts.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from statistics import median
from typing import Any

import numpy as np
import numpy.typing as npt

from o_tui.evolution.eprocess import BETS, BLOCK
from o_tui.evolution.watch import ERRORS_ALPHA, RARE_ALPHA, TIME_ALPHA, HarmWatch, Paired
from o_tui.evolution.worlds import FORK_PAIRS, MAIN_NS, NOISES, PROCESS, Floats, recordings

REQUESTS = 1_000
TRIES = 3
"""As in guardian/twin.py."""
FAILING = (0.0, 0.05, 0.1)
"""Shares of the requests that unchanged code fails at."""
_CHUNK = 250
_SLOWER = math.log(1.2)
_POINTS = 0.2
TIMES = (*NOISES, "recorded", "recorded wall")
Spread = Callable[[Callable[[Any], Any], list[Any]], Iterable[Any]]
Seen = list[tuple[str, int]]


def ratios(name: str, seed: int, runs: int) -> Floats:
    """Paired log ratios of equal code whose processes live for `BLOCK` pairs."""
    dice = np.random.default_rng([seed, *name.encode()])
    forks = -(-REQUESTS // BLOCK)
    if name in NOISES:
        processes = dice.standard_t(4, (runs, forks)) * PROCESS / math.sqrt(2)
        return NOISES[name](dice, runs, REQUESTS) + np.repeat(processes, BLOCK, axis=1)[:, :REQUESTS]
    parts = recordings()[:, :, int(name == "recorded")].reshape(-1, FORK_PAIRS // BLOCK, BLOCK).reshape(-1, BLOCK)
    return parts[dice.integers(0, len(parts), (runs, forks))].reshape(runs, -1)[:, :REQUESTS]


def failures(main: float, candidate: float, seed: int, runs: int, *, chance: bool) -> Floats:
    """The shares of its tries that each side failed at: main's and the candidate's, `runs` times `REQUESTS`."""
    dice = np.random.default_rng([seed, round(1_000 * candidate)])
    if not chance:  # what fails for main fails for the candidate too
        told = dice.random((runs, REQUESTS))
        return np.stack([told < main, told < candidate]).astype(float)
    tries = np.stack([dice.random((TRIES, runs, REQUESTS)) < share for share in (main, candidate)])
    first = tries[:, 0].astype(float)
    return np.where(first[0] == first[1], first, tries.mean(axis=1))


def reaches(increments: Floats, alpha: float) -> npt.NDArray[np.bool_]:
    """For each run whether its e-CUSUM ever reaches 1/alpha: that of `eprocess.ECusum`."""
    bets = np.array(BETS)
    logs, limit = np.zeros((len(increments), len(bets))), math.log(len(bets) / alpha)
    hit = np.zeros(len(increments), dtype=np.bool_)
    for column in increments.T:
        logs = np.maximum(logs, 0) + np.log1p(bets * column[:, None])
        hit |= np.logaddexp.reduce(logs, axis=1) >= limit - 1e-9
    return hit


def watched(times: Sequence[float], failed: npt.ArrayLike | None = None) -> int:
    """At which request the watch says something of one run; 0: it never does."""
    watch = HarmWatch()
    shares = np.zeros((2, len(times))) if failed is None else np.asarray(failed)
    for at, (ratio, main, candidate) in enumerate(zip(times, *shares.tolist(), strict=True), 1):
        if watch.add(Paired(main, candidate, MAIN_NS, max(1, round(MAIN_NS * math.exp(ratio))))):
            return at
    return 0


def slow_alarms(name: str, seed: int, runs: int) -> int:
    """How many watches over equal code alarm within `REQUESTS` requests, for the time that these take."""
    found = ratios(name, seed, runs)
    middles = np.median(found.reshape(runs, -1, BLOCK), axis=2)
    slower = np.where(middles > math.log(1.1), 1.0, -1.0)
    # what is far slower, or stalls, shows in single pairs: a superset is enough here
    single = np.clip((found - math.log(1.4)) / 0.3, -1, 1)
    stalls = (found > math.log(2)).astype(float) - (found < -math.log(2))
    hits = reaches(slower, TIME_ALPHA) | reaches(single, RARE_ALPHA) | reaches((stalls - 0.02) / 1.02, RARE_ALPHA)
    return sum(watched(found[run].tolist()) > 0 for run in np.flatnonzero(hits))


def failing_alarms(share: float, seed: int, runs: int) -> int:
    """The same for code that fails by chance at a share of the requests, as main does."""
    found = failures(share, share, seed, runs, chance=True)
    more = found[1] - found[0]
    hits = reaches((more - 0.3 * np.abs(more)) / 1.3, ERRORS_ALPHA)
    return sum(watched([0.0] * REQUESTS, found[:, run]) > 0 for run in np.flatnonzero(hits))


def slow_seen(name: str, seed: int, runs: int) -> Seen:
    """When +20 % latency is seen."""
    return _said(watched((run + _SLOWER).tolist()) for run in ratios(name, seed, runs))


def failing_seen(share: float, chance: bool, seed: int, runs: int) -> Seen:
    """When +20 points of errors are seen."""
    found = failures(share, share + _POINTS, seed, runs, chance=chance)
    return _said(watched([0.0] * REQUESTS, found[:, run]) for run in range(runs))


def table(seed: int, runs: int, tries: int, spread: Spread) -> dict[str, Any]:
    """False alarms of `runs` watches in each world, and in how many requests harm is seen in `tries`."""
    starts = range(0, runs, _CHUNK)
    equal = [(name, seed + at, min(_CHUNK, runs - at)) for name in (*TIMES, *FAILING) for at in starts]
    alarms: dict[str, float] = {}
    for (name, _, _), count in zip(equal, spread(_alarms, equal), strict=True):
        said = name if isinstance(name, str) else f"{name:.0%} fail"
        alarms[said] = alarms.get(said, 0.0) + count / runs
    slow = dict(zip(TIMES, spread(_slow, [(name, seed, tries) for name in TIMES]), strict=True))
    kinds = [(share, chance) for share in FAILING for chance in (True, False)]
    failing = spread(_failing, [(*kind, seed, tries) for kind in kinds])
    return {
        "requests": REQUESTS,
        "runs": runs,
        "alarms": alarms,
        "plus_20pct": {name: _when(found) for name, found in slow.items()},
        "plus_20_points": {
            f"{share:.0%} fail, {'by chance' if chance else 'the same requests'}": _when(found)
            for (share, chance), found in zip(kinds, failing, strict=True)
        },
    }


def _alarms(job: tuple[str | float, int, int]) -> int:
    name, seed, runs = job
    return slow_alarms(name, seed, runs) if isinstance(name, str) else failing_alarms(name, seed, runs)


def _slow(job: tuple[str, int, int]) -> Seen:
    return slow_seen(*job)


def _failing(job: tuple[float, bool, int, int]) -> Seen:
    return failing_seen(*job)


def _said(found: Iterable[int]) -> Seen:
    return [("harm" if at else "", at) for at in found]


def _when(found: Seen) -> dict[str, float]:
    at = sorted(requests for said, requests in found if said)
    if not at:
        return {"median": 0, "p90": 0, "share": 0.0}
    return {"median": median(at), "p90": at[int(0.9 * (len(at) - 1))], "share": len(at) / len(found)}
