"""The guardian's hold on the nursery: starts it, feeds it the log, asks it for forks and snapshots.

The nursery is a replica of the log, so a fork of it has the state at a sequence number by copy-on-write. Two sockets
lead there: frames on a stream (what every replica gets), and single payloads with file descriptors beside them.
"""

from __future__ import annotations

import array
import asyncio
import os
import socket
import sys
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from o_tui import _native
from o_tui.guardian.fleet.channel import Channel
from o_tui.guardian.fleet.processes import Watch, spawn
from o_tui.paths import Paths
from o_tui.protocol import frames, messages
from o_tui.protocol.errors import OError, PeerError

ENVIRONMENT = {
    "PATH": "/usr/bin:/bin",
    "HOME": "/nonexistent",
    "LANG": "C.UTF-8",
    "TZ": os.environ.get("TZ") or ":/etc/localtime",
    "OPENBLAS_NUM_THREADS": "1",
    "MALLOC_ARENA_MAX": "1",
    # huge pages for the state: with 41 MB a fork takes 0.9 instead of 3.1 ms, the end of an instance 3 instead of 13
    "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1",
    # what is large goes back when it is freed, however often: else an instance keeps 1.5 MB more after some recalls
    "MALLOC_MMAP_THRESHOLD_": "131072",
}
"""All that the nursery and its children know of the environment; no secret is ever in their memory."""
START_S = 30.0
_DATAGRAM_BYTES = 64 * 1024
_MAX_FDS = 4
FORKED_FDS = 2
"""What comes with `forked`: the child's pidfd and its shared counters."""


@dataclass(slots=True)
class Fork:
    """A child of the nursery: our end of its socket, its counters, what it started with, and whose child it is."""

    instance: str
    sock: socket.socket
    watch: Watch
    seq: int
    counters: _native.SharedReader
    parent: Watch | None = None


