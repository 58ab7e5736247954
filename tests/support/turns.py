"""What the scheduler has noted of a thread."""

from __future__ import annotations

import contextlib
import platform
import re
from pathlib import Path

import pytest

SHORT_NS = 100_000


def turn_ns(process: int, thread: int) -> int:
    """The turns that a thread asks for; skips the test where Linux takes no wishes (6.12), or tells of none."""
    version = re.match(r"(\d+)\.(\d+)", platform.release())
    if version is not None and (int(version[1]), int(version[2])) >= (6, 12):
        with contextlib.suppress(OSError):
            for line in Path(f"/proc/{process}/task/{thread}/sched").read_text().splitlines():
                if line.startswith("se.slice"):
                    return int(line.split(":")[1])
    pytest.skip("the kernel does not tell of turns")
