"""A blocking client of the guardian, for commands: a socket, frames, and the start of a guardian if none runs.

Imports neither asyncio nor Textual: a command must not cost more than it does.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import select
import socket
import struct
import threading
import time
from collections import deque
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from o_tui.guardian.lock import holder
from o_tui.paths import Paths
from o_tui.protocol import chunks, frames, messages
from o_tui.protocol.errors import (
    CODES,
    BusyError,
    FrameError,
    OError,
    PeerError,
    RefusedError,
    UnreachableError,
    none_left,
)

if TYPE_CHECKING:
    import subprocess

CONNECT_S = 5.0
"""Seconds for the greeting."""
START_S = 60.0
"""Seconds for a guardian to become ready: it may have to recover a large state."""
STOP_S = 15.0
_POLL_S = 0.02
_READ_BYTES = 256 * 1024
_CREDENTIALS = struct.Struct("3i")


class Client:
    """One connection, for one thread.

    Attributes:
        welcome: Who answers.
        snapshot: What the guardian showed when we began to follow; None if we do not.
        started: The guardian was started for this client.
        ends_guardian: It is ended when this client is closed.
    """

    def __init__(self, peer: socket.socket, paths: Paths) -> None:
        self.started = False
        self.ends_guardian = False
        self._peer = peer
        self._paths = paths
        self._reader = frames.FrameReader()
        self._joiner = chunks.Joiner()
        self._inbox: deque[Any] = deque()
        self._ids = itertools.count(1)
        self.welcome: messages.Welcome
        self.snapshot: messages.StateSnapshot | None = None

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Ends the connection, and the guardian if it was started for us."""
        try:
            if self.ends_guardian:
                self.ends_guardian = False
                # a connection of its own: this one may be in the middle of an answer
                with connect(self._paths) as other:
                    stop_guardian(other, unless_more_than=2)  # these two; somebody else may have come meanwhile
        except UnreachableError:
            pass  # it has ended by itself, which is what was wanted
        finally:
            self._peer.close()

    def wait_closed(self, wait_s: float) -> bool:
        """Waits until this client's guardian has gone and the workspace is free; False if it has not."""
        deadline_s = time.monotonic() + wait_s
        try:
            while True:
                self.receive(deadline_s)
        except UnreachableError:
            self._peer.close()
        while (who := holder(self._paths)) is not None and who.pid == self.welcome.pid:
            if time.monotonic() > deadline_s:
                return False
            time.sleep(_POLL_S)
        return True

    def call(self, method: str, *, wait_s: float | None = None, **params: Any) -> Any:
        """Calls a method of the guardian's public API and waits for its answer.

        Raises:
            OError: What the guardian answered, as the typed error of its exit code.
            UnreachableError: The guardian went away, or did not answer within `wait_s`.
        """
        for _ in (answers := self.stream(method, wait_s=wait_s, **params)):
            pass
        return answers.value

    def stream(self, method: str, *, wait_s: float | None = None, **params: Any) -> Answers:
        """Calls a method; iterating gives the notices until the answer, which is then in `.value`."""
        call_id = next(self._ids)
        self.send(messages.Call(id=call_id, method=method, params=params))
        return Answers(self._until_answer(call_id, wait_s))

    def notices(self) -> Iterator[messages.Notice]:
        """Notices, until the guardian goes away (UnreachableError)."""
        while True:
            message = self.receive()
            if isinstance(message, messages.Notice):
                yield message

    def send(self, message: messages.Message) -> None:
        """Sends one message; raises UnreachableError."""
        try:
            self._peer.settimeout(None)
            self._peer.sendall(chunks.encode(message))
        except OSError as error:
            raise _gone(error) from error

    def receive(self, deadline_s: float | None = None) -> Any:
        """The next message; `deadline_s` is monotonic.

        Raises:
            UnreachableError: The guardian went away, or nothing came in time.
            PeerError: It sends what we do not understand.
        """
        while not self._inbox:
            left_s = None if deadline_s is None else deadline_s - time.monotonic()
            if left_s is not None and left_s <= 0:
                raise UnreachableError("the guardian does not answer", hint="look at it with `o-tui status`")
            try:
                self._peer.settimeout(left_s)
                data = self._peer.recv(_READ_BYTES)
            except TimeoutError:
                continue
            except OSError as error:
                raise _gone(error) from error
            if not data:
                raise UnreachableError("the guardian closed the connection", hint="see the log in the data folder")
            try:
                for payload in self._reader.feed(data):
                    frame = self._joiner.add(frames.decode(payload))
                    if frame is not None:
                        self._inbox.append(frame.data)
            except FrameError as error:
                raise PeerError(f"the guardian sends what this o-tui does not understand: {error}") from error
        return self._inbox.popleft()

    def _until_answer(self, call_id: int, wait_s: float | None) -> Generator[messages.Notice, None, Any]:
        deadline_s = None if wait_s is None else time.monotonic() + wait_s
        while True:
            message = self.receive(deadline_s)
            if isinstance(message, messages.Notice):
                yield message
            elif isinstance(message, messages.Result) and message.id == call_id:
                if message.ok:
                    return message.value
                raise as_error(message.code, message.error, message.hint)


