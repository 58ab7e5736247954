"""Noise of which the truth is known: paired log ratios of equal code.

A candidate that is faster or slower is the same, shifted. Noise is of three kinds: lognormal; heavy-tailed, with
stalls; autocorrelated, as on a machine that is now busy and now quiet. The fourth world draws whole forks from
recordings of unchanged genes (data/aa), wall and CPU time of the same pairs. In all of them processes differ for as
long as they live.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from functools import cache

import numpy as np
import numpy.typing as npt

from o_tui.paths import shipped

FORK_PAIRS = 10
"""Pairs of one pair of processes, as in guardian/shadows.py."""
MAIN_NS = 20_000_000
SPREAD = 0.12
"""Of a paired log ratio; recordings show 0.10 to 0.16."""
PROCESS = 0.011
"""Equal processes differ by so much on a quiet machine; recordings hold much more."""
Floats = npt.NDArray[np.float64]
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
    return _drawn(recordings()[:, :, 0], dice, runs, pairs)


def _recorded_cpu(dice: np.random.Generator, runs: int, pairs: int) -> Floats:
    return _drawn(recordings()[:, :, 1], dice, runs, pairs)


def _drawn(forks: Floats, dice: np.random.Generator, runs: int, pairs: int) -> Floats:
    chosen = dice.integers(0, len(forks), (runs, -(-pairs // FORK_PAIRS)))
    return forks[chosen].reshape(runs, -1)[:, :pairs]


NOISES: dict[str, Noise] = {"lognormal": _lognormal, "heavy": _heavy, "autocorrelated": _autocorrelated}
WORLDS: dict[str, Noise] = {**NOISES, "recorded": _recorded}


@cache
def recordings() -> Floats:
    """Log ratios of recorded pairs of unchanged code: forks, their pairs, and of each wall and CPU time."""
    found = [json.loads(file.read_text()) for file in sorted((shipped("data") / "aa").glob("*.json"))]
    return np.array([fork for recording in found for fork in recording["forks"] if len(fork) == FORK_PAIRS])


def world(name: str, seed: int, runs: int, pairs: int, shift: float = 0.0) -> Floats:
    """Paired log ratios, `runs` times `pairs`; `shift` is the true one. Recordings hold their processes' own."""
    dice = np.random.default_rng([seed, *name.encode()])
    noise = WORLDS[name](dice, runs, pairs)
    if name in NOISES:
        processes = dice.standard_t(4, (runs, -(-pairs // FORK_PAIRS))) * PROCESS / math.sqrt(2)
        noise = noise + np.repeat(processes, FORK_PAIRS, axis=1)[:, :pairs]
    return noise + shift


def cpu(name: str, seed: int, runs: int, pairs: int) -> Floats | None:
    """The same of the CPU time of the same pairs, where it is known: in recordings."""
    if name != "recorded":
        return None
    return _recorded_cpu(np.random.default_rng([seed, *name.encode()]), runs, pairs)
