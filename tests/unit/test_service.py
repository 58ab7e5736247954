"""sd_notify against a socket of our own."""

from __future__ import annotations

import asyncio
import os
import socket
from pathlib import Path

import pytest

from o_tui.guardian import service
from tests.support.patience import PATIENCE_S


@pytest.fixture
def listener(folder: Path) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    sock.bind(str(folder / "n"))
    sock.settimeout(PATIENCE_S)
    yield sock
    sock.close()


def test_ready_is_heard(listener: socket.socket) -> None:
    assert service.notify("READY=1", {"NOTIFY_SOCKET": listener.getsockname()})
    assert listener.recv(100) == b"READY=1"


def test_an_abstract_socket() -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(f"\0o-test-{os.getpid()}")
        assert service.notify("STOPPING=1", {"NOTIFY_SOCKET": f"@o-test-{os.getpid()}"})
        assert sock.recv(100) == b"STOPPING=1"


@pytest.mark.parametrize(
    "environment", [{}, {"NOTIFY_SOCKET": ""}, {"NOTIFY_SOCKET": "/nowhere"}, {"NOTIFY_SOCKET": "x"}]
)
def test_nobody_listens(environment: dict[str, str]) -> None:
    assert not service.notify("READY=1", environment)


def test_the_watchdogs_period() -> None:
    assert service.watchdog_s({}) == 0
    assert service.watchdog_s({"WATCHDOG_USEC": "3000000"}) == 1.5
    assert service.watchdog_s({"WATCHDOG_USEC": "3000000", "WATCHDOG_PID": "1"}) == 0
    assert service.watchdog_s({"WATCHDOG_USEC": "soon"}) == 0


async def test_signs_of_life(listener: socket.socket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", listener.getsockname())
    monkeypatch.setenv("WATCHDOG_USEC", "20000")
    task = asyncio.create_task(service.keep_alive())
    for _ in range(3):
        assert await asyncio.to_thread(listener.recv, 100) == b"WATCHDOG=1"
    task.cancel()
