"""The time that passes from one guardian to the next, whatever is done to the clock meanwhile.

Since one boot the kernel counts it, and nobody can set that; over a reboot there is only the wall's clock.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any


def mark() -> dict[str, Any]:
    """Now, for a row: nanoseconds since the boot that is named, and UTC."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
    except OSError:
        boot = ""  # hidden from us: then only the wall's clock is left
    return {"boot": boot, "boot_ns": time.clock_gettime_ns(time.CLOCK_BOOTTIME), "time_ns": time.time_ns()}


def since_s(then: dict[str, Any]) -> float:
    """Seconds since a `mark`; never less than 0."""
    now = mark()
    clock = "boot_ns" if now["boot"] and now["boot"] == then["boot"] else "time_ns"
    return max(0.0, float(now[clock] - then[clock]) / 1e9)
