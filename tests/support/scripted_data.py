"""Rows as a guardian would send them: the same every time, so that screens can be compared."""

from __future__ import annotations

from typing import Any

NOW = 1_763_726_640_000_000_000
"""2025-11-21 12:04:00 UTC."""
MINUTE = 60 * 10**9

MARKDOWN = """## Plan

I will rewrite `mutate()` and add a **latency** term:

- type hints for every argument
- a latency penalty in `score()`
- the weights stay in *0..1*

```python
def mutate(genome: Genome, rate: float = 0.1) -> Genome:
    # keep the weights in 0..1
    return genome.normalised()
```

| shadow | p95 ms | verdict |
|--------|-------:|---------|
| S-7    |     33 | better  |
| S-6    |     58 | worse   |

> What is deployed is what was tested.
"""


def request(request_id: str, text: str, answer: str = "", state: str = "done", **more: Any) -> dict[str, Any]:
    """A request row."""
    row = {"request_id": request_id, "text": text, "answer": answer, "state": state, "error": "", "session": "main"}
    row |= {"time_ns": NOW - MINUTE, "elapsed_ms": 840.0, "recovered": False, "attempts": 1}
    return row | more


def checkpoint(number: int, seq: int, reason: str, minutes: int, **more: Any) -> dict[str, Any]:
    """A checkpoint row."""
    row = {"id": f"c-{number:04d}", "seq": seq, "time_ns": NOW - minutes * MINUTE, "reason": reason}
    row |= {"revision": "9f3c1e0b5d7a", "kind": "full", "size_bytes": 1_240_000, "uncompressed_bytes": 4_100_000}
    row |= {"digest": "ab" * 32, "pinned": False, "deleted": False, "file_ok": True}
    return row | more


def event(number: int, source: str, text: str, level: str = "info", kind: str = "note") -> dict[str, Any]:
    """An event row."""
    row = {"id": number, "time_ns": NOW - (60 - number) * 10**9, "source": source, "kind": kind}
    return row | {"level": level, "text": text, "data": {}}


def evolution() -> dict[str, Any]:
    """An evolution that waits for the operator."""
    evidence = {
        "pairs": 60,
        "latency": {
            "main_p50_ms": 4.1, "candidate_p50_ms": 3.3, "ratio_median": 0.81, "ci_low": 0.76, "ci_high": 0.87,
        },
        "cpu": {"main_p50_ms": 3.9, "candidate_p50_ms": 3.0, "ratio_median": 0.78, "ci_low": 0.74, "ci_high": 0.83},
        "errors": {"main": 0, "candidate": 0},
        "memory": {"main_bytes": 24_000_000, "candidate_bytes": 23_500_000},
        "answers": {"same": 60, "different": 0, "examples": []},
        "effects": {"recorded": 12, "diverged": 0},
        "requests_from": {"recorded": 48, "workload": 12},
        "decision": "promote",
        "reasons": ["faster, same answers, no errors"],
    }  # fmt: skip
    return {
        "id": "ev-17", "gene": "recall", "origin": "file", "goal": "rank newer memories higher",
        "hypothesis": "a newer block is what was meant", "base": "9f3c1e0b5d7a", "revision": "77aa01c2d3e4",
        "state": "pending", "reason": "", "diff_sha256": "cd" * 32, "evidence_sha256": "ef" * 32,
        "evidence": evidence,
        "stages": [
            {"name": "syntax", "verdict": "pass", "ms": 1.2, "detail": ""},
            {"name": "contract", "verdict": "pass", "ms": 3.4, "detail": ""},
        ],
        "checkpoint_id": "c-0004", "version": "0.1.0", "next_version": "0.1.1", "time_ns": NOW - 2 * MINUTE, "by": "",
    }  # fmt: skip


def instance(role: str, pid: int, state: str = "running") -> dict[str, Any]:
    """An instance row."""
    row = {"role": role, "pid": pid, "state": state, "revision": "9f3c1e0b5d7a", "requests": 412}
    return row | {"heartbeat_age_ms": 400.0, "rss_bytes": 21_000_000, "tier": "none"}


def telemetry(seq: int = 12_404) -> dict[str, Any]:
    """A telemetry notice."""
    return {
        "instances": [instance("main", 4001), instance("standby", 4002)],
        "wal": {"seq": seq, "digest": "ab" * 32, "read_only": False},
        "loop": {"p99_ms": 0.8, "max_ms": 3.0},
    }


def snapshot() -> dict[str, Any]:
    """All that a view shows, in the middle of a working day."""
    return {
        "status": {
            "guardian": {"pid": 4000, "epoch": 7, "placement": "process", "uptime_s": 9100.0},
            "checkpoint": {"id": "c-0004", "seq": 12_404, "time": NOW - MINUTE},
            "pending": 1,
            "genome": {"revision": "9f3c1e0b5d7a", "version": "0.1.0"},
            "brain": {"provider": "ollama", "model": "qwen3:8b", "ok": True, "detail": "", "key": ""},
            "tier": "none",
            **telemetry(),
        },
        "requests": [
            request("rq-a", "remember that the demo is on Thursday", "Noted: the demo is on Thursday.",
                    time_ns=NOW - 22 * MINUTE),
            request("rq-b", "speed up mutate() without losing accuracy", MARKDOWN, time_ns=NOW - MINUTE),
        ],
        "checkpoints": [
            checkpoint(4, 12_404, "before evolution ev-17", 1),
            checkpoint(3, 11_592, "interval", 24, pinned=True),
            checkpoint(2, 10_300, "by the operator", 62),
            checkpoint(1, 10_014, "interval", 66),
        ],
        "events": [
            event(1, "guardian", "checkpoint c-0004 written"),
            event(12, "evolution", "ev-17: shadow started on recall"),
            event(24, "evolution", "ev-17: 60 pairs, 19 % faster, same answers"),
            event(25, "review", "ev-17 waits for the operator", "warning"),
        ],
        "evolutions": [evolution()],
        "shadows": [
            {"id": "S-7", "evolution": "ev-17", "role": "shadow", "pid": 4011, "requests": 60, "total": 60, "errors": 0,
             "p50_ms": 3.3, "p95_ms": 5.2, "rss_bytes": 23_500_000, "state": "done",
             "trend": [4.0, 3.8, 3.5, 3.4, 3.3, 3.3, 3.3, 3.2], "verdict": "better"},
        ],
        "brain": {"provider": "ollama", "model": "qwen3:8b", "ok": True, "detail": "", "key": ""},
        "config": {"brain": {"onboarded": True}},
        "tree": {},
    }  # fmt: skip
