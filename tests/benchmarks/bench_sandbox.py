"""What confinement costs: forks of the real nursery, with and without namespaces, beside bubblewrap and a cold Python.

And how soon nobody is left when the guardian is killed.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

from o_tui._native import probe
from o_tui.bench import sandbox
from o_tui.evolution.samples import RecordedRequest
from o_tui.guardian.evolving.trial import Trial
from o_tui.guardian.fleet.code import Code
from o_tui.paths import locate
from o_tui.protocol import messages
from tests.benchmarks import report
from tests.benchmarks.report import Figure, median, percentile
from tests.support.agents import ECHO
from tests.support.guardian_process import Link, exists, guardian_process, pids
from tests.support.guardians import running
from tests.support.nursery_driver import NurseryProcess, genome_files

FORKS = 100
KILLS = 5
LIMIT_S = 0.5
LOOPING = "def respond(request, context):\n    while True:\n        pass\n    yield\n"
COLD = 10
PYTHON = "/usr/bin/python3"
BWRAP = [
    "bwrap", "--unshare-all", "--die-with-parent", "--new-session", "--clearenv", "--ro-bind", "/usr", "/usr",
    "--symlink", "usr/lib", "/lib", "--symlink", "usr/lib64", "/lib64", "--symlink", "usr/bin", "/bin",
    "--proc", "/proc", "--dev", "/dev", PYTHON, "-I", "-c", "print('ready', flush=True)",
]  # fmt: skip


def ready_ms(hidden: tuple[str, ...]) -> tuple[list[float], str]:
    """From the order to fork to the first word of an instance; the first of them waits until all is prepared."""
    nursery = NurseryProcess(hidden=hidden)
    times, tier = [], ""
    try:
        nursery.restore()
        for number in range(FORKS + 1):
            started = time.perf_counter()
            peer, _forked, pidfd = nursery.fork("shadow", f"shadow-{number}")
            tier = peer.expect(messages.Ready).tier
            times.append((time.perf_counter() - started) * 1e3)
            signal.pidfd_send_signal(pidfd, signal.SIGKILL)
            nursery.answer()
            peer.sock.close()
    finally:
        nursery.close()
    return times, tier


def bubblewrap_ms() -> float | None:
    """Bubblewrap, a cold Python in it, its first word."""
    if not (shutil.which("bwrap") and Path(PYTHON).exists()):
        return None
    times = []
    for _ in range(COLD):
        started = time.perf_counter()
        done = subprocess.run(BWRAP, capture_output=True, check=False)
        times.append((time.perf_counter() - started) * 1e3)
        if done.stdout != b"ready\n":
            return None
    return median(times)


async def left_ms() -> float:
    """From the SIGKILL of a guardian until none of its processes is there."""
    folder = Path(tempfile.mkdtemp(prefix="o-"))
    try:
        paths = locate(str(folder / "w"))
        paths.prepare()
        async with guardian_process(paths) as process:
            link = await Link.connect(paths)
            while len(who := pids(await link.call("tree"))) < 4:
                await asyncio.sleep(0.02)
            del who["broker"]
            started = time.perf_counter()
            os.kill(process.pid, signal.SIGKILL)
            while any(exists(pid) for pid in who.values()):
                time.sleep(0.0005)
            return (time.perf_counter() - started) * 1e3
    finally:
        shutil.rmtree(folder, ignore_errors=True)


async def over_ms() -> float:
    """How long after its limit a shadow that loops is gone."""
    folder = Path(tempfile.mkdtemp(prefix="o-"))
    try:
        paths = locate(str(folder / "w"))
        paths.prepare()
        async with running(paths) as guardian:
            trial = Trial()
            files = {**genome_files(ECHO), "respond.py": LOOPING}
            trial.instance = await guardian.fleet.fork_shadow(Code(files, "b" * 40, "1"), trial.frame)
            started = time.perf_counter()
            try:
                # as guardian/shadows.py does it
                await asyncio.wait_for(trial.request(RecordedRequest("r1", "go", "chat", "s", 1, "", ())), LIMIT_S)
            except TimeoutError:
                await trial.kill()
            return (time.perf_counter() - started - LIMIT_S) * 1e3
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def figures() -> list[Figure]:
    """The limits are those of the design."""
    (_, *whole), whole_tier = ready_ms(())
    (first, *base), base_tier = ready_ms(("unshare",))
    (_, *bare), _ = ready_ms(("unshare", "landlock_create_ruleset", "seccomp"))
    peer = bubblewrap_ms()
    costs = sandbox.measure(24)
    started = time.perf_counter()
    tier = probe()["tier"]
    probe_ms = (time.perf_counter() - started) * 1e3
    left = [asyncio.run(left_ms()) for _ in range(KILLS)]
    over = [asyncio.run(over_ms()) for _ in range(KILLS)]
    bwrap = "bubblewrap and a cold Python, ms"
    return [
        Figure(f"fork to ready, base (tier {base_tier}), p50", median(base), "ms", 5, "max", bwrap, peer),
        Figure("fork to ready, base, p99", percentile(base, 0.99), "ms"),
        Figure("… the nursery's first shadow, which waits until all is prepared", first, "ms"),
        Figure(f"fork to ready, namespaces (tier {whole_tier}), p50", median(whole), "ms", 25, "max", bwrap, peer),
        Figure("fork to ready, namespaces, p99", percentile(whole, 0.99), "ms"),
        Figure("fork to ready without namespaces, Landlock and filter, p50", median(bare), "ms"),
        Figure("a request's round trip, confined to not confined", costs.ratios["confined_request_to_bare"], "", 1.10),
        Figure(f"probe (tier {tier})", probe_ms, "ms"),
        Figure("a shadow that loops: from its limit to its end, p50", median(over), "ms", 100),
        Figure("guardian killed: until no instance is left, p50", median(left), "ms", 50),
    ]


if __name__ == "__main__":
    report.main(figures)