class Answers:
    """The notices until a call's answer; afterwards `value` is the answer."""

    def __init__(self, source: Generator[messages.Notice, None, Any]) -> None:
        self._source = source
        self.value: Any = None

    def __iter__(self) -> Iterator[messages.Notice]:
        self.value = yield from self._source


def as_error(code: int, text: str, hint: str = "") -> OError:
    """The typed error of an exit code."""
    return CODES.get(code, OError)(text, hint=hint)


def _gone(error: OSError) -> UnreachableError:
    return UnreachableError(f"the guardian went away: {error.strerror}", hint="try again; see the log if it stays so")


def connect(paths: Paths, *, follow: bool = False, viewer: bool = False, metrics_hz: float = 0.0) -> Client:
    """Connects to the guardian that runs.

    Raises:
        UnreachableError: None runs, or it does not answer.
        RefusedError: The socket is another user's, too many views are connected, or it speaks another protocol.
    """
    from o_tui import __version__

    peer = socket.socket(socket.AF_UNIX)
    try:
        _dial(peer, paths)
        client = Client(peer, paths)
        version = messages.PROTOCOL_VERSION
        with contextlib.suppress(UnreachableError):  # one that turns us away has said why, and closed, already
            client.send(
                messages.Hello(protocol=version, build=__version__, follow=follow, viewer=viewer, metrics_hz=metrics_hz)
            )
        deadline_s = time.monotonic() + CONNECT_S
        welcome = client.receive(deadline_s)
        if isinstance(welcome, messages.Result):
            raise RefusedError(welcome.error, hint=welcome.hint)
        if not isinstance(welcome, messages.Welcome):
            raise PeerError("what listens there is not a guardian")
        client.welcome = welcome
        while follow and client.snapshot is None and welcome.protocol == version:
            message = client.receive(deadline_s)
            client.snapshot = message if isinstance(message, messages.StateSnapshot) else None
    except BaseException:
        peer.close()
        raise
    return client


def _dial(peer: socket.socket, paths: Paths) -> None:
    # sun_path has 108 bytes; through a descriptor of the folder a path of any length is short
    try:
        folder = os.open(paths.run, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise UnreachableError("no guardian runs for this workspace") from error
    try:
        peer.settimeout(CONNECT_S)
        peer.connect(f"/proc/self/fd/{folder}/{paths.socket.name}")
    except OSError as error:
        raise UnreachableError("no guardian runs for this workspace", hint="start one with `o-tui serve`") from error
    finally:
        os.close(folder)
    _, uid, _ = _CREDENTIALS.unpack(peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size))
    if uid != os.geteuid():
        raise RefusedError(f"the guardian of this workspace belongs to uid {uid}, you are {os.geteuid()}")


def running(paths: Paths, wait_s: float = START_S, **hello: Any) -> Client | None:
    """Connects to the guardian that runs, or that is starting; None if there is none.

    Raises:
        UnreachableError: One holds the workspace and does not answer within `wait_s`.
    """
    deadline_s = time.monotonic() + wait_s
    while True:
        try:
            return connect(paths, **hello)
        except UnreachableError:
            who = holder(paths)
            if who is None:
                return None
            if _is_stopped(who.pid):
                text = f"the guardian of this workspace is stopped and answers nobody: {who}"
                raise UnreachableError(text, hint=f"let it go on: kill -CONT {who.pid}") from None
            if time.monotonic() > deadline_s:
                text = f"the guardian of this workspace does not answer: {who}"
                raise UnreachableError(text, hint=f"wait, or end it: kill {who.pid}") from None
            time.sleep(_POLL_S)


