"""Checkpoints of 24, 35 and 51 MB packed, loaded and taken as deltas (o_tui/bench/codec.py says how).

`python -m tests.benchmarks.bench_codec [--quick]`.
"""

from __future__ import annotations

import sys

from o_tui.bench import codec
from tests.benchmarks import report
from tests.benchmarks.report import Figure

ROUNDS = 9
QUICK = 3


def figures() -> list[Figure]:
    """The table's lines."""
    found = codec.measure(QUICK if "--quick" in sys.argv else ROUNDS)
    ours, peer = found.results, found.peers[codec.PEER]
    return [
        Figure(
            "24 MB packed, with digests and chunks", ours["pack_24_mb_ms"], "ms", None, "max",
            codec.PEER, peer["pack_24_mb_ms"],
        ),
        Figure("… as frames with one digest", ours["frames_only_24_mb_ms"], "ms"),
        Figure(
            "35 MB loaded, every digest compared", ours["load_35_mb_ms"], "ms", 60, "max",
            codec.PEER, peer["load_35_mb_ms"],
        ),
        Figure("… by way of a delta and its base", ours["load_35_mb_of_a_delta_ms"], "ms"),
        Figure("… checked only, nothing kept", ours["check_35_mb_ms"], "ms"),
        Figure(
            f"{codec.EDITS} edits in 51 MB, bytes of the full checkpoint",
            found.ratios["delta_bytes_to_full"] * 100, "%", 1,
        ),
        Figure("… written", ours["delta_51_mb_ms"], "ms", None, "max", "the full one, ms", ours["full_51_mb_ms"]),
        Figure(
            f"small bodies ({ours['small_body_bytes']:.0f} B) with a dictionary of 16 KB, ratio",
            ours["dictionary_ratio"], "times", 2, "min", "without", peer["dictionary_ratio"],
        ),
        Figure("… one compressed", ours["small_body_us"], "us"),
    ]  # fmt: skip


if __name__ == "__main__":
    report.main(figures)
