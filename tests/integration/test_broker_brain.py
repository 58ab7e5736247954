"""The configured model: its state, its changes, keys and libraries that are not there, and whose key goes where."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from o_tui.protocol import messages
from tests.support.broker_process import KEY, BrokerProcess, broker_process, never_shown
from tests.support.fake_llm import (
    HANG,
    HEAD,
    FakeServer,
    answer,
    chunk,
    delta,
    event,
    whole,
)
from tests.support.patience import PATIENCE_S

pytest.importorskip("pydantic_ai", reason="the optional extra llm is not installed")
pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_the_state_names_the_model_and_masks_the_key(broker: BrokerProcess, fake: FakeServer) -> None:
    state = broker.all(messages.BrainState)[-1]
    assert (state.provider, state.model, state.ok, state.key) == ("openai", "fake-1", True, "sk-…mnop")
    broker.configure(model="other", base_url=f"{fake.url}/v1")
    assert "does not list this model" in (await broker.state(model="other", ok=True)).detail
    broker.configure("offline", model="")
    assert (await broker.state(provider="offline")).ok


async def test_a_refused_key_shows_in_the_state(broker: BrokerProcess, fake: FakeServer) -> None:
    fake.say(whole(401, {"error": {"message": f"bad {KEY}"}}))
    broker.chat("c")
    await broker.end_of("c")
    await broker.until(lambda: [s for s in broker.all(messages.BrainState) if not s.ok and "key" in s.detail])


async def test_models_are_listed(broker: BrokerProcess, fake: FakeServer) -> None:
    fake.listing = whole(200, {"data": [{"id": "b"}, {"id": "a"}, {"no": 1}, 3]})
    broker.call("m", "llm.models")
    assert (await broker.end_of("m")).data == {"models": ["a", "b"]}
    fake.listing = whole(401, {"error": {"message": f"bad {KEY}"}})
    broker.call("n", "llm.models")
    assert (await broker.end_of("n")).data["kind"] == "auth"


async def test_a_call_during_a_change_of_model_gets_the_new_one(broker: BrokerProcess, fake: FakeServer) -> None:
    fake.say([HEAD, chunk(event(delta("old"))), HANG], answer("new"))
    broker.chat("a")
    await broker.until(lambda: broker.deltas("a"))
    broker.configure(model="second", base_url=f"{fake.url}/v1")
    broker.chat("b")
    assert (await broker.end_of("b")).data["text"] == "new"
    assert [request.json()["model"] for request in fake.requests] == ["fake-1", "second"]
    broker.send(messages.BrokerCancel(call_id="a"))  # it still ran, with the old one
    async with asyncio.timeout(PATIENCE_S):
        await fake.requests[0].gone.wait()


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"provider": "openai", "base_url": ""}, "OPENAI_API_KEY"),
        ({"provider": "anthropic", "base_url": ""}, "ANTHROPIC_API_KEY"),
        ({"provider": "openai", "base_url": "nonsense"}, "is not an address"),
        ({"provider": "openai", "base_url": "http://127.0.0.1:9/v1", "model": ""}, "no model is chosen"),
        ({"provider": "telepathy", "base_url": ""}, "unknown provider"),
    ],
)
async def test_what_is_missing_is_said_in_the_state_and_to_the_caller(folder: Path, settings: dict, says: str) -> None:
    async with broker_process(folder / "w", folder / "err") as broker:
        broker.configure(**settings)
        await broker.until(lambda: [s for s in broker.all(messages.BrainState) if not s.ok and says in s.detail])
        for call_id in ("a", "b"):
            broker.chat(call_id)
            data = (await broker.end_of(call_id)).data
            assert (data["kind"], says in data["error"]) == ("setup", True)


async def test_ollama_needs_no_key_and_gets_none(folder: Path, fake: FakeServer) -> None:
    variables = {"OLLAMA_HOST": f"127.0.0.1:{fake.port}", "OPENAI_API_KEY": KEY}
    async with broker_process(folder / "w", folder / "err", **variables) as broker:
        broker.configure("ollama", model="fake-1")
        state = await broker.state(model="fake-1", ok=True)
        assert state.key == ""
        fake.say(answer("hi"))
        broker.chat("c")
        assert (await broker.end_of("c")).data["text"] == "hi"
        assert "authorization" not in fake.requests[0].headers
        await never_shown(broker, folder)


async def test_the_openai_key_is_not_sent_to_another_endpoint(folder: Path, fake: FakeServer) -> None:
    async with broker_process(folder / "w", folder / "err", OPENAI_API_KEY=KEY) as broker:
        broker.configure(base_url=f"{fake.url}/v1")
        await broker.state(model="fake-1", ok=True)
        fake.say(answer("hi"))
        broker.chat("c")
        await broker.end_of("c")
        assert KEY not in repr([request.headers for request in fake.requests])


async def test_a_library_that_is_asked_to_log_everything_does_not(folder: Path, fake: FakeServer) -> None:
    async with broker_process(folder / "w", folder / "err", O_TUI_API_KEY=KEY, OPENAI_LOG="debug") as broker:
        broker.configure(base_url=f"{fake.url}/v1")
        fake.say(answer("hi"))
        broker.chat("c")
        await broker.end_of("c")
        await never_shown(broker, folder)
        assert (folder / "err").read_text() == ""


async def test_without_the_library_the_install_command_is_named(folder: Path) -> None:
    hidden = folder / "hidden"
    hidden.mkdir()
    (hidden / "sitecustomize.py").write_text(
        "import importlib.util as u\nreal = u.find_spec\n"
        "u.find_spec = lambda name, package=None: None if name == 'pydantic_ai' else real(name, package)\n"
    )
    async with broker_process(folder / "w", folder / "err", PYTHONPATH=str(hidden)) as broker:
        broker.configure(base_url="http://127.0.0.1:9/v1")
        await broker.until(lambda: [s for s in broker.all(messages.BrainState) if "pip install" in s.detail])
        broker.chat("c")
        data = (await broker.end_of("c")).data
        assert data["kind"] == "setup"
        assert "pip install 'o-tui[llm]'" in data["error"]
