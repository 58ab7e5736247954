"""The process that speaks with a Dask scheduler for a run: orders in, batches out to the workers, answers back.

    python -P -s -X utf8 -m o_tui.programs.cluster.client CONTROL_FD ADDRESS

Dask trusts whoever it is connected to: what comes may be pickled. So this process has no key and no file of the run's,
and ends when its control socket does. A task that was lost with its worker is tried again here, whatever the scheduler
does of its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import socket
import struct
import sys
import time
from concurrent.futures import CancelledError
from typing import Any, NoReturn

import msgspec
from distributed import Client, Security
from distributed.scheduler import KilledWorker

from o_tui import __version__
from o_tui.programs import bundle
from o_tui.programs.cluster import worker
from o_tui.programs.cluster.batches import AHEAD, BATCH, LOSSES, Batches
from o_tui.programs.cluster.parcels import Batch, Done
from o_tui.programs.cluster.silence import SILENT_S, Silence
from o_tui.programs.convention import Result
from o_tui.programs.lane import START_S
from o_tui.programs.orders import Answer, Order, Ready, Setup, Told
from o_tui.protocol.errors import OError, PeerError

CONNECT_S = 5.0
ALONE_S = 60.0
"""How long a run waits for a worker where there is none."""
LOOK_S = 1.0
_LENGTH = struct.Struct("<I")


class Courier:
    """One run's evaluations, on the way to workers and back."""

    def __init__(self, dask: Any, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, setup: Setup) -> None:
        self._dask = dask
        self._reader = reader
        self._writer = writer
        self._setup = setup
        self._digest = bundle.digest(setup)
        self._batches = Batches(1)
        self._tasks = self._workers = 0
        self._silence = Silence()
        self._silent: set[str] = set()
        self._talking: list[str] = []
        self._out: dict[str, asyncio.Event] = {}
        self._group = asyncio.TaskGroup()

    async def begin(self) -> None:
        """Looks at the workers, and says that it serves. Raises PeerError: none, or not all of them, can evaluate."""
        self._workers = await self._look()
        _send(self._writer, Ready(depth=AHEAD * BATCH * self._batches.threads))
        _send(self._writer, Told(workers=self._workers))

    async def serve(self) -> str:
        """Serves until the run's socket ends (""), or until the cluster is of no use any more: why."""
        try:
            async with self._group:
                self._group.create_task(self._watch())
                while True:
                    self._batches.add(await _receive(self._reader, Order))
                    self._dispatch()
        except BaseExceptionGroup as errors:
            return "" if errors.subgroup(EOFError) else _said(_first(errors))

    # --- workers

    async def _look(self) -> int:
        """How many there are, once there is one; all of them can evaluate."""
        until = time.monotonic() + ALONE_S
        while not (workers := await self._count()):
            if time.monotonic() > until:
                raise PeerError(f"no worker has come to the scheduler for {ALONE_S:g} s")
            await asyncio.sleep(LOOK_S / 4)
        found = await asyncio.gather(*(self._about(address) for address in self._talking))
        for address, about in zip(self._talking, found, strict=True):
            if about is None:
                continue
            if isinstance(about, Exception):
                raise PeerError(f"the worker {address} cannot evaluate, o-tui must be installed there: {about}")
            version, tier = about
            if version != __version__:
                raise PeerError(f"the worker {address} has o-tui {version}, not {__version__}")
            if tier == "X":
                raise PeerError(f"the worker {address} cannot confine programs")
        return int(workers)

    async def _about(self, address: str) -> Any:
        """What a worker says of itself, or the exception there; None: it says nothing."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(SILENT_S):
                said = await self._dask.run(worker.about, workers=[address], on_error="return")
                return said.get(address)  # it may have gone meanwhile
        return None

    async def _count(self) -> int:
        """How many workers there are; the silent ones do not count."""
        workers = (await self._dask.scheduler.identity())["workers"]
        seen = {address: float(about["last_seen"]) for address, about in workers.items()}
        self._silent = self._silence.look(seen, time.monotonic())
        self._talking = [address for address in workers if address not in self._silent]
        self._batches.threads = sum(workers[address]["nthreads"] for address in self._talking)
        return len(self._talking)

    async def _watch(self) -> None:
        """Tells how many workers there are, when that changes."""
        seen = time.monotonic()
        while True:
            await asyncio.sleep(LOOK_S)
            now = await self._count()
            if self._silent:
                await self._take_back()
            if now:
                seen = time.monotonic()
            elif time.monotonic() - seen > ALONE_S:
                raise PeerError(f"there has been no worker at the scheduler for {ALONE_S:g} s")
            if now != self._workers:
                self._workers = now
                _send(self._writer, Told(workers=now))
                self._dispatch()

    async def _take_back(self) -> None:
        """What silent workers have is lost with them; where they speak again, nobody hears that answer."""
        for address, keys in (await self._dask.scheduler.processing()).items():
            for key in keys if address in self._silent else ():
                if (lost := self._out.get(key)) is not None:
                    lost.set()

    # --- batches

    def _dispatch(self) -> None:
        while batch := self._batches.take():
            self._group.create_task(self._deliver(batch))

    async def _deliver(self, batch: tuple[Order, ...]) -> None:
        try:
            done = await self._evaluated(batch)
        except (KilledWorker, _LostError):
            for order in self._batches.lost(batch):
                lost = Result(error=f"the worker that evaluated it was lost, {LOSSES} times")
                _send(self._writer, Told(answer=Answer(number=order.number, result=lost)))
        else:
            for answer in done.answers:
                _send(self._writer, Told(answer=answer))
            self._batches.done(batch, (each.wall_ms / 1000 for each in done.answers))
        await self._writer.drain()
        self._dispatch()

    async def _evaluated(self, batch: tuple[Order, ...]) -> Done:
        """What a worker made of it; the evaluator's files go along where it misses them."""
        parcel = Batch(version=__version__, digest=self._digest, orders=batch)
        done = await self._task(parcel)
        if done.missing:
            done = await self._task(msgspec.structs.replace(parcel, setup=self._setup))
        if done.problem or [each.number for each in done.answers] != [each.number for each in batch]:
            raise PeerError(done.problem or "a worker answers what it was not asked")
        return done

    async def _task(self, parcel: Batch) -> Done:
        data = msgspec.msgpack.encode(parcel)
        self._tasks += 1  # the same batch once more is another task: the first one has failed for good
        key = f"o-tui-{hashlib.sha256(data).hexdigest()}-{self._tasks}"
        where = self._talking if self._silent and self._talking else None
        future = self._dask.submit(worker.evaluate, data, key=key, retries=0, workers=where)
        self._out[key] = lost = asyncio.Event()
        waits = [asyncio.ensure_future(future), asyncio.create_task(lost.wait())]
        try:
            await asyncio.wait(waits, timeout=self._overdue_s, return_when=asyncio.FIRST_COMPLETED)
            if waits[0].done():
                return msgspec.msgpack.decode(waits[0].result(), type=Done)
            await future.cancel()
            raise _LostError
        finally:
            del self._out[key]
            for each in waits:
                each.cancel()

    @property
    def _overdue_s(self) -> float:
        """What a task may take, with those that wait before it: each load and each evaluation has a limit."""
        return AHEAD * (START_S + (1 + 2 * BATCH) * self._setup.settings.timeout_s)


