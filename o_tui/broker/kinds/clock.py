"""`tool.clock`: the time is an effect, as it differs at every call: so it is asked for here and recorded."""

from __future__ import annotations

import time
from datetime import datetime
from pathlib import Path
from typing import Any

from o_tui.broker.calls import Call

_ZONES = "/zoneinfo/"


async def run(call: Call) -> dict[str, Any]:
    """Answers {time_ns, zone, offset_s}: nanoseconds UTC, the operator's zone and its distance from UTC now."""
    now_ns = time.time_ns()
    local = datetime.fromtimestamp(now_ns / 1e9).astimezone()
    offset = local.utcoffset()
    return {"time_ns": now_ns, "zone": _zone(local), "offset_s": int(offset.total_seconds()) if offset else 0}


def _zone(local: datetime) -> str:
    """The zone's name in the database (`Europe/Berlin`) if the system says it, else its abbreviation."""
    import os

    name = os.environ.get("TZ", "").lstrip(":")
    if "/" not in name:
        target = str(Path("/etc/localtime").resolve())
        name = target.partition(_ZONES)[2] if _ZONES in target and not name else name
    return name or local.tzname() or "UTC"
