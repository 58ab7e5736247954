"""The fork server: a clean process that has everything imported and tails the log, so that a fork of it is an instance.

    python -I -X utf8 -m o_tui.agent.nursery CONTROL_FD STREAM_FD [HEARTBEAT_S]

Single-threaded; of a genome it runs only the modules that O ships, whose code is as trusted as its own. On the control
socket (SEQPACKET, one payload a datagram, descriptors beside it) it takes `restore`, `fork` and `checkpoint_request`
and answers `ready` (to each `restore`, nothing before), `forked` with a pidfd and the child's shared counters,
`exited`, `failed`. On the stream it takes `committed` and `shutdown` and sends `heartbeat`. When either socket ends,
it kills its children and exits.
"""

from __future__ import annotations

import contextlib
import gc
import os
import select
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from types import FrameType
from typing import NamedTuple, NoReturn

import o_tui
from o_tui import _native
from o_tui.agent import (
    basis,  # noqa: F401 - it comes before the others
    child,
    confinement,
    fork_hooks,
    gathering,
    genome_loader,
    prepared,
    reducers,
    rehearsal,
)
from o_tui.agent.state import State
from o_tui.protocol import checkpoint, chunks, frames, messages
from o_tui.protocol.errors import OError

FAILED_STATUS = 70
CATCH_UP_S = 5.0
"""How long an order waits for the entries that it is to see."""
REHEARSALS = 9
"""The interpreter makes a function quick when it has run eight times."""
_DATAGRAM_BYTES = frames.FRAME_LIMIT_BYTES
_READ_BYTES = 256 * 1024
_GENOME = os.path.join(os.path.dirname(o_tui.__file__), "data", "genome")  # noqa: PTH118, PTH120 - no pathlib here


class Child(NamedTuple):
    """A process that was forked here."""

    instance: str
    pid: int


