"""The guardian's lock: one holder, named; gone with its process; not lost by looking at it."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys

import pytest

from o_tui.guardian import lock
from o_tui.guardian.lock import GuardianLock
from o_tui.paths import Paths
from o_tui.protocol.errors import BusyError, PeerError

HOLD = """
import sys
from o_tui.guardian.lock import GuardianLock
from o_tui.paths import locate
held = GuardianLock.acquire(locate(sys.argv[1]))
held.set_epoch(7)
print("held", flush=True)
sys.stdin.read()
"""
FORK = """
import os, time
child = os.fork()
if not child:
    time.sleep(60)
    os._exit(0)
print(child, flush=True)
sys.stdin.read()
"""
TRY = """
import sys
from o_tui.guardian.lock import GuardianLock, holder
from o_tui.paths import locate
from o_tui.protocol.errors import BusyError, PeerError
print(holder(locate(sys.argv[1])))
try:
    GuardianLock.acquire(locate(sys.argv[1]))
    print("got it")
except BusyError as error:
    print(error)
"""


@pytest.fixture
def other(workspace: Paths) -> subprocess.Popen[str]:
    """Another process that holds the lock."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(workspace.data)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.communicate()


def attempt(workspace: Paths) -> list[str]:
    done = subprocess.run([sys.executable, "-c", TRY, str(workspace.data)], capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


def test_the_second_one_is_told_who_is_first(workspace: Paths, other: subprocess.Popen[str]) -> None:
    with pytest.raises(BusyError, match=f"pid {other.pid}.*epoch 7") as caught:
        GuardianLock.acquire(workspace)
    assert caught.value.code == 75
    found = lock.holder(workspace)
    assert found is not None
    assert (found.pid, found.epoch, found.placement) == (other.pid, 7, "process")


def test_a_killed_holder_leaves_no_lock(workspace: Paths, other: subprocess.Popen[str]) -> None:
    other.send_signal(signal.SIGKILL)
    other.wait()
    assert lock.holder(workspace) is None
    held = GuardianLock.acquire(workspace)
    assert held.holder.pid == os.getpid()
    held.release()


def test_looking_at_our_own_lock_does_not_lose_it(workspace: Paths) -> None:
    held = GuardianLock.acquire(workspace, "embedded")
    held.set_epoch(3)
    assert lock.holder(workspace) == held.holder
    with pytest.raises(BusyError, match="inside a screen, epoch 3"):
        GuardianLock.acquire(workspace)
    seen, tried = attempt(workspace)
    assert seen.startswith(f"pid {os.getpid()} (inside a screen")
    assert "another guardian holds this workspace" in tried
    held.release()
    assert attempt(workspace) == ["None", "got it"]
    held.release()


def test_a_forked_child_does_not_keep_it(workspace: Paths) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD.replace("sys.stdin.read()", FORK), str(workspace.data)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    child = int(process.stdout.readline())
    try:
        process.kill()
        process.wait()
        assert lock.holder(workspace) is None
    finally:
        os.kill(child, signal.SIGKILL)
        process.stdout.close()


def test_an_unreadable_holder_is_still_a_holder(workspace: Paths, other: subprocess.Popen[str]) -> None:
    workspace.lock.write_bytes(b"\xff garbage")
    found = lock.holder(workspace)
    assert found is not None and found.pid == other.pid


def test_nobody(workspace: Paths) -> None:
    assert lock.holder(workspace) is None
    workspace.lock.touch()
    assert lock.holder(workspace) is None


def test_a_disk_that_takes_nothing_does_not_leave_it_held(workspace: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", full)
        with pytest.raises(PeerError, match="No space left"):
            GuardianLock.acquire(workspace)
    assert lock.holder(workspace) is None
    GuardianLock.acquire(workspace).release()
