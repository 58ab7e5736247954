"""When checkpoints are taken, proven and restored, and how far the log may be cut behind them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

from o_tui.config import VaultConfig
from o_tui.guardian.background import Tell
from o_tui.guardian.dispatch import Dispatch
from o_tui.guardian.fleet.fleet import Fleet
from o_tui.guardian.fleet.lifecycle import Lifecycle
from o_tui.guardian.proving import prove
from o_tui.guardian.storage.stores import Stores
from o_tui.protocol import messages, operations
from o_tui.protocol.errors import OError, PeerError

LOOK_S = 1.0
RETRY_S = 10.0
"""Least time between one that could not be taken and the next try."""
CUT_ENTRIES = 20_000
"""Entries that the log may hold before proving a checkpoint, to cut behind it, is worth its price."""


class Checkpointing:
    """The guardian's checkpoints; one is taken at a time."""

    def __init__(
        self,
        stores: Stores,
        fleet: Fleet,
        dispatch: Dispatch,
        lifecycle: Lifecycle,
        *,
        settings: Callable[[], VaultConfig],
        tell: Tell,
        publish: Callable[[str, dict[str, Any]], None],
    ) -> None:
        self._stores = stores
        self._fleet = fleet
        self._dispatch = dispatch
        self._lifecycle = lifecycle
        self._settings = settings
        self._tell = tell
        self._publish = publish
        self._taking = asyncio.Lock()
        self._restoring = asyncio.Lock()
        self._last_seq: int | None = None
        self._last_ns = time.monotonic_ns()
        self._retry_ns = 0

    async def take(self, reason: str) -> dict[str, Any]:
        """Takes a checkpoint; returns its row.

        Raises:
            OError: It could not be taken; nothing was changed.
        """
        async with self._taking:
            row = await self._fleet.snapshot(reason)
        self._tell("vault", "checkpoint", "info", f"checkpoint {row['id'][:8]} written: {reason}", {"id": row["id"]})
        self._publish("checkpoint", {"action": "created", "row": row})
        return row

    async def restore(self, checkpoint_id: str) -> dict[str, Any]:
        """The agent's state becomes a checkpoint's. Nothing is lost: it is an operation in the log like any other.

        Raises:
            NotFoundError: There is no such checkpoint.
            OError: No copy of it is good, or it could not be done; the text says what the state is.
        """
        async with self._restoring:
            row = await self._stores.vault.get(checkpoint_id)
            name = row["id"][:8]
            report = await self._stores.vault.verify(row["id"])
            if not report["usable"]:
                raise OError(f"checkpoint {name} is damaged: {report['problems'][0]}", hint="choose another one")
            try:
                await self.take(f"before restoring {name}")
            except OError as error:
                text = f"nothing was changed, because the present state could not be kept first: {error}"
                raise PeerError(text, hint=error.hint or "try again") from error
            self._dispatch.hold()
            try:
                await self._replace(row)
            finally:
                self._dispatch.release()
        self._tell("vault", "restore", "warning", f"the state is that of checkpoint {name} now", {"id": row["id"]})
        self._publish("checkpoint", {"action": "restored", "row": row})
        try:
            await self.take(f"restored {name}")
        except OError as error:
            # what was asked for is done, and is in the log: one more copy of it can wait
            self._tell("vault", "checkpoint", "error", f"{name} is restored, but no checkpoint of that: {error}")
        return row

    async def _replace(self, row: dict[str, Any]) -> None:
        """From here on it is the state for every replica, whoever dies meanwhile."""
        await self._dispatch.drain(5.0)
        self._dispatch.take_back()
        operation = operations.StateRestore(checkpoint_id=row["id"], checkpoint_seq=row["seq"])
        seq = await self._stores.wal.append_one("", 0, *operations.pack(operation))
        try:
            digest = await self._stores.wal.digest_at(seq)
            await self._fleet.replace_all(messages.Restore(checkpoint_id=row["id"], seq=seq, digest=digest))
        except OError as error:
            text = f"that checkpoint {row['id'][:8]} is the state is in the log, but nobody has taken it yet: {error}"
            raise PeerError(text, hint="the instances are started with it as soon as they can be") from error
        await self._lifecycle.enter(self._lifecycle.state, again=True)

    async def look(self) -> None:
        """Called again and again: takes one every so often, or after so many operations; cuts the log behind them."""
        settings, now_ns = self._settings(), time.monotonic_ns()
        if self._last_seq is None:
            self._last_seq = await self._stores.vault.newest_seq()
        behind = self._stores.wal.seq - self._last_seq
        due = now_ns - self._last_ns >= settings.interval_s * 1e9
        if behind <= 0 or not (due or behind >= settings.operations) or self._stores.database.read_only:
            return
        if now_ns < self._retry_ns:
            return
        self._retry_ns = now_ns + int(RETRY_S * 1e9)
        try:
            row = await self.take("every so often" if due else f"{behind} operations")
        except OError as error:
            self._tell("vault", "checkpoint", "error", f"no checkpoint could be taken: {error}")
            return
        self._last_seq, self._last_ns, self._retry_ns = row["seq"], now_ns, 0
        try:
            await self._stores.vault.retain(settings.keep)
            await self.cut(row)
        except OError as error:
            self._tell("vault", "checkpoint", "error", f"nothing older than {row['id'][:8]} was removed: {error}")

    async def cut(self, newest: dict[str, Any]) -> None:
        """Cuts the log behind the oldest checkpoint that is kept, once a fresh process has proven a newer one."""
        wal, vault = self._stores.wal, self._stores.vault
        if (
            await vault.oldest_seq() - await wal.first_seq() < CUT_ENTRIES
            and wal.seq - await wal.first_seq() < 2 * CUT_ENTRIES
        ):
            return
        await prove(self._fleet, self._stores, newest)
        cut = await wal.compact(await vault.oldest_seq())
        if cut:
            self._tell("wal", "cut", "info", f"{cut} entries behind the oldest checkpoint were cut off the log")
