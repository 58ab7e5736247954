"""The broker with a real language model behind llama.cpp's own server (mark `model`).

O_TUI_MODELS names the folder with the model files; `local_llm.py` (fetch and serve) is looked for beside the
repository. What is missing is skipped by name. The model is the smallest that is there: `smol` babbles, `q05` can
call tools.
"""

from __future__ import annotations

import asyncio
import importlib.util
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from o_tui.protocol import messages
from tests.support.broker_process import BrokerProcess, broker_process

PEER = Path(__file__).resolve().parents[3] / "shared" / "peers" / "local_llm.py"
FILES = {"q05": "qwen2.5-coder-0.5b-instruct-q4_k_m.gguf", "smol": "smollm2-135m-instruct-q4_1.gguf"}
KEY = "sk-local-0123456789abcdefghij"
CONTEXT = 1024
START_S = 120.0

pytestmark = [pytest.mark.model, pytest.mark.asyncio(loop_scope="module")]


def chosen() -> str:
    """The model that is there; skips, saying what is not."""
    folder = Path(os.environ.get("O_TUI_MODELS") or "/nonexistent")
    for module in ("pydantic_ai", "xllamacpp"):
        if importlib.util.find_spec(module) is None:
            pytest.skip(f"real model: {module} is not installed")
    if not PEER.exists():
        pytest.skip("real model: ../shared/peers/local_llm.py is not there")
    for name, file in FILES.items():
        if (folder / file).exists():
            return name
    pytest.skip("real model: O_TUI_MODELS names no folder with a model file")


@pytest.fixture(scope="module")
def model() -> str:
    return chosen()


