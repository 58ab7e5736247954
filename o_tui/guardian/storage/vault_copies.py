"""The two copies of a checkpoint: a bad one goes into the quarantine and is written again from the good one."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

from o_tui.guardian.storage import vault_bases, vault_files
from o_tui.guardian.storage.database import Database
from o_tui.guardian.storage.findings import Finding, quarantine
from o_tui.guardian.storage.rows import CHECKPOINTS, PARTS
from o_tui.protocol import checkpoint
from o_tui.protocol.errors import CorruptError, NotFoundError, OError


class Copies:
    """File and rows of checkpoints; `tell` hears of every damage."""

    def __init__(self, database: Database, tell: Callable[[Finding], None]) -> None:
        self._database = database
        self._folder = database.paths.checkpoints
        self._tell = tell

    async def open_fd(self, row: dict[str, Any]) -> int:
        """A descriptor of a verified copy, at its start: the file, else the rows. The caller closes it.

        A bad copy goes into the quarantine and is written again from the good one.

        Raises:
            CorruptError: No copy is good.
        """
        path = vault_files.file_of(self._folder, row["id"], row["origin"])
        try:
            return await asyncio.to_thread(vault_files.open_checked, path, row["id"])
        except (CorruptError, OSError) as error:
            problem = await asyncio.to_thread(self._put_aside, path, error)
        try:
            descriptor = await self._database.call_reader(
                lambda connection: vault_files.spool_rows(connection, self._folder, row["id"])
            )
        except (CorruptError, NotFoundError) as error:
            text = f"checkpoint {row['id']}: {problem}; {error}: no copy is good"
            self._tell(Finding("checkpoint", text, "error"))
            raise CorruptError(text, hint="choose another checkpoint") from error
        try:
            await asyncio.to_thread(vault_files.copy_to, descriptor, path)
        except (OSError, OError):
            problem += "; it could not be written again"
        self._tell(Finding("checkpoint", f"checkpoint {row['id']}: {problem}; read from the database"))
        return descriptor

    async def open_fds(self, row: dict[str, Any]) -> list[int]:
        """Descriptors as `open_fd` gives them: of the checkpoint, and of its base where it is a delta.

        Raises:
            CorruptError: Of one of them no copy is good.
        """
        base = await vault_bases.row_of(self._database, row)
        descriptors = [await self.open_fd(row)]
        try:
            if base is not None:
                descriptors.append(await self.open_fd(base))
        except BaseException:
            os.close(descriptors[0])
            raise
        return descriptors

    async def open_whole(self, row: dict[str, Any]) -> int:
        """A descriptor of a full checkpoint: what a delta stands for is written into a file without a name.

        Raises:
            CorruptError: No copy is good.
            OSError: The disk does not take it.
        """
        descriptors = await self.open_fds(row)
        if len(descriptors) == 1:
            return descriptors[0]
        return await asyncio.to_thread(vault_files.flattened, descriptors, self._folder)

    def _put_aside(self, path: Path, error: Exception) -> str:
        if not path.exists():
            return "its file is missing"
        kept = quarantine(self._database.paths.data, path)
        return f"its file is damaged ({error}), kept as {kept.name}"

    async def verify(self, row: dict[str, Any]) -> tuple[list[str], bool]:
        """Checks both copies and replaces a bad one; returns what was wrong, and whether a good copy is there now."""
        name, parts = row["id"], row["parts"]
        problems: list[str] = []

        def collect(finding: Finding) -> None:
            problems.append(finding.text)
            self._tell(finding)

        try:
            descriptors = await Copies(self._database, collect).open_fds(row)
            await asyncio.to_thread(read_sections, descriptors)
        except CorruptError as error:
            return problems or [f"checkpoint {name}: {error}"], False
        try:
            spooled = await self._database.call_reader(
                lambda connection: vault_files.spool_rows(connection, self._folder, name)
            )
            os.close(spooled)
        except (CorruptError, NotFoundError) as error:
            problems.append(f"checkpoint {name}: its rows are damaged ({error}), written again from the file")
            if not isinstance(error, NotFoundError) or parts:
                self._tell(Finding("checkpoint", problems[-1]))
            await self.store_body(name, row["origin"])
        return problems, True

    async def store_body(self, checkpoint_id: str, origin: str) -> None:
        """Copies the file into rows of 64 KiB, between the batches of the log."""
        path = vault_files.file_of(self._folder, checkpoint_id, origin)
        await self._database.slice(
            lambda connection: connection.execute(
                "DELETE FROM checkpoint_parts WHERE checkpoint_id = ?", (checkpoint_id,)
            )
        )
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        part = 0

        def store(connection: sqlite3.Connection) -> bool:
            data = os.pread(descriptor, vault_files.PART_BYTES, part * vault_files.PART_BYTES)
            if data:
                PARTS.put(connection, (checkpoint_id, part, data))
            return bool(data)

        try:
            while await self._database.slice(store):
                part += 1
        finally:
            os.close(descriptor)
        await self.change(checkpoint_id, parts=part)

    async def change(self, checkpoint_id: str, **fields: int) -> None:
        """Changes columns of a row, durably; raises NotFoundError."""

        def job(connection: Any) -> None:
            sql = f"SELECT {CHECKPOINTS.all_columns} FROM checkpoints WHERE id = ?"
            row = connection.execute(sql, (checkpoint_id,)).fetchone()
            if row is None:
                raise NotFoundError(f"there is no checkpoint {checkpoint_id}")
            values = {**CHECKPOINTS.as_dict(row), **fields}
            self._database.replace(connection, CHECKPOINTS, [values[name] for name in CHECKPOINTS.columns])

        await self._database.write(job)


def read_sections(descriptors: list[int]) -> tuple[checkpoint.Header, dict[str, tuple[int, bytes]]]:
    """The header and name -> (size, SHA-256) of a checkpoint, all of it verified; closes the descriptors."""
    with contextlib.ExitStack() as stack:
        files = [stack.enter_context(os.fdopen(descriptor, "rb")) for descriptor in descriptors]
        header, sections = checkpoint.inspect(*files)
    return header, {section.name: (section.size, section.sha256) for section in sections}
