"""A disk that is full, read-only, locked or somebody else's: one clear error, nothing acknowledged, then on again."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from o_tui.guardian.storage import schema
from o_tui.guardian.storage.database import Database, FencedError
from o_tui.guardian.storage.wal import Wal
from o_tui.paths import Paths, locate
from o_tui.protocol.errors import BusyError, PeerError, RefusedError
from tests.support.patience import PATIENCE_S

ROOT = Path(__file__).parents[2]


def _child(*words: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.support.storage_child", *words]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT, text=True)


@contextmanager
def _mounted(folder: Path, options: str) -> Iterator[None]:
    folder.mkdir(exist_ok=True)
    mount = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("a file system can only be mounted by root")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_file_that_may_not_grow_makes_it_read_only_until_it_may(workspace: Paths) -> None:
    output, _ = _child("starve", str(workspace.data), "600000").communicate(timeout=PATIENCE_S)
    lines = [line.split() for line in output.splitlines()]
    kinds = [words[0] for words in lines]
    before = kinds[: kinds.index("refused")]
    assert before.count("entry") > 3
    assert ["refused", "69"] in [words[:2] for words in lines]
    assert ["read_only", "1"] in lines
    states = [words[1] for words in lines if words[0] == "state"]
    assert states == ["1", "0"]
    assert lines[-1] == ["verified", "1"]
    seqs = [int(words[1]) for words in lines if words[0] == "entry"]
    assert seqs == list(range(1, len(seqs) + 1))
    database = Database.open(workspace)
    assert (database.findings, database.opened.seq) == ([], seqs[-1])
    database.close_blocking()


async def test_a_full_disk_acknowledges_nothing_and_goes_on_when_there_is_room(folder: Path) -> None:
    with _mounted(folder / "disk", "size=4m"):
        paths = locate(str(folder / "disk" / "w"))
        paths.prepare()
        database = Database.open(paths)
        states: asyncio.Queue[bool] = asyncio.Queue()
        database.start(lambda read_only, _text: states.put_nowait(read_only))
        wal = Wal(database)
        ballast = folder / "disk" / "ballast"
        ballast.write_bytes(bytes(5 << 19))
        with pytest.raises(PeerError, match="full"):
            while True:
                await wal.append_one("r", 0, "turn_add", os.urandom(30_000))
        last = wal.seq
        assert await states.get() is True
        assert database.read_only
        with pytest.raises(PeerError):
            await wal.append_one("r", 0, "turn_add", b"refused at once")
        ballast.unlink()
        assert await asyncio.wait_for(states.get(), PATIENCE_S) is False
        assert await wal.append_one("r", 0, "turn_add", b"again") == last + 1
        assert (await wal.verify())["ok"]
        await database.close()
        again = Database.open(paths)
        assert (again.findings, again.opened.seq) == ([], last + 1)
        again.close_blocking()


def test_a_disk_that_is_full_at_the_start_damages_nothing(folder: Path) -> None:
    with _mounted(folder / "disk", "size=2m"):
        paths = locate(str(folder / "disk" / "w"))
        paths.prepare()
        Database.open(paths).close_blocking()
        before = paths.database.read_bytes()
        ballast = folder / "disk" / "ballast"
        with ballast.open("wb", buffering=0) as file, contextlib.suppress(OSError):
            while file.write(bytes(4_096)):
                pass
        with pytest.raises(PeerError, match="full"):
            Database.open(paths)
        assert paths.database.read_bytes() == before
        ballast.unlink()
        database = Database.open(paths)
        assert database.findings == []
        database.close_blocking()


def test_commands_on_a_full_disk_say_so_and_end_with_69(folder: Path) -> None:
    with _mounted(folder / "disk", "size=40m"):
        place = ["--data-dir", str(folder / "disk" / "w")]

        def o_tui(*words: str) -> subprocess.CompletedProcess[str]:
            command = [sys.executable, "-m", "o_tui", *words, *place]
            return subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=False)

        try:
            assert o_tui("status", "--keep").returncode == 0
            assert o_tui("say", "the boat is called Marina").returncode == 0
            assert o_tui("checkpoint", "create").returncode == 0
            with (folder / "disk" / "ballast").open("wb", buffering=0) as file, contextlib.suppress(OSError):
                while file.write(bytes(4_096)):
                    pass
            for words in (("say", "x" * 9000), ("memory", "add", "x" * 9000), ("checkpoint", "create")):
                done = o_tui(*words)
                assert (done.returncode, done.stderr.count("\n")) == (69, 1), (words, done)
            assert o_tui("memory", "list").returncode == 0
            done = o_tui("doctor", "--json")
            wrong = {row["name"] for row in json.loads(done.stdout)["checks"] if not row["ok"]}
            assert done.returncode == 1 and "space" in wrong and not done.stderr
            assert o_tui("wal", "verify").returncode == 0
        finally:
            (folder / "disk" / "ballast").unlink(missing_ok=True)
            o_tui("stop")


def test_a_locked_database_is_refused_by_name(workspace: Paths) -> None:
    Database.open(workspace).close_blocking()
    child = _child("hold", str(workspace.data))
    assert child.stdout is not None
    assert child.stdout.readline() == "held\n"
    with pytest.raises(BusyError, match=rf"pid {child.pid}"):
        Database.open(workspace, busy_timeout_s=0.1)
    child.communicate("done\n", timeout=PATIENCE_S)
    Database.open(workspace).close_blocking()


async def test_a_lock_taken_later_refuses_entries_until_it_is_gone(workspace: Paths) -> None:
    database = await asyncio.to_thread(Database.open, workspace)
    states: asyncio.Queue[bool] = asyncio.Queue()
    database.start(lambda read_only, _text: states.put_nowait(read_only))
    wal = Wal(database)
    await wal.append_one("r", 0, "turn_add", b"1")
    child = await asyncio.to_thread(_child, "hold", str(workspace.data))
    assert child.stdout is not None
    assert await asyncio.to_thread(child.stdout.readline) == "held\n"
    with pytest.raises(BusyError, match=rf"pid {child.pid}"):
        await wal.append_one("r", 1, "turn_add", b"2")
    assert await states.get() is True
    await asyncio.to_thread(child.communicate, "done\n", 30)
    assert await asyncio.wait_for(states.get(), PATIENCE_S) is False
    assert await wal.append_one("r", 1, "turn_add", b"2") == 2
    await database.close()


async def test_a_second_opener_fences_the_first(workspace: Paths) -> None:
    first = await asyncio.to_thread(Database.open, workspace)
    first.start()
    wal = Wal(first)
    await wal.append_one("r", 0, "turn_add", b"mine")
    second = await asyncio.to_thread(Database.open, workspace)
    assert second.epoch == first.epoch + 1
    with pytest.raises(FencedError):
        await wal.append_one("r", 1, "turn_add", b"too late")
    assert not first.read_only
    second.start()
    assert await Wal(second).append_one("r", 1, "turn_add", b"mine now") == 2
    await first.close()
    await second.close()
    third = await asyncio.to_thread(Database.open, workspace)
    assert third.findings == []
    assert third.opened.seq == 2
    third.close_blocking()


def test_another_programs_database_is_refused(workspace: Paths) -> None:
    connection = sqlite3.connect(workspace.database)
    connection.execute("CREATE TABLE theirs (a)")
    connection.execute("PRAGMA application_id=42")
    connection.close()
    with pytest.raises(RefusedError, match="not a database of O"):
        Database.open(workspace)
    assert workspace.database.exists()


def test_a_newer_database_is_refused(workspace: Paths) -> None:
    Database.open(workspace).close_blocking()
    connection = sqlite3.connect(workspace.database)
    connection.execute(f"PRAGMA user_version={len(schema.migrations()) + 1}")
    connection.close()
    with pytest.raises(RefusedError, match="knows up to"):
        Database.open(workspace)


def test_somebody_elses_database_is_refused(workspace: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    Database.open(workspace).close_blocking()
    monkeypatch.setattr(os, "geteuid", lambda: 54_321)
    with pytest.raises(RefusedError, match="another user"):
        Database.open(workspace)
    with pytest.raises(RefusedError, match="belongs to uid"):
        workspace.prepare()


def test_a_read_only_database_is_refused(workspace: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    Database.open(workspace).close_blocking()
    workspace.database.chmod(0o400)
    if os.geteuid() == 0:  # whom modes do not bind
        monkeypatch.setattr(os, "access", lambda _path, _mode: False)
    with pytest.raises(RefusedError, match="read-only"):
        Database.open(workspace)


def test_a_read_only_disk_is_refused(folder: Path) -> None:
    with _mounted(folder / "disk", "size=8m"):
        paths = locate(str(folder / "disk" / "w"))
        paths.prepare()
        Database.open(paths).close_blocking()
        subprocess.run(["mount", "-o", "remount,ro", str(folder / "disk")], check=True)
        with pytest.raises(RefusedError, match="read-only"):
            Database.open(paths)


def test_everything_of_the_storage_is_private(workspace: Paths) -> None:
    database = Database.open(workspace)
    files = [*workspace.data.glob("o.db*"), *workspace.mirror.iterdir()]
    database.close_blocking()
    assert files
    assert {oct(file.stat().st_mode & 0o777) for file in files if file.exists()} == {"0o600"}
