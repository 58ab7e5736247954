"""A process that works on a workspace and says on stdout what was acknowledged; the tests kill it or starve it.

`python -m tests.support.storage_child append FOLDER` appends until it is killed; `starve FOLDER BYTES` lets files
grow to BYTES only, until an append fails, then lets them grow again; `hold FOLDER` keeps the database locked.
"""

from __future__ import annotations

import asyncio
import os
import resource
import signal
import sqlite3
import sys
from typing import Any

from o_tui.guardian.storage.database import Database
from o_tui.guardian.storage.journal import Journal, Request
from o_tui.guardian.storage.wal import Wal
from o_tui.paths import Paths, locate
from o_tui.protocol.errors import PeerError

APPENDERS = 20


def say(*words: object) -> None:
    """One line, in one write: a kill never cuts it."""
    os.write(1, (" ".join(map(str, words)) + "\n").encode())


async def append(paths: Paths) -> None:
    database = Database.open(paths, segment_bytes=64 * 1024)
    database.start()
    for finding in database.findings:
        say("finding", finding.text)
    wal = Wal(database)
    journal = Journal(database, wal)
    await journal.load()

    async def worker(number: int) -> None:
        position = 0
        while True:
            seq = await wal.append_one(f"{database.epoch}-{number}", position, "turn_add", os.urandom(100))
            say("entry", seq, database.epoch, number, position)
            if position % 5 == 0:
                accepted: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
                request = Request(f"{database.epoch}-{number}-{position}", "text")
                journal.accept(request, accepted.set_result)
                if await accepted is None:
                    say("request", request.request_id)
            position += 1

    await asyncio.gather(*(worker(number) for number in range(APPENDERS)))


async def starve(paths: Paths, limit: int) -> None:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    database = Database.open(paths)
    back: asyncio.Event = asyncio.Event()

    def on_state(read_only: bool, text: str) -> None:
        say("state", int(read_only), text)
        if not read_only:
            back.set()

    database.start(on_state)
    wal = Wal(database)
    _soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    try:
        while True:
            say("entry", await wal.append_one("r", 0, "turn_add", os.urandom(20_000)))
    except PeerError as error:
        say("refused", error.code, error)
    say("read_only", int(database.read_only))
    resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    await back.wait()
    say("entry", await wal.append_one("r", 0, "turn_add", b"again"))
    say("verified", int((await wal.verify())["ok"]))
    await database.close()


def hold(paths: Paths) -> None:
    connection = sqlite3.connect(paths.database, isolation_level=None)
    connection.execute("BEGIN IMMEDIATE")
    say("held")
    sys.stdin.readline()
    connection.execute("ROLLBACK")
    connection.close()


def main() -> None:
    verb, paths = sys.argv[1], locate(sys.argv[2])
    if verb == "append":
        asyncio.run(append(paths))
    elif verb == "starve":
        asyncio.run(starve(paths, int(sys.argv[3])))
    else:
        hold(paths)


if __name__ == "__main__":
    main()
