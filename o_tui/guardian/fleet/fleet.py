"""Main, standby, canary and the nursery: who runs, who takes over, and with which code.

The supervisor calls the `start_*` functions; what must not wait for it happens here at once: when main ends, the
standby is main before anything else is done.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, TypeVar

from o_tui.guardian.fleet.code import Code
from o_tui.guardian.fleet.handles import InstanceHandle, InstanceReplica, Listener, exit_reason
from o_tui.guardian.fleet.health import HealthMonitor
from o_tui.guardian.fleet.instances import NO_FAULT, GenomeError, Instance
from o_tui.guardian.fleet.nursery import Fork, Nursery
from o_tui.guardian.fleet.replication import Replication
from o_tui.guardian.fleet.states import States
from o_tui.guardian.storage.vault import Vault
from o_tui.guardian.storage.vault_files import Pending
from o_tui.guardian.storage.wal import Wal
from o_tui.guardian.supervision.machine import ExitReason
from o_tui.paths import Paths
from o_tui.protocol import frames, messages
from o_tui.protocol.errors import OError, PeerError

_Forked = TypeVar("_Forked")
NURSERY_WAIT_S = 20.0
NURSERY_END_S = 0.1
STANDBY_WAIT_S = 0.1
"""How long the fork of a standby may wait for a new main's first word."""
OVERTAKE_S = 1.0
"""How long a standby that is up lets a main come up that is older."""
RESTORED = "the state was restored"
FORGET_S = 5.0
"""How long an instance that has ended is known, for whoever says how."""


