"""Runs one program as an instance's code is run (or a tool's, or a build's): forked from a clean process, confined.

    python -I -X utf8 -m o_tui.agent.sandbox_run < ORDER > VERDICT

A control program runs first, in the same sandbox: where even that does not succeed, nothing that a program did proves
anything. A program has its two pipes and nothing else; the first byte on stderr is ours, the tier. A tool or a build
may run other programs and has a folder, in which it starts and which is gone afterwards; under tier A that is memory,
and its processes have a namespace, so that none outlives it.
"""

from __future__ import annotations

import contextlib
import fcntl
import functools
import importlib
import linecache
import os
import select
import signal
import sys
import tempfile
import termios
import time
import traceback
import types
from dataclasses import dataclass, field
from typing import NoReturn

import msgspec

from o_tui import _native
from o_tui.agent import apart, confinement, orphans, tally
from o_tui.agent.refusal_listener import Listener
from o_tui.protocol import contracts, refusals
from o_tui.protocol.refusals import Refusal
from o_tui.protocol.verdict import Order, Profile, Verdict, encode, order_of

_RUNS_ANOTHER = b"import subprocess; subprocess.run(['/bin/true'], check=True); open('made', 'w'); raise SystemExit(42)"
CONTROLS: dict[Profile, bytes] = {"agent": b"raise SystemExit(42)", "tool": _RUNS_ANOTHER, "build": _RUNS_ANOTHER}
"""What each profile must let a program do."""
CONTROL_EXIT = 42
CONTROL_S = 10.0
UNCONFINED_EXIT = 70
PRELOADED = ("ctypes", "resource", "socket", "subprocess", "threading")
"""Beside what genes may import: where files of Python cannot be read any more, these are there."""
FILE_BYTES = 256 << 20
"""The largest file of a tool or a build."""
_READ_BYTES = 64 * 1024
_SAID = (
    (b"MemoryError", refusals.memory(confinement.MEMORY_BYTES)),
    (b"No space left on device", refusals.disk(tally.ROOM_BYTES, tally.ROOM_FILES)),
    (b"File too large", refusals.file_size(FILE_BYTES)),
)
"""Limits that are met by an error, and how a program's last words name that."""


@dataclass(slots=True)
class Stream:
    """One pipe of a program: what came, within a limit."""

    fd: int
    limit: int
    kept: bytearray = field(default_factory=bytearray)
    dropped: int = 0

    def read(self) -> bool:
        """Takes what is there; False at its end."""
        return self._take(_READ_BYTES)

    def rest(self) -> None:
        """Takes what is in the pipe by now, whoever goes on writing."""
        self._take(int.from_bytes(fcntl.ioctl(self.fd, termios.FIONREAD, bytes(4)), sys.byteorder))

    def _take(self, size_bytes: int) -> bool:
        try:
            data = os.read(self.fd, size_bytes)
        except BlockingIOError:
            return True
        room = max(0, self.limit - len(self.kept))
        self.kept += data[:room]
        self.dropped += max(0, len(data) - room)
        return bool(data)


@dataclass(frozen=True, slots=True)
class Kept:
    """What is left to a program.

    Attributes:
        readable: Files and folders that it may read.
        ring: Where its refusals are recorded.
        listener: Who records those of a tool or a build.
        folder: The one that a tool or a build may write.
    """

    readable: tuple[str, ...]
    ring: _native.ViolationRing
    listener: Listener | None = None
    folder: str = ""


def supervise(order: Order, readable: tuple[str, ...]) -> Verdict:
    """Runs a program confined, until its end or its time limit."""
    counters = _native.SharedCounters()
    shared = counters.detach_fd()
    reader, ring = _native.SharedReader(shared), counters.ring()
    os.close(shared)
    if order.profile == "agent":
        return _run(order, Kept(readable, ring), reader)
    listener = Listener(ring)
    folder = os.path.realpath(tempfile.mkdtemp(prefix="o-box-"))
    try:
        if os.geteuid() == 0:
            with contextlib.suppress(OSError):  # root of a container that has nobody else: tier X
                os.chown(folder, confinement.NOBODY, confinement.NOBODY)
        return _run(order, Kept(readable, ring, listener, folder), reader)
    finally:
        orphans.end()
        listener.close()
        tally.remove(folder)


