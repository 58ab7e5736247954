"""Memory (PSS) of a guardian's own process, and of one idle instance forked from the nursery.

PSS counts each page that processes share by its share. With an empty state, and with 41 MB: a standby then also carries
its part of what it has in common with nursery and main, so the pages of its own are given beside it.
"""

from __future__ import annotations

import random
import time
from pathlib import Path

from o_tui import client
from o_tui.bench.codec import WORDS
from o_tui.bench.guardians import STATE_BYTES
from tests.benchmarks import programs, report
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
        empty = read(link)
        fill(link)
        link.call("kill", role="standby", wait_s=10.0)  # the next one is a fork of the nursery with all of it
        full = read(link)
    state = f"{STATE_BYTES / 1e6:.0f} MB of state"
    private = round(own(full["standby"]), 1)
    return [
        Figure("guardian, PSS, empty state", round(empty["guardian"]["Pss"], 1), "MB", 60),
        Figure(f"guardian, PSS, after {state} came in", round(full["guardian"]["Pss"], 1), "MB", 60),
        Figure("idle instance, PSS, empty state", round(empty["standby"]["Pss"], 1), "MB", 25),
        Figure(f"idle instance, fork of a nursery with {state}, pages of its own", private, "MB", 25),
        Figure("… PSS (its share of the common state too)", round(full["standby"]["Pss"], 1), "MB"),
        Figure("… main, which took in the state itself, PSS", round(full["main"]["Pss"], 1), "MB"),
    ]


if __name__ == "__main__":
    report.main(figures)
