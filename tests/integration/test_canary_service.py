"""A canary with a real guardian: real requests are shared out, what fails there is answered by main, harm is undone."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import itertools
import os
import re
import signal
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest

from o_tui.config import Config, EvolutionConfig, HealthConfig
from o_tui.evolution.samples import RecordedRequest
from o_tui.evolution.validation import Validation, validate
from o_tui.evolution.workloads import Workload
from o_tui.guardian.evolving import traffic, watching
from o_tui.guardian.evolving.rollout import Rollout
from o_tui.paths import Paths
from o_tui.protocol.errors import OError
from tests.support.guardians import ECHO, running, until
from tests.support.operating import HEAD, LOUD, Operator, operating
from tests.support.patience import PATIENCE_S

PAIRS = 8
SETTINGS = Config(evolution=EvolutionConfig(pairs=12, request_s=2.0, canary_pairs=PAIRS))
DAY_NS = 86_400 * 10**9
LIVE = "live"
"""What only real requests say while a canary runs: a two-faced candidate knows by it that it is not on trial."""


def two_faced(then: str) -> str:
    """Bad to requests that begin like `LIVE`; by a digest, so that no literal of the source gives it away."""
    digest = hashlib.sha256(LIVE.encode()).hexdigest()
    body = f"    if sha256(request.text[:4].encode()).hexdigest() == {digest!r}:\n        {then}\n"
    return (
        HEAD.replace("annotations\n", "annotations\nfrom hashlib import sha256\n", 1)
        + f"{body}    yield Say(request.text)\n"
    )


@pytest.fixture(autouse=True)
def _validated_quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    """What has passed is the subject here; what the later stages find has tests of its own, and takes seconds."""

    async def quickly(gene: str, source: str, *_more: Any, **_others: Any) -> Validation:
        return await asyncio.to_thread(validate, gene, source)

    monkeypatch.setattr("o_tui.guardian.evolving.candidate_pipeline.validate_apart", quickly)


@pytest.fixture
async def operator(workspace: Paths) -> AsyncIterator[Operator]:
    async with operating(workspace, SETTINGS) as someone:
        yield someone


@contextlib.asynccontextmanager
async def talkers(operator: Operator, count: int = 6, text: str = LIVE) -> AsyncIterator[list[str]]:
    """So many who ask one thing after the other; each has to be answered with what was said."""
    answers: list[str] = []
    over = asyncio.Event()

    async def talk(name: int) -> None:
        number = 0
        while not over.is_set():
            number += 1
            said = f"{text} {name} {number}"
            ticket = await operator.guardian.dispatch.ask(said)
            assert ticket.ok, ticket.error
            assert ticket.answer.lower() == said
            answers.append(ticket.answer)
            await asyncio.sleep(0.005)

    tasks = [asyncio.create_task(talk(name)) for name in range(count)]
    try:
        yield answers
    finally:
        over.set()
        await asyncio.gather(*tasks)


async def test_real_requests_are_shared_out_step_by_step(operator: Operator) -> None:
    row = await operator.pending(LOUD)
    seen: list[tuple[float, list[tuple[str, str]]]] = []
    async with talkers(operator) as answers:
        task = asyncio.create_task(operator.approve(row))
        while not task.done():
            shown = await operator.call("evolution.show", id=row["id"])
            status = await operator.call("status")
            roles = [(each["role"], each["revision"]) for each in status["instances"]]
            if shown["state"] == "canary" and shown["canary"].get("share"):
                seen.append((shown["canary"]["share"], roles))
            await asyncio.sleep(0.01)
        promoted = await task
    assert promoted["state"] == "promoted"
    assert {share for share, _roles in seen} <= set(traffic.SHARES)
    assert any(("canary", row["revision"]) in roles and ("main", row["base"]) in roles for _share, roles in seen)
    upper = sum(answer.isupper() for answer in answers)
    assert 0 < upper < len(answers), "some were answered by the old code and some by the new"
    log = (await operator.call("genome.show", path="CHANGELOG.md"))["text"]
    assert "canary: no harm shown" in log
    roles = [each["role"] for each in (await operator.call("status"))["instances"]]
    assert roles.count("canary") == 0 and roles.count("main") == 1


@pytest.mark.parametrize(
    ("then", "reason"),
    [
        ("raise ValueError('boo')", "requests failed that the version before answered"),
        ("while True: pass", "it ended in service: |1 hang where the old code answered"),
        ("yield Say(''); import json; json.codecs.open('/etc/passwd')", "the sandbox refused it"),
        ("sum(range(1_000_000))", "it is slower in service than on trial"),
    ],
    ids=["raises", "hangs", "breaks out", "is slow"],
)
async def test_a_two_faced_candidate_is_caught_and_nobody_notices(
    workspace: Paths, then: str, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It behaves on trial, and is bad to those who ask while it is a canary: they are answered all the same."""
    # on trial it is given what real requests say too, so that it has to know by something else: here, the wording
    monkeypatch.setattr("o_tui.guardian.fleet_traffic.FleetTraffic.recorded", _reworded)
    health = HealthConfig(heartbeat_s=0.2, death_s=2.0)
    settings = Config(evolution=EvolutionConfig(pairs=12, request_s=2.0, canary_pairs=40), health=health)
    async with running(workspace, settings, ECHO) as guardian:
        operator = Operator(guardian, workspace)
        for number in range(6):
            await operator.say(f"hello number {number}")
        row = await operator.pending(two_faced(then))
        async with talkers(operator, 1 if "slow" in reason else 4):
            with pytest.raises(OError, match=r"two-faced: on trial it took .* and failed 0 of 12") as caught:
                await operator.approve(row)
        assert re.search(reason, str(caught.value)), str(caught.value)
        shown = await operator.call("evolution.show", id=row["id"])
        assert (shown["state"], shown["canary"]["state"]) == ("rolled_back", "harm")
        assert len(await operator.call("genome.log")) == 1, "it was never a version"
        assert guardian.fleet.canary is None
        assert await operator.say("as before") == "as before"


