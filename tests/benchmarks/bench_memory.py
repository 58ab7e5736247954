"""Memory (PSS) of a guardian's own process, and of one idle instance forked from the nursery.

PSS counts each page that processes share by its share. With an empty state, and with 41 MB: a standby then also carries
its part of what it has in common with nursery and main, so the pages of its own are given beside it.
"""

from __future__ import annotations

import random
import time
from pathlib import Path

from o_tui import client
from tests.benchmarks import programs, report
from tests.benchmarks.bench_recovery import STATE_BYTES, WORDS
from tests.benchmarks.report import Figure

IDLE_S = 3.0
"""Time to come to rest before memory is read."""
Sizes = dict[str, float]


def rollup(pid: int) -> Sizes:
    """The sums over all mappings of a process, in MB, by their names in smaps_rollup."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
    return {line.split(":")[0]: int(line.split()[1]) * 1024 / 1e6 for line in lines}


def own(sizes: Sizes) -> float:
    """Pages that nobody else has, in MB."""
    return sizes["Private_Clean"] + sizes["Private_Dirty"]


def fill(link: client.Client) -> None:
    """Grows the agent's state to STATE_BYTES, as the vault counts it."""
    chooser = random.Random(1)
    size = 0
    while size < STATE_BYTES:
        for _ in range(2_000):
            text = " ".join(chooser.choices(WORDS, k=120))
            link.call("memory.add", text=text, source="benchmark", wait_s=20.0)
        size = link.call("checkpoint.create", reason="grow", wait_s=60.0)["uncompressed_bytes"]


def read(link: client.Client) -> dict[str, Sizes]:
    """The sizes of guardian, main and standby at rest."""
    programs.until_served(link)
    time.sleep(IDLE_S)
    status = programs.until_served(link)
    pids = {row["role"]: row["pid"] for row in status["instances"]} | {"guardian": link.welcome.pid}
    return {role: rollup(pid) for role, pid in pids.items()}


def figures() -> list[Figure]:
    """The table's lines."""
    with programs.workspace() as paths, programs.guardian(paths), client.connect(paths) as link:
        states = {"empty state": read(link)}
        fill(link)
        states[f"{STATE_BYTES / 1e6:.0f} MB of state"] = read(link)
    found = [
        Figure(f"guardian, PSS, {name}", round(sizes["guardian"]["Pss"], 1), "MB", 60) for name, sizes in states.items()
    ]
    for name, sizes in states.items():
        what = f"idle instance, PSS, {name}"
        value, private = round(sizes["standby"]["Pss"], 1), round(own(sizes["standby"]), 1)
        found.append(Figure(what, value, "MB", 25, "max", "pages of its own", private))
    return found


if __name__ == "__main__":
    report.main(figures)
