"""How numbers, times and trends are written on the screen: pure functions, one place, one style."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import datetime

from o_tui.protocol.safe_text import safe, safe_line

NS = 1_000_000_000
MISSING = "-"
_BLOCKS = "▁▂▃▄▅▆▇█"
_ASCII_BLOCKS = "_.-=*%#@"
_UNITS = ("B", "kB", "MB", "GB", "TB")


def shown(text: object, limit: int = 0) -> str:
    """Text from outside as one line that is safe to draw: whatever could act on the terminal or hide is visible.

    Args:
        text: Anything; None is the empty text.
        limit: At most so many characters; 0: no limit.
    """
    return safe_line("" if text is None else str(text), limit)


def block(text: object, limit: int = 0) -> str:
    """Like `shown`, for texts of several lines: line feeds stay."""
    return safe("" if text is None else str(text), limit)


def count(number: float) -> str:
    """A whole number in groups of three: `12 404`."""
    return f"{int(number):,}".replace(",", " ")


def size(size_bytes: float) -> str:
    """Bytes in the unit that keeps it short: `812 B`, `1.2 MB`, `41 MB`."""
    value = float(max(0, size_bytes))
    unit = 0
    # 999.5 rounds to 1000, which belongs to the next unit
    while value >= 999.5 and unit < len(_UNITS) - 1:
        value /= 1000
        unit += 1
    digits = 0 if unit == 0 or value >= 9.95 else 1
    return f"{value:.{digits}f} {_UNITS[unit]}"


def milliseconds(value_ms: float | None) -> str:
    """A duration: `0.04 ms`, `4.1 ms`, `41 ms`, `1.2 s`, `2 m 03 s`, `1 h 02 m`."""
    if value_ms is None or not math.isfinite(value_ms):
        return MISSING
    if value_ms < 999.5:
        digits = 2 if 0 < value_ms < 0.095 else 1 if 0 < value_ms < 9.95 else 0
        return f"{value_ms:.{digits}f} ms"
    seconds = value_ms / 1000
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60} m {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} m"


def age(seconds: float) -> str:
    """How long ago, coarse: `now`, `12 s`, `4 m`, `6 h`, `3 d`."""
    if seconds < 1:
        return "now"
    for limit, divisor, unit in ((60, 1, "s"), (3600, 60, "m"), (86_400, 3600, "h")):
        if seconds < limit:
            return f"{int(seconds // divisor)} {unit}"
    return f"{int(seconds // 86_400)} d"


def age_ns(time_ns: int, now_ns: int) -> str:
    """`age` of a moment; a moment that has not come (a clock was set back) is `now`."""
    return age(max(0, now_ns - time_ns) / NS)


def ago_ns(time_ns: int, now_ns: int) -> str:
    """`age_ns` in a sentence: `12 s ago`, `now`."""
    words = age_ns(time_ns, now_ns)
    return words if words == "now" else f"{words} ago"


def clock(time_ns: int, now_ns: int = 0) -> str:
    """The local time of day `12:03:11`; with `now_ns`, on another day the date too: `11-20 12:03`."""
    moment = _local(time_ns)
    if now_ns and moment.date() != _local(now_ns).date():
        return f"{moment:%m-%d %H:%M}"
    return f"{moment:%H:%M:%S}"


def stamp(time_ns: int) -> str:
    """Local date and time in full: `2025-11-21 12:03:11`."""
    return f"{_local(time_ns):%Y-%m-%d %H:%M:%S}"


def _local(time_ns: int) -> datetime:
    return datetime.fromtimestamp(time_ns / NS).astimezone()


def short(identifier: str, length: int = 8) -> str:
    """The start of a hash or revision; `-` for none."""
    return identifier[:length] or MISSING


def percent(part: float, whole: float) -> str:
    """`part` of `whole` in per cent with two decimals; `0.00` when there is nothing yet."""
    return f"{100 * part / whole:.2f}" if whole else "0.00"


def change(ratio: float | None) -> str:
    """A ratio as a signed change: 0.8 is `-20.0 %`."""
    if ratio is None or not math.isfinite(ratio):
        return MISSING
    return f"{(ratio - 1) * 100:+.1f} %"


def interval(low: float | None, high: float | None) -> str:
    """The interval of a ratio as changes: `-22.0 .. -17.5 %`."""
    if low is None or high is None or not (math.isfinite(low) and math.isfinite(high)):
        return MISSING
    return f"{(low - 1) * 100:+.1f} .. {(high - 1) * 100:+.1f} %"


def p_value(e_value: float) -> str:
    """`p 0.003` of an e-value, which may be looked at after every pair; at least `p <0.001`."""
    p = 1.0 if e_value <= 1 else 1 / e_value
    return "p <0.001" if p < 0.001 else f"p {p:.3f}" if p < 0.0995 else f"p {p:.2f}"


def distance(operations: int) -> str:
    """How many operations the log has grown since a sequence number: `+2 104`.

    A checkpoint may be told before the log's own figure: what is known of the log is then as old as that, `+0`.
    """
    return f"+{count(max(0, operations))}"


def sparkline(values: Sequence[float], width: int, *, ascii_only: bool = False) -> str:
    """The last `width` values as bars between their least and their greatest; equal values are a middle line.

    Values that are not finite are a space. The text is exactly `width` cells, padded on the left.
    """
    if width <= 0:
        return ""
    blocks = _ASCII_BLOCKS if ascii_only else _BLOCKS
    recent = list(values)[-width:]
    finite = [value for value in recent if math.isfinite(value)]
    low, high = (min(finite), max(finite)) if finite else (0.0, 0.0)
    # scaled before subtracting, so that two huge values do not overflow to infinity
    scale = max(abs(low), abs(high)) or 1.0
    span = high / scale - low / scale
    bars = []
    for value in recent:
        if not math.isfinite(value):
            bars.append(" ")
        elif span <= 0:
            bars.append(blocks[3])
        else:
            part = (value / scale - low / scale) / span
            bars.append(blocks[min(len(blocks) - 1, int(part * len(blocks)))])
    return "".join(bars).rjust(width)


def progress(part: float, whole: float, width: int, *, ascii_only: bool = False) -> str:
    """A bar of `width` cells: `████░░░░`, in ASCII `####....`."""
    full, empty = ("#", ".") if ascii_only else ("█", "░")
    share = 0.0 if whole <= 0 else min(1.0, max(0.0, part / whole))
    done = int(share * width)
    return full * done + empty * (width - done)
