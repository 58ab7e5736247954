"""Small plots in characters: how paired differences lie around "no difference", and where an interval is. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence

_BLOCKS = " ▁▂▃▄▅▆▇█"
_ASCII_BLOCKS = " .:-=+*#@"
_RANGES = (0.05, 0.1, 0.2, 0.5, 1.0, 3.0)
"""Ends of the axis: changes by this share (1.0: twice, or half)."""


def axis_range(ratios: Sequence[float]) -> float:
    """The least end of the axis that shows nine of ten ratios (candidate over main); outliers pile up at the ends."""
    logs = sorted(abs(math.log(ratio)) for ratio in ratios if ratio > 0 and math.isfinite(ratio))
    most = logs[min(len(logs) - 1, int(0.9 * len(logs)))] if logs else 0.0
    return next((end for end in _RANGES if math.log1p(end) >= most), _RANGES[-1])


def histogram(ratios: Sequence[float], width: int, end: float, *, ascii_only: bool = False) -> str:
    """How many ratios lie where, from `end` faster (left) to `end` slower; `width` cells, the middle is "the same"."""
    counts = [0] * width
    for ratio in ratios:
        if ratio > 0 and math.isfinite(ratio):
            counts[_place(ratio, width, end)] += 1
    most = max(counts, default=0)
    blocks = _ASCII_BLOCKS if ascii_only else _BLOCKS
    # what is there at all is seen: rounded up
    return "".join(blocks[math.ceil(count / most * (len(blocks) - 1))] if most else " " for count in counts)


def whisker(low: float, middle: float, high: float, width: int, end: float, *, ascii_only: bool = False) -> str:
    """An interval of ratios on the same axis: `  ├──●─┤   `; the middle of the axis is marked where it is free."""
    cells = [" "] * width
    line, left, right, dot, centre = "-[]ox" if ascii_only else "─├┤●┊"
    cells[width // 2] = "|" if ascii_only else centre
    first, last = _place(low, width, end), _place(high, width, end)
    for cell in range(first, last + 1):
        cells[cell] = line
    cells[first], cells[last] = left, right
    cells[_place(middle, width, end)] = dot
    return "".join(cells)


def axis(width: int, end: float) -> str:
    """What stands below: `-20 %    0    +20 %`."""
    text = f"{100 * end:.0f} %"
    half = width // 2
    left = f"-{text}"
    return f"{left}{'0':>{max(1, half + 1 - len(left))}}{'+' + text:>{max(1, width - half - 1)}}"


def _place(ratio: float, width: int, end: float) -> int:
    if not ratio > 0:
        return 0
    share = (min(1.0, max(-1.0, math.log(min(ratio, 1e9)) / math.log1p(end))) + 1) / 2
    return min(width - 1, int(share * width))
