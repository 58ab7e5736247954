"""The broker is killed: the turn in hand ends with a visible error, and another broker serves soon."""

from __future__ import annotations

import asyncio
import os
import signal

import pytest

from o_tui.config import BrainConfig, Config, HealthConfig
from o_tui.guardian.ticket import Ticket, nobody
from o_tui.paths import Paths
from o_tui.protocol import messages
from o_tui.protocol.errors import CorruptError
from tests.support.fake_llm import HANG, answer, delta, event, fake_server, stream
from tests.support.guardians import Follower, running, until
from tests.support.patience import PATIENCE_S


def settings(url: str) -> Config:
    brain = BrainConfig(provider="openai", model="fake-1", base_url=f"{url}/v1")
    return Config(brain=brain, health=HealthConfig(max_restarts=1_000_000))


@pytest.fixture(autouse=True)
def key(clean_environment: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test-0123456789abcdef")


async def test_killed_in_the_middle_of_an_answer(workspace: Paths) -> None:
    async with fake_server() as fake, running(workspace, settings(fake.url)) as guardian:
        view = Follower(guardian)
        fake.say(stream(event(delta("It is half ")), end=[HANG]), answer("whole now"))
        asked = asyncio.create_task(guardian.dispatch.ask("tell me something"))
        await until(lambda: any("half" in text for text in view.said()))
        broker, main = guardian.effects.broker, guardian.fleet.main
        assert broker is not None
        os.kill(broker.watch.pid, signal.SIGKILL)
        ticket = await asyncio.wait_for(asked, PATIENCE_S)
        assert not ticket.ok and ticket.state == "failed"
        assert "broker" in ticket.error and "again" in ticket.error, ticket.error
        assert "half" in ticket.answer, "what was said is lost"
        await until(lambda: guardian.effects.broker is not broker)
        assert guardian.effects.broker is not None
        await guardian.effects.broker.ready()
        again = await guardian.dispatch.ask("tell me something")
        assert again.ok and "whole now" in again.answer
        assert guardian.fleet.main is main, "an instance died over it"
        await guardian.checkpoints.take("events are durable with the next commit")
        rows = await guardian.stores.events.page(0, 100, source="supervisor")
        assert any("broker" in row["text"] and "exited" in row["text"] for row in rows), rows


async def test_a_broker_that_keeps_ending_takes_nobody_with_it(workspace: Paths) -> None:
    async with running(workspace, Config(health=HealthConfig(max_restarts=2))) as guardian:
        await until(lambda: guardian.fleet.standby is not None and guardian.fleet.standby.state == "running")
        main = guardian.fleet.main
        for _ in range(3):
            broker = guardian.effects.broker
            assert broker is not None
            os.kill(broker.watch.pid, signal.SIGKILL)
            await until(lambda broker=broker: not broker.alive)
            assert (await guardian.dispatch.ask("what is 6*7")).ok
            await until(lambda broker=broker: guardian.effects.broker is not broker)
        assert guardian.effects.broker is not None
        await guardian.effects.broker.ready()
        assert guardian.fleet.main is main
        await guardian.checkpoints.take("events are durable with the next commit")
        rows = await guardian.stores.events.page(0, 100, source="ladder")
        assert len(rows) == 1 and "broker" in rows[0]["text"] and rows[0]["level"] == "warning", rows


async def test_an_instance_that_dies_while_the_model_answers_is_answered_anew(workspace: Paths) -> None:
    async with fake_server() as fake, running(workspace, settings(fake.url)) as guardian:
        view = Follower(guardian)
        fake.say(stream(event(delta("It is half ")), end=[HANG]), answer("whole now"))
        asked = asyncio.create_task(guardian.dispatch.ask("tell me something"))
        await until(lambda: any("half" in text for text in view.said()))
        main = guardian.fleet.main
        assert main is not None
        os.kill(main.pid, signal.SIGKILL)
        ticket = await asyncio.wait_for(asked, PATIENCE_S)
        assert ticket.ok and ticket.recovered and ticket.answer == "whole now"
        await asyncio.wait_for(fake.requests[0].gone.wait(), PATIENCE_S)  # nobody pays for an answer that nobody hears


async def test_a_record_that_cannot_be_read_leaves_no_instance_waiting(
    workspace: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def damaged(*_: object) -> None:
        raise CorruptError("the recorded answer of an effect is damaged")

    async with running(workspace) as guardian:
        main = guardian.fleet.main
        assert main is not None
        sent: list[messages.BrokerReply] = []
        monkeypatch.setattr(guardian.stores.brokered, "find", damaged)
        monkeypatch.setattr(main, "send", lambda message, request_id: sent.append(message))
        ticket = Ticket("again", "what time is it?", "chat", "main", 0, nobody, attempts=2)
        guardian.effects.ask(ticket, main, messages.BrokerRequest(call_id="c1", kind="tool.clock", arguments={}))
        await until(lambda: sent)
        assert (sent[0].call_id, sent[0].state) == ("c1", "error") and "damaged" in sent[0].data["error"]
        monkeypatch.undo()
