"""Kill torture: requests go in over the view socket, acknowledgements are remembered here, anything is killed.

The driver remembers in its own memory what was acknowledged; at the end a guardian is asked, and its files are read.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
import sqlite3
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from o_tui.paths import Paths
from o_tui.protocol import operations
from o_tui.protocol.errors import OError
from tests.support.guardian_process import Link, Process, pids, settle
from tests.support.patience import PATIENCE_S

WORKERS = 12
TARGETS: dict[tuple[str, ...], int] = {
    ("main",): 40,
    ("standby",): 16,
    ("nursery",): 14,
    ("broker",): 5,
    ("main", "standby"): 8,
    ("main", "nursery"): 4,
    ("main", "standby", "nursery"): 4,
    ("guardian",): 9,
}
"""Who is killed together, and how often."""
WORDS = ("amber", "birch", "cedar", "delta", "ember", "fjord", "grove", "heath", "inlet", "jetty", "knoll", "larch")
SETTLE_S = PATIENCE_S
_BASE = "SELECT coalesce(max(seq), 0) FROM wal_base"
CUTTING = "import o_tui.guardian.checkpointing as c; c.CUT_ENTRIES = 200; c.LOOK_S = 0.2"
"""The log is cut after some hundred entries, not only after ten thousands."""


@dataclass
class Report:
    """What happened, and everything that must not have."""

    seed: int
    kills: Counter[str] = field(default_factory=Counter)
    acknowledged: int = 0
    unknown: int = 0
    refused: list[str] = field(default_factory=list)
    starts_s: list[float] = field(default_factory=list)
    entries: int = 0
    cut: int = 0
    checkpoints: int = 0
    seconds: float = 0.0
    wrong: list[str] = field(default_factory=list)

    @property
    def total(self) -> int:
        """SIGKILLs sent."""
        return self.kills.total()

    def __str__(self) -> str:
        kinds = ", ".join(f"{role} {count}" for role, count in self.kills.most_common())
        slowest = max(self.starts_s, default=0.0)
        return (
            f"seed {self.seed}: {self.total} SIGKILLs ({kinds}) in {self.seconds:.0f} s; "
            f"{self.acknowledged} acknowledged, {self.unknown} without an answer, {len(self.refused)} refused; "
            f"{self.entries} entries ({self.cut} cut), {self.checkpoints} checkpoints asked for; "
            f"slowest start {slowest:.1f} s; lost or doubled: {len(self.wrong)}"
        )


class Torture:
    """One run on a workspace."""

    def __init__(self, paths: Paths, seed: int, *, compact: bool = False) -> None:
        """With `compact` checkpoints are taken all the time, and the log is cut behind them."""
        self.report = Report(seed)
        self._compact = compact
        self._paths = paths
        self._random = random.Random(seed)
        self._process = Process(paths, CUTTING if compact else "")
        self._link: Link | None = None
        self._up = asyncio.Event()
        self._over = False
        self._sent: dict[str, str] = {}
        self._numbers = iter(range(1, 10**9))

    async def run(self, seconds: float, kills: int = 0) -> Report:
        """Works for `seconds`, or until that many have been killed, and then looks at what is left.

        Where no number is given it goes on, on a slow machine, until there is enough to look at (`telling`).
        """
        vault = "[vault]\noperations = 150\nkeep = 3\n" if self._compact else ""
        settle(self._paths, f"[health]\nmax_restarts = 1000000\n{vault}")
        started = time.monotonic()
        try:
            await self._start()
            workers = [asyncio.create_task(self._work()) for _ in range(WORKERS)]
            while not (kills and self.report.total >= kills):
                spent_s = time.monotonic() - started
                if spent_s >= seconds and (kills or self.telling(seconds) or spent_s >= seconds + PATIENCE_S):
                    break
                for worker in workers:
                    if worker.done():
                        worker.result()
                await asyncio.sleep(self._random.choice((0.005, 0.03, 0.1, 0.3)) * self._random.random())
                await self._kill()
            self._over = True
            await asyncio.wait_for(asyncio.gather(*workers), SETTLE_S)
            self.report.seconds = time.monotonic() - started
            await self._look()
        finally:
            self._process.close()
        return self.report

    def telling(self, seconds: float) -> bool:
        """Whether as much has happened as usually in so many seconds; with `compact`, a cut of the log too."""
        acknowledged = sum(outcome == "acknowledged" for outcome in self._sent.values())
        enough = self.report.total >= seconds / 2 and acknowledged > 10 * seconds
        return enough and (not self._compact or self._cut() > 0)

    def _cut(self) -> int:
        with (
            contextlib.suppress(sqlite3.Error),
            contextlib.closing(sqlite3.connect(f"file:{self._paths.database}?mode=ro", uri=True)) as database,
        ):
            return int(database.execute(_BASE).fetchone()[0])
        return 0

    # --- the operator

    async def _start(self) -> None:
        began = time.monotonic()
        said = await self._process.start()
        assert said.get("ok"), f"the guardian did not start again: {said}, {self.report}"
        self.report.starts_s.append(time.monotonic() - began)
        self._link = await Link.connect(self._paths)
        self._up.set()

    async def _kill(self) -> None:
        (roles,) = self._random.choices(list(TARGETS), list(TARGETS.values()))
        if "guardian" in roles:
            self._up.clear()
            self._process.kill()
            self.report.kills["guardian"] += 1
            self._process.close()
            await self._start()
            return
        assert self._link is not None
        running = pids(await self._link.call("tree"))
        for role in roles:
            with contextlib.suppress(KeyError, ProcessLookupError):
                os.kill(running[role], signal.SIGKILL)
                self.report.kills[role] += 1

    # --- whoever asks

    async def _work(self) -> None:
        while not self._over:
            await self._up.wait()
            link = self._link
            assert link is not None
            number = next(self._numbers)
            words = " ".join(self._random.choices(WORDS, k=6))
            token = f"token{number:06d}x{self._random.randrange(16**8):08x}"
            self._sent[token] = "unknown"
            try:
                if number % 97 == 0:
                    await link.call("checkpoint.create", reason=token)
                    self.report.checkpoints += 1
                    del self._sent[token]
                elif number % 3:
                    await link.call("memory.add", text=f"{token} {words}")
                    self._sent[token] = "acknowledged"
                else:
                    answer = await link.call("say", text=f"remember {token} {words}")
                    self._sent[token] = "acknowledged" if answer["ok"] else f"refused: {answer['error']}"
            except ConnectionError:
                pass
            except OError as error:
                if number % 97:
                    self._sent[token] = f"refused: {error}"
                else:
                    del self._sent[token]
            await asyncio.sleep(self._random.random() * 0.04)

    # --- the end

    async def _look(self) -> None:
        assert self._link is not None
        link = self._link
        async with asyncio.timeout(SETTLE_S):
            while (await link.call("status"))["in_flight"]:
                await asyncio.sleep(0.05)
        verified = await link.call("wal.verify")
        if not verified["ok"]:
            self.report.wrong.append(f"the log: {verified['problems']}")
        blocks = await self._blocks(link)
        status = await self._process.stop()
        if status != 0:
            self.report.wrong.append(f"the guardian ended with {status}")
        self._compare(blocks)

    async def _blocks(self, link: Link) -> Counter[str]:
        seen: dict[str, str] = {}
        before = 0
        while True:
            page = (await link.call("memory.list", limit=1000, before=before))["blocks"]
            fresh = [block for block in page if block["id"] not in seen]
            if not fresh:
                return Counter(_token(text) for text in seen.values())
            seen |= {block["id"]: block["text"] for block in fresh}
            before = min(block["time_ns"] for block in page) + 1

    def _compare(self, blocks: Counter[str]) -> None:
        report, wrong = self.report, self.report.wrong
        database = sqlite3.connect(self._paths.database)
        sql = "SELECT r.request_id, r.kind, r.text, a.state, a.error FROM requests r LEFT JOIN answers a USING (number)"
        requests = database.execute(sql).fetchall()
        wal = database.execute("SELECT request_id, position, operation, data FROM wal ORDER BY seq").fetchall()
        cut = database.execute(_BASE).fetchone()[0]
        database.close()
        report.entries = len(wal)
        report.cut = cut
        kept: Counter[str] = Counter()
        positions: dict[str, list[int]] = {}
        for request_id, position, name, data in wal:
            if request_id and not request_id.startswith("~"):
                positions.setdefault(request_id, []).append(position)
            if name == "memory_add":
                operation: Any = operations.unpack(name, data)
                kept[_token(operation.text)] += 1
        for request_id, found in positions.items():
            first = found[0] if cut else 0
            if found != list(range(first, first + len(found))):
                wrong.append(f"request {request_id}: operations {found}")
        accepted: dict[str, str] = {}
        shapes: dict[str, Counter[int]] = {}
        for request_id, kind, text, state, error in requests:
            token = _token(text)
            if token in accepted:
                wrong.append(f"{token} was accepted twice")
            accepted[token] = state or "not ended"
            if not cut:
                shapes.setdefault(kind, Counter())[len(positions.get(request_id, ()))] += 1
            if state != "done":
                wrong.append(f"{token}: {state}: {error}")
        for kind, shape in shapes.items():
            if len(shape) != 1:
                wrong.append(f"requests {kind} have different numbers of operations: {dict(shape)}")
        for token, outcome in self._sent.items():
            want = 1 if token in accepted else 0
            if outcome == "acknowledged" and token not in accepted:
                wrong.append(f"{token} was acknowledged and is not in the journal")
            if not (kept[token] == want or (cut and kept[token] < want)) or blocks[token] != want:
                wrong.append(
                    f"{token} ({outcome}, {accepted.get(token)}): {kept[token]} in the log, {blocks[token]} in memory"
                )
        outcomes = list(self._sent.values())
        report.acknowledged = outcomes.count("acknowledged")
        report.unknown = outcomes.count("unknown")
        report.refused = [text for text in outcomes if text.startswith("refused")]


def _token(text: str) -> str:
    return next((word.strip('":,.{}') for word in text.replace('"', " ").split() if word.startswith("token")), text)