class _LostError(Exception):
    """A task's worker says nothing any more, or the task is long overdue."""


async def _receive(reader: asyncio.StreamReader, kind: type[Any]) -> Any:
    (size,) = _LENGTH.unpack(await reader.readexactly(_LENGTH.size))
    return msgspec.msgpack.decode(await reader.readexactly(size), type=kind)


def _send(writer: asyncio.StreamWriter, value: msgspec.Struct) -> None:
    payload = msgspec.msgpack.encode(value)
    writer.write(_LENGTH.pack(len(payload)) + payload)


async def _connected(address: str) -> Any:
    """A client of a scheduler, with certificates from the user's settings of Dask. Raises PeerError."""
    security = Security(require_encryption=address.startswith("tls://"))
    if security.require_encryption and not (security.tls_ca_file and security.tls_client_cert):
        raise PeerError(
            f"{address} wants certificates, and Dask's settings name none: distributed.comm.tls.ca-file, .client.cert"
        )
    try:
        return await Client(
            address, asynchronous=True, security=security, timeout=CONNECT_S, set_as_default=False, name="o-tui"
        )
    except (OSError, ValueError, TypeError, RuntimeError) as error:
        raise PeerError(f"no connection to the scheduler {address}: {str(error) or type(error).__name__}") from error


async def _main(control: socket.socket, address: str) -> None:
    reader, writer = await asyncio.open_connection(sock=control)
    setup = await _receive(reader, Setup)
    try:
        dask = await _connected(address)
        courier = Courier(dask, reader, writer, bundle.packed(setup))
        await courier.begin()
    except OError as error:
        _send(writer, Ready(error=f"{error}; {error.hint}" if error.hint else str(error)))
    else:
        problem = await courier.serve()
        if problem:
            _send(writer, Told(problem=problem))
    with contextlib.suppress(OSError):
        await writer.drain()


def _said(error: BaseException) -> str:
    if isinstance(error, OError):
        return str(error)
    if isinstance(error, OSError | CancelledError):
        return "the connection to the scheduler is lost"
    return f"a worker cannot evaluate: {type(error).__name__}: {error}"


def _first(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def main(arguments: list[str]) -> NoReturn:
    """The program."""
    control = socket.socket(fileno=int(arguments[0]))
    control.set_inheritable(False)
    asyncio.run(_main(control, arguments[1]))
    os._exit(0)


if __name__ == "__main__":
    main(sys.argv[1:])
