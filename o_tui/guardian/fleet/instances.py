"""One agent process as the guardian sees it: its socket, its pidfd, what it has said of itself."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import time
from collections.abc import Callable
from typing import Any, Literal

from o_tui import _native
from o_tui.guardian.fleet.channel import Channel
from o_tui.guardian.fleet.code import Code
from o_tui.guardian.fleet.confinement import CONFINED, lacks
from o_tui.guardian.fleet.nursery import Fork
from o_tui.guardian.fleet.processes import Watch
from o_tui.guardian.fleet.token_bucket import TokenBucket
from o_tui.guardian.storage.violations import Refused
from o_tui.protocol import frames, messages
from o_tui.protocol.errors import FrameError, OError, RefusedError
from o_tui.protocol.refusals import Refusal

InstanceState = Literal["starting", "loading", "running", "stopping", "ended"]
LOAD_S = 10.0
UNCONFINED = "this system lets no process confine itself (tier X), so no candidate is run; chat goes on"
REAPED_S = 0.5
WORDS = (200, 20.0)
"""Lines of the event log that an instance may fill at once, and each second from then on."""
NO_FAULT = ("drill", "it was stopped", "the state was restored", "a standby took over")
"""How the reasons begin for which the guardian itself ends a sound instance."""


class GenomeError(OError):
    """A genome could not be loaded into an instance."""

    code = 1


def death_cause(status: int) -> str:
    """How a process ended, in words."""
    if status < 0:
        try:
            return f"killed by {signal.Signals(-status).name}"
        except ValueError:
            return f"killed by signal {-status}"
    return f"ended with exit code {status}"


class Instance:
    """An instance from its fork to its end.

    Attributes:
        name: Unique in this guardian's life: role and number.
        seq: The last entry that it was sent.
        revision: The genome that it runs; empty before one is loaded.
        exited: Its exit status, once the nursery has reaped it or its socket has ended.
        cause: Why it ended, in words; set when `exited` is.
        evolution: The evolution that it is on trial for; empty for none.
        refused: What the sandbox refused it.
        exceeded: The limit for which it is killed, if it is.
        counters: What it counts in shared memory: shown, never trusted.
        offence: What it did against the protocol; empty if nothing.
        words: How many lines of the event log it may fill.
        unwritten_bytes: What it has proposed that is not durable yet.
    """

    def __init__(
        self,
        fork: Fork,
        role: messages.Role,
        on_frame: Callable[[Instance, frames.Frame], None],
        on_end: Callable[[Instance], None],
        on_beat: Callable[[str], None],
        epoch: int = 0,
        evolution: str = "",
    ) -> None:
        self.evolution = evolution
        self.name = fork.instance
        self.role: messages.Role = role
        self.pid = fork.watch.pid
        self.seq = fork.seq
        self.counters = fork.counters
        self.refused = Refused(fork.counters)
        self.exceeded: Refusal | None = None
        self._loading = ""
        self.revision = ""
        self.version = ""
        self.tier = "none"
        self.state: InstanceState = "starting"
        self.started_ns = time.monotonic_ns()
        self.heard_ns = self.started_ns
        self.last = messages.Heartbeat()
        self.requests = 0
        self.unwritten_bytes = 0
        self.words = TokenBucket(*WORDS)
        self.cause = ""
        self.killed_by_us = ""
        self.offence = ""
        self.exited: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._watch = fork.watch
        self._parent = fork.parent
        self._on_frame = on_frame
        self._on_end = on_end
        self._on_beat = on_beat
        self._loaded: asyncio.Future[messages.Ready] = asyncio.get_running_loop().create_future()
        self._looked: asyncio.Task[None] | None = None
        self._confined: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._reload: asyncio.Future[messages.Reloaded] | None = None
        self._swapping = asyncio.Lock()
        self._reaped: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._status: int | None = None
        self._metadata = frames.Metadata(instance=self.name, epoch=epoch)
        self._sock = fork.sock
        self._connected = False
        self.channel: Channel

    async def connect(self) -> None:
        """Opens its socket; from here on it is heard, and its end is seen."""
        channel = await Channel.connect(self._sock, self._frame, self._closed)
        self.channel = channel
        self._connected = True
        if not self.alive:  # it ended while it was being connected
            channel.close()
        self._watch.exited.add_done_callback(lambda _status: self.end())

    @property
    def alive(self) -> bool:
        """Not seen to end."""
        return not self.exited.done()

    @property
    def has_parent(self) -> bool:
        """The nursery that forked it lives, and will say how it ended."""
        return self._parent is not None and self._parent.alive

    async def load(self, code: Code) -> None:
        """Gives a fresh fork its genome and waits until it runs.

        Raises:
            GenomeError: It refused the genome, or ended over it.
        """
        self.state = "loading"
        self._loading = code.revision
        self.send(
            messages.LoadGenome(
                revision=code.revision, version=code.version, files=dict(code.files), anew=list(code.anew)
            )
        )
        try:
            async with asyncio.timeout(LOAD_S):
                await asyncio.shield(self._loaded)
        except TimeoutError as error:
            self.kill("it did not load its genome in time")
            raise GenomeError(f"revision {code.revision[:12]} was not loaded within {LOAD_S:.0f} s") from error
        self.revision, self.version = code.revision, code.version
        self.state = "running"

    async def up(self, timeout_s: float) -> None:
        """Returns when it has a genome, has ended, or has had its time."""
        await asyncio.wait([self._loaded], timeout=timeout_s)

    async def must_be_confined(self) -> None:
        """Returns when it is confined, as it says and as the kernel says.

        Raises:
            RefusedError: It is not, or does not say so in time: it is killed.
            GenomeError: It ended before that.
        """
        confined = False
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LOAD_S):
                confined = await asyncio.shield(self._confined)
        if not confined:
            self.kill("it is not confined")
            raise RefusedError(f"{self.name} is not confined: {UNCONFINED}", hint="o-tui sandbox probe")

    def run_bare(self) -> None:
        """It gets no genome (safe mode): the kernel answers what it can by itself."""
        if not self._loaded.done():
            self._loaded.set_result(messages.Ready(pid=self.pid))
        self.state = "running"

    async def reload(self, code: Code) -> None:
        """Swaps the genome of a running instance between two requests.

        Raises:
            GenomeError: It kept the old one.
        """
        # one at a time: a deployment and the one who brings it up may both swap, and each has to hear its own answer
        async with self._swapping:
            if not self.alive:
                raise GenomeError(f"{self.name} has ended: {self.cause}")
            self._reload = asyncio.get_running_loop().create_future()
            self.send(messages.HotReload(revision=code.revision, version=code.version, files=dict(code.files)))
            try:
                async with asyncio.timeout(LOAD_S):
                    answer = await self._reload
            except TimeoutError as error:
                raise GenomeError(f"{self.name} did not answer the reload within {LOAD_S:.0f} s") from error
            finally:
                self._reload = None
        if not answer.ok:
            raise GenomeError(answer.error)
        self.revision, self.version = code.revision, code.version

    def send(self, message: messages.Message, request_id: str = "") -> None:
        """One message of any size; what an ended instance is sent goes nowhere."""
        self.channel.send(message, frames.Metadata(request_id=request_id) if request_id else self._metadata)

    def offend(self, what: str) -> None:
        """It did what no sound instance does: it is killed for that."""
        self.offence = self.offence or what
        self.kill(what)

    def signal(self, number: int) -> None:
        """Sends a signal."""
        self._watch.signal(number)

    def kill(self, why: str) -> None:
        """SIGKILL; `why` is what the event log says."""
        if self.alive:
            self.killed_by_us = self.killed_by_us or why
            self._watch.kill()

    async def stop(self, grace_s: float) -> None:
        """Asks it to finish, waits, kills."""
        if self.alive:
            self.state = "stopping"
            self.killed_by_us = self.killed_by_us or "it was stopped"
            self.channel.send(messages.Shutdown(grace_s=grace_s))
            await self._watch.stop(grace_s)

    def reaped(self, status: int) -> None:
        """The nursery says how it ended."""
        self._status = status
        if not self.alive and not self.killed_by_us:
            self.cause = death_cause(status)
        if not self._reaped.done():
            self._reaped.set_result(status)
        self.end()

    async def why(self) -> str:
        """Why it ended, once the nursery has said so; its socket often ends a moment earlier."""
        try:
            async with asyncio.timeout(REAPED_S):
                await asyncio.shield(self._reaped)
        except TimeoutError:
            pass  # the nursery has ended too: nobody will say
        return self.cause

    def row(self) -> dict[str, Any]:
        """What `status` says of it; the latencies are its own word, from shared memory."""
        ended, (p50_us, p99_us) = self.counters.latency_us((0.5, 0.99))
        return {
            "name": self.name,
            "role": self.role,
            "pid": self.pid,
            "state": self.state,
            "revision": self.revision,
            "version": self.version,
            "requests": self.requests,
            "busy": self.last.busy,
            "errors": self.last.errors,
            "seq": self.seq,
            "heartbeat_age_ms": self.heartbeat_age_ms(),
            "p50_ms": p50_us / 1000 if ended else None,
            "p99_ms": p99_us / 1000 if ended else None,
            "rss_bytes": self.resident_bytes(),
            "uptime_s": (time.monotonic_ns() - self.started_ns) / 1e9,
            "tier": self.tier,
        }

    def identity(self) -> tuple[str, str, str, str]:
        """Name, role, revision and evolution: whose a violation is. A genome counts from the moment it is loaded."""
        return self.name, self.role, self.revision or self._loading, self.evolution

    def heartbeat_age_ms(self) -> int:
        """Since it was heard or has beaten in shared memory, whichever was later."""
        reading = self.counters.read()
        last_ns = max(self.heard_ns, reading.heartbeat_ns if reading is not None else 0)
        return max(0, time.monotonic_ns() - last_ns) // 1_000_000

    def cpu_ns(self) -> int:
        """CPU time of the process so far, as the operating system counts it; 0 if unknown."""
        try:
            return _native.process_cpu_ns(self.pid)
        except OSError:
            return 0

    def resident_bytes(self) -> int:
        """Resident memory from /proc; 0 when it has ended."""
        try:
            return _native.process_rss(self.pid)
        except OSError:
            return 0

    def end(self) -> None:
        """Its end was seen: by its pidfd, its socket or the nursery, whatever came first."""
        if self.exited.done():
            return
        status = self._status if self._status is not None else Watch.UNKNOWN
        self.cause = self.killed_by_us or (death_cause(status) if status != Watch.UNKNOWN else "it ended")
        self.state = "ended"
        self.exited.set_result(status)
        if self._connected:
            self.channel.close()
        self._watch.kill()
        error = GenomeError(f"the instance ended over its genome: {self.cause}")
        for future in (self._confined, self._loaded, self._reload):
            if future is not None and not future.done():
                future.set_exception(error)
                future.exception()  # seen: nobody may be waiting for it
        self._on_end(self)

    def _frame(self, frame: frames.Frame) -> None:
        self.heard_ns = time.monotonic_ns()
        self._on_beat(self.name)
        data = frame.data
        if type(data) is messages.Heartbeat:
            self.last = data
        elif type(data) is messages.Ready:
            self._is_ready(data)
            if self._loaded.done():
                self._on_frame(self, frame)
            elif data.revision:
                self._loaded.set_result(data)
        elif type(data) is messages.Reloaded:
            if self._reload is not None and not self._reload.done():
                self._reload.set_result(data)
        elif type(data) is messages.Failed and data.what == "genome" and not self._loaded.done():
            self._loaded.set_exception(GenomeError(data.text))
            self._loaded.exception()
        else:
            self._on_frame(self, frame)

    def _is_ready(self, data: messages.Ready) -> None:
        if self._looked is None:
            self.tier = data.tier or self.tier
            self._looked = asyncio.create_task(self._look(), name=f"look at {self.name}")

    async def _look(self) -> None:
        """What an instance says of its confinement is compared with what the kernel says."""
        said = self.tier in CONFINED
        lacking = await asyncio.to_thread(lacks, self.pid) if said else ""
        if lacking:
            self.tier = "X"
            self.offend(f"it said that it was confined, and is not: {lacking}")
        if not self._confined.done():
            self._confined.set_result(said and not lacking)

    def _closed(self, error: OError | None) -> None:
        if error is not None:
            self.offence = f"it broke the protocol: {error}" if isinstance(error, FrameError) else str(error)
            self.killed_by_us = self.killed_by_us or self.offence
        self.end()
