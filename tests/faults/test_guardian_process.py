"""The guardian's own end, and what it finds at its start: nobody is left behind, nothing accepted is forgotten."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sqlite3
import time
from pathlib import Path
from typing import Any

import pytest

from o_tui.evolution.genome import Genome as Repository
from o_tui.paths import Paths
from tests.support.guardian_process import Link, Process, exists, guardian_process, pids, settle
from tests.support.patience import PATIENCE_S

UNRULY = Path(__file__).parent.parent / "data" / "genomes" / "unruly"


async def gone(who: dict[str, int], within_s: float = PATIENCE_S) -> None:
    deadline_s = time.monotonic() + within_s
    while left := {name: pid for name, pid in who.items() if exists(pid)}:
        assert time.monotonic() < deadline_s, f"still there after {within_s} s: {left}"
        await asyncio.sleep(0.02)


async def everybody(link: Link) -> dict[str, int]:
    """All four processes, once they are there."""
    async with asyncio.timeout(PATIENCE_S):
        while len(found := pids(await link.call("tree"))) < 4:
            await asyncio.sleep(0.02)
    return found


async def test_sigterm_ends_it_with_everything_and_zero(workspace: Paths) -> None:
    async with guardian_process(workspace) as process:
        link = await Link.connect(workspace)
        who = await everybody(link)
        await link.call("memory.add", text="the kettle is copper")
        assert await process.stop() == 0
        await gone(who, 0.0)
        assert not workspace.socket.exists()
    async with guardian_process(workspace):
        link = await Link.connect(workspace)
        assert "copper" in str(await link.call("memory.list"))
        texts = [row["text"] for row in await link.call("events.list", filter="source:guardian")]
        assert any("stopped: SIGTERM" in text for text in texts), texts


@pytest.mark.parametrize("nursery_first", [False, True])
async def test_when_it_is_killed_nobody_is_left_even_in_a_busy_loop(workspace: Paths, nursery_first: bool) -> None:
    settle(workspace, "[health]\ndeath_s = 600\nmax_restarts = 1000\n")
    Repository.open(workspace.genome, UNRULY)
    async with guardian_process(workspace) as process:
        link = await Link.connect(workspace)
        who = await everybody(link)
        hanging = asyncio.create_task(link.call("say", text="hang"))
        await _until_busy(who["main"])
        if nursery_first:
            # then nobody else can end the busy one: it has to look up by itself
            os.kill(who["nursery"], signal.SIGKILL)
            await _until_other(link, "nursery", who["nursery"])
            who |= {f"new {name}": pid for name, pid in pids(await link.call("tree")).items()}
        process.kill()
        await gone(who)
        with pytest.raises(ConnectionError):
            await hanging


async def _until_busy(pid: int) -> None:
    """Waits until a process has used 50 ms of its CPU time since now."""
    before = _cpu_s(pid)
    async with asyncio.timeout(PATIENCE_S):
        while _cpu_s(pid) - before < 0.05:
            await asyncio.sleep(0.01)


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def _until_other(link: Link, name: str, pid: int) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while pids(await link.call("tree")).get(name, pid) == pid:
            await asyncio.sleep(0.02)


async def test_the_next_one_takes_up_what_was_accepted(workspace: Paths) -> None:
    settle(workspace, "[health]\ndeath_s = 600\nmax_restarts = 1000\n")
    async with guardian_process(workspace) as process:
        link = await Link.connect(workspace)
        who = await everybody(link)
        await link.call("memory.add", text="the first of all")
        os.kill(who["main"], signal.SIGSTOP)
        asked = [asyncio.create_task(link.call("say", text=f"remember thing{number} is blue")) for number in range(10)]
        async with asyncio.timeout(PATIENCE_S):
            while len(requests := await link.call("requests.list")) < 11:
                await asyncio.sleep(0.01)
        process.kill()
        assert {type(found) for found in await asyncio.gather(*asked, return_exceptions=True)} == {ConnectionResetError}
        await gone({name: pid for name, pid in who.items() if name != "main"})
        assert sum(row["state"] == "done" for row in requests) == 1
    async with guardian_process(workspace):
        link = await Link.connect(workspace)
        async with asyncio.timeout(PATIENCE_S):
            requests = await link.call("requests.list")
            while not all(row["state"] == "done" for row in requests):
                await asyncio.sleep(0.01)
                requests = await link.call("requests.list")
        assert len(requests) == 11
        assert sum(row["recovered"] for row in requests) == 10
        blocks = str((await link.call("memory.list"))["blocks"])
        assert all(blocks.count(f"thing{number} is blue") == 1 for number in range(10)), blocks
    await gone(who)


async def test_a_second_guardian_is_refused_by_name(workspace: Paths) -> None:
    async with guardian_process(workspace) as process:
        second = Process(workspace)
        said = await second.start()
        status, text = await second.ended()
        assert status == 75 == said["code"] and f"pid {process.pid}" in text
        assert "Traceback" not in text and len(text.strip().splitlines()) == 2
        link = await Link.connect(workspace)
        assert (await link.call("status"))["guardian"]["pid"] == process.pid
        assert (await link.call("say", text="what is 6*7"))["ok"]


async def test_a_stale_socket_and_lock_are_no_obstacle(workspace: Paths) -> None:
    async with guardian_process(workspace) as process:
        process.kill()
    assert workspace.socket.exists() and workspace.lock.exists()
    with pytest.raises(ConnectionRefusedError), socket.socket(socket.AF_UNIX) as peer:
        peer.connect(str(workspace.socket))
    async with guardian_process(workspace):
        link = await Link.connect(workspace)
        assert (await link.call("status"))["guardian"]["epoch"] == 2


async def test_a_file_where_the_socket_should_be_is_left_alone(workspace: Paths) -> None:
    workspace.socket.write_text("somebody's file")
    process = Process(workspace)
    said = await process.start()
    status, text = await process.ended()
    assert status == 4 == said["code"] and str(workspace.socket) in text and "Traceback" not in text
    assert workspace.socket.read_text() == "somebody's file"


async def test_wrong_settings_are_named_in_one_line(workspace: Paths) -> None:
    settle(workspace, "[helth]\ndeath_s = 1\n")
    process = Process(workspace)
    said = await process.start()
    status, text = await process.ended()
    assert status == 2 == said["code"] and "helth" in text and "health" in text and "Traceback" not in text


async def test_views_that_send_garbage_are_turned_away_and_others_are_served(workspace: Paths) -> None:
    async with guardian_process(workspace):
        link = await Link.connect(workspace)
        for garbage in (b"\xff\xff\xff\xff" + bytes(100), b"GET / HTTP/1.1\r\n\r\n", b"\x00\x00\x00\x01\xc1"):
            with socket.socket(socket.AF_UNIX) as peer:
                peer.settimeout(PATIENCE_S)
                peer.connect(str(workspace.socket))
                peer.sendall(garbage)
                while peer.recv(65536):
                    pass
        assert (await link.call("say", text="what is 6*7"))["ok"]
        rows: list[dict[str, Any]] = await link.call("events.list", filter="source:views")
        assert len(rows) >= 3, rows


async def test_a_guardian_that_was_frozen_kills_nobody_for_its_own_absence(workspace: Paths) -> None:
    settle(workspace, "[health]\nheartbeat_s = 0.1\ndeath_s = 2\n")
    async with guardian_process(workspace) as process:
        link = await Link.connect(workspace)
        before = await everybody(link)
        os.kill(process.pid, signal.SIGSTOP)
        await asyncio.sleep(3)  # longer than what counts as silence
        os.kill(process.pid, signal.SIGCONT)
        assert (await link.call("say", text="what is 6*7"))["ok"]
        await asyncio.sleep(0.3)
        assert pids(await link.call("tree")) == before


async def test_an_older_guardian_that_wakes_up_is_fenced(workspace: Paths) -> None:
    async with guardian_process(workspace) as process:
        link = await Link.connect(workspace)
        await link.call("memory.add", text="one")
        database = sqlite3.connect(workspace.database, isolation_level=None)
        database.execute("UPDATE epoch SET epoch = epoch + 1")  # as a newer guardian would
        database.close()
        answer = await link.call("say", text="remember two")
        assert not answer["ok"] and "epoch" in answer["error"], answer
        assert process.process is not None
