"""Operations acknowledged durable, beside LangGraph's AsyncSqliteSaver and a bare loop (o_tui/bench/wal.py says how).

The saver lives in a virtual environment of its own, made in the cache folder; where it cannot be installed its line is
left out by name.
"""

from __future__ import annotations

from o_tui.bench import wal
from o_tui.bench.wal import BARE, SAVER
from tests.benchmarks import report
from tests.benchmarks.peers import python_with
from tests.benchmarks.report import Figure

ROUNDS = 5
PEER = f"{wal.SAVER_PACKAGE}==3.1.2"


def figures() -> list[Figure]:
    """The table's lines."""
    found = wal.measure(ROUNDS, python_with("wal", PEER))
    ours, bare, saver = found.results, found.peers[BARE], found.peers.get(SAVER)
    share = found.ratios["operations_to_bare_sqlite3"] * 100
    lines = [
        Figure("operations acknowledged durable, 100 in flight", ours["operations_per_s"], "/s"),
        Figure("… p50", ours["operation_p50_ms"], "ms"),
        Figure("… p99", ours["operation_p99_ms"], "ms"),
        Figure("… beside a bare sqlite3 loop", share, "%", 50, "min", "bare loop, /s", bare["operations_per_s"]),
    ]
    if saver is not None:
        times = found.ratios["operations_to_asyncsqlitesaver"]
        label = "AsyncSqliteSaver, /s"
        lines.append(Figure("… beside LangGraph's saver", times, "times", 30, "min", label, saver["operations_per_s"]))
    lines += [
        Figure("requests journalled at both ends, 128 in flight", ours["requests_per_s"], "/s", 10_000, "min"),
        Figure("… p50", ours["request_p50_ms"], "ms", 15),
        Figure("… p99", ours["request_p99_ms"], "ms", 50),
    ]
    return lines


if __name__ == "__main__":
    report.main(figures)