def _run(order: Order, kept: Kept, reader: _native.SharedReader) -> Verdict:
    pipes = [os.pipe(), os.pipe()]
    started = time.monotonic()
    pid = os.fork()
    if pid == 0:
        _become(order, kept, pipes[0][1], pipes[1][1])
    pidfd = os.pidfd_open(pid)
    streams: list[Stream] = []
    for reading, writing in pipes:
        os.close(writing)
        os.set_blocking(reading, False)
        # the tier's byte is no output of the program's
        streams.append(Stream(reading, order.output_bytes + len(streams)))
    if kept.listener is not None:
        kept.listener.theirs.close()
    over = _follow(pidfd, streams, kept, order.timeout_s)
    signal.pidfd_send_signal(pidfd, signal.SIGKILL)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)  # the group at once, however fast it forks
    _pid, raw = os.waitpid(pid, 0)
    wall_ms = (time.monotonic() - started) * 1000
    for stream in streams:
        stream.rest()
    for descriptor in (pidfd, streams[0].fd, streams[1].fd):
        os.close(descriptor)
    recorded = kept.listener is None or kept.listener.heard
    verdict = _verdict(order, streams, os.waitstatus_to_exitcode(raw), wall_ms, reader, over)
    return msgspec.structs.replace(verdict, recorded=recorded)


def _follow(pidfd: int, streams: list[Stream], kept: Kept, limit_s: float) -> Refusal | None:
    """Reads what comes until the process ends; or returns the limit that it is over before."""
    deadline = time.monotonic() + limit_s
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    sources: list[Stream | Listener] = [*streams, *([kept.listener] if kept.listener else [])]
    readers = {source.fd: source for source in sources}
    for descriptor in readers:
        poll.register(descriptor, select.POLLIN)
    counted = tally.Tally(kept.folder) if kept.folder else None
    while True:
        now = time.monotonic()
        if now >= deadline:
            return refusals.wall_clock(limit_s)
        if counted is not None and now >= counted.due:
            if (over := counted.over(folder=streams[1].kept[:1] != b"A")) is not None:
                return over
            now = time.monotonic()
        due = min(deadline, counted.due) if counted is not None else deadline
        for descriptor, _events in poll.poll(max(0.0, due - now) * 1000):
            if descriptor == pidfd:
                return None
            if not readers[descriptor].read():
                poll.unregister(descriptor)


def _verdict(
    order: Order,
    streams: list[Stream],
    status: int,
    wall_ms: float,
    reader: _native.SharedReader,
    over: Refusal | None,
) -> Verdict:
    out, err = streams
    first, stderr = bytes(err.kept[:1]), bytes(err.kept[1:])
    rows = reader.violations()
    # Python itself looks for the source of what it cannot compile
    found = refusals.refusals((row for row in rows if row[4] != order.name), status)
    if over is not None:
        found.append(over)
    last = stderr.rpartition(b"\n")[0].rpartition(b"\n")[2]
    found += [refusal for words, refusal in _SAID if words in last]
    return Verdict(
        tier=first.decode("ascii", "replace") if first in (b"A", b"B", b"C") else "X",
        exit=status,
        stdout=bytes(out.kept),
        stderr=stderr,
        dropped_bytes=out.dropped + err.dropped,
        wall_ms=round(wall_ms, 3),
        refused=found,
        unnamed=rows[0][0] - 1 if rows else 0,
    )


