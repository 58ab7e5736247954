"""A broker's process and an endpoint for it, for the tests of chats (test_broker_*.py)."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio

from tests.support.broker_process import KEY, BrokerProcess, broker_process, never_shown
from tests.support.fake_llm import FakeServer, fake_server


@pytest_asyncio.fixture(loop_scope="module")
async def fake() -> AsyncIterator[FakeServer]:
    async with fake_server() as server:
        yield server


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def process() -> AsyncIterator[BrokerProcess]:
    with tempfile.TemporaryDirectory() as folder:
        async with broker_process(Path(folder) / "w", Path(folder) / "err", O_TUI_API_KEY=KEY) as running:
            yield running


@pytest_asyncio.fixture(loop_scope="module")
async def broker(process: BrokerProcess, fake: FakeServer) -> AsyncIterator[BrokerProcess]:
    process.frames.clear()
    process.configure(base_url=f"{fake.url}/v1")
    await process.state(provider="openai", ok=True)
    yield process
    await never_shown(process, process.stderr.parent)
