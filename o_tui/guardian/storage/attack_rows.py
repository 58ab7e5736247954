"""The archive of attacks: one row for each fault that was ever found, oldest first."""

from __future__ import annotations

import sqlite3
import time

import msgspec

from o_tui.evolution.attacks import Attack
from o_tui.guardian.storage.database import Database
from o_tui.guardian.storage.rows import ATTACKS
from o_tui.protocol.errors import CorruptError

MOST = 200
"""So many are tried on a candidate, the newest: at a millisecond each."""
_FURTHER = "~"
"""Stands behind the signature of a further input, before its number."""
_SAME = f"SELECT data FROM attacks WHERE signature = ? OR substr(signature, 1, length(?) + 1) = ? || '{_FURTHER}'"
_encode = msgspec.msgpack.Encoder().encode


def _arguments(data: bytes) -> str:
    """Of a kept attack; "" where it cannot be read: `of` says so."""
    try:
        return msgspec.msgpack.decode(data, type=Attack).arguments
    except msgspec.DecodeError:
        return ""


class AttackRows:
    """Appends what is new, reads what a gene has to stand."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, attack: Attack, *, again: bool = False) -> bool:
        """Keeps an attack; False: one that shows the same is kept already.

        `again`: it was found in code that stands those with its signature: it is kept beside them, its input once.
        """

        def job(connection: sqlite3.Connection) -> bool:
            known = [row[0] for row in connection.execute(_SAME, [attack.signature] * 3)]
            if known and not (again and attack.arguments not in map(_arguments, known)):
                return False
            name = attack.signature + (f"{_FURTHER}{len(known) + 1}" if known else "")
            (last,) = connection.execute("SELECT coalesce(max(number), 0) FROM attacks").fetchone()
            row = (last + 1, time.time_ns(), attack.gene, name, _encode(attack))
            self._database.insert(connection, ATTACKS, [row])
            return True

        return await self._database.write(job)

    async def of(self, gene: str, limit: int = MOST) -> list[Attack]:
        """The newest attacks of a gene, oldest first. Raises CorruptError."""
        sql = f"SELECT {ATTACKS.all_columns} FROM attacks WHERE gene = ? ORDER BY number DESC LIMIT ?"
        found = []
        for row in await self._database.read(sql, [gene, limit]):
            try:
                found.append(msgspec.msgpack.decode(ATTACKS.as_dict(row)["data"], type=Attack))
            except msgspec.DecodeError as error:
                raise CorruptError(f"attack {row[0]} cannot be read: {error}") from error
        return found[::-1]
