"""Instances of a real guardian, confined: what a hostile gene finds there, and what is left when they have gone."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from o_tui.config import Config, HealthConfig
from o_tui.evolution.samples import RecordedRequest
from o_tui.guardian.core import Guardian
from o_tui.guardian.evolution_adapters import FleetInstances
from o_tui.guardian.evolving.shadows import Measurement
from o_tui.guardian.evolving.trial import Trial
from o_tui.guardian.fleet.code import Code
from o_tui.guardian.fleet.confinement import lacks
from o_tui.paths import Paths
from o_tui.protocol import messages
from tests.support.agents import ECHO
from tests.support.guardians import running
from tests.support.nursery_driver import NurseryProcess, genome_files

CANARY = "sk-canary-3f9c2b7d5e"
SHADOWS, TOGETHER = 1_000, 20
CALM = Config(health=HealthConfig(max_restarts=1_000))
LOOK = """
import json
from o_tui.agent.dsl import Say

def outside():
    # a gene may import nothing of the kind; Python has a hundred other ways
    for kind in ().__class__.__base__.__subclasses__():
        if kind.__name__ == "_wrap_close":
            return kind.__init__.__globals__

def attempt(what):
    try:
        return repr(what())
    except BaseException as error:
        return type(error).__name__

def respond(request, context):
    world = outside()
    os, sys = world["sys"].modules["os"], world["sys"]
    signal, resource, socket = (sys.modules.get(name) for name in ("signal", "resource", "socket"))
    libc = sys.modules.get("ctypes")
    seen = {
        "environment": sorted(os.environ.items()),
        "descriptors": [n for n in range(256) if attempt(lambda: os.fstat(n)) != "OSError"],
        "user": [os.getuid(), os.getgid(), os.getgroups()],
        "session": os.getsid(0) == os.getpid(),
        "folder": os.getcwd(),
        "priority": os.getpriority(0, 0),
        "umask": os.umask(0o077),
        "path": sys.path,
        "flags": repr(sys.flags),
        "signals": [repr(signal.getsignal(n)).split(" at ")[0] for n in range(1, 32)],
        "root": attempt(lambda: os.listdir("/")),
        "passwd": attempt(lambda: os.open("/etc/passwd", 0)),
        "process": attempt(lambda: os.open("/proc/self/status", 0)),
        "fork": attempt(os.fork),
        "thread": attempt(lambda: sys.modules["_thread"].start_new_thread(int, ())),
        "kill": attempt(lambda: os.kill(os.getppid() or 2, 0)),
        "socket": attempt(lambda: socket.socket()),
        "write": attempt(lambda: os.open("/tmp/o-pwn", os.O_CREAT | os.O_WRONLY)),
        "exec": attempt(lambda: os.execv("/bin/true", ["true"])),
        "chmod": attempt(lambda: os.chmod("/", 0o777)),
    }
    yield Say(json.dumps(seen))
"""
BODIES = {
    "loops": "while True:\n        pass",
    "loops in C": "sum(range(1 << 60))",
    "exits": "raise SystemExit(0)",
    "fails at its end": "Grumbling()\n    yield Say('fine')",
    "prints": "for _ in range(100_000): print('x' * 1000)\n    yield Say('fine')",
    "claims": '[n * n for n in range(1_500_000)]\n    yield Say(\'{"latency": 0, "quality": 1}\')',
}
GENE = """
from o_tui.agent.dsl import Say

class Grumbling:
    def __del__(self):
        raise RuntimeError("in its last moment")

def respond(request, context):
    {body}
    yield Say("")