class Nursery:
    """The server's state: a replica, two sockets, its children by pidfd."""

    parent_ended: Callable[[int, FrameType | None], None]

    def __init__(self, control: socket.socket, stream: socket.socket, heartbeat_s: float) -> None:
        self._control = control
        self._stream = stream
        self._heartbeat_s = heartbeat_s
        self._birth = child.Birth(os.getpid(), confinement.readable(), heartbeat_s)
        confinement.import_only_from(self._birth.readable)
        confinement.tell_of_threads()
        self._state: State | None = None
        self._children: dict[int, Child] = {}
        self._reader = frames.FrameReader()
        self._joiner = chunks.Joiner()
        self._poll = select.poll()
        self._poll.register(control, select.POLLIN)
        self._poll.register(stream, select.POLLIN)
        self._status: int | None = None
        self._rested = -1
        self._ahead = self._steps()
        self._prepared = False

    def run(self) -> int:
        """Serves until a socket ends (0), `shutdown` (0), or an entry cannot be applied (70)."""
        beat_at = 0.0
        try:
            while self._status is None:
                now = time.monotonic()
                if now >= beat_at:
                    beat_at = now + self._heartbeat_s
                    self._send(messages.Heartbeat(seq=self._state.seq if self._state else 0))
                asked = self._poll.poll((beat_at - now) * 1000)
                for descriptor, _events in asked:
                    self._serve(descriptor)
                if not asked:  # a quiet beat: nobody waits for these milliseconds
                    self._rest()
                    if self._children:
                        self._prepare()
        except (BrokenPipeError, ConnectionResetError):
            self._status = 0
        finally:
            self.kill_children()
        return self._status or 0

    def _rest(self) -> None:
        # a fork that gives back what it inherits writes to all of it
        if self._state is not None and self._state.seq != self._rested:
            self._rested = self._state.seq
            self._state.rest()

    def _prepare(self, *, all_of_it: bool = False) -> None:
        # what cannot be done here is done in the fork, which says what is wrong with it
        with contextlib.suppress(Exception):
            for _step in self._ahead:
                if not all_of_it and self._poll.poll(0):
                    break

    def _steps(self) -> Iterator[object]:
        """What forks are to find done, in pieces of some milliseconds (docs/adr/nursery-is-a-replica.md)."""
        yield from prepared.steps(_GENOME)
        files = prepared.files()
        gathering.gather(lambda: self._rehearse(files))
        prepared.gather()
        yield None
        for _ in range(REHEARSALS):
            if not self._rehearse(files):
                break
            yield None
        self._rehearse(files, {path: source + "\n" for path, source in files.items()})
        genome_loader.preload(files)
        _native.fill_holes()
        self._keep()

    def _keep(self) -> None:
        gc.freeze()
        _native.keep_originals()
        self._prepared = True

    def _rehearse(self, files: Mapping[str, str], changed: Mapping[str, str] | None = None) -> bool:
        """A shadow's life with the genome that O ships, or with `changed`, all of which is compiled and looked at."""
        genome_loader.preload(files)
        try:
            return self._state is not None and rehearsal.rehearse(self._state, changed or files)
        finally:
            gc.collect()  # before a fork keeps for good what is left

    def _serve(self, descriptor: int) -> None:
        if descriptor == self._stream.fileno():
            self._read_stream()
        elif descriptor == self._control.fileno():
            self._read_control()
        else:
            self._reap(descriptor)

    # --- the log

    def _read_stream(self) -> None:
        try:
            # an order that waited for its entries may have read already what the poll announced
            data = self._stream.recv(_READ_BYTES, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return
        if not data:
            self._status = 0
            return
        for payload in self._reader.feed(data):
            frame = self._joiner.add(frames.decode(payload))
            if frame is None:
                continue
            if isinstance(frame.data, messages.Committed):
                self._apply(frame.data)
            elif isinstance(frame.data, messages.Shutdown):
                self._status = 0

    def _apply(self, data: messages.Committed) -> None:
        if self._state is None:
            return  # what it misses comes after `ready`, by the sequence number that is said there
        try:
            reducers.apply_all(self._state, data.entries, data.digest)
        except reducers.ReduceError as error:
            self._send(messages.Failed(what="reduce", text=str(error), seq=error.seq))
            self._status = FAILED_STATUS

    def _send(self, message: messages.Message) -> None:
        self._stream.sendall(frames.encode(message))

    # --- the guardian's orders

    def _read_control(self) -> None:
        payload, descriptors, _flags, _address = socket.recv_fds(self._control, _DATAGRAM_BYTES, 4)
        if not payload:
            self._status = 0
            return
        try:
            message = frames.decode(payload).data
            if isinstance(message, messages.Restore):
                self._restore(message, descriptors)
            elif isinstance(message, messages.Fork | messages.Snapshot):
                self._fork(message, descriptors)
        finally:
            for descriptor in descriptors:
                os.close(descriptor)

    def _stream_ready(self, timeout_s: float) -> bool:
        poll = select.poll()
        poll.register(self._stream, select.POLLIN)
        return timeout_s > 0 and bool(poll.poll(timeout_s * 1000))

    def _answer(self, message: messages.Message, descriptors: list[int] | None = None) -> None:
        payload = frames.encode(message)[frames.HEADER_BYTES :]
        socket.send_fds(self._control, [payload], descriptors or [])

    def _restore(self, message: messages.Restore, descriptors: list[int]) -> None:
        if self._state is not None:
            self._state.close()
            self._state = None
        try:
            state = _load(descriptors) if descriptors else State.empty()
        except (OError, OSError) as error:
            self._answer(messages.Failed(what="restore", text=str(error)))
            return
        if message.seq >= 0:
            state.meta.seq, state.meta.digest = message.seq, message.digest or state.meta.digest
        state.meta.restored = ""
        self._state = state
        gc.collect()
        state.rest()
        if self._prepared:  # forks are not to compare with what lay there before
            self._keep()
        self._answer(messages.Ready(pid=os.getpid(), seq=state.seq, digest=state.digest))

    def _fork(self, message: messages.Fork | messages.Snapshot, descriptors: list[int]) -> None:
        if isinstance(message, messages.Fork) and message.role == "shadow" and self._state is not None:
            self._prepare(all_of_it=True)  # a quarter of a second, once: a hundred that are not prepared cost more
        # orders and the log come on two sockets: an order may overtake what it is to see
        deadline = time.monotonic() + CATCH_UP_S
        while self._state is not None and self._state.seq < message.after_seq and self._status is None:
            if not self._stream_ready(deadline - time.monotonic()):
                self._answer(messages.Failed(what="kernel", text=f"entry {message.after_seq} did not come"))
                return
            self._read_stream()
        if self._state is None or not descriptors:
            self._answer(messages.Failed(what="kernel", text="a fork before a state, or without a descriptor"))
            return
        gc.freeze()
        try:
            # before the fork: a confined instance can neither make shared memory nor receive it
            counters = _native.SharedCounters()
            pid = os.fork()
        except OSError as error:  # no memory or too many processes: who asked is told, the others go on
            self._answer(messages.Failed(what="kernel", text=f"no instance could be forked: {error.strerror}"))
            return
        if pid == 0:
            if isinstance(message, messages.Fork):
                child.serve(descriptors[0], self._state, message, self._birth, counters)
            child.write_checkpoint(descriptors, self._state, message)
        pidfd = os.pidfd_open(pid)
        self._children[pidfd] = Child(message.instance, pid)
        self._poll.register(pidfd, select.POLLIN)
        shared = counters.detach_fd()
        self._answer(messages.Forked(instance=message.instance, pid=pid, seq=self._state.seq), [pidfd, shared])
        os.close(shared)

    # --- children

    def _reap(self, pidfd: int) -> None:
        instance, pid = self._children.pop(pidfd)
        self._poll.unregister(pidfd)
        os.close(pidfd)
        _pid, status = os.waitpid(pid, 0)
        self._answer(messages.Exited(instance=instance, pid=pid, status=os.waitstatus_to_exitcode(status)))

    def kill_children(self) -> None:
        """SIGKILL for all of them."""
        for pidfd in self._children:
            signal.pidfd_send_signal(pidfd, signal.SIGKILL)


def _load(descriptors: list[int]) -> State:
    """The state of a checkpoint, and of its base behind it where it is a delta; takes the descriptors."""
    with contextlib.ExitStack() as stack:
        files = [stack.enter_context(os.fdopen(descriptors.pop(0), "rb")) for _ in range(len(descriptors))]
        header, sections = checkpoint.read(*files[:2])
        state = State.from_sections(sections)
    state.meta.seq, state.meta.digest = header.seq, header.chain_digest
    return state


def main(arguments: list[str]) -> NoReturn:
    """The program."""
    heartbeat_s = float(arguments[2]) if len(arguments) > 2 else 1.0
    control = socket.socket(fileno=int(arguments[0]))
    stream = socket.socket(fileno=int(arguments[1]))
    nursery = Nursery(control, stream, heartbeat_s)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _end_with_parent(nursery)
    fork_hooks.lighten()
    gc.disable()
    os._exit(nursery.run())


def _end_with_parent(nursery: Nursery) -> None:
    """The sockets' end says it too, but is only seen between two frames.

    A signal that can be handled, so that the children are ended first; it also comes when only the thread that
    started this process has ended, which is no reason to end.
    """
    parent = os.getppid()

    def parent_ended(_number: int, _frame: FrameType | None) -> None:
        if os.getppid() != parent:
            nursery.kill_children()
            os._exit(0)

    nursery.parent_ended = parent_ended  # kept, because a fork that lets go of it writes to the pages of its parts
    signal.signal(signal.SIGUSR1, parent_ended)
    _native.set_parent_death_signal(signal.SIGUSR1)
    parent_ended(signal.SIGUSR1, None)


if __name__ == "__main__":
    main(sys.argv[1:])