class Nursery:
    """One nursery process. `exited` (a status) is when another one is needed."""

    def __init__(
        self,
        paths: Paths,
        heartbeat_s: float,
        *,
        heartbeat: Callable[[], None],
        reaped: Callable[[str, int], None],
        failed: Callable[[messages.Failed], None],
        log: Callable[[str, messages.Log], None],
    ) -> None:
        self._paths = paths
        self._heartbeat_s = heartbeat_s
        self._heartbeat = heartbeat
        self._reaped = reaped
        self._failed = failed
        self._log = log
        self._forks: dict[str, asyncio.Future[tuple[messages.Forked, list[int]]]] = {}
        self._ready: asyncio.Future[messages.Ready] | None = None
        self._outgoing: deque[tuple[bytes, list[int]]] = deque()
        self.seq = -1
        self.watch: Watch
        self.channel: Channel
        self._control: socket.socket

    @property
    def alive(self) -> bool:
        """It runs."""
        return self.watch.alive

    async def spawn(self) -> None:
        """Execs the fork server: a clean environment, our two sockets and nothing else."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        stream, their_stream = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        with theirs, their_stream:
            self.watch = spawn(
                [
                    sys.executable,
                    "-I",
                    "-X",
                    "utf8",
                    "-m",
                    "o_tui.agent.nursery",
                    str(theirs.fileno()),
                    str(their_stream.fileno()),
                    str(self._heartbeat_s),
                ],
                environment=ENVIRONMENT,
                keep=(theirs.fileno(), their_stream.fileno()),
                log=self._paths.log,
            )
        ours.setblocking(False)
        self._control = ours
        asyncio.get_running_loop().add_reader(ours.fileno(), self._received)
        try:
            self.channel = await Channel.connect(stream, self._frame, lambda _error: self.watch.kill())
        except BaseException:
            self.watch.kill()
            asyncio.get_running_loop().remove_reader(ours.fileno())
            ours.close()
            raise
        self.watch.exited.add_done_callback(lambda _status: self._closed())

    async def restore(self, message: messages.Restore, descriptors: Sequence[int] = ()) -> messages.Ready:
        """Gives it a state: the descriptors of a checkpoint, and of its base where it is a delta; closed here.

        Raises:
            PeerError: The checkpoint could not be loaded, or it did not answer; it is killed then.
        """
        if not self.alive:
            for descriptor in descriptors:
                os.close(descriptor)
            raise PeerError("the nursery ended while it started")
        self._ready = asyncio.get_running_loop().create_future()
        self._send(message, list(descriptors))
        try:
            async with asyncio.timeout(START_S):
                ready = await self._ready
        except (TimeoutError, OError) as error:
            self.watch.kill()
            raise PeerError(f"the nursery did not take the state: {error}") from error
        self.seq = ready.seq
        return ready

    async def fork(self, instance: str, role: messages.Role, after_seq: int = 0) -> Fork:
        """Forks an instance; it has at least entry `after_seq`.

        Raises:
            PeerError: The nursery ended or did not answer.
        """
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            forked, (pidfd, shared) = await self._ask(
                instance, messages.Fork(instance=instance, role=role, after_seq=after_seq), [theirs.detach()]
            )
        except OError:
            ours.close()
            raise
        try:
            counters = _native.SharedReader(shared)
        except OSError as error:
            ours.close()  # its end
            os.close(pidfd)
            raise PeerError(f"the counters of {instance} cannot be read: {error.strerror}") from error
        finally:
            os.close(shared)
        return Fork(instance, ours, Watch(forked.pid, pidfd), forked.seq, counters, self.watch)

    async def snapshot(self, message: messages.Snapshot, descriptors: Sequence[int]) -> tuple[Watch, int]:
        """Forks a child that writes a checkpoint; returns it and the sequence number of the state it has."""
        forked, (pidfd, shared) = await self._ask(message.instance, message, [os.dup(each) for each in descriptors])
        os.close(shared)
        return Watch(forked.pid, pidfd), forked.seq

    async def stop(self, grace_s: float) -> None:
        """Ends it; its children are the caller's to end first."""
        if self.watch.alive:
            self.channel.send(messages.Shutdown(grace_s=grace_s))
            await self.watch.stop(grace_s)

    async def _ask(
        self, instance: str, message: messages.Message, descriptors: list[int]
    ) -> tuple[messages.Forked, list[int]]:
        if not self.alive:
            for descriptor in descriptors:
                os.close(descriptor)
            raise PeerError("the nursery has ended")
        future: asyncio.Future[tuple[messages.Forked, list[int]]] = asyncio.get_running_loop().create_future()
        self._forks[instance] = future
        self._send(message, descriptors)
        try:
            async with asyncio.timeout(START_S):
                return await future
        except BaseException as error:
            if future.done() and not future.cancelled() and future.exception() is None:
                for descriptor in future.result()[1]:  # it came in the moment in which nobody waited any more
                    os.close(descriptor)
            if isinstance(error, TimeoutError):
                raise PeerError("the nursery does not answer") from error
            raise
        finally:
            self._forks.pop(instance, None)

    def _send(self, message: messages.Message, descriptors: list[int]) -> None:
        self._outgoing.append((frames.encode(message)[frames.HEADER_BYTES :], descriptors))
        if len(self._outgoing) == 1:
            self._flush()

    def _flush(self) -> None:
        loop = asyncio.get_running_loop()
        while self._outgoing:
            payload, descriptors = self._outgoing[0]
            try:
                if descriptors:
                    socket.send_fds(self._control, [payload], descriptors)
                else:
                    self._control.send(payload)
            except BlockingIOError:
                loop.add_writer(self._control.fileno(), self._flush)
                return
            except OSError:
                pass  # it has ended: its pidfd says so, and whoever waits is told there
            self._outgoing.popleft()
            for descriptor in descriptors:
                os.close(descriptor)
        if self._control.fileno() >= 0:
            loop.remove_writer(self._control.fileno())

    def _received(self) -> None:
        try:
            payload, ancillary, _flags, _address = self._control.recvmsg(
                _DATAGRAM_BYTES, socket.CMSG_LEN(_MAX_FDS * array.array("i").itemsize)
            )
        except BlockingIOError:
            return
        except OSError:
            payload, ancillary = b"", []
        if not payload:
            asyncio.get_running_loop().remove_reader(self._control.fileno())
            return
        descriptors = array.array("i")
        for level, kind, data in ancillary:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                descriptors.frombytes(data[: len(data) - len(data) % descriptors.itemsize])
        self._control_message(frames.decode(payload).data, list(descriptors))

    def _control_message(self, message: messages.Message, descriptors: list[int]) -> None:
        if isinstance(message, messages.Forked) and len(descriptors) == FORKED_FDS:
            future = self._forks.pop(message.instance, None)
            if future is not None and not future.done():
                future.set_result((message, descriptors))
                return
        elif isinstance(message, messages.Exited):
            self._reaped(message.instance, message.status)
        elif isinstance(message, messages.Ready):
            if self._ready is not None and not self._ready.done():
                self._ready.set_result(message)
        elif isinstance(message, messages.Failed):
            self._refused(message)
        for descriptor in descriptors:
            os.close(descriptor)

    def _frame(self, frame: frames.Frame) -> None:
        data = frame.data
        self._heartbeat()
        if isinstance(data, messages.Heartbeat):
            self.seq = data.seq
        elif isinstance(data, messages.Log):
            self._log("nursery", data)
        elif isinstance(data, messages.Failed):
            self._refused(data)

    def _refused(self, message: messages.Failed) -> None:
        if self._ready is not None and not self._ready.done():
            self._ready.set_exception(PeerError(message.text))
        elif message.what == "kernel":
            # an order was not carried out; they are answered in turn, so it is the oldest one
            for future in list(self._forks.values())[:1]:
                if not future.done():
                    future.set_exception(PeerError(f"the nursery did not fork: {message.text}"))
        self._failed(message)

    def _closed(self) -> None:
        error = PeerError("the nursery has ended")
        for future in [*self._forks.values(), self._ready]:
            if future is not None and not future.done():
                future.set_exception(error)
        loop = asyncio.get_running_loop()
        loop.remove_reader(self._control.fileno())
        loop.remove_writer(self._control.fileno())
        self._control.close()
        self.channel.close()
        for _payload, descriptors in self._outgoing:
            for descriptor in descriptors:
                os.close(descriptor)
        self._outgoing.clear()
