"""Starting processes of our own, and seeing their end at once: spawn by exec, watch by pidfd, end by number."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path


class Watch:
    """A process seen through its pidfd: `exited` becomes its status as soon as the kernel says so.

    The status is that of os.waitstatus_to_exitcode for our own children; of another's child only the end is seen
    (`UNKNOWN`), and whoever reaps it says the rest.
    """

    UNKNOWN = 256

    def __init__(self, pid: int, pidfd: int) -> None:
        self.pid = pid
        self.exited: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._pidfd = pidfd
        asyncio.get_running_loop().add_reader(pidfd, self._ended)

    @property
    def alive(self) -> bool:
        """The process has not been seen to end."""
        return not self.exited.done()

    def signal(self, number: int) -> None:
        """Sends a signal; a process that has ended is no error. A pidfd never names another process."""
        if self.alive:
            try:
                signal.pidfd_send_signal(self._pidfd, number)
            except ProcessLookupError:
                pass

    def kill(self) -> None:
        """SIGKILL."""
        self.signal(signal.SIGKILL)

    async def stop(self, grace_s: float) -> int:
        """Waits `grace_s` for an end that was asked for, then kills; returns the status."""
        try:
            async with asyncio.timeout(grace_s):
                await asyncio.shield(self.exited)
        except TimeoutError:
            self.kill()
        return await self.exited

    def _ended(self) -> None:
        asyncio.get_running_loop().remove_reader(self._pidfd)
        try:
            _, raw = os.waitpid(self.pid, os.WNOHANG)
            status = os.waitstatus_to_exitcode(raw)
        except ChildProcessError:
            status = self.UNKNOWN
        os.close(self._pidfd)
        if not self.exited.done():
            self.exited.set_result(status)


def spawn(command: Sequence[str], *, environment: Mapping[str, str], keep: Sequence[int], log: Path) -> Watch:
    """Starts a process with exec: only the descriptors in `keep` stay open, stderr and stdout go to `log`."""
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    try:
        # the object is let go at once: the pidfd is how this process is watched and reaped
        process = subprocess.Popen(
            command,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=descriptor,
            stderr=descriptor,
            pass_fds=tuple(keep),
            start_new_session=True,
        )
    finally:
        os.close(descriptor)
    pidfd = os.pidfd_open(process.pid)
    process.returncode = 0  # else its destructor would complain, and reap behind our back
    return Watch(process.pid, pidfd)
