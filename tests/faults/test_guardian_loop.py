"""Nothing on the guardian's loop takes more than a few milliseconds; and the guardian's process is a lean one."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from o_tui.config import Config, EvolutionConfig, HealthConfig
from o_tui.guardian.embedded import Embedded
from o_tui.paths import Paths
from tests.support.guardian_process import ROOT, Link, exists, guardian_process, pids
from tests.support.patience import PATIENCE_S

LIMIT_MS = 5.0
"""Of CPU time, that other processes do not stretch."""
WAIT_LIMIT_MS = 1_000.0
"""For the time on the wall, that a busy machine stretches: what sleeps for longer than that is a defect anyway."""
SETTINGS = Config(health=HealthConfig(max_restarts=1_000), evolution=EvolutionConfig(pairs=10, request_s=2.0))
BLOCKS = 1_500
CANDIDATE = "\n\ndef a_harmless_addition() -> int:\n    return 1\n"


def named(handle: asyncio.Handle) -> str:
    """What a callback is: of a task, the chain of coroutines down to where it goes on."""
    task = getattr(handle._callback, "__self__", None)  # type: ignore[attr-defined]
    if not isinstance(task, asyncio.Task):
        return repr(handle)
    names: list[str] = []
    coroutine: Any = task.get_coro()
    while coroutine is not None and hasattr(coroutine, "cr_frame"):
        line = coroutine.cr_frame.f_lineno if coroutine.cr_frame is not None else 0
        names.append(f"{coroutine.__qualname__}:{line}")
        coroutine = coroutine.cr_await
    return " > ".join(names)


class Measured:
    """Every callback of the thread `guardian`: its CPU time and its time on the wall."""

    def __init__(self) -> None:
        self.slow: list[tuple[float, float, str]] = []
        self.count = 0
        self.on = False
        self._run = asyncio.Handle._run

    def run(self, handle: asyncio.Handle) -> None:
        if threading.current_thread().name != "guardian":
            self._run(handle)
            return
        text = named(handle) if self.on else ""
        cpu_ns, wall_ns = time.thread_time_ns(), time.perf_counter_ns()
        self._run(handle)
        cpu_ms, wall_ms = (time.thread_time_ns() - cpu_ns) / 1e6, (time.perf_counter_ns() - wall_ns) / 1e6
        self.count += 1
        if self.on and (cpu_ms > 1.0 or wall_ms > 50.0):
            self.slow.append((cpu_ms, wall_ms, text))


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> Iterator[Measured]:
    found = Measured()
    monkeypatch.setattr(asyncio.Handle, "_run", lambda handle: found.run(handle))
    yield found


async def session(link: Link, target: Path) -> None:
    """A day's work in seconds: talk, a large memory, checkpoints, deaths, a change, a rollback."""
    for number in range(10):
        assert (await link.call("say", text=f"remember my lucky number {number} is {number * 17}"))["ok"]
    for start in range(0, BLOCKS, 50):
        texts = [f"block {number} " + f"word{number} " * 250 for number in range(start, start + 50)]
        await asyncio.gather(*(link.call("memory.add", text=text[:2_000]) for text in texts))
    await link.call("checkpoint.create", reason="large")
    for role in ("main", "standby", "nursery", "broker"):
        async with asyncio.timeout(PATIENCE_S):
            while role not in (before := pids(await link.call("tree"))):
                await asyncio.sleep(0.01)
            os.kill(before[role], signal.SIGKILL)
            assert (await link.call("say", text="what is my lucky number 3?"))["ok"]
            while pids(await link.call("tree")).get(role, before[role]) == before[role]:
                await asyncio.sleep(0.01)
    source = await link.call("genome.show", revision="head", path="recall.py")
    text = source["text"]
    begun = await link.call("evolve", gene="recall", source=text + CANDIDATE)
    row = await link.call("evolution.wait", id=begun["evolution"])
    assert row["state"] == "pending", row["reason"]
    await link.call("approve", id=row["id"], digest=row["diff_sha256"])
    await link.call("rollback")
    newest = (await link.call("checkpoint.list"))[0]
    await link.call("checkpoint.verify")
    await link.call("checkpoint.restore", id=newest["id"])
    await link.call("backup", path=str(target))
    for method in ("status", "events.list", "requests.list", "history", "doctor", "wal.verify", "wal.tail"):
        await link.call(method)


async def test_no_callback_of_the_loop_takes_longer_than_it_may(workspace: Paths, measured: Measured) -> None:
    embedded = Embedded(workspace, SETTINGS)
    await asyncio.to_thread(embedded.start)
    try:
        link = await Link.connect(workspace, follow=True)
        measured.on = True
        async with asyncio.timeout(PATIENCE_S):
            await session(link, workspace.data.parent / "backup.tar.zst")
        measured.on = False
        await link.close()
    finally:
        await asyncio.to_thread(embedded.stop)
    measured.slow.sort(reverse=True)
    shown = "\n".join(f"{cpu:.1f} ms of CPU, {wall:.1f} ms: {text[:300]}" for cpu, wall, text in measured.slow[:12])
    print(f"\n{measured.count} callbacks; the slowest:\n{shown}")
    assert measured.count > 5_000, "the session was not measured"
    assert not [slow for slow in measured.slow if slow[0] > LIMIT_MS], shown
    assert not [slow for slow in measured.slow if slow[1] > WAIT_LIMIT_MS], shown


UNWANTED = ("textual", "rich", "openai", "anthropic", "pydantic_ai", "httpx", "pytest")
PROGRAM = """
import asyncio, json, sys
from o_tui import config, paths
from o_tui.guardian.main import run
import o_tui.guardian.embedded

async def main(folder):
    place = paths.locate(folder)
    async def use(guardian):
        assert (await guardian.dispatch.ask("remember the kettle is copper")).ok
        await guardian.checkpoints.take("test")
        guardian.request_stop("done")
    tasks = []
    def ready(guardian):
        tasks.append(asyncio.create_task(use(guardian)))
    await run(place, config.load(place.config_file), "process", ready)
    await tasks[0]
asyncio.run(main(sys.argv[1]))
print(json.dumps(sorted({name.partition(".")[0] for name in sys.modules})))
"""


async def test_a_guardian_at_work_imports_no_screen_and_no_providers_sdk(workspace: Paths) -> None:
    command = [sys.executable, "-c", PROGRAM, str(workspace.data)]
    done = await asyncio.to_thread(
        subprocess.run, command, capture_output=True, text=True, cwd=ROOT, timeout=PATIENCE_S, check=False
    )
    assert done.returncode == 0, done.stderr
    modules: set[Any] = set(json.loads(done.stdout))
    assert {"o_tui", "asyncio", "msgspec"} <= modules
    assert not modules & set(UNWANTED)


async def test_the_processes_that_run_map_no_foreign_library(workspace: Paths) -> None:
    async with guardian_process(workspace) as process:
        link = await Link.connect(workspace)
        who = pids(await link.call("tree"))
        for name, pid in {"guardian": process.pid, **who}.items():
            if not exists(pid):
                continue
            try:
                mapped = Path(f"/proc/{pid}/maps").read_text()
            except PermissionError:
                # instances are not dumpable: only root may look; they are forks of the nursery, that is looked at
                assert os.geteuid() != 0 and name in ("main", "standby")
                continue
            assert "pydantic" not in mapped and "/rich/" not in mapped, name
