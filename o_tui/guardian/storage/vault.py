"""The vault: checkpoints twice, as rows of the database and as `.ckpt` files."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import time
import uuid
from collections.abc import Callable
from typing import Any, TypeAlias

from o_tui.guardian.storage import chainwork, vault_bases, vault_files
from o_tui.guardian.storage.database import Database
from o_tui.guardian.storage.findings import Finding, quarantine
from o_tui.guardian.storage.plan import Known, RecoveryPlan, Restored, needed, plans
from o_tui.guardian.storage.rows import CHECKPOINTS
from o_tui.guardian.storage.vault_copies import Copies, read_sections
from o_tui.guardian.storage.vault_files import Pending
from o_tui.paths import named
from o_tui.protocol import checkpoint
from o_tui.protocol.errors import CorruptError, NotFoundError, OError, PeerError, RefusedError, UsageError

Rows: TypeAlias = list[dict[str, Any]]
Plans: TypeAlias = list[RecoveryPlan]
Names: TypeAlias = list[str]
Descriptors: TypeAlias = list[int]
Restores: TypeAlias = list[Restored]
UNDELETE_S = 600.0
"""How long a deleted checkpoint can be taken back."""


class Vault:
    """Checkpoints on a database.

    Attributes:
        on_finding: Called on the loop with what was found damaged, and what was done about it.
    """

    def __init__(self, database: Database) -> None:
        self.on_finding: Callable[[Finding], None] = database.findings.append
        self._database = database
        self._folder = database.paths.checkpoints
        self._copies = Copies(database, self._tell)
        self._scanned = False

    # --- taking one

    async def begin(
        self, checkpoint_id: uuid.UUID | None = None, reason: str = "", *, over_base: bool = False
    ) -> Pending:
        """Opens a temporary file for a new checkpoint, and what it may be a delta of, if that is wanted.

        Raises:
            PeerError: The disk does not take it.
        """
        name = str(checkpoint_id or uuid.uuid4())
        try:
            descriptor, path = await asyncio.to_thread(vault_files.create_temporary, self._folder, name)
        except OSError as error:
            raise _disk(error) from error
        pending = Pending(name, reason, descriptor, path)
        try:
            if over_base and (base := await vault_bases.choose(self._database)):
                # verified, and mended if need be: nothing new stands on what is damaged
                pending.base_fd, pending.base_digest = await self._copies.open_fd(base), base["digest"]
        except CorruptError:
            pass  # it has been told, and a full one is taken
        except BaseException:
            await self.abandon(pending)
            raise
        return pending

    async def commit(self, pending: Pending, *, origin: str = "own") -> dict[str, Any]:
        """Verifies what was written, makes it durable as a file and as rows, and returns its row.

        Raises:
            CorruptError: The file is not a whole checkpoint; it is in the quarantine now.
            PeerError: The disk does not take it, or its writer ended too early; nothing of it stays.
        """
        try:
            header = await asyncio.to_thread(self._publish, pending, origin)
        except CorruptError as error:
            kept = await asyncio.to_thread(quarantine, self._database.paths.data, pending.path)
            self.on_finding(Finding("checkpoint", f"{error}; it is kept as {kept.name}", "error"))
            raise
        except OSError as error:
            pending.path.unlink(missing_ok=True)
            raise _disk(error) from error
        finally:
            pending.close()
        row = vault_files.row_of(header, pending.reason, origin)
        try:
            await self._database.write(lambda connection: self._take_in(connection, header, row))
            await self._copies.store_body(pending.id, origin)
        except OError:
            # without its row it would come back at the next start although its taker was told that it failed
            vault_files.file_of(self._folder, pending.id, origin).unlink(missing_ok=True)
            raise
        return await self.get(pending.id)

    async def abandon(self, pending: Pending) -> None:
        """Throws away what was written so far; harmless after `commit`."""
        pending.close()
        pending.path.unlink(missing_ok=True)

    def _take_in(self, connection: sqlite3.Connection, header: checkpoint.Header, row: tuple[Any, ...]) -> None:
        if header.is_delta:
            vault_bases.require(connection, header.base_digest)
        self._database.replace(connection, CHECKPOINTS, row)

    def _publish(self, pending: Pending, origin: str) -> checkpoint.Header:
        if pending.unfinished:
            pending.path.unlink(missing_ok=True)
            raise PeerError("the process that wrote the checkpoint ended before it was done", hint="is the disk full?")
        with os.fdopen(os.dup(pending.fd), "rb") as file:
            header = vault_files.check(file, pending.id)
        if header.is_delta and header.base_digest != pending.base_digest:
            raise CorruptError("a checkpoint is a delta of another base than the one it was given")
        vault_files.publish(pending.path, pending.fd, vault_files.file_of(self._folder, pending.id, origin))
        return header

    # --- looking

    async def list(self, limit: int = 200, *, deleted: bool = False) -> Rows:
        """Rows, newest first; those that are deleted but can be taken back only if asked for.

        A clock may jump, the log only grows: its numbers say which is newer. Imported ones, whose numbers are those of
        another log, come behind.
        """
        where = "1" if deleted else "deleted_ns = 0"
        order = "origin = 'own' DESC, iif(origin = 'own', seq, 0) DESC, time_ns DESC"
        sql = f"SELECT * FROM checkpoints WHERE {where} ORDER BY {order} LIMIT ?"
        rows = await self._database.read(sql, [limit])
        return await asyncio.to_thread(lambda: [vault_files.public(self._folder, row) for row in rows])

    async def get(self, id: str) -> dict[str, Any]:
        """One row by its id or the start of it; raises NotFoundError, UsageError (several begin so)."""
        return await asyncio.to_thread(vault_files.public, self._folder, await self._row(id))

    async def show(self, id: str) -> dict[str, Any]:
        """A row with its `sections` [{name, size_bytes}] and digests; raises CorruptError if no copy is good."""
        row = await self.get(id)
        header, sections = await asyncio.to_thread(read_sections, await self.open_fds(row["id"]))
        row["sections"] = [{"name": name, "size_bytes": size} for name, (size, _digest) in sections.items()]
        row["chain_digest"] = header.chain_digest.hex()
        return row

    async def compare(self, a: str, b: str) -> dict[str, Any]:
        """Two checkpoints beside each other: {a, b, seq_difference, same_revision, sections}.

        `sections`: [{name, a_bytes, b_bytes, equal}]; a size of -1: that one does not have the section.
        """
        first, second = await self.get(a), await self.get(b)
        _, ours = await asyncio.to_thread(read_sections, await self.open_fds(first["id"]))
        _, theirs = await asyncio.to_thread(read_sections, await self.open_fds(second["id"]))
        names = list(dict.fromkeys([*ours, *theirs]))
        none = (-1, b"")
        return {
            "a": first,
            "b": second,
            "seq_difference": second["seq"] - first["seq"],
            "same_revision": first["revision"] == second["revision"],
            "sections": [
                {
                    "name": name,
                    "a_bytes": ours.get(name, none)[0],
                    "b_bytes": theirs.get(name, none)[0],
                    "equal": ours.get(name) == theirs.get(name),
                }
                for name in names
            ],
        }

    # --- good copies

    async def open_fd(self, checkpoint_id: str) -> int:
        """A descriptor of a verified copy, at its start: the file, else the rows. The caller closes it.

        A bad copy goes into the quarantine and is written again from the good one.

        Raises:
            NotFoundError: There is no such checkpoint.
            CorruptError: No copy is good.
        """
        return await self._copies.open_fd(CHECKPOINTS.as_dict(await self._row(checkpoint_id)))

    async def open_fds(self, checkpoint_id: str) -> Descriptors:
        """Descriptors as `open_fd` gives them, the base's behind the checkpoint's where it is a delta; raises alike."""
        return await self._copies.open_fds(CHECKPOINTS.as_dict(await self._row(checkpoint_id)))

    async def verify(self, id: str = "") -> dict[str, Any]:
        """Checks both copies of a checkpoint (empty: of all) and replaces a bad one: {ok, usable, problems, checked}.

        `ok`: nothing was wrong. `usable`: each has a good copy now.
        """
        if id:
            rows = [CHECKPOINTS.as_dict(await self._row(id))]
        else:
            sql = "SELECT * FROM checkpoints WHERE deleted_ns = 0 ORDER BY seq"
            rows = [CHECKPOINTS.as_dict(row) for row in await self._database.read(sql)]
        problems: list[str] = []
        usable = True
        for row in rows:
            found, good = await self._copies.verify(row)
            problems += found
            usable = usable and good
        return {"ok": not problems, "usable": usable, "problems": problems, "checked": len(rows)}

    # --- changing

    async def pin(self, id: str, pinned: bool = True) -> dict[str, Any]:
        """A pinned one is never removed by age; returns its row."""
        return await self._changed(id, pinned=int(pinned))

    async def prove(self, id: str) -> dict[str, Any]:
        """An instance has loaded it and its state digest agreed: the log may be cut behind it."""
        return await self._changed(id, proven_ns=time.time_ns())

    async def delete(self, id: str) -> dict[str, Any]:
        """Marks it as deleted: `undelete` takes that back until `retain` removes it after ten minutes.

        Raises:
            RefusedError: It is pinned, or replaying the log needs it.
        """
        row = CHECKPOINTS.as_dict(await self._row(id))
        if row["pinned"]:
            raise RefusedError(f"checkpoint {row['id']} is pinned", hint="unpin it first")
        if row["id"] in needed(await self._restores()):
            raise RefusedError(f"checkpoint {row['id']} was restored: replaying the log needs it")
        return await self._changed(row["id"], deleted_ns=time.time_ns())

    async def undelete(self, id: str) -> dict[str, Any]:
        """Takes a deletion back; raises NotFoundError if it has been removed meanwhile."""
        return await self._changed(id, deleted_ns=0)

    async def _changed(self, id: str, **fields: int) -> dict[str, Any]:
        row = await self._row(id)
        await self._copies.change(str(row[0]), **fields)
        return await self.get(str(row[0]))

    async def retain(self, keep: int) -> int:
        """Removes own unpinned checkpoints beyond the newest `keep`, and what was deleted long enough ago.

        Those that replaying the log needs stay; the bases of deltas stay too, but count as deleted. Returns how many
        were removed.
        """
        sql = f"SELECT {CHECKPOINTS.all_columns} FROM checkpoints ORDER BY seq DESC, time_ns DESC"
        rows = [CHECKPOINTS.as_dict(row) for row in await self._database.read(sql)]
        old_ns = time.time_ns() - int(UNDELETE_S * 1e9)
        found = vault_bases.retained(rows, keep, needed(await self._restores()), old_ns)
        for row in found.hidden:
            await self._copies.change(row["id"], deleted_ns=time.time_ns())
        for row in found.removed:
            await self._remove(row["id"], row["origin"])
        return len(found.removed)

    async def _remove(self, checkpoint_id: str, origin: str) -> None:
        sql = (
            "DELETE FROM checkpoint_parts WHERE rowid IN "
            "(SELECT rowid FROM checkpoint_parts WHERE checkpoint_id = ? LIMIT 16)"
        )
        await self._database.write(lambda c: c.execute("DELETE FROM checkpoints WHERE id = ?", (checkpoint_id,)))
        path = vault_files.file_of(self._folder, checkpoint_id, origin)
        await asyncio.to_thread(path.unlink, missing_ok=True)
        while await self._database.slice(lambda c: c.execute(sql, (checkpoint_id,)).rowcount):
            pass

    # --- in and out

    async def export(self, id: str, path: str) -> dict[str, Any]:
        """Writes a verified checkpoint to a new file, 0600, a delta as the full one that it stands for.

        Returns its row with `path`.

        Raises:
            UsageError, RefusedError: That is no place for a file, or it exists.
        """
        row = await self.get(id)
        target = named(path)
        try:
            descriptor = await self._copies.open_whole(CHECKPOINTS.as_dict(await self._row(row["id"])))
        except OSError as error:
            raise _disk(error) from error
        try:
            await asyncio.to_thread(vault_files.copy_to, descriptor, target)
        except OSError as error:
            raise _disk(error) from error
        finally:
            os.close(descriptor)
        return {**row, "path": str(target)}

    async def import_(self, path: str) -> dict[str, Any]:
        """Takes a `.ckpt` file into the vault, after checking every digest in it; returns its row.

        It can be restored, but recovery does not start from it by itself: its numbers are those of another log.

        Raises:
            NotFoundError, RefusedError: No such file; or a different checkpoint has its id.
            CorruptError: It is not a whole checkpoint of this version.
        """
        source = named(path)
        header, descriptor = await asyncio.to_thread(vault_files.read_foreign, source)
        try:
            name = str(header.checkpoint_id)
            known = await self._database.read("SELECT digest FROM checkpoints WHERE id = ?", [name])
            if known:
                if known[0][0] != header.data_sha256 and not await self._same_content(name, descriptor):
                    raise RefusedError(f"another checkpoint has the id {name} of {source.name}")
                return await self.undelete(name)
            pending = await self.begin(header.checkpoint_id, f"imported from {source.name}")
            try:
                await asyncio.to_thread(vault_files.copy_bytes, descriptor, pending.fd)
            except OSError as error:
                await self.abandon(pending)
                raise _disk(error) from error
        finally:
            os.close(descriptor)
        return await self.commit(pending, origin="imported")

    async def _same_content(self, id: str, descriptor: int) -> bool:
        """A delta that was exported comes back as a full one."""
        _, ours = await asyncio.to_thread(read_sections, await self.open_fds(id))
        _, theirs = await asyncio.to_thread(read_sections, [os.dup(descriptor)])
        return ours == theirs

    # --- recovery

    async def recovery_plans(self) -> Plans:
        """Ways to the newest state, best first. After all of them: the empty state and the whole log.

        A plan without a checkpoint is listed only if its state has a number (`seq`), or something is lost on it.
        Good files that the database does not know are taken into it first.
        """
        if not self._scanned:
            await self._scan()
        rows = await self._database.read(
            "SELECT id, seq, origin FROM checkpoints WHERE deleted_ns = 0 OR origin = 'own'"
        )
        known = [Known(str(row[0]), int(row[1]), row[2] == "own") for row in rows]
        base_seq, base_digest = await self._database.call_reader(chainwork.base_of)
        found = plans(known, await self._restores(), base_seq, base_digest)
        return [plan for plan in found if plan.checkpoint_id or plan.problem]

    async def candidates(self) -> Names:
        """Ids of the checkpoints that a state can be recovered from, newest first."""
        return [plan.checkpoint_id for plan in await self.recovery_plans() if plan.checkpoint_id]

    async def newest_seq(self) -> int:
        """The entry of the newest own checkpoint; 0 without one."""
        rows = await self._database.read("SELECT coalesce(max(seq), 0) FROM checkpoints WHERE origin = 'own'")
        return int(rows[0][0])

    async def oldest_seq(self) -> int:
        """Up to which entry the log may be cut: the oldest own checkpoint that is kept by age.

        0 as long as no checkpoint from there on has been proven (`prove`). Pinned ones do not hold the log.
        """
        sql = "SELECT coalesce(min(seq), 0) FROM checkpoints WHERE origin = 'own' AND pinned = 0 AND deleted_ns = 0"
        ((oldest,),) = await self._database.read(sql)
        sql = "SELECT count(*) FROM checkpoints WHERE origin = 'own' AND deleted_ns = 0 AND proven_ns > 0 AND seq >= ?"
        ((proven,),) = await self._database.read(sql, [oldest])
        return int(oldest) if proven else 0

    async def _restores(self) -> Restores:
        return [Restored(*row) for row in await self._database.call_reader(chainwork.restores)]

    async def _scan(self) -> None:
        adopted = await self._database.write(lambda connection: vault_files.adopt(connection, self._folder))
        if adopted:
            self.on_finding(Finding("checkpoint", f"{adopted} checkpoint files were not in the database"))
        for stale in await asyncio.to_thread(lambda: list(self._folder.glob("*.tmp"))):
            stale.unlink(missing_ok=True)
        self._scanned = True

    # --- inside

    def _tell(self, finding: Finding) -> None:
        self.on_finding(finding)

    async def _row(self, id: str) -> tuple[Any, ...]:
        rows = await self._database.read("SELECT * FROM checkpoints WHERE id = ?", [id])
        if not rows and len(id) >= 4:
            escaped = id.replace("*", "").replace("?", "").replace("[", "")
            rows = await self._database.read("SELECT * FROM checkpoints WHERE id GLOB ? LIMIT 2", [escaped + "*"])
        if not rows:
            raise NotFoundError(f"there is no checkpoint {id}", hint="o-tui checkpoint list")
        if len(rows) > 1:
            raise UsageError(f"several checkpoints begin with {id}", hint="give more of the id")
        if not CHECKPOINTS.intact(rows[0]):
            raise CorruptError(f"the row of checkpoint {id} is damaged", hint="run: o-tui doctor")
        return rows[0]


def _disk(error: OSError) -> PeerError:
    return PeerError(f"the disk does not take it: {error.strerror}", hint="free space or mend the disk")
