"""A guardian in a process of its own, which ends by `with`."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterator
from typing import Any

from o_tui import client
from o_tui.bench.guardians import workspace
from o_tui.paths import Paths
from o_tui.protocol.errors import OError, UnreachableError

__all__ = ["guardian", "until_served", "workspace"]


@contextlib.contextmanager
def guardian(paths: Paths) -> Iterator[int]:
    """A guardian in a process of its own; its pid."""
    pid = client.start_guardian(paths, 60.0)
    try:
        yield pid
    finally:
        try:
            with client.connect(paths) as link:
                client.stop_guardian(link, 20.0)
        except OError:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def until_served(link: client.Client, timeout_s: float = 30.0) -> dict[str, Any]:
    """The status once main and standby run; raises UnreachableError."""
    deadline_s = time.monotonic() + timeout_s
    while True:
        status: dict[str, Any] = link.call("status", wait_s=10.0)
        if {row["role"] for row in status["instances"] if row["state"] == "running"} >= {"main", "standby"}:
            return status
        if time.monotonic() > deadline_s:
            raise UnreachableError("main and standby do not run")
        time.sleep(0.05)
