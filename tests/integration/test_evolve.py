"""A change of the agent's own code, with a real guardian: forks, pairs, approval, hot reload, rollback."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from o_tui.config import Config, EvolutionConfig
from o_tui.paths import Paths
from o_tui.protocol import operations
from o_tui.protocol.errors import OError, RefusedError
from tests.support.guardians import ECHO, running, until
from tests.support.operating import HEAD, LOUD, Operator, operating

SETTINGS = Config(evolution=EvolutionConfig(pairs=12, request_s=2.0, canary_pairs=5))
SAME = HEAD + "    text = request.text\n    yield Say(text)\n"
LATE = "    if context.revision:\n"


@pytest.fixture
async def operator(workspace: Paths) -> AsyncIterator[Operator]:
    async with operating(workspace, SETTINGS) as someone:
        yield someone


async def test_the_whole_story(operator: Operator, workspace: Paths) -> None:
    """Evolve, look, approve, the new code answers, it survives a kill, roll back."""
    row = await operator.evolve(LOUD, goal="Speak up")
    assert (row["state"], row["verdict"]) == ("pending", "no_evidence"), row["reason"]
    evidence = row["evidence"]
    sources = evidence["requests_from"]
    assert evidence["pairs"] == 12 == sources["recorded"] + sources["workload"] and sources["recorded"] >= 6
    assert evidence["answers"]["different"] == 12
    assert all(example["candidate"] == example["main"].upper() for example in evidence["answers"]["examples"])
    assert evidence["latency"]["main_p50_ms"] > 0 and evidence["cpu"]["pairs"] > 0
    assert evidence["memory"]["main_bytes"] > 1_000_000
    assert all(stage["verdict"] in ("pass", "skip") for stage in row["stages"]) and len(row["stages"]) > 6
    assert (await operator.call("checkpoint.show", id=row["checkpoint_id"]))[
        "reason"
    ] == f"before evolution {row['id']}"
    assert await operator.say("quiet") == "quiet", "nothing is deployed yet"
    (waiting,) = await operator.call("pending")
    assert waiting["id"] == row["id"]

    with pytest.raises(RefusedError, match="changed"):
        await operator.call("approve", id=row["id"], digest="0" * 64)
    promoted = await operator.call("approve", id=row["id"], digest=row["diff_sha256"])
    assert (promoted["state"], promoted["version"]) == ("promoted", "0.2.0")
    assert await operator.say("louder") == "LOUDER"
    assert (await operator.call("status"))["genome"]["version"] == "0.2.0"
    with pytest.raises(RefusedError, match="already approved by"):
        await operator.call("approve", id=row["id"], digest=row["diff_sha256"])

    for _ in range(2):  # the standby, then a fresh fork of the nursery, run the new code too
        main = operator.guardian.fleet.main
        assert main is not None
        os.kill(main.pid, signal.SIGKILL)
        assert await operator.say("still") == "STILL"

    back = await operator.call("rollback", revision="")
    assert back["version"] == "0.2.1"
    assert await operator.say("calm") == "calm"
    assert (await operator.call("evolution.show", id=row["id"]))["state"] == "rolled_back"
    log = (workspace.genome / "CHANGELOG.md").read_text()
    assert log.index("## 0.2.1") < log.index("## 0.2.0") and "answers differ" in log
    tail = [entry["operation"] for entry in await operator.call("wal.tail", n=50)]
    assert tail.count("genome_switch") >= 2


async def test_no_request_is_lost_while_the_code_changes(operator: Operator) -> None:
    rows = [await operator.evolve(SAME + f"# {number}\n") for number in range(1)]
    answers: list[str] = []
    stop = False

    async def talk(name: int) -> None:
        number = 0
        while not stop:
            number += 1
            ticket = await operator.guardian.dispatch.ask(f"{name} {number}")
            assert ticket.ok, ticket.error
            answers.append(ticket.answer)

    talkers = [asyncio.create_task(talk(name)) for name in range(8)]
    for row in rows:
        assert row["state"] == "pending", row["reason"]
        before = len(answers)
        await operator.call("approve", id=row["id"], digest=row["diff_sha256"])
        await operator.call("rollback", revision="")
        await until(lambda before=before: len(answers) > before + 20)  # type: ignore[misc]
    stop = True
    await asyncio.gather(*talkers)
    assert len(set(answers)) == len(answers)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("    yield Say(request.text\n", "respond.py:7: SyntaxError: '(' was never closed"),
        ("    return None\n", "respond.py:6: respond must be a generator: it yields steps"),
        ("    yield Say(str(1 // 0))\n", "respond: raises ZeroDivisionError; main does not: respond("),
        (
            "    while True:\n        pass\n    yield Say('')\n",
            "respond: it does not end; the reference does: respond(",
        ),
        ("    raise SystemExit(3)\n    yield Say('')\n", "respond: raises SystemExit; main does not: respond("),
        # what only shows in service: on the bench there is no revision
        (
            LATE + "        yield Say(str(1 // 0))\n    yield Say(request.text)\n",
            "requests failed, 0 of main's (error: ZeroDivisionErr",
        ),
        (
            LATE + "        while True:\n            pass\n    yield Say(request.text)\n",
            "1 hang where main's code answered (hang:",
        ),
        (
            LATE + "        raise SystemExit(3)\n    yield Say(request.text)\n",
            "requests failed, 0 of main's (error: SystemExit: 3",
        ),
        (
            "    hog = bytearray(64_000_000)\n    yield Say(request.text + str(len(hog))[:0])\n",
            "peak memory",
        ),
        ("    yield Say(request.text)\nraise ValueError('at import')\n", "ValueError: at import"),
    ],
    ids=[
        "syntax",
        "contract",
        "raises",
        "hangs",
        "exits",
        "raises late",
        "hangs late",
        "exits late",
        "memory",
        "import",
    ],
)
async def test_a_bad_candidate_never_reaches_the_agent(operator: Operator, body: str, reason: str) -> None:
    row = await operator.evolve(HEAD + body)
    assert row["state"] == "rejected", row
    assert reason in row["reason"], row["reason"]
    assert "\n" not in row["reason"]
    assert await operator.say("as before") == "as before"
    events = await operator.call("events.list", limit=50, filter="source:evolution")
    assert any(row["id"] in event["text"] and "rejected" in event["text"] for event in events)
    with pytest.raises(RefusedError):
        await operator.call("approve", id=row["id"], digest=row["diff_sha256"])


async def test_shadows_leave_no_trace_in_the_agents_state(operator: Operator) -> None:
    noisy = (
        HEAD.replace("Say, Steps", "Remember, Say, Steps")
        + "    yield Remember('a thought of a shadow', 'shadow')\n    yield Say(request.text)\n"
    )
    seq = operator.guardian.stores.wal.seq
    row = await operator.evolve(noisy)
    assert row["state"] in ("pending", "rejected"), row["reason"]
    entries = [operations.unpack_entry(entry) for entry in await operator.guardian.stores.wal.read(seq)]
    assert {entry.operation for entry in entries} <= {"lifecycle_change"}  # the guardian's own: it was evolving
    kept = await operator.guardian.dispatch.ask('{"limit": 1000}', "memory.list", journalled=False)
    assert kept.ok and "shadow" not in kept.answer


async def test_who_answers_the_same_and_remembers_otherwise_is_for_the_operator_to_judge(operator: Operator) -> None:
    """Memory is what an agent answers from tomorrow; the same code writes the same."""
    same = (await operator.evolve(SAME + "# the same\n"))["evidence"]["answers"]
    assert (same["same"], same["different"]) == (12, 0)
    other = SAME.replace("Say,", "Record, Say,").replace(
        "    yield Say", "    yield Record('user', text)\n    yield Say"
    )
    row = await operator.evolve(other)
    answers = row["evidence"]["answers"]
    assert (answers["same"], answers["different"]) == (0, 12), row["reason"]
    assert answers["examples"][0]["candidate"] == "(the same answer, but another memory of it: 1 operations)"
    assert row["state"] == "pending" and "answers differ" in row["reason"]


async def test_no_shadow_outlives_its_evolution(operator: Operator) -> None:
    pids: list[int] = []
    real: Callable[..., Any] = operator.guardian.fleet.fork_shadow

    async def fork_shadow(*arguments: Any, **more: Any) -> Any:
        instance = await real(*arguments, **more)
        pids.append(instance.pid)
        return instance

    operator.guardian.fleet.fork_shadow = fork_shadow  # type: ignore[method-assign]
    await operator.evolve(LOUD)
    assert len(pids) == 2 * 2, "a twin and a shadow for each ten pairs"
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


async def test_a_shadow_that_dies_counts_against_the_candidate_and_nobody_else(operator: Operator) -> None:
    main = operator.guardian.fleet.main
    slow = HEAD + "    total = sum(range(1_000_000))\n    yield Say(request.text + str(total)[:0])\n"
    begun = await operator.call("evolve", gene="respond", source=slow)

    def shadows() -> list[dict[str, Any]]:
        rows = operator.guardian.instance_rows()
        return [row for row in rows if row["name"].startswith("shadow") and row["state"] == "running"]

    await until(shadows)
    os.kill(shadows()[0]["pid"], signal.SIGKILL)
    ended = await operator.call("evolution.wait", id=begun["evolution"])
    assert ended["state"] == "rejected" and "(crash: " in ended["reason"], ended["reason"]
    assert operator.guardian.fleet.main is main
    assert await operator.say("as before") == "as before"


async def test_an_evolution_survives_nothing_but_its_approval_does(workspace: Paths, tmp_path: Path) -> None:
    """The guardian ends while one waits and one runs: the first still waits, the second has failed."""
    async with running(workspace, SETTINGS, ECHO) as guardian:
        operator = Operator(guardian, workspace)
        await operator.say("hello")
        waiting = await operator.evolve(LOUD)
        slow = HEAD + "    total = sum(range(1_000_000))\n    yield Say(request.text + str(total)[:0])\n"
        begun = await operator.call("evolve", gene="respond", source=slow)
    async with running(workspace, SETTINGS, ECHO) as guardian:
        operator = Operator(guardian, workspace)
        row = await operator.call("evolution.show", id=begun["evolution"])
        assert row["state"] == "failed" and row["reason"].startswith("interrupted")
        await operator.call("approve", id=waiting["id"], digest=waiting["diff_sha256"])
        assert await operator.say("hello") == "HELLO"
    async with running(workspace, SETTINGS, ECHO) as guardian:
        operator = Operator(guardian, workspace)
        assert await operator.say("again") == "AGAIN"
        assert (await operator.call("status"))["genome"]["version"] == "0.2.0"


async def test_without_a_model_nothing_is_written(operator: Operator) -> None:
    row = await operator.evolve("", origin="llm", goal="Be kind")
    assert row["state"] == "failed" and "no model" in row["reason"]
    with pytest.raises(OError, match="is not a gene"):
        await operator.call("evolve", gene="kernel", source="x = 1")


BURGLAR = f"""{HEAD.replace("annotations", "annotations; import json", 1)}    try:
        json.codecs.open("/etc/passwd")
    except OSError:
        pass
    yield Say(request.text)