"""


def with_respond(source: str) -> dict[str, str]:
    return {**genome_files(ECHO), "respond.py": source}


def request(identity: str) -> RecordedRequest:
    return RecordedRequest(identity, "hello", "chat", "s", 1, "", ())


async def shadow(guardian: Guardian, source: str) -> Trial:
    trial = Trial()
    code = Code(with_respond(source), "b" * 40, "1")
    trial.instance = await guardian.fleet.fork_shadow(code, trial.frame)
    return trial


@pytest.fixture
def nursery() -> Iterator[NurseryProcess]:
    process = NurseryProcess()
    yield process
    process.close()


async def test_a_gene_that_leaves_its_python_finds_nothing(workspace: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", CANARY)
    async with running(workspace, CALM, ECHO) as guardian:
        trial = await shadow(guardian, LOOK)
        outcome = await trial.request(request("r1"))
        seen = json.loads(outcome.text)
        await trial.kill()
        told = [each.what for each in trial.refused()]
    assert "KEY" not in str(seen["environment"]) and CANARY not in outcome.text
    assert seen["descriptors"] == [0, 1, 2, 3]
    assert seen["user"][0] != 0 and seen["session"] and seen["umask"] == 0o077
    if os.geteuid() == 0:
        assert seen["user"] == [65_534, 65_534, []]
    refused = {seen[what] for what in ("root", "passwd", "process", "fork", "kill", "socket", "write", "exec", "chmod")}
    assert refused <= {"PermissionError", "FileNotFoundError", "OSError"}, seen  # OSError: nothing is written there
    assert not Path("/tmp/o-pwn").exists()
    assert seen["thread"] == "RuntimeError" and "clone (a thread)" in told, told


async def test_a_trial_looks_like_service(workspace: Paths, folder: Path) -> None:
    seed = folder / "seed"
    for name, text in with_respond(LOOK).items():
        (seed / name).parent.mkdir(parents=True, exist_ok=True)
        (seed / name).write_text(text)
    async with running(workspace, CALM, seed) as guardian:
        served = json.loads((await guardian.dispatch.ask("hello")).answer)
        trial = await shadow(guardian, LOOK)
        tried = json.loads((await trial.request(request("r1"))).text)
        await trial.kill()
    assert served == tried


async def test_who_does_not_answer_is_killed_at_the_limit(workspace: Paths) -> None:
    async with running(workspace, CALM, ECHO) as guardian:
        main = Code(genome_files(ECHO), "a" * 40, "1")
        for body in ("loops", "loops in C"):
            candidate = Code(with_respond(GENE.format(body=BODIES[body])), "b" * 40, "2")
            measurement = Measurement(
                FleetInstances(guardian), lambda *_: None, "e1", main=main, candidate=candidate, timeout_s=2.0, seed=1
            )
            trial = await measurement.run([request("r1")])
            assert trial.pairs[-1].candidate.ending == "hang"
            assert trial.pairs[-1].main.ending == "answered"
        tried = [instance for name, instance in guardian.fleet.instances.items() if name.startswith(("shadow", "twin"))]
        assert not any(instance.alive for instance in tried)
        assert (await guardian.dispatch.ask("still here")).answer == "still here"


async def test_an_exit_is_a_failure_and_claims_count_for_nothing(workspace: Paths) -> None:
    async with running(workspace, CALM, ECHO) as guardian:
        outcomes = {}
        for body in ("exits", "fails at its end", "prints", "claims"):
            trial = await shadow(guardian, GENE.format(body=BODIES[body]))
            started_ns = time.monotonic_ns()
            outcomes[body] = await trial.request(request("r1"))
            elapsed_ns = time.monotonic_ns() - started_ns
            assert 0 < outcomes[body].wall_ns <= elapsed_ns
            await trial.kill()
        assert not outcomes["exits"].ok
        assert outcomes["fails at its end"].ok and outcomes["prints"].ok
        assert outcomes["claims"].wall_ns > 5_000_000  # whatever it says: the time is the guardian's


async def test_every_instance_is_confined_as_it_says(workspace: Paths) -> None:
    async with running(workspace, CALM, ECHO) as guardian:
        trial = await shadow(guardian, GENE.format(body="pass"))
        main, standby = guardian.fleet.main, guardian.fleet.standby
        while standby is None:
            await asyncio.sleep(0.01)
            standby = guardian.fleet.standby
        assert main is not None
        for instance in (main, standby, trial.instance):
            await instance.must_be_confined()
            assert instance.tier in "ABC"
            assert lacks(instance.pid) == ""
        await trial.kill()


def test_a_thousand_shadows_leave_nothing(nursery: NurseryProcess) -> None:
    nursery.restore()
    shadows_die(nursery, 1)
    before = traces(nursery.process.pid)
    for _ in range(0, SHADOWS, TOGETHER):
        shadows_die(nursery, TOGETHER)
    after = traces(nursery.process.pid)
    # what it prepares in its quiet beats is a few; what each of a thousand would leave is not
    assert after.pop("mappings") < before.pop("mappings") + 20
    assert after == before


def shadows_die(nursery: NurseryProcess, count: int) -> None:
    living, pidfds = {}, []
    for number in range(count):
        peer, forked, pidfd = nursery.fork("shadow", f"shadow-{number}")
        assert peer.expect(messages.Ready).tier in "ABC"
        living[forked.pid] = peer
        pidfds.append(pidfd)
    for pidfd in pidfds:
        signal.pidfd_send_signal(pidfd, signal.SIGKILL)
    for _ in range(count):
        exited, _ = nursery.answer()
        assert exited.status == -signal.SIGKILL
        living.pop(exited.pid).sock.close()
    while nursery._descriptors:
        os.close(nursery._descriptors.pop())


def traces(pid: int) -> dict[str, Any]:
    """What shadows could leave behind: descriptors, children, mounts, mappings, files."""
    return {
        "ours": len(list(Path("/proc/self/fd").iterdir())),
        "descriptors": len(list(Path(f"/proc/{pid}/fd").iterdir())),
        "children": Path(f"/proc/{pid}/task/{pid}/children").read_text(),
        "mounts": Path(f"/proc/{pid}/mountinfo").read_text(),
        "mappings": len(Path(f"/proc/{pid}/maps").read_text().splitlines()),
        "files": sorted(path.name for path in Path("/tmp").glob(".o-*")),
    }
