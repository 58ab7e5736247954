"""What confinement costs: from a fork to an instance that is ready, and a request's round trip, confined and not.

Both kinds are forked from this process, in turns, by the same steps but the one; a fresh interpreter is the peer.
"""

from __future__ import annotations

import argparse
import gc
import os
import signal
import socket
import subprocess
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import NoReturn, TypeAlias, TypeVar

from o_tui import _native
from o_tui.agent import confinement, instance
from o_tui.agent.child import FAILED_STATUS, SOCKET_FD
from o_tui.agent.state import State
from o_tui.bench.report import Report, median, percentile
from o_tui.protocol import frames, messages
from o_tui.protocol.errors import PeerError
from o_tui.protocol.safe_text import safe

REQUESTS = 200
"""Round trips of each instance."""
PROBE = "state.digest"
"""Answered by the kernel alone."""
LIMIT_S = 20.0
PEER = "a fresh python -I"

Kind = TypeVar("Kind", bound=messages.Message)
Confine: TypeAlias = Callable[[int, _native.SharedCounters], tuple[int, str]]
"""Takes the socket's descriptor; returns what it is then, and the tier."""


@dataclass(slots=True)
class Times:
    """What one kind of instance took."""

    ready_ms: list[float]
    request_us: list[float]
    tier: str = "X"


def run(arguments: argparse.Namespace) -> Report:
    """Forks `arguments.forks` instances of each kind."""
    return measure(arguments.forks)


def measure(forks: int) -> Report:
    """The report over `forks` instances of each kind, in turns: not confined, without namespaces, and whole."""
    kinds: dict[str, tuple[Times, Confine]] = {
        "bare": (Times([], []), lambda descriptor, _counters: (descriptor, "X")),
        "base": (Times([], []), _base),
        "confined": (Times([], []), _confine),
    }
    fresh_ms: list[float] = []
    state = State.empty()  # as the nursery has it when it forks
    gc.collect()
    gc.freeze()
    for number in range(forks):
        for times, confine in kinds.values():
            _one(times, confine, state)
        if number % 4 == 0:
            fresh_ms.append(_fresh())
    report = Report(peers={PEER: {"start_ms": round(median(fresh_ms), 3)}})
    bare, _ = kinds["bare"]
    for name, (times, _) in kinds.items():
        report.results[f"{name}_fork_to_ready_ms"] = round(median(times.ready_ms), 3)
        report.results[f"{name}_fork_to_ready_p99_ms"] = round(percentile(times.ready_ms, 0.99), 3)
        report.results[f"{name}_request_us"] = round(median(times.request_us), 2)
        report.ratios[f"{name}_ready_to_fresh_python"] = median(times.ready_ms) / median(fresh_ms)
        if times is not bare:
            report.ratios[f"{name}_ready_to_bare"] = median(times.ready_ms) / median(bare.ready_ms)
            report.ratios[f"{name}_request_to_bare"] = median(times.request_us) / median(bare.request_us)
            report.notes.append(f"{name}: tier {times.tier}")
    return report


def _one(times: Times, confine: Confine, state: State) -> None:
    ours, theirs = socket.socketpair()
    started_ns = time.perf_counter_ns()
    counters = _native.SharedCounters()
    pid = os.fork()
    if pid == 0:
        ours.close()  # else it would not see our end
        _become(theirs, confine, state, counters)
    theirs.close()
    try:
        with ours:
            ours.settimeout(LIMIT_S)
            reader = frames.FrameReader()
            ready = _next(ours, reader, messages.Ready)
            times.ready_ms.append((time.perf_counter_ns() - started_ns) / 1e6)
            times.tier = ready.tier or times.tier
            for number in range(REQUESTS):
                started_ns = time.perf_counter_ns()
                metadata = frames.Metadata(request_id=str(number))
                ours.sendall(frames.encode(messages.ProcessRequest(text="{}", kind=PROBE), metadata))
                _next(ours, reader, messages.Done)
                times.request_us.append((time.perf_counter_ns() - started_ns) / 1e3)
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def _confine(descriptor: int, counters: _native.SharedCounters) -> tuple[int, str]:
    """As in a child of the nursery (agent/child.py)."""
    tier = confinement.confine("agent", socket=descriptor, death_signal=signal.SIGKILL, ring=counters.ring())
    return SOCKET_FD, tier


def _base(descriptor: int, counters: _native.SharedCounters) -> tuple[int, str]:
    """The same without namespaces, as where a system gives none."""
    tier = _native.confine(
        "agent",
        read=confinement.readable(),
        socket=descriptor,
        memory_bytes=confinement.MEMORY_BYTES,
        death_signal=signal.SIGKILL,
        ring=counters.ring(),
        layers=("identity", "limits", "landlock", "seccomp"),
    )
    return SOCKET_FD, tier


def _become(sock: socket.socket, confine: Confine, state: State, counters: _native.SharedCounters) -> NoReturn:
    """The child: an instance, with or without the confinement."""
    status = FAILED_STATUS
    try:
        descriptor, tier = confine(sock.detach(), counters)
        with socket.socket(fileno=descriptor) as own:
            status = instance.run(own, state, "shadow", tier=tier, counters=counters)
    except BaseException:  # noqa: BLE001 - the child must not go back into the frames of the command
        print(safe(traceback.format_exc()), file=sys.__stderr__)
    finally:
        os._exit(status)


def _next(sock: socket.socket, reader: frames.FrameReader, kind: type[Kind]) -> Kind:
    while True:
        data = sock.recv(1 << 16)
        if not data:
            raise PeerError("an instance ended before it answered", hint="o-tui sandbox probe says what refuses")
        for payload in reader.feed(data):
            found = frames.decode(payload).data
            if isinstance(found, kind):
                return found


def _fresh() -> float:
    started_ns = time.perf_counter_ns()
    subprocess.run([sys.executable, "-I", "-c", "pass"], check=True)
    return (time.perf_counter_ns() - started_ns) / 1e6
