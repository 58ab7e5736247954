"""What runs beside the guardian's work: one failure is told, and is not the end of what comes again and again."""

from __future__ import annotations

import asyncio
from typing import Any

from o_tui.guardian.background import Background
from o_tui.protocol.errors import PeerError
from tests.support.patience import PATIENCE_S


class Told:
    def __init__(self) -> None:
        self.rows: list[tuple[str, str, str]] = []

    def __call__(self, source: str, kind: str, level: str, text: str, data: dict[str, Any] | None = None) -> None:
        self.rows.append((kind, level, text))


async def test_a_round_that_fails_is_told_once_and_comes_again() -> None:
    told = Told()
    background = Background(told)
    well = asyncio.Event()
    rounds = 0

    async def work() -> None:
        nonlocal rounds
        rounds += 1
        if rounds <= 3:
            raise PeerError("the disk is full")
        if rounds == 4:
            raise KeyError("a defect")
        well.set()

    background.every(0.0, "old rows could not be removed", work)
    async with asyncio.timeout(PATIENCE_S):
        await well.wait()
    await background.stop()
    assert told.rows == [
        ("failed", "warning", "old rows could not be removed: it is tried again: the disk is full"),
        ("defect", "error", "old rows could not be removed: it is tried again: KeyError: 'a defect'"),
    ]


async def test_a_task_that_dies_is_seen() -> None:
    told = Told()
    background = Background(told)

    async def work() -> None:
        raise ValueError("a defect")

    await asyncio.wait([background.spawn(work())])
    await asyncio.sleep(0)
    assert told.rows == [("defect", "error", "a task ended: ValueError: a defect")]


async def test_what_is_stopped_has_cleaned_up_when_stop_returns() -> None:
    background = Background(Told())
    begun, cleaned = asyncio.Event(), False

    async def work() -> None:
        nonlocal cleaned
        try:
            begun.set()
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            cleaned = True

    background.spawn(work())
    await begun.wait()
    await background.stop()
    assert cleaned
