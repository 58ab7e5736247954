"""Whether a process is confined as it says: the guardian looks for itself, in /proc/<pid>/status."""

from __future__ import annotations

import os
import re
from pathlib import Path

CONFINED = frozenset("ABC")
"""The tiers under which a candidate may run."""
_FILTERED = "2"  # SECCOMP_MODE_FILTER


def lacks(pid: int) -> str:
    """What the kernel says that a process lacks of a confined one; empty: nothing. Reads a file: not for the loop.

    A process that has gone lacks nothing: its end is told elsewhere.
    """
    try:
        text = Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return ""
    fields = dict(re.findall(r"(?m)^(\w+):\t(.*)$", text))
    if fields.get("State", "").startswith("Z"):
        return ""
    if fields.get("Seccomp") != _FILTERED:
        return "no filter of system calls"
    if fields.get("NoNewPrivs") != "1":
        return "it may gain rights"
    # not the bounding set: only who has had rights can empty it, and without new privileges it bounds nothing
    if any(int(fields.get(name, "1"), 16) for name in ("CapEff", "CapPrm", "CapInh", "CapAmb")):
        return "it has capabilities"
    users = set(fields.get("Uid", "0").split())
    if len(users) != 1 or "0" in users or (os.getuid() and users != {str(os.getuid())}):
        return f"it runs as the user {' '.join(sorted(users))}"
    return ""
