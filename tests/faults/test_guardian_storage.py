"""Damaged, foreign, locked, full: what the guardian says at its start and while it serves, and that nothing is lost."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import resource
import sqlite3
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from o_tui.paths import Paths, locate
from o_tui.protocol.errors import OError, PeerError
from tests.support.guardian_process import Link, Process, guardian_process, pids
from tests.support.patience import PATIENCE_S

FACTS = [f"fact number {number} is {number * 7919}" for number in range(30)]


@contextlib.asynccontextmanager
async def served(paths: Paths, **more: Any) -> AsyncIterator[tuple[Process, Link]]:
    async with guardian_process(paths, **more) as process:
        link = await Link.connect(paths)
        yield process, link
        await link.close()


async def fill(paths: Paths, *, kill: bool) -> list[str]:
    """A workspace with facts, two checkpoints, and facts after them; returns the checkpoints, oldest first."""
    async with served(paths) as (process, link):
        ids = []
        for start in (0, 10, 20):
            for fact in FACTS[start : start + 10]:
                await link.call("memory.add", text=fact)
            if start < 20:
                ids.append((await link.call("checkpoint.create", reason="test"))["id"])
        if kill:
            process.kill()
        else:
            assert await process.stop() == 0
    return ids


async def facts_and_rows(paths: Paths) -> tuple[set[str], list[dict[str, Any]]]:
    """What a guardian that is started now remembers, and its event rows (not those about starts and stops)."""
    async with served(paths) as (process, link):
        blocks = (await link.call("memory.list", limit=1000))["blocks"]
        assert len(blocks) == len({block["text"] for block in blocks})
        assert (await link.call("wal.verify"))["ok"]
        rows = [row for row in await link.call("events.list", limit=100) if row["level"] in ("warning", "error")]
        assert await process.stop() == 0
    return {block["text"] for block in blocks}, rows


def spoil(file: Path, how: str) -> None:
    data = bytearray(file.read_bytes())
    if how == "truncated":
        del data[len(data) // 2 :]
    else:
        data[len(data) // 2] ^= 0x10
    file.write_bytes(data)


def spoil_rows(paths: Paths, checkpoint: str) -> None:
    database = sqlite3.connect(paths.database, isolation_level=None)
    sql = "UPDATE checkpoint_parts SET data = zeroblob(length(data)) WHERE checkpoint_id = ?"
    assert database.execute(sql, [checkpoint]).rowcount > 0
    database.close()


@pytest.mark.parametrize("how", ["flipped", "truncated"])
async def test_a_bad_checkpoint_file_is_named_and_replaced_by_its_rows(workspace: Paths, how: str) -> None:
    _, newest = await fill(workspace, kill=True)
    spoil(next(workspace.checkpoints.glob(f"{newest}*")), how)
    facts, rows = await facts_and_rows(workspace)
    assert facts == set(FACTS)
    assert any(newest[:8] in row["text"] for row in rows), rows


async def test_bad_rows_of_a_checkpoint_do_no_harm(workspace: Paths) -> None:
    _, newest = await fill(workspace, kill=True)
    spoil_rows(workspace, newest)
    facts, _ = await facts_and_rows(workspace)
    assert facts == set(FACTS)


async def test_both_copies_bad_the_older_checkpoint_and_the_log_give_everything(workspace: Paths) -> None:
    _, newest = await fill(workspace, kill=True)
    spoil(next(workspace.checkpoints.glob(f"{newest}*")), "flipped")
    spoil_rows(workspace, newest)
    facts, rows = await facts_and_rows(workspace)
    assert facts == set(FACTS)
    assert any(newest[:8] in row["text"] for row in rows), rows


async def test_all_checkpoints_bad_the_log_gives_everything(workspace: Paths) -> None:
    for checkpoint in await fill(workspace, kill=True):
        spoil(next(workspace.checkpoints.glob(f"{checkpoint}*")), "truncated")
        spoil_rows(workspace, checkpoint)
    facts, rows = await facts_and_rows(workspace)
    assert facts == set(FACTS)
    assert rows


@pytest.mark.parametrize("where", ["log", "mirror"])
async def test_a_bit_flip_in_the_log_is_repaired_and_told(workspace: Paths, where: str) -> None:
    await fill(workspace, kill=True)
    if where == "log":
        file = workspace.database.with_name("o.db-wal")
    else:
        file = max(workspace.mirror.iterdir(), key=lambda path: path.stat().st_size)
    data = bytearray(file.read_bytes())
    choose = random.Random(3)
    for _ in range(3):
        data[choose.randrange(len(data) // 3, len(data))] ^= 1 << choose.randrange(8)
    file.write_bytes(data)
    facts, rows = await facts_and_rows(workspace)
    assert facts == set(FACTS)
    assert where == "mirror" or rows, "nobody was told"


async def refused_start(paths: Paths, **more: Any) -> tuple[int, str]:
    """The exit code and the lines of a guardian that does not start."""
    process = Process(paths)
    said = await process.start(**more)
    status, stderr = await process.ended()
    assert said["ok"] is False and said["code"] == status
    assert said["error"] in stderr and "Traceback" not in stderr, stderr
    assert len(stderr.strip().splitlines()) <= 2, stderr
    return status, stderr


async def test_a_database_of_a_newer_version_is_left_alone(workspace: Paths) -> None:
    await fill(workspace, kill=False)
    database = sqlite3.connect(workspace.database)
    database.execute("PRAGMA user_version = 99")
    database.close()
    before = workspace.database.read_bytes()
    status, text = await refused_start(workspace)
    assert status == 4 and "newer" in text
    assert workspace.database.read_bytes() == before


async def test_a_locked_database_is_told_by_name(workspace: Paths) -> None:
    await fill(workspace, kill=False)
    database = sqlite3.connect(workspace.database, isolation_level=None)
    database.execute("BEGIN EXCLUSIVE")
    status, text = await refused_start(workspace)
    assert status == 75 and f"pid {os.getpid()}" in text
    database.close()
    assert (await facts_and_rows(workspace))[0] == set(FACTS)


@contextlib.contextmanager
def read_only(paths: Paths) -> Iterator[None]:
    if os.geteuid() == 0:
        steps = (["mount", "--bind", paths.data, paths.data], ["mount", "-o", "remount,ro,bind", paths.data])
        for step in steps:
            if subprocess.run(step, capture_output=True, check=False).returncode:
                subprocess.run(["umount", "-l", paths.data], capture_output=True, check=False)
                pytest.skip("nothing can be mounted here")
        try:
            yield
        finally:
            subprocess.run(["umount", "-l", paths.data], check=True)
        return
    files = [paths.database, *paths.run.iterdir(), paths.data]
    for file in files:
        file.chmod(0o500 if file.is_dir() else 0o400)
    try:
        yield
    finally:
        for file in reversed(files):
            file.chmod(0o700 if file.is_dir() else 0o600)


async def test_a_read_only_workspace_is_refused_and_unharmed(workspace: Paths) -> None:
    await fill(workspace, kill=False)
    with read_only(workspace):
        status, text = await refused_start(workspace)
    assert status in (4, 69) and ("ead-only" in text or "ermission" in text), text
    assert (await facts_and_rows(workspace))[0] == set(FACTS)


async def test_a_folder_of_another_user_is_refused(workspace: Paths) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can give a folder away")
    os.chown(workspace.data, 12_345, -1)
    status, text = await refused_start(workspace)
    assert status == 4 and "12345" in text


async def test_the_folder_of_another_user_is_refused_to_an_ordinary_one(workspace: Paths) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can become another user")
    workspace.data.parent.chmod(0o755)
    pid = os.fork()
    if pid == 0:
        status = 99
        try:
            os.seteuid(65_534)
            workspace.prepare()
        except OError as error:
            status = error.code if "\n" not in str(error) else 98
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 4


async def test_a_folder_that_cannot_be_made_is_named(folder: Path) -> None:
    (folder / "file").write_text("in the way")
    status, text = await refused_start(locate(str(folder / "file" / "w")))
    assert status == 4 and "file" in text


async def test_a_full_disk_while_it_serves_stops_nothing_for_good(workspace: Paths) -> None:
    async with served(workspace) as (process, link):
        await link.call("memory.add", text="before")
        main = pids(await link.call("tree"))["main"]
        sizes = [file.stat().st_size for file in (*workspace.data.glob("o.db*"), *workspace.mirror.iterdir())]
        hard = resource.prlimit(process.pid, resource.RLIMIT_FSIZE)[1]
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (max(sizes) + 20_000, hard))
        kept = []
        with pytest.raises(OError) as refused:
            for number in range(1_000):
                words = " ".join(f"{number}-{word}" for word in range(300))  # it is kept in pieces: no two alike
                await link.call("memory.add", text=f"text {number} {words}")
                kept.append(number)
        assert refused.value.code in (1, PeerError.code) and "disk" in str(refused.value)
        status = await link.call("status")
        assert status["wal"]["read_only"]
        answer = await link.call("say", text="remember nothing of this")
        assert not answer["ok"] and "disk" in answer["error"], answer
        said = [{"speaker": "Ada", "dia_id": "D1:1", "text": "what is not written is not skipped in silence"}]
        (talk := workspace.data.parent / "talk.json").write_text(
            json.dumps([{"sample_id": "c", "conversation": {"session_1": said}}])
        )
        with pytest.raises(OError, match=r"disk.*\(0 blocks were imported before\)"):
            await link.call("memory.import", path=str(talk))
        assert "before" in str(await link.call("memory.list")), "the agent is deaf"
        assert pids(await link.call("tree"))["main"] == main, "the agent did not live through it"
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (hard, hard))
        async with asyncio.timeout(PATIENCE_S):
            while (await link.call("status"))["wal"]["read_only"]:
                await asyncio.sleep(0.05)
        await link.call("memory.add", text="after")
        rows = await link.call("events.list", limit=100, filter="source:storage")
        assert any("again" in row["text"] for row in rows), rows
        requests = await link.call("requests.list", limit=1_000)
        assert all(row["state"] in ("done", "failed") for row in requests), "a request hangs"
        process.kill()
    facts, _ = await facts_and_rows(workspace)
    assert {"before", "after"} <= facts
    there = {int(text.split()[1]) for text in facts if text.startswith("text")}
    # of the one that was refused, what had become durable before the disk was full may be there: a no is no promise
    assert set(kept) <= there <= {*kept, len(kept)}