def _become(order: Order, kept: Kept, out: int, err: int) -> NoReturn:
    """The child: confined before it reads a byte of the program."""
    status, untold = UNCONFINED_EXIT, "X"
    try:
        nowhere = os.open(os.devnull, os.O_RDONLY)
        for descriptor, standard in ((nowhere, 0), (out, 1), (err, 2)):
            os.dup2(descriptor, standard)
        # before the confinement: to open them may need what is refused then
        sys.stdout = open(1, "w", encoding="utf-8", errors="surrogateescape", closefd=False)  # noqa: SIM115
        sys.stderr = open(2, "w", encoding="utf-8", errors="backslashreplace", closefd=False)  # noqa: SIM115
        tier = _confined(order, kept)
        refused = _refused(order.profile, tier)
        os.write(2, b"X" + refused.encode() if refused else tier.encode())
        untold = ""
        if kept.folder and not refused:
            os.chdir(kept.folder)
        if not refused and order.profile != "agent" and tier == "A":
            apart.run(functools.partial(_execute, order))
        elif not refused:
            status = _execute(order)
    except BaseException as error:  # noqa: BLE001 - the process must not go back into its parent's frames
        os.write(2, f"{untold}{type(error).__name__}: {error}".encode("utf-8", "replace"))
    finally:
        os._exit(status)


def _confined(order: Order, kept: Kept) -> confinement.Tier:
    confine = functools.partial(
        confinement.confine,
        order.profile,
        cpu_s=int(order.timeout_s) + 2,
        parent=os.getppid(),
        death_signal=signal.SIGKILL,
        ring=kept.ring,
    )
    if kept.listener is None:
        return confine(kept.readable)
    os.environ.update(HOME=kept.folder, TMPDIR=kept.folder)
    return confine(
        (*confinement.PROGRAMS, *kept.readable),
        listener=kept.listener.theirs.fileno(),
        write=(kept.folder,),
        room_bytes=tally.ROOM_BYTES,
        apart=True,
        files=(confinement.NOWHERE,),
        file_bytes=FILE_BYTES,
    )


def _refused(profile: Profile, tier: confinement.Tier) -> str:
    """Why a program is not run; empty: it may be."""
    if tier == "X":
        return "a filter of system calls, limits and an unprivileged user are not all in force (tier X)"
    if tier == "C" and profile != "agent":
        return f"only Landlock keeps the files from a {profile}, and it is not in force (tier C)"
    return ""


def _execute(order: Order) -> int:
    """The program as `python FILE` would run it; returns its exit code."""
    sys.argv = [order.name]
    module = types.ModuleType("__main__")
    module.__file__ = order.name
    sys.modules["__main__"] = module
    # what a traceback shows; to look for the file would be to try what is refused
    lines = order.source.decode("utf-8", "replace").splitlines(keepends=True)
    linecache.cache[order.name] = (len(order.source), None, lines, order.name)
    status = 0
    try:
        exec(compile(order.source, order.name, "exec"), module.__dict__)
    except SystemExit as error:
        status = _exit_code(error.code)
    except BaseException as error:  # noqa: BLE001 - a program may raise anything
        del module
        kept = error.__traceback__.tb_next if error.__traceback__ is not None else None
        traceback.print_exception(error.with_traceback(kept))
        status = 1
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            status = status or 1
    return status


def _exit_code(code: object) -> int:
    if code is None:
        return 0
    if isinstance(code, int):
        # what no C long holds is -1, as Python has it, and no success
        return (code if -(1 << 63) <= code < 1 << 63 else -1) & 0xFF
    print(code, file=sys.stderr)
    return 1


def judge(order: Order) -> Verdict:
    """The control program, then the program itself."""
    for name in sorted({*contracts.ALLOWED_IMPORTS, *PRELOADED}):
        importlib.import_module(name)
    if order.profile != "agent":
        _native.adopt_orphans()
    readable = confinement.readable()
    source = CONTROLS[order.profile]
    control = supervise(Order(name="control", source=source, timeout_s=CONTROL_S, profile=order.profile), readable)
    if control.tier == "X" or control.exit != CONTROL_EXIT or control.refused:
        said = control.stderr.decode("utf-8", "replace").strip()
        text = said or f"it ended with {control.exit}; sandbox {refusals.summary(control.refused)}"
        return Verdict(control=text, tier=control.tier, exit=control.exit, refused=control.refused)
    return supervise(order, readable)


def main() -> NoReturn:
    """The program."""
    _native.set_parent_death_signal(signal.SIGKILL)  # nobody would read the verdict
    verdict = judge(order_of(sys.stdin.buffer.read()))
    sys.stdout.buffer.write(encode(verdict))
    sys.stdout.buffer.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
