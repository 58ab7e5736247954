"""What systemd wants to hear from a service: READY, WATCHDOG, STOPPING. Nothing happens where nobody asked for it."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Mapping


def notify(message: str, environment: Mapping[str, str] | None = None) -> bool:
    """Sends a line to the socket that NOTIFY_SOCKET names; False if there is none, or nobody hears."""
    address = (os.environ if environment is None else environment).get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")):
        return False
    if address.startswith("@"):
        address = "\0" + address[1:]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as peer:
        try:
            peer.sendto(message.encode(), address)
        except OSError:
            return False
    return True


def watchdog_s(environment: Mapping[str, str] | None = None) -> float:
    """Seconds between two signs of life: half of what WATCHDOG_USEC allows us; 0: none are wanted."""
    given = os.environ if environment is None else environment
    if given.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return 0.0
    try:
        return max(0, int(given.get("WATCHDOG_USEC", "0"))) / 2e6
    except ValueError:
        return 0.0


async def keep_alive() -> None:
    """Tells the watchdog that this loop runs, until it is cancelled."""
    period_s = watchdog_s()
    while period_s:
        notify("WATCHDOG=1")
        await asyncio.sleep(period_s)
