"""The broker's process: how it starts, lives and ends, without any model."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from o_tui import _native
from o_tui.protocol import frames, messages
from tests.support.broker_process import BrokerProcess, broker_process, environment
from tests.support.fake_llm import fake_server, whole
from tests.support.patience import PATIENCE_S


@pytest.fixture
async def broker(folder: Path) -> AsyncIterator[BrokerProcess]:
    async with broker_process(folder / "w", folder / "err", TZ="Europe/Berlin") as running:
        yield running


async def test_it_is_ready_offline_and_beats(broker: BrokerProcess) -> None:
    state = await broker.state(provider="offline")
    assert (state.ok, state.detail, state.key) == (True, "offline", "")
    assert broker.all(messages.Ready)[0].pid == broker.process.pid
    started = time.monotonic()
    await broker.until(lambda: len(broker.all(messages.Heartbeat)) >= 3)
    assert time.monotonic() - started > 1.5
    for name in ("pydantic", "openai", "anthropic", "textual", "rich", "keyring"):
        assert name not in maps(broker.process.pid)


async def test_the_clock(broker: BrokerProcess) -> None:
    before = time.time_ns()
    broker.call("c", "tool.clock", request_id="r1")
    reply = await broker.end_of("c")
    assert before <= reply.data["time_ns"] <= time.time_ns()
    assert reply.data["zone"] == "Europe/Berlin"
    frame = next(frame for frame in broker.frames if frame.data is reply)
    assert frame.metadata.request_id == "r1"


async def test_chat_offline_and_unknown_effects_are_clear_errors(broker: BrokerProcess) -> None:
    broker.chat("a")
    broker.call("b", "shell.run", command="ls")
    broker.call("c", "llm.models", provider="nobody")
    assert (await broker.end_of("a")).data["kind"] == "setup"
    assert "no effect 'shell.run'" in (await broker.end_of("b")).data["error"]
    assert (await broker.end_of("c")).data["kind"] == "arguments"


async def test_it_exits_when_the_guardian_hangs_up(broker: BrokerProcess) -> None:
    await broker.state(provider="offline")
    broker.writer.close()
    assert await broker.exit_code() == 0


@pytest.fixture
async def importing(folder: Path) -> AsyncIterator[BrokerProcess]:
    """A broker that imports a library of models, for ten minutes."""
    library = folder / "slow" / "pydantic_ai"
    library.mkdir(parents=True)
    (library / "__init__.py").write_text("import time\n\ntime.sleep(600)\n")
    async with broker_process(folder / "w", folder / "err", PYTHONPATH=str(library.parent)) as broker:
        broker.configure("ollama", base_url="http://127.0.0.1:9/v1")
        await broker.state(detail="connecting")
        yield broker


async def test_it_beats_and_answers_while_a_library_is_imported(importing: BrokerProcess) -> None:
    importing.call("c", "tool.clock")
    assert (await importing.end_of("c")).state == "done"
    beats = len(importing.all(messages.Heartbeat))
    await importing.until(lambda: len(importing.all(messages.Heartbeat)) > beats)


async def test_it_exits_at_sigterm_though_a_library_is_being_imported(importing: BrokerProcess) -> None:
    importing.process.send_signal(signal.SIGTERM)
    assert await importing.exit_code() == 0


async def test_ctrl_c_at_the_terminal_does_not_end_it(broker: BrokerProcess) -> None:
    await broker.state(provider="offline")
    broker.process.send_signal(signal.SIGINT)
    broker.call("c", "tool.clock")
    assert (await broker.end_of("c")).state == "done"


PARENT = """
import subprocess, sys
subprocess.Popen([sys.executable, "-X", "utf8", "-m", "o_tui.broker.main", *sys.argv[1:]], pass_fds=[int(sys.argv[1])])
sys.stdin.read()
"""


@pytest.mark.skipif(not hasattr(_native, "set_parent_death_signal"), reason="this build of the extension has no signal")
async def test_it_dies_with_its_parent_even_if_the_socket_stays_open(folder: Path) -> None:
    ours, theirs = socket.socketpair()
    reader, writer = await asyncio.open_unix_connection(sock=ours)
    command = [sys.executable, "-c", PARENT, str(theirs.fileno()), str(folder / "w")]
    parent = await asyncio.create_subprocess_exec(
        *command, pass_fds=[theirs.fileno()], env=environment(), stdin=asyncio.subprocess.PIPE
    )
    theirs.close()
    assert await reader.readexactly(4)  # the broker lives
    parent.kill()
    await parent.wait()
    async with asyncio.timeout(PATIENCE_S):
        await reader.read()  # to the end: the broker's end of the socket is gone, though ours is open
    writer.close()


async def test_shutdown_ends_it(broker: BrokerProcess) -> None:
    await broker.state(provider="offline")
    broker.send(messages.Shutdown(grace_s=1.0))
    assert await broker.exit_code() == 0


@pytest.mark.parametrize("raw", [b"\x00\x00\x00\x03abc", b"\xff\xff\xff\xff", b"\x00\x00\x00\x01\xc1"])
async def test_a_malformed_frame_ends_it_with_a_line(broker: BrokerProcess, folder: Path, raw: bytes) -> None:
    await broker.state(provider="offline")
    broker.writer.write(raw)
    assert await broker.exit_code() == 1
    assert "frame" in (folder / "err").read_text()


async def test_a_message_for_somebody_else_is_only_noted(broker: BrokerProcess) -> None:
    broker.send(messages.CancelRequest())
    await broker.until(lambda: [log for log in broker.all(messages.Log) if "cancel_request" in log.text.raw])
    broker.call("c", "tool.clock")
    assert (await broker.end_of("c")).state == "done"


async def test_a_guardian_that_does_not_read_costs_no_memory_and_loses_nothing(folder: Path) -> None:
    async with broker_process(folder / "w", folder / "err") as broker:
        await broker.state(provider="offline")
        broker._task.cancel()  # the guardian stops reading
        for number in range(20_000):
            broker.call(f"c{number}", "tool.clock")
            if number % 100 == 0:
                await broker.writer.drain()
        assert resident(broker.process.pid) < 64 << 20
        broker._task = asyncio.create_task(broker._receive())
        broker.call("last", "tool.clock")
        ends = await broker.until(lambda: (got := broker.all(messages.BrokerReply))[20_000:] and got)
        assert len({reply.call_id for reply in ends}) == 20_001
        assert {reply.data.get("kind", "") for reply in ends} <= {"", "busy"}


def maps(pid: int) -> str:
    return Path(f"/proc/{pid}/maps").read_text()


def resident(pid: int) -> int:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


async def test_a_request_in_chunks_is_put_together(broker: BrokerProcess) -> None:
    broker.chat("c", "x" * (frames.FRAME_LIMIT_BYTES * 3))
    assert (await broker.end_of("c")).data["kind"] == "setup"


@pytest.mark.parametrize("arguments", [[], ["x", "y"], ["1"]])
async def test_wrong_usage_is_told(arguments: list[str]) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "o_tui.broker.main", *arguments, stderr=asyncio.subprocess.PIPE
    )
    _, error = await process.communicate()
    assert process.returncode == 2
    assert b"usage" in error


# --- brain.detect: works without the optional libraries


async def detect(folder: Path, **variables: str) -> dict[str, list]:
    async with broker_process(folder / "w", folder / "err", **variables) as broker:
        broker.call("d", "brain.detect")
        reply = await broker.end_of("d")
        assert reply.state == "done"
        return reply.data


async def test_detect_finds_keys_and_shows_them_masked(folder: Path) -> None:
    config = folder / "w" / "config"
    config.mkdir(parents=True)
    (config / "keys.toml").write_text('anthropic = "sk-ant-0123456789wxyz"\n')
    (config / "keys.toml").chmod(0o600)
    data = await detect(folder, OPENAI_API_KEY="sk-0123456789abcdefghij")
    found = {row["provider"]: row for row in data["found"]}
    assert found["openai"]["key_masked"] == "sk-…ghij"
    assert found["openai"]["source"] == "environment OPENAI_API_KEY"
    assert found["anthropic"]["key_masked"] == "sk-…wxyz"
    assert found["anthropic"]["source"] == "keys.toml"
    assert "0123456789" not in repr(data)


async def test_detect_finds_a_running_ollama(folder: Path) -> None:
    async with fake_server() as fake:
        fake.listing = whole(200, {"models": [{"name": "llama3.2:latest"}, {"name": "qwen3:4b"}]})
        data = await detect(folder, OLLAMA_HOST=f"127.0.0.1:{fake.port}")
    (row,) = data["found"]
    assert row["provider"] == "ollama"
    assert row["model"] == "llama3.2:latest"
    assert row["models"] == ["llama3.2:latest", "qwen3:4b"]
    assert row["base_url"] == f"http://127.0.0.1:{fake.port}/v1"


@pytest.mark.parametrize(
    "listing",
    [
        ["hang"],
        whole(200, b"<html>"),
        whole(404, {}),
        whole(200, {"models": 3}),
        whole(200, []),
        [b"\xff\xff"],
    ],
)
async def test_detect_is_not_held_up_by_something_else_on_the_port(folder: Path, listing: list) -> None:
    async with fake_server() as fake:
        fake.listing = listing
        data = await detect(folder, OLLAMA_HOST=f"127.0.0.1:{fake.port}")
    assert data["found"] == []


async def test_detect_says_that_a_keys_file_is_open_to_others(folder: Path) -> None:
    config = folder / "w" / "config"
    config.mkdir(parents=True)
    (config / "keys.toml").write_text('openai = "sk-0123456789abcdefghij"\n')
    (config / "keys.toml").chmod(0o644)
    data = await detect(folder)
    assert data["found"] == []
    assert "chmod 600" in data["problems"][0]


async def test_a_key_is_kept_for_its_owner_only_and_found_again(broker: BrokerProcess, folder: Path) -> None:
    broker.call("a", "brain.key", provider="openai", key=" sk-abcdefghijklmnopqrstuvwxyz \n")
    broker.call("b", "brain.key", provider="openai", base_url="http://127.0.0.1:9/v1/", key="own-0123456789abcdef")
    broker.call("c", "brain.key", provider="openai", key="two words")
    kept = (await broker.end_of("a")).data
    assert kept["kept"] == "keys.toml" and "abcdefgh" not in kept["key"]
    assert (await broker.end_of("b")).state == "done"
    assert (await broker.end_of("c")).data["kind"] == "arguments"
    (file,) = folder.rglob("keys.toml")
    assert file.stat().st_mode & 0o777 == 0o600
    broker.call("d", "brain.detect")
    found = (await broker.end_of("d")).data["found"]
    assert {(row["base_url"], row["source"]) for row in found} >= {("http://127.0.0.1:9/v1", "keys.toml")}


async def test_a_key_file_that_others_can_read_is_not_written_over(broker: BrokerProcess, folder: Path) -> None:
    broker.call("a", "brain.key", provider="openai", key="sk-abcdefghijklmnopqrstuvwxyz")
    await broker.end_of("a")
    (file,) = folder.rglob("keys.toml")
    file.chmod(0o644)
    before = file.read_text()
    broker.call("b", "brain.key", provider="anthropic", key="sk-ant-abcdefghijklmnop")
    reply = await broker.end_of("b")
    assert reply.state == "error" and "can be read by others" in reply.data["error"]
    assert file.read_text() == before
