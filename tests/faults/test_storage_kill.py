"""kill -9 at random moments: whatever was acknowledged is there."""

from __future__ import annotations

import asyncio
import random
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from o_tui.guardian import doctor
from o_tui.guardian.storage.database import Database
from o_tui.guardian.storage.journal import Journal
from o_tui.guardian.storage.wal import Wal
from o_tui.paths import Paths
from o_tui.protocol.operations import unpack_entry

ROOT = Path(__file__).parents[2]


def _round(paths: Paths, lines_wanted: int) -> list[list[str]]:
    """Runs the child until it has acknowledged so much, and kills it in the middle of the next."""
    command = [sys.executable, "-m", "tests.support.storage_child", "append", str(paths.data)]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT)
    assert child.stdout is not None
    lines: list[bytes] = []
    killer = threading.Timer(60, child.kill)  # only if it hangs
    killer.start()
    for line in child.stdout:
        lines.append(line)
        if len(lines) == lines_wanted:
            child.kill()  # what it has said since is read to the end
    killer.cancel()
    child.stdout.close()
    child.wait()
    return [line.decode().split() for line in lines]


def _kill_rounds(paths: Paths, rounds: int) -> None:
    choose = random.Random(7)
    acknowledged: dict[int, tuple[str, int]] = {}
    requests: set[str] = set()
    for _ in range(rounds):
        lines = _round(paths, choose.randrange(1, 1_500))
        assert lines, "the child said nothing"
        for words in lines:
            if words[0] == "entry":
                seq = int(words[1])
                assert seq not in acknowledged, f"entry {seq} was given twice"
                acknowledged[seq] = (f"{words[2]}-{words[3]}", int(words[4]))
            elif words[0] == "request":
                requests.add(words[1])
            else:
                pytest.fail(" ".join(words))
    asyncio.run(_compare(paths, acknowledged, requests))
    assert not [check for check in doctor.checks(paths) if not check["ok"]]


async def _compare(paths: Paths, acknowledged: dict[int, tuple[str, int]], requests: set[str]) -> None:
    database = await asyncio.to_thread(Database.open, paths)
    assert not database.findings
    database.start()
    wal = Wal(database)
    kept = {entry.seq: (entry.request_id, entry.position) for entry in map(unpack_entry, await wal.read(0, 1 << 40))}
    assert list(kept) == list(range(1, wal.seq + 1))
    lost = {seq: what for seq, what in acknowledged.items() if kept.get(seq) != what}
    assert not lost
    unfinished = {request.request_id for request in await Journal(database, wal).load()}
    assert requests <= unfinished
    await database.close()


def test_nothing_acknowledged_is_lost_by_kill_9(workspace: Paths) -> None:
    _kill_rounds(workspace, 24)


@pytest.mark.torture
def test_nothing_acknowledged_is_lost_by_many_kills(workspace: Paths) -> None:
    _kill_rounds(workspace, 1_000)