@pytest.fixture(scope="module")
def port(model: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        number = probe.getsockname()[1]
    command = [sys.executable, str(PEER), "serve", model, os.environ["O_TUI_MODELS"], "--port", str(number)]
    command += ["--threads", "1", "--ctx", str(CONTEXT), "--api-key", KEY]
    log = tmp_path_factory.mktemp("llm") / "log"
    with log.open("wb") as output:
        server = subprocess.Popen(command, stdout=output, stderr=output)
    try:
        wait_for(server, number, log)
        yield number
    finally:
        server.kill()
        server.wait()


def wait_for(server: subprocess.Popen[bytes], port: int, log: Path) -> None:
    end = time.monotonic() + START_S
    while time.monotonic() < end:
        assert server.poll() is None, log.read_text(errors="replace")[-2000:]
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.2)
    raise AssertionError("the model's server did not start")


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def process(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[BrokerProcess]:
    folder = tmp_path_factory.mktemp("broker")
    async with broker_process(folder / "w", folder / "err", O_TUI_API_KEY=KEY) as running:
        yield running


@pytest_asyncio.fixture(loop_scope="module")
async def broker(process: BrokerProcess, port: int, model: str) -> BrokerProcess:
    process.frames.clear()
    process.configure(model=model, base_url=f"http://127.0.0.1:{port}/v1", timeout_s=120.0)
    await process.state(provider="openai", ok=True)
    return process


async def end_of(broker: BrokerProcess, call_id: str) -> messages.BrokerReply:
    while not (ends := [reply for reply in broker.replies(call_id) if reply.state != "delta"]):
        async with asyncio.timeout(120):
            await broker.until(lambda: [r for r in broker.replies(call_id) if r.state != "delta"] or broker.frames)
            await asyncio.sleep(0.05)
    return ends[0]


async def test_it_streams_and_counts(broker: BrokerProcess) -> None:
    broker.chat("c", "Say hello in five words.", max_tokens=24, temperature=0.0)
    data = (await end_of(broker, "c")).data
    assert data["text"]
    assert "".join(broker.deltas("c")) == data["text"]
    assert len(broker.deltas("c")) > 1
    assert 0 < data["usage"]["output_tokens"] <= 24
    assert data["usage"]["input_tokens"] > 5
    assert data["finish"] in ("stop", "length")


async def test_its_models_are_listed(broker: BrokerProcess, model: str) -> None:
    broker.call("m", "llm.models")
    assert model in (await end_of(broker, "m")).data["models"]


def made(port: int) -> float:
    """How many tokens the server has made in its life, after its own count."""
    asked = urllib.request.Request(f"http://127.0.0.1:{port}/metrics", headers={"authorization": f"Bearer {KEY}"})
    with urllib.request.urlopen(asked, timeout=10) as answer:
        lines = answer.read().decode().splitlines()
    return float(next(line.split()[1] for line in lines if line.startswith("llamacpp:tokens_predicted_total ")))


async def test_cancelling_frees_the_only_slot(broker: BrokerProcess, port: int) -> None:
    talk = {"text": "Write a long story about the sea.", "max_tokens": 400, "temperature": 0.0}
    broker.chat("whole", **talk)
    whole = (await end_of(broker, "whole")).data["usage"]["output_tokens"]
    assert whole > 100
    before = await asyncio.to_thread(made, port)
    broker.chat("cancelled", **talk)
    await broker.until(lambda: broker.deltas("cancelled"))
    broker.send(messages.BrokerCancel(call_id="cancelled"))
    broker.chat("next", "Say yes.", max_tokens=4)  # has to wait for the slot
    assert (await end_of(broker, "next")).state == "done"
    assert await asyncio.to_thread(made, port) - before < whole / 2
    assert all(reply.state == "delta" for reply in broker.replies("cancelled"))


async def test_a_tool_is_called_and_its_result_used(broker: BrokerProcess, model: str) -> None:
    if model == "smol":
        pytest.skip("real model: smol cannot call tools (q05 can)")
    schema = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
    tools = [{"name": "get_weather", "description": "The weather in a city now.", "parameters": schema}]
    talk = [{"role": "user", "content": "What is the weather in Paris? Use the tool."}]
    broker.call("c", "llm.chat", messages=talk, tools=tools, temperature=0.0, max_tokens=60)
    data = (await end_of(broker, "c")).data
    (call,) = data["tool_calls"]
    assert call["name"] == "get_weather"
    assert "Paris" in call["arguments"]["city"]
    assert data["finish"] == "tool_calls"
    talk.append({"role": "assistant", "content": data["text"], "tool_calls": data["tool_calls"]})
    talk.append({"role": "tool", "content": "21 degrees, sunny", "tool_call_id": call["id"]})
    broker.call("d", "llm.chat", messages=talk, tools=tools, temperature=0.0, max_tokens=60)
    assert "21" in (await end_of(broker, "d")).data["text"]


async def test_a_wrong_key_is_refused(port: int, model: str, folder: Path) -> None:
    async with broker_process(folder / "w", folder / "err", O_TUI_API_KEY="sk-wrong-0123456789abcdef") as broker:
        broker.configure(model=model, base_url=f"http://127.0.0.1:{port}/v1")
        await broker.until(lambda: [s for s in broker.all(messages.BrainState) if "401" in s.detail and not s.ok])
        broker.chat("c")
        data = (await end_of(broker, "c")).data
        assert (data["kind"], data["status"], data["attempts"]) == ("auth", 401, 1)


async def test_a_conversation_beyond_the_context_is_an_overflow(broker: BrokerProcess) -> None:
    broker.chat("c", "word " * (CONTEXT * 2))
    data = (await end_of(broker, "c")).data
    assert (data["kind"], data["retryable"]) == ("overflow", False)


async def test_its_own_error_is_told(broker: BrokerProcess) -> None:
    """What llama.cpp makes of a schema that is none: a status, or an error in the middle of the stream."""
    broken = [{"name": "t", "parameters": {"type": "object", "properties": {"a": {"type": "nonsense"}}}}]
    broker.chat("c", "Use the tool.", tools=broken, max_tokens=16)
    reply = await end_of(broker, "c")
    assert reply.state == "done" or reply.data["kind"] in ("http", "cut")
    broker.chat("d", "Say yes.", max_tokens=4)
    assert (await end_of(broker, "d")).state == "done"