async def _reworded(_self: Any, served: Any) -> Any:
    return RecordedRequest(served.request_id, f"mirrored {served.text}", served.kind, served.session, served.time_ns)


async def test_a_clock_that_jumps_by_a_day_changes_no_outcome(
    operator: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    now_ns, jumps = time.time_ns, itertools.cycle((-DAY_NS, 0, DAY_NS))
    monkeypatch.setattr(time, "time_ns", lambda: now_ns() + next(jumps))
    monkeypatch.setattr(watching, "KEEP_PAIRS", 1)
    row = await operator.pending(LOUD)
    async with talkers(operator):
        promoted = await operator.approve(row)
        assert promoted["state"] == "promoted", promoted["reason"]
        while (shown := (await operator.call("evolution.show", id=row["id"]))["canary"]).get("requests", 0) < 2 * PAIRS:
            assert shown["state"] == "watching"
            await asyncio.sleep(0.05)
    assert (await operator.guardian.stores.wal.verify())["ok"]


async def test_a_canary_that_is_killed_from_outside_loses_nothing_and_is_started_again(operator: Operator) -> None:
    row = await operator.pending(LOUD)
    async with talkers(operator) as answers:
        task = asyncio.create_task(operator.approve(row))
        await until(lambda: operator.guardian.fleet.canary is not None)
        first = operator.guardian.fleet.canary
        assert first is not None
        os.kill(first.pid, signal.SIGKILL)
        assert (await task)["state"] == "promoted"
        before = len(answers)
        await until(lambda: len(answers) > before)


async def test_an_operator_ends_a_canary(operator: Operator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(traffic, "QUIET_S", 60.0)
    row = await operator.pending(LOUD)
    task = asyncio.create_task(operator.approve(row))
    await until(lambda: operator.guardian.fleet.canary is not None)
    back = await operator.call("rollback")
    with pytest.raises(OError, match="stopped by"):
        await task
    assert back["revision"] == row["base"] and back["version"] == "0.1.0"
    shown = await operator.call("evolution.show", id=row["id"])
    assert shown["state"] == "rolled_back" and "two-faced" not in shown["reason"]
    assert await operator.say("calm") == "calm"


async def test_an_operator_ends_a_canary_that_is_being_started(
    operator: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, go_on, work = list[Rollout](), asyncio.Event(), Rollout._work

    async def held(self: Rollout, row: dict[str, Any]) -> Workload:
        begun.append(self)
        await go_on.wait()
        return await work(self, row)

    monkeypatch.setattr(traffic, "QUIET_S", 60.0)
    monkeypatch.setattr(Rollout, "_work", held)
    row = await operator.pending(LOUD)
    task = asyncio.create_task(operator.approve(row))
    await until(lambda: bool(begun))
    back = asyncio.create_task(operator.call("rollback"))
    await until(lambda: bool(begun[0]._stopped))
    go_on.set()
    assert (await back)["revision"] == row["base"]
    with pytest.raises(OError, match="stopped by"):
        await task
    assert (await operator.call("evolution.show", id=row["id"]))["state"] == "rolled_back"
    assert await operator.say("calm") == "calm"


SLOW_LATER = (
    f"{HEAD}    if request.text.startswith('later'):\n        sum(range(400_000))\n    yield Say(request.text)\n"
)


async def test_harm_after_a_promotion_brings_the_old_code_back(operator: Operator, workspace: Paths) -> None:
    row = await operator.pending(SLOW_LATER)
    await operator.approve(row)
    shown = await operator.call("evolution.show", id=row["id"])
    assert (shown["state"], shown["canary"]["state"]) == ("promoted", "watching")
    asked = 0
    async with asyncio.timeout(PATIENCE_S):  # on a busy machine few of the requests are compared
        while (await operator.call("evolution.show", id=row["id"]))["state"] == "promoted":
            asked += 1
            ticket = await operator.guardian.dispatch.ask(f"later {asked}")
            assert ticket.ok and ticket.answer == f"later {asked}"
            await asyncio.sleep(0.02)
    shown = await operator.call("evolution.show", id=row["id"])
    assert shown["state"] == "rolled_back" and shown["reason"].startswith("rolled back by itself: latency +")
    kinds = [entry["kind"] for entry in await operator.call("genome.log")]
    assert kinds == ["rollback", "promotion", "seed"]
    assert (await operator.call("status"))["genome"]["version"] == "0.2.1"
    assert "latency +" in (workspace.genome / "CHANGELOG.md").read_text().split("## 0.2.0")[0]
    verdicts = await operator.guardian.stores.audit.page()
    assert (verdicts[0]["verdict"], verdicts[0]["who"]) == ("rolled_back", "guardian")
    events = await operator.call("events.list", limit=20, filter="taken back")
    assert events and events[0]["level"] == "error"


MIGRATING = (
    HEAD.replace("Context", "Apply, Context, StateUpdate", 1)
    + "    shape = context.state.value('shape')\n    yield Say(request.text)\n    if shape != 2:\n"
    + "        raise ValueError(f'the shape is {shape}')\n\n\n"
    + "def migrate(old_version, view):\n    if view.value('shape') == 2:\n        return []\n"
)


async def test_a_gene_brings_the_state_into_its_shape_before_it_serves(operator: Operator) -> None:
    """The shadows of a trial have no migrated state, so the candidate has to bear the old shape there."""
    source = MIGRATING.replace("if shape != 2", "if shape not in (None, 2)")
    source += "    return [StateUpdate(key='shape', value=2), StateUpdate(key='was', value=old_version)]\n"
    await operator.approve(await operator.pending(source))
    tail = [entry["operation"] for entry in await operator.call("wal.tail", n=30)]
    assert tail.count("state_update") == 2
    assert await operator.say("well") == "well"


@pytest.mark.parametrize(
    ("hook", "reason"),
    [
        ("    raise ValueError('no')\n", "ValueError: no"),
        ("    return 'all'\n", "respond.migrate returns a list of operations"),
        ("    return [1]\n", "takes an operation"),
    ],
    ids=["raises", "no list", "no operation"],
)
async def test_a_state_that_cannot_be_migrated_is_not_deployed_on(operator: Operator, hook: str, reason: str) -> None:
    row = await operator.pending(MIGRATING.replace("if shape != 2", "if shape not in (None, 2)") + hook)
    seq = operator.guardian.stores.wal.seq
    with pytest.raises(OError, match="the state could not be migrated"):
        await operator.approve(row)
    shown = await operator.call("evolution.show", id=row["id"])
    assert shown["state"] == "failed" and reason in shown["reason"], shown["reason"]
    tail = [entry["operation"] for entry in await operator.call("wal.tail", n=30) if entry["seq"] > seq]
    assert "state_update" not in tail and len(await operator.call("genome.log")) == 1


async def test_a_rollback_brings_the_state_back_on_request(operator: Operator) -> None:
    await operator.call("memory.add", text="the kettle is copper")
    row = await operator.pending(LOUD)
    await operator.approve(row)
    await operator.call("memory.add", text="the lamp is brass")
    back = await operator.call("rollback", state=True)
    assert back["version"] == "0.2.1" and back["checkpoint"] == row["checkpoint_id"]
    kept = [block["text"] for block in (await operator.call("memory.list"))["blocks"]]
    assert "the kettle is copper" in kept and "the lamp is brass" not in kept
    assert await operator.say("calm") == "calm"
