"""Requests through guardian and agent, beside a bare framed echo (o_tui/bench/requests.py says how)."""

from __future__ import annotations

from o_tui.bench import requests
from tests.benchmarks import report
from tests.benchmarks.report import Figure

ROUNDS = 5


def figures() -> list[Figure]:
    """The table's lines."""
    found = requests.measure(ROUNDS)
    ours, bare = found.results, found.peers[requests.BARE]["per_s"]
    share = round(found.ratios["to_bare_echo"] * 100, 1)
    label = "bare framed echo"
    return [
        Figure("requests through guardian and agent, 128 in flight", ours["per_s"], "/s", 15_000, "min", label, bare),
        Figure("the same, share of a bare framed echo", share, "%", 30, "min"),
        Figure("requests journalled and durable, 128 in flight", ours["durable_per_s"], "/s", 10_000, "min"),
        Figure("their time, p50", ours["durable_p50_ms"], "ms", 15),
        Figure("their time, p99", ours["durable_p99_ms"], "ms", 50),
    ]


if __name__ == "__main__":
    report.main(figures)
