"""Single bits flip in everything that the storage keeps: each is found or harmless, and what can be is mended."""

from __future__ import annotations

import asyncio
import os
import random
import shutil
import sqlite3
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from o_tui.guardian import doctor
from o_tui.guardian.storage.audit import Audit
from o_tui.guardian.storage.database import Database
from o_tui.guardian.storage.eventlog import EventLog
from o_tui.guardian.storage.journal import Journal, Request
from o_tui.guardian.storage.rows import TABLES
from o_tui.guardian.storage.vault import Vault
from o_tui.guardian.storage.wal import Wal
from o_tui.paths import Paths, locate
from o_tui.protocol import checkpoint
from o_tui.protocol.errors import OError

_COUNTED = ("wal", "requests", "answers", "approvals", "checkpoints", "checkpoint_parts", "evolutions")


async def fill(paths: Paths, *, clean: bool) -> None:
    """A workspace with something in every table; without `clean` it is left as after a kill: all in the -wal file."""
    database = Database.open(paths, segment_bytes=16 * 1024)
    database.start()
    wal = Wal(database)
    vault, journal, events, audit = Vault(database), Journal(database, wal), EventLog(database), Audit(database)
    await journal.load()
    for number in range(40):
        await _request(journal, f"request-{number}")
        for position in range(3):
            await wal.append_one(f"request-{number}", position, "turn_add", os.urandom(200))
        events.add("test", "row", "info", f"event {number}")
        if number % 20 == 19:
            await _checkpoint(vault, wal)
            await audit.approve_row(
                who="me",
                uid=1000,
                how="socket peer",
                place="local",
                verdict="approved",
                evolution="e",
                base="",
                revision="r",
                diff_sha256="d",
                evidence_sha256="e",
                reason="",
            )
    if clean:
        await database.close()
    else:
        await _abandon(database)


async def _request(journal: Journal, request_id: str) -> None:
    loop = asyncio.get_running_loop()
    accepted: asyncio.Future[Any] = loop.create_future()
    journal.accept(Request(request_id, "what did I say?"), accepted.set_result)
    assert await accepted is None
    ended: asyncio.Future[Any] = loop.create_future()
    journal.finish(request_id, "done", "this and that", "", 1.5, False, ended.set_result)
    assert await ended is None


async def _checkpoint(vault: Vault, wal: Wal) -> None:
    pending = await vault.begin(uuid.uuid4(), "test")
    header = checkpoint.Header(uuid.UUID(pending.id), time.time_ns(), wal.seq, 0, 0, b"", wal.digest)
    with os.fdopen(os.dup(pending.fd), "wb") as file:
        checkpoint.write(file, {"meta": b"1", "memory": os.urandom(30_000)}, header)
    await vault.commit(pending)


async def _abandon(database: Database) -> None:
    """Copies the files as a kill would leave them, then closes, and puts the copy in place."""
    await database.write(lambda _connection: None)
    data = database.paths.data
    copy = data.with_name(data.name + "-killed")
    shutil.copytree(data, copy)
    await database.close()
    shutil.rmtree(data)
    copy.rename(data)


def contents(paths: Paths) -> dict[str, list[tuple[Any, ...]]]:
    """All rows, for comparison."""
    connection = sqlite3.connect(paths.database)
    try:
        found = {}
        for name in _COUNTED:
            table = TABLES[name]
            columns = ", ".join(table.columns)
            found[name] = connection.execute(f"SELECT {columns} FROM {name} ORDER BY 1, 2").fetchall()
        return found
    finally:
        connection.close()


