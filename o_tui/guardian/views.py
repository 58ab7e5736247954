"""The socket that views and commands connect to.

It lies in the run folder (0700), is 0600, and takes only peers of our own uid. `publish` packs a notice once and hands
it to every view that follows; see `view.py` for what happens to one that does not read.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import socket
import stat
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

from o_tui.guardian.lock import GuardianLock
from o_tui.guardian.view import Api, Level, View
from o_tui.protocol import chunks, messages
from o_tui.protocol.errors import FrameError, OError, RefusedError

VIEWS_LIMIT = 64
BACKLOG = 64
ACCEPT_PAUSE_S = 0.5
_CREDENTIALS = struct.Struct("3i")
TELEMETRY = "telemetry"


class ViewServer:
    """Serves views.

    Attributes:
        api: What they may call.
        seq: The number of the last notice. Telemetry does not count: it carries the number of the notice before it.
    """

    def __init__(
        self,
        path: Path,
        api: Api,
        welcome: Callable[[], messages.Welcome],
        on_note: Callable[[Level, str], None] | None = None,
        on_alone: Callable[[], None] = lambda: None,
    ) -> None:
        """`welcome` is asked for each view; `on_note` gets lines for the event log; `on_alone`: the last has gone."""
        self.api = api
        self.seq = 0
        self._path = path
        self._welcome = welcome
        self._on_note = on_note
        self._on_alone = on_alone
        self._listener: socket.socket | None = None
        self._inode = (0, 0)
        self._views: set[View] = set()
        self._arriving: set[asyncio.Task[None]] = set()
        self._telemetry: dict[str, Any] | None = None
        self._telemetry_packed = b""
        self._gone = asyncio.Event()
        self._full = False
        self._accepting: asyncio.TimerHandle | None = None

    # --- life

    async def start(self, lock: GuardianLock) -> None:
        """Listens. A socket that is there already is stale, because we hold the lock: it is removed.

        Raises:
            RefusedError: The lock is not held, or something that is no socket lies in the way.
        """
        if not lock.held:
            raise RefusedError("only the guardian that holds the lock may listen")
        self._listen()

    async def look(self) -> None:
        """Called again and again: listens anew where somebody has removed the socket, or its whole folder.

        Raises:
            RefusedError: It cannot be done; views that are connected are served on.
        """
        if self._listener is None or _inode(self._path) is not None:
            return
        self._deaf()
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._listen()
        self.note("warning", f"{self._path} was removed and is there again")

    def _listen(self) -> None:
        self._listener = _listen(self._path)
        self._inode = _inode(self._path) or (0, 0)
        asyncio.get_running_loop().add_reader(self._listener.fileno(), self._accept)

    def _deaf(self) -> None:
        if self._listener is not None:
            asyncio.get_running_loop().remove_reader(self._listener.fileno())
            self._listener.close()
        if self._accepting is not None:
            self._accepting.cancel()

    async def close(self, grace_s: float = 1.0) -> None:
        """Ends all views; what was sent to them has `grace_s` to be read."""
        if self._listener is None:
            return
        self._deaf()
        self._listener = None
        if _inode(self._path) == self._inode:  # else it is the next guardian's
            self._path.unlink(missing_ok=True)
        for view in list(self._views):
            view.close()
        try:
            async with asyncio.timeout(grace_s):
                while self._views or self._arriving:
                    self._gone.clear()
                    await self._gone.wait()
        except TimeoutError:
            for view in list(self._views):
                view.close(drop=True)

    @property
    def connected(self) -> int:
        """Views that are connected."""
        return len(self._views)

    @property
    def followers(self) -> int:
        """Views that follow."""
        return sum(view.following for view in self._views)

    def rows(self) -> list[dict[str, Any]]:
        """The views as plain data."""
        return [view.row() for view in self._views]

    # --- notices

    def publish(self, topic: str, data: dict[str, Any]) -> None:
        """Tells every view that follows. The topic `telemetry` is latest-wins, at each view's own rate."""
        if topic == TELEMETRY:
            self._telemetry, self._telemetry_packed = data, b""
            for view in list(self._views):
                view.metrics()
            return
        self.seq += 1
        if not any(view.following for view in self._views):
            return
        try:
            packed = chunks.encode(messages.Notice(seq=self.seq, topic=topic, data=data))
        except FrameError as error:
            self.note("error", f"a notice {topic} is too large for views: {error}")
            return
        for view in list(self._views):
            view.notice(packed)

    def telemetry(self) -> bytes:
        """The latest telemetry, packed when the first view needs it."""
        if self._telemetry is not None and not self._telemetry_packed:
            notice = messages.Notice(seq=self.seq, topic=TELEMETRY, data=self._telemetry)
            self._telemetry_packed = chunks.encode(notice)
        return self._telemetry_packed

    # --- what views need

    def welcome(self) -> messages.Welcome:
        """Who answers."""
        return self._welcome()

    def note(self, level: Level, text: str) -> None:
        """A line for the event log."""
        if self._on_note is not None:
            self._on_note(level, text)

    def left(self, view: View, error: OError | None) -> None:
        """A view has gone."""
        self._views.discard(view)
        self._gone.set()
        if not self._views:
            self._on_alone()
        if error is not None:
            self.note("warning", f"a view (pid {view.peer_pid}) was closed: {error}")

    # --- accepting

    def _accept(self) -> None:
        assert self._listener is not None
        try:
            peer, _ = self._listener.accept()
        except (BlockingIOError, ConnectionError):
            return
        except OSError as error:
            self.note("error", f"no view can be taken: {error.strerror}")
            if error.errno in (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM):
                self._pause_accepting()
            return
        pid, uid, _ = _CREDENTIALS.unpack(peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size))
        if uid != os.geteuid():
            self.note("warning", f"a process {pid} of uid {uid} was turned away")
            peer.close()
            return
        if len(self._views) >= VIEWS_LIMIT:
            self._turn_away(peer, pid)
            return
        self._full = False
        peer.setblocking(False)
        view = View(self, pid)
        self._views.add(view)
        task = asyncio.get_running_loop().create_task(view.connect(peer))
        self._arriving.add(task)
        task.add_done_callback(self._arrived)

    def _turn_away(self, peer: socket.socket, pid: int) -> None:
        text, hint = f"{VIEWS_LIMIT} views are connected already", "close one of them"
        if not self._full:  # told once, however many come
            self.note("warning", f"{text}: pid {pid} was turned away, as is whoever comes before one has gone")
        self._full = True
        with peer, contextlib.suppress(OSError):
            refusal = messages.Result(id=0, ok=False, error=text, code=RefusedError.code, hint=hint)
            peer.send(chunks.encode(refusal), socket.MSG_DONTWAIT)

    def _arrived(self, task: asyncio.Task[None]) -> None:
        self._arriving.discard(task)
        self._gone.set()

    def _pause_accepting(self) -> None:
        # without descriptors accept would fail again at once, for ever
        assert self._listener is not None
        loop, fd = asyncio.get_running_loop(), self._listener.fileno()
        loop.remove_reader(fd)
        self._accepting = loop.call_later(ACCEPT_PAUSE_S, loop.add_reader, fd, self._accept)


def _inode(path: Path) -> tuple[int, int] | None:
    """Which file lies there; None: none does."""
    try:
        found = path.lstat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _listen(path: Path) -> socket.socket:
    try:
        if not stat.S_ISSOCK(path.lstat().st_mode):
            raise RefusedError(f"{path} is in the way and is not a socket", hint="move it away")
        path.unlink()
    except FileNotFoundError:
        pass
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    folder = -1
    try:
        # sun_path has 108 bytes, a descriptor's path is always short
        folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        # the new file takes the mode of the unbound socket: it is never open to others, not for a moment
        os.fchmod(listener.fileno(), 0o600)
        listener.bind(f"/proc/self/fd/{folder}/{path.name}")
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        hint = "the folder has to be there, and writable"
        raise RefusedError(f"cannot listen on {path}: {error.strerror}", hint=hint) from error
    finally:
        if folder >= 0:
            os.close(folder)
    return listener