class Fleet:
    """The instances of one guardian."""

    def __init__(
        self,
        paths: Paths,
        wal: Wal,
        vault: Vault,
        replication: Replication,
        code: Code,
        listener: Listener,
        health: HealthMonitor,
        heartbeat_s: float,
        epoch: int,
    ) -> None:
        self.code = code
        self.main: Instance | None = None
        self.standby: Instance | None = None
        self.canary: Instance | None = None
        self.nursery: Nursery | None = None
        self.instances: dict[str, Instance] = {}
        self._paths = paths
        self._wal = wal
        self._vault = vault
        self.replication = replication
        self._listener = listener
        self._health = health
        self._heartbeat_s = heartbeat_s
        self._epoch = epoch
        self._numbers = itertools.count(1)
        self._nursery_ready = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._handles: dict[str, asyncio.Future[ExitReason]] = {}
        self._states = States(vault, wal, replication, listener)
        self._replaced = 0
        self._main_answers = asyncio.Event()

    # --- the supervisor's children

    async def start_nursery(self) -> InstanceHandle:
        """Starts the fork server and gives it the newest good state."""
        exited: asyncio.Future[ExitReason] = asyncio.get_running_loop().create_future()
        nursery = self.spare_nursery()
        await nursery.spawn()
        try:
            await self._states.restore(nursery)
            if self._states.planned is not None:
                raise PeerError("another state was restored meanwhile")
        except BaseException:
            nursery.watch.kill()
            raise
        self.nursery = nursery
        self._nursery_ready.set()
        self._health.watch("nursery")

        def ended(status: asyncio.Future[int]) -> None:
            if self.nursery is nursery:
                self.nursery = None
                self._nursery_ready.clear()
                self._health.forget("nursery")
                self._listener.nursery_ended()
            exited.set_result(exit_reason(status.result(), ""))

        nursery.watch.exited.add_done_callback(ended)
        return InstanceHandle(nursery.watch.pid, exited, nursery.stop)

    async def start_main(self) -> InstanceHandle:
        """The instance that took over, or a fork of the nursery."""
        main = self.main
        if main is None:
            fork = await self._fork("main")
            main = self.main
            if main is None:
                self.main = main = fork
                self._main_answers.clear()
                self._run(main)
            else:
                fork.kill("a standby took over meanwhile")
        return self._handle(main)

    async def start_standby(self) -> InstanceHandle:
        """A fork of the nursery that follows the log."""
        if self.main is not None:
            # a fork takes time from a main that is just taking over
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(STANDBY_WAIT_S):
                    await self._main_answers.wait()
        standby = await self._fork("standby")
        self.standby = standby
        self._run(standby)
        handle = self._handle(standby)
        if self.main is None:
            self._promote()
        return handle

    # --- what evolutions, proofs and drills need

    def spare_nursery(self) -> Nursery:
        """A nursery that is not started; nobody watches one that is started beside the fleet's own."""
        return Nursery(
            self._paths,
            self._heartbeat_s,
            heartbeat=lambda: self._health.beat("nursery"),
            reaped=self._reaped,
            failed=lambda message: self._listener.failed("nursery", message),
            log=self._listener.log,
        )

    async def fork_shadow(
        self,
        code: Code,
        on_frame: Callable[[Instance, frames.Frame], None],
        name: str = "shadow",
        evolution: str = "",
    ) -> Instance:
        """An instance with other code, fed nothing: its own copy of the present state.

        Raises:
            GenomeError: The code could not be loaded.
            PeerError: There is no nursery.
            RefusedError: It is not confined; it has not read a byte of the code.
        """

        async def forked() -> Instance:
            shadow = await self._fork("shadow", on_frame, name, evolution)
            await shadow.must_be_confined()
            await shadow.load(code)
            return shadow

        return await self._outliving_nursery(forked)

    async def start_canary(self, code: Code, evolution: str) -> Instance:
        """A further replica of the log, with other code; requests are given to it by whoever diverts them.

        Raises:
            GenomeError, PeerError, RefusedError: As `fork_shadow`.
        """

        async def forked() -> Instance:
            canary = await self._fork("canary", evolution=evolution)
            try:
                await canary.must_be_confined()
                await self.replication.attach(InstanceReplica(canary))
                await canary.load(code)
            except BaseException:
                canary.kill("it could not be a canary")
                raise
            return canary

        canary = await self._outliving_nursery(forked)
        self._health.watch(canary.name)
        self.canary = canary
        return canary

    async def reload(self, code: Code) -> None:
        """Main and standby swap to other code; whatever is forked later has it too.

        Raises:
            GenomeError: Main did not take it; then the old one runs everywhere.
        """
        old, main, standby = self.code, self.main, self.standby
        if main is None:
            raise GenomeError("there is no main instance to reload")
        await main.reload(code)
        self.code = code
        if standby is not None and standby.alive:
            try:
                await standby.reload(code)
            except GenomeError as error:
                self.code = old
                await main.reload(old)
                raise GenomeError(f"the standby did not take it: {error}") from error

    def use(self, code: Code) -> None:
        """Whatever starts from now on runs this code."""
        self.code = code

    async def snapshot(self, reason: str) -> dict[str, Any]:
        """Takes a checkpoint: a fork of the nursery writes it while everybody works on.

        Raises:
            OError: No nursery, or the disk does not take it.
        """

        async def written(idle: bool) -> Pending:
            number, revision = next(self._numbers), self.code.revision
            return await self._states.written(await self.wait_nursery(), number, revision, reason, idle=idle)

        # a loop that wakes takes the core from an idle process at once; for a nice one it waits milliseconds
        for idle in (True, False):
            pending = await self._outliving_nursery(partial(written, idle))
            if idle and pending.unfinished:
                await self._vault.abandon(pending)
                continue
            break
        return await self._vault.commit(pending)

    async def replace_all(self, restore: messages.Restore) -> None:
        """The state becomes another one: nursery, main and standby are started anew from it; a canary ends."""
        self._states.planned = restore
        self._replaced += 1
        old = [instance for instance in (self.main, self.standby, self.canary) if instance is not None]
        self.main = self.standby = self.canary = None
        self._nursery_ready.clear()
        nursery, self.nursery = self.nursery, None
        if nursery is not None:
            self._health.forget("nursery")
            nursery.watch.kill()
        for instance in old:
            instance.kill(RESTORED)
        for instance in old:
            await instance.exited
        await self.wait_nursery()

    # --- inside

    async def wait_nursery(self) -> Nursery:
        """The nursery, once there is one; raises PeerError."""
        deadline_s = time.monotonic() + NURSERY_WAIT_S
        # it may have ended again between the event and our turn
        while (nursery := self.nursery) is None or not nursery.alive:
            try:
                async with asyncio.timeout(deadline_s - time.monotonic()):
                    await self._nursery_ready.wait()
            except TimeoutError as error:
                raise PeerError("there is no nursery to fork from") from error
            await asyncio.sleep(0)
        return nursery

    async def _fork(
        self,
        role: messages.Role,
        on_frame: Callable[[Instance, frames.Frame], None] | None = None,
        name: str = "",
        evolution: str = "",
    ) -> Instance:
        nursery, replaced = await self.wait_nursery(), self._replaced
        fork = await nursery.fork(f"{name or role}-{next(self._numbers)}", role, self._wal.seq if name else 0)
        instance = await self.adopt(fork, role, on_frame, evolution)
        if replaced != self._replaced:
            instance.kill(RESTORED)
            raise PeerError("another state was restored meanwhile")
        return instance

    async def _outliving_nursery(self, forked: Callable[[], Awaitable[_Forked]]) -> _Forked:
        """Once more where the nursery has ended over it: that says nothing of the code, and the next one comes soon."""
        nursery, replaced = await self.wait_nursery(), self._replaced
        try:
            return await forked()
        except (PeerError, GenomeError):
            await asyncio.wait(
                [nursery.watch.exited], timeout=NURSERY_END_S
            )  # its fork's end may be seen before its own
            if nursery.alive or replaced != self._replaced:
                raise
            return await forked()

    async def adopt(
        self,
        fork: Fork,
        role: messages.Role,
        on_frame: Callable[[Instance, frames.Frame], None] | None = None,
        evolution: str = "",
    ) -> Instance:
        """A fork becomes an instance: heard, watched, reaped. It has no code yet.

        Raises:
            PeerError: It has ended already.
        """
        told = (on_frame or self._frame, self._ended, self._health.beat)
        instance = Instance(fork, role, *told, self._epoch, evolution)
        self.instances[instance.name] = instance
        try:
            await instance.connect()
        except BaseException:
            instance.kill("it was stopped: nobody waits for it any more")
            raise
        if not instance.alive:
            raise PeerError(f"{instance.name} ended as soon as it was forked")
        return instance

    def _run(self, instance: Instance) -> None:
        task = asyncio.create_task(self._bring_up(instance), name=f"bring up {instance.name}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _bring_up(self, instance: Instance) -> None:
        """A fresh fork gets what it missed and its code; a main that is up serves."""
        code = self.code
        try:
            await self.replication.attach(InstanceReplica(instance))
            if code.revision:
                await instance.load(code)
            else:
                instance.run_bare()
            if self.code is not code and self.code.revision:
                await instance.reload(self.code)
        except Exception as error:  # noqa: BLE001 - one that is neither up nor dead would serve nobody, for ever
            text = str(error) if isinstance(error, OError) else f"{type(error).__name__}: {error}"
            if not instance.killed_by_us.startswith(NO_FAULT):  # else it says nothing of the code
                self._listener.failed(instance.name, messages.Failed(what="genome", text=text))
            instance.kill(text)
            return
        self._health.watch(instance.name)
        if instance is self.main:
            self._listener.serving(instance, False)
            self._main_answers.set()
        elif instance is self.standby and self.main is not None and self.main.state != "running":
            await self._overtake(instance, self.main)

    async def _overtake(self, standby: Instance, main: Instance) -> None:
        """A main that hangs while it comes up is not waited for as long as one that nobody could stand in for."""
        await main.up(OVERTAKE_S)
        if self.standby is standby and self.main is main and main.state != "running":
            main.kill("a standby took over: it came up later and is up")

    def _promote(self) -> None:
        """The standby is main from now on; one that still comes up serves as soon as it is up."""
        standby = self.standby
        if standby is None or not standby.alive:
            return
        standby.role = "main"
        standby.send(messages.RoleChange(role="main"))
        self.main, self.standby = standby, None
        self._main_answers.clear()
        if standby.state == "running":
            self._listener.serving(standby, True)
        taken = self._handles.pop(standby.name, None)
        if taken is not None and not taken.done():
            taken.set_result(ExitReason("shutdown", "it is main now"))

    def _handle(self, instance: Instance) -> InstanceHandle:
        exited: asyncio.Future[ExitReason] = asyncio.get_running_loop().create_future()
        self._handles[instance.name] = exited

        def ended(status: asyncio.Future[int]) -> None:
            if not exited.done():
                exited.set_result(exit_reason(status.result(), instance.cause))

        instance.exited.add_done_callback(ended)
        return InstanceHandle(instance.pid, exited, instance.stop)

    def _frame(self, instance: Instance, frame: frames.Frame) -> None:
        if instance is self.main:
            self._main_answers.set()
        if isinstance(frame.data, messages.Failed):
            self._listener.failed(instance.name, frame.data)
        else:
            self._listener.frame(instance, frame)

    def _ended(self, instance: Instance) -> None:
        self._handles.pop(instance.name, None)
        self._health.forget(instance.name)
        self._listener.ended(instance)
        # its status comes from the nursery, unless that has died too
        asyncio.get_running_loop().call_later(FORGET_S, self.instances.pop, instance.name, None)
        if instance is self.main:
            self.main = None
            self._main_answers.set()  # nobody waits for this one any more
            self._promote()
        elif instance is self.standby:
            self.standby = None
        elif instance is self.canary:
            self.canary = None

    def _reaped(self, name: str, status: int) -> None:
        instance = self.instances.pop(name, None)
        if instance is not None:
            instance.reaped(status)
            self._listener.reaped(instance, status)