def flip(file: Path, bit: int) -> None:
    raw = bytearray(file.read_bytes())
    raw[bit // 8] ^= 1 << bit % 8
    file.write_bytes(raw)


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    paths = locate(str(tmp_path_factory.mktemp("killed") / "w"))
    paths.prepare()
    asyncio.run(fill(paths, clean=False))
    return paths.data


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> Path:
    paths = locate(str(tmp_path_factory.mktemp("clean") / "w"))
    paths.prepare()
    asyncio.run(fill(paths, clean=True))
    return paths.data


def _flips(original: Path, pattern: str, count: int, seed: int, folder: Path) -> Iterator[tuple[Paths, Path, int]]:
    """Copies of a workspace, each with one flipped bit."""
    choose = random.Random(seed)
    files = [file.relative_to(original) for file in sorted(original.glob(pattern))]
    assert files
    for number in range(count):
        data = folder / f"flip-{number}"
        shutil.copytree(original, data)
        file = data / choose.choice(files)
        bit = choose.randrange(_live_bytes(file) * 8)
        flip(file, bit)
        yield locate(str(data)), file, bit
        shutil.rmtree(data)


def _live_bytes(file: Path) -> int:
    """Of a -wal file the frames of its present generation: what is behind them is left over from earlier ones."""
    raw = file.read_bytes()
    if not file.name.endswith("-wal"):
        return len(raw)
    frame = 24 + int.from_bytes(raw[8:12], "big")
    end = 32
    while end + frame <= len(raw) and raw[end + 8 : end + 16] == raw[16:24]:
        end += frame
    return end


def _mended(paths: Paths) -> list[str]:
    return [finding.text for finding in doctor.mend(paths)]


@pytest.mark.parametrize(
    ("pattern", "count", "harmless"),
    [
        ("o.db-wal", 140, 10),  # a bit of the shadow of an index page that a later frame writes again
        ("wal/wal_*.log", 60, 0),
        ("wal/head", 30, 0),
        ("wal/rows_*.log", 30, 0),
    ],
)
def test_a_flipped_bit_beside_a_killed_database_loses_nothing(
    killed: Path, folder: Path, pattern: str, count: int, harmless: int
) -> None:
    wanted = contents(_copy(killed, folder / "wanted"))
    unnoticed = []
    for paths, file, bit in _flips(killed, pattern, count, 1, folder):
        before = _bad(paths)
        findings = _mended(paths)
        assert contents(paths) == wanted, (file.name, bit, findings)
        if not findings and not before:
            unnoticed.append(bit)
        assert not _bad(paths), (file.name, bit, findings)
    assert len(unnoticed) <= harmless, unnoticed


def _copy(original: Path, target: Path) -> Paths:
    shutil.copytree(original, target)
    return locate(str(target))


def _bad(paths: Paths) -> list[str]:
    return [f"{check['name']}: {check['detail']}" for check in doctor.checks(paths) if not check["ok"]]


def test_a_flipped_bit_in_the_database_is_found_and_mended(clean: Path, folder: Path) -> None:
    wanted = contents(_copy(clean, folder / "wanted"))
    refused = lost = 0
    for paths, _file, bit in _flips(clean, "o.db", 110, 2, folder):
        before = _bad(paths)
        try:
            findings = _mended(paths)
        except OError as error:
            refused += 1
            assert str(error)
            continue
        after = contents(paths)
        if after != wanted:
            lost += 1
            assert findings, (bit, "something changed in silence")
            assert before, (bit, "the doctor did not see it")
        for name in ("wal", "checkpoints", "approvals", "requests", "answers"):
            assert after[name] == wanted[name], (name, bit, findings)
        assert not _bad(paths), (bit, findings)
    assert refused <= 3  # only the header's application_id and user_version
    assert lost == 0


def test_a_flipped_bit_in_a_checkpoint_is_found_and_mended_from_the_rows(clean: Path, folder: Path) -> None:
    wanted = contents(_copy(clean, folder / "wanted"))
    for paths, file, bit in _flips(clean, "checkpoints/*.ckpt", 30, 3, folder):
        good = (clean / "checkpoints" / file.name).read_bytes()
        findings = _mended(paths)
        assert any("is damaged" in text for text in findings), (bit, findings)
        assert file.read_bytes() == good
        assert contents(paths) == wanted
        assert list((paths.data / "quarantine").iterdir())