def _is_stopped(pid: int) -> bool:
    """A signal (SIGSTOP, Ctrl+Z) or a debugger holds the process: waiting for it would be in vain."""
    try:
        after_name = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2]
    except OSError:
        return False
    return after_name.split()[0] in ("T", "t")


def ensure_guardian(paths: Paths, keep: bool = False, **hello: Any) -> Client:
    """Connects to the workspace's guardian, starting one if none runs.

    One that was started for this (`client.started`) ends when the client is closed, unless `keep`. One that ran already
    is left alone, but with `keep` it stays, even if it was another command's.

    Raises:
        OError: It could not be started, with its own reason (BusyError: another program has locked the database).
        UnreachableError: It did not become ready within `START_S`.
    """
    deadline_s = time.monotonic() + START_S
    while True:
        client = running(paths, START_S, **hello)
        if client is not None and (not keep or _kept(client, deadline_s)):
            return client
        try:
            start_guardian(paths)
        except BusyError:
            # somebody else was faster: theirs is as good. Without a holder it is the database that is locked
            if holder(paths) is None or time.monotonic() > deadline_s:
                raise
            continue
        client = connect(paths, **hello)
        client.started = True
        client.ends_guardian = not keep
        if not keep:
            try:
                client.call("stop", unless_more_than=0)  # when we have gone, however that comes about
            except BaseException:
                client.close()
                raise
        return client


def _kept(client: Client, deadline_s: float) -> bool:
    """Has the guardian of another command stay; False: it was about to end, and the client is closed."""
    try:
        client.call("keep", wait_s=CONNECT_S)
    except BaseException as error:
        client.close()
        if isinstance(error, UnreachableError) and time.monotonic() < deadline_s:
            return False
        raise
    return True


def start_guardian(paths: Paths, wait_s: float = START_S) -> int:
    """Starts a guardian as a process of its own, which survives us, and waits until it is ready; returns its pid.

    Raises:
        OError: What it said when it could not start (BusyError: another one holds the workspace).
        UnreachableError: It ended without a word, or was not ready within `wait_s` (it is ended then).
    """
    import subprocess
    import sys

    paths.prepare()
    ready, told = os.pipe()
    try:
        command = [sys.executable, "-P", "-X", "utf8", "-m", "o_tui.guardian.main", "--ready-fd", str(told)]
        if paths.config == paths.data / "config":  # chosen explicitly; else both find the same folders
            command += ["--data-dir", str(paths.data)]
        log = os.open(paths.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=[told],
                start_new_session=True,
                cwd="/",
            )
        finally:
            os.close(log)
            os.close(told)
            told = -1
        return _await_ready(ready, process, paths, wait_s)
    except OSError as error:
        where = "" if error.filename is None else f": {error.filename}"
        text = f"the guardian could not be started: {error.strerror}{where}"
        raise UnreachableError(text, hint=none_left(str(error))) from error
    finally:
        os.close(ready)
        if told >= 0:
            os.close(told)


def _await_ready(ready: int, process: subprocess.Popen[bytes], paths: Paths, wait_s: float) -> int:
    deadline_s = time.monotonic() + wait_s
    text = b""
    while not text.endswith(b"\n"):
        try:
            readable, _, _ = select.select([ready], [], [], max(0.0, deadline_s - time.monotonic()))
        except KeyboardInterrupt:
            process.terminate()  # nobody else knows of it
            raise
        if not readable:
            process.terminate()
            raise UnreachableError(f"the guardian was not ready within {wait_s:g} s", hint=f"see {paths.log}")
        piece = os.read(ready, 65536)
        if not piece:
            status = process.wait()
            raise UnreachableError(f"the guardian ended while it started (status {status})", hint=f"see {paths.log}")
        text += piece
    said = msgspec.json.decode(text)
    if said.get("ok"):
        # it outlives a command; under a screen that outlives it, it must not stay as a zombie
        threading.Thread(target=process.wait, daemon=True, name="reaper").start()
        return int(said["pid"])
    process.wait()
    raise as_error(int(said.get("code", 1)), str(said.get("error", "")), str(said.get("hint", "")))


def stop_guardian(client: Client, wait_s: float = STOP_S, unless_more_than: int | None = None) -> bool:
    """Asks the guardian to end and waits until the workspace is free; False if it still is not.

    Where more connections than `unless_more_than` are open (None: however many are) it ends when the last has gone.
    """
    client.ends_guardian = False
    said = client.call("stop", wait_s=wait_s, unless_more_than=unless_more_than)
    return bool(said["stopped"]) and client.wait_closed(wait_s)
