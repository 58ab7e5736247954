"""What a hundred real shadows cost: forks of a nursery, confined, each with its genome, that answer requests."""

from __future__ import annotations

import json
import statistics
import time
from pathlib import Path

from o_tui._native import process_rss_pss
from o_tui.protocol import messages
from tests.support.agents import SEED
from tests.support.nursery_driver import NurseryProcess, Peer, genome_files

PROCESSES = 100
REST_S = 3.5
"""Heartbeats go by: in the first a shadow gives back what it does not need, in the second what is as it was before."""


def shadows(file: Path, asked: list[str], changed: str = "") -> tuple[float, float] | None:
    """Bytes of its own, and PSS, of a confined instance with its genome; None: only root may look into one.

    The genome is the shipped one, but for the file `changed`.
    """
    nursery = NurseryProcess()
    nursery.restore(file)
    main, _forked, _pidfd = nursery.fork("main", "main")
    files, peers = genome_files(SEED), list[tuple[Peer, int]]()
    if changed:
        files[changed] += "\n# a candidate\n"
    for number in range(PROCESSES):
        peer, forked, _pidfd = nursery.fork("shadow", f"s{number}")
        peer.send(messages.LoadGenome(revision="a" * 40, version="1", files=files))
        while not peer.expect(messages.Ready).revision:
            pass
        for query in asked:
            assert peer.ask(json.dumps({"text": query, "k": 10}), kind="memory.search").ok
        peers.append((peer, forked.pid))
    time.sleep(REST_S)
    try:
        sizes = [process_rss_pss(pid) for _peer, pid in peers]
    except PermissionError:
        return None
    finally:
        main.sock.close()
        nursery.close()
    return statistics.median(private for _rss, _pss, private in sizes), statistics.median(pss for _, pss, _ in sizes)