"""


async def test_what_the_sandbox_refuses_a_candidate_rejects_it_and_is_on_record(operator: Operator) -> None:
    row = await operator.evolve(BURGLAR)
    assert (row["state"], row["verdict"]) == ("rejected", "reject"), row
    assert row["reason"].startswith("the sandbox refused it landlock: openat /etc/passwd"), row["reason"]
    assert row["evidence"]["sandbox"] == {"main": [], "candidate": ["landlock: openat /etc/passwd"]}
    shown = await operator.call("evolution.show", id=row["id"])
    assert shown["violations"], "the rows"
    for found in shown["violations"]:
        assert (found["role"], found["revision"], found["evolution"]) == ("shadow", row["revision"], row["id"])
        assert (found["layer"], found["what"]) == ("landlock", "openat /etc/passwd")
        assert found["instance"].startswith("shadow-") and found["time_ns"] > 0
    events = await operator.call("events.list", filter="kind:violation")
    assert events and all("openat /etc/passwd" in event["text"] for event in events)


async def test_a_sound_candidate_is_clean(operator: Operator) -> None:
    row = await operator.evolve(LOUD)
    assert row["evidence"]["sandbox"] == {"main": [], "candidate": []}
    assert await operator.call("violations.list") == []


async def test_an_instance_beyond_its_time_is_on_record(operator: Operator) -> None:
    row = await operator.evolve(HEAD + LATE + "        while True:\n            pass\n    yield Say(request.text)\n")
    assert row["state"] == "rejected" and "hang" in row["reason"]
    shown = await operator.call("evolution.show", id=row["id"])
    assert {(found["layer"], found["what"]) for found in shown["violations"]} == {("limits", "wall clock 2 s")}
