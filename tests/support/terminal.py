"""A view in a real process on a real pty; a test is its terminal."""

from __future__ import annotations

import asyncio
import fcntl
import os
import pty
import signal
import struct
import sys
import termios
from pathlib import Path

from tests.support.patience import PATIENCE_S

ROOT = Path(__file__).resolve().parents[2]
VIEW = (
    "import sys; from o_tui.paths import locate; from o_tui.config import load; from o_tui.ui.app import run;"
    "p = locate(sys.argv[1]); p.prepare(); {extra}\nsys.exit(run(p, load(p.config_file)))"
)


class PtyView:
    """Starts a view; reads what it writes unless `frozen`."""

    def __init__(self, folder: Path, *, extra: str = "", environment: dict[str, str] | None = None) -> None:
        self.output = b""
        self.master, slave = pty.openpty()
        self.slave = slave
        self.resize(120, 40, tell=False)
        self.before = termios.tcgetattr(slave)
        self._changed = asyncio.Event()
        self._environment = {"TERM": "xterm-256color", "PATH": os.environ["PATH"], "HOME": str(folder)}
        self._environment |= {"LANG": "C.UTF-8", "TZ": "UTC"} | (environment or {})
        self._arguments = [sys.executable, "-c", VIEW.format(extra=extra), str(folder)]
        self.process: asyncio.subprocess.Process | None = None
        os.set_blocking(self.master, False)

    async def __aenter__(self) -> PtyView:
        self.process = await asyncio.create_subprocess_exec(
            *self._arguments,
            stdin=self.slave,
            stdout=self.slave,
            stderr=self.slave,
            env=self._environment,
            cwd=ROOT,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )
        self.thaw()
        return self

    async def __aexit__(self, *_error: object) -> None:
        assert self.process is not None
        if self.process.returncode is None:
            self.process.kill()
            await self.process.wait()
        self.freeze()
        if self.master >= 0:
            os.close(self.master)
        os.close(self.slave)

    @property
    def pid(self) -> int:
        """The view's process."""
        assert self.process is not None
        return self.process.pid

    def thaw(self) -> None:
        """Reads again."""
        asyncio.get_running_loop().add_reader(self.master, self._read)

    def freeze(self) -> None:
        """Reads nothing any more, like a terminal over a dead line."""
        if self.master >= 0:
            asyncio.get_running_loop().remove_reader(self.master)

    def hang_up(self) -> None:
        """The terminal is gone."""
        self.freeze()
        os.close(self.master)
        os.close(self.slave)
        self.master, self.slave = -1, os.open("/dev/null", os.O_RDONLY)

    def _read(self) -> None:
        try:
            data = os.read(self.master, 1 << 16)
        except OSError:
            self.freeze()
            return
        if b"\x1b]11;?" in data:
            os.write(self.master, b"\x1b]11;rgb:1111/1111/1111\x1b\\\x1b[?62;c")
        self.output = (self.output + data)[-2_000_000:]
        self._changed.set()

    def type(self, text: str) -> None:
        """Keys."""
        os.write(self.master, text.encode())

    async def enter(self, text: str) -> None:
        """Keys, or so much pasted that the view has to read while it comes."""
        left = memoryview(text.encode())
        while left:
            try:
                left = left[os.write(self.master, left[:1024]) :]
            except BlockingIOError:  # what the view has not read; poll says otherwise
                await asyncio.sleep(0.002)

    def resize(self, width: int, height: int, *, tell: bool = True) -> None:
        """Another size."""
        fcntl.ioctl(self.slave, termios.TIOCSWINSZ, struct.pack("4H", height, width, 0, 0))
        if tell:
            os.kill(self.pid, signal.SIGWINCH)

    async def sees(self, text: str, seconds: float = PATIENCE_S) -> None:
        """Waits until the view has written a text (in one piece, since the last `forget`)."""
        async with asyncio.timeout(seconds):
            while text.encode() not in self.output:
                self._changed.clear()
                await self._changed.wait()

    async def rests(self, quiet_s: float = 0.25, seconds: float = PATIENCE_S) -> None:
        """Waits until the view has written nothing for a while: it has drawn what there was to draw."""
        async with asyncio.timeout(seconds):
            while True:
                self._changed.clear()
                try:
                    await asyncio.wait_for(self._changed.wait(), quiet_s)
                except TimeoutError:
                    return

    def forget(self) -> None:
        """What was written so far does not count."""
        self.output = b""

    async def ended(self, seconds: float = PATIENCE_S) -> int:
        """Waits for the end; the exit code."""
        assert self.process is not None
        async with asyncio.timeout(seconds):
            return await self.process.wait()
