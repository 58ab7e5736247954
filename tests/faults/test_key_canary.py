"""A key in the operator's environment is in the memory of nobody who executes what others wrote: each kind."""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from o_tui.paths import Paths
from o_tui.programs.orders import Order
from tests.faults.test_guardian_process import everybody
from tests.support.guardian_process import ROOT, Link, guardian_process
from tests.support.patience import PATIENCE_S
from tests.support.user_programs import bench

CANARY = "sk-canary-3f9c2b7d5e"
ENVIRONMENT = {**os.environ, "OPENAI_API_KEY": CANARY, "MY_API_KEY": CANARY}
MOST = 8
"""Of one kind; an evolution forks more than a hundred instances."""

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root may read the memory of another process")


def holds_key(pid: int) -> bool:
    """In whatever it may write to, its environment among it. Raises OSError: it has gone."""
    found = False
    with Path(f"/proc/{pid}/mem").open("rb", buffering=0) as file:
        for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
            place, rights, *_rest = line.split(None, 5)
            if "rw" in rights:
                start, end = (int(number, 16) for number in place.split("-"))
                file.seek(start)
                with contextlib.suppress(OSError):  # nothing is there yet
                    found = CANARY.encode() in file.read(end - start) or found
    return found


def below(root: int) -> dict[int, tuple[int, list[str]]]:
    """Parent and command line of each process below one."""
    everybody: dict[int, tuple[int, list[str]]] = {}
    for place in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            parent = int((place / "stat").read_text().rpartition(")")[2].split()[1])
            everybody[int(place.name)] = parent, (place / "cmdline").read_bytes().decode().split("\0")[:-1]
    found: dict[int, tuple[int, list[str]]] = {}
    parents = [root]
    while parents:
        some = {pid: row for pid, row in everybody.items() if row[0] == parents[-1]}
        parents[-1:] = some
        found |= some
    return found


def kind(words: list[str], *, forked: bool) -> str:
    """By the module, or the program; of a nursery its forks."""
    name = words[words.index("-m") + 1] if "-m" in words else Path(words[0]).name if words else ""
    return name.removeprefix("o_tui.") + (" fork" if forked else "")


class Looks:
    """Who was looked at below one process, by kind; `keyed` are those that had the key."""

    def __init__(self, root: int, spare: set[str]) -> None:
        self.seen: Counter[str] = Counter()
        self.keyed: list[str] = []
        self._root, self._spare, self._known = root, spare, set[int]()

    def look(self) -> None:
        found = below(self._root)
        names = {}
        for pid in found.keys() - self._known:
            parent, words = found[pid]
            names[pid] = kind(words, forked=parent in found and found[parent][1] == words)
        # a kind that was not seen yet comes first: it may be gone before the others have been read
        for pid, name in sorted(names.items(), key=lambda each: self.seen[each[1]]):
            words = found[pid][1]
            if name in self._spare or self.seen[name] >= MOST:
                self._known.add(pid)
                continue
            with contextlib.suppress(OSError):
                keyed = holds_key(pid)
                # between its fork and its exec it is its parent still: then it is looked at again
                if Path(f"/proc/{pid}/cmdline").read_bytes().decode().split("\0")[:-1] == words:
                    self._known.add(pid)
                    self.seen[name] += 1
                    self.keyed += [name] * keyed


async def test_of_whoever_serves_and_is_tried(workspace: Paths) -> None:
    async with guardian_process(workspace, env=ENVIRONMENT) as process:
        link = await Link.connect(workspace)
        who = await everybody(link)
        assert holds_key(process.pid), "the search finds nothing where the key is known to be"
        assert not any(holds_key(who[name]) for name in ("main", "standby", "nursery"))
        source = (ROOT / "data" / "genome" / "recall.py").read_text()
        begun = await link.call("evolve", gene="recall", source=f"{source}\n# another version\n")
        ended = asyncio.create_task(link.call("evolution.wait", id=begun["evolution"]))
        looks = Looks(process.pid, {"broker.main", "guardian.main", "guardian.main fork"})
        while not ended.done():
            looks.look()
            await asyncio.sleep(0.005)
    assert not looks.keyed
    seen = set(looks.seen)
    assert {"agent.nursery", "agent.nursery fork", "guardian.evolving.probing"} <= seen, seen
    assert {"guardian.evolving.static_checks", "ruff", "ty"} & seen, seen
    assert looks.seen["agent.nursery fork"] >= 3, "main, standby, and a shadow"


@pytest.mark.parametrize("profile", ["agent", "tool", "build"])
async def test_of_whatever_is_run_in_the_sandbox(tmp_path: Path, profile: str) -> None:
    file = tmp_path / "program.py"
    waits = "subprocess.run(['/bin/sleep', '600'])" if profile != "agent" else "time.sleep(600)"
    file.write_text(f"import subprocess, time\nprint('there', flush=True)\n{waits}\n")
    words = [sys.executable, "-m", "o_tui", "sandbox", "run", str(file), "--profile", profile, "--timeout", "600"]
    with subprocess.Popen(words, env=ENVIRONMENT, stdout=subprocess.DEVNULL) as process:
        looks = Looks(process.pid, {"o_tui", "o_tui fork"})
        needed = {"agent.sandbox_run", "agent.sandbox_run fork"} | ({"sleep"} if profile != "agent" else set())
        try:
            async with asyncio.timeout(PATIENCE_S):
                while not needed <= set(looks.seen):
                    await asyncio.sleep(0.01)
                    looks.look()
            assert holds_key(process.pid)
        finally:
            process.terminate()
    assert not looks.keyed


async def test_of_a_users_programs_and_their_evaluators(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_API_KEY", CANARY)
    tmp_path.chmod(0o755)
    with bench(tmp_path) as found:
        assert holds_key(os.getpid()) and not holds_key(found.lane.pid)
        source = b"import time\n\n\ndef score():\n    time.sleep(600)\n"
        found.lane.submit(Order(number=1, source=source, seed=1))
        looks = Looks(os.getpid(), set())
        async with asyncio.timeout(PATIENCE_S):
            while looks.seen["programs.server fork"] < 2:  # the evaluator, a candidate
                await asyncio.sleep(0.01)
                looks.look()
    assert not looks.keyed
