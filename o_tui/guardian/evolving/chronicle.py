"""What many evolutions say together: picked by gene and source, counted, and as outcomes to learn from."""

from __future__ import annotations

import statistics as figures
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from o_tui.evolution import strategy
from o_tui.guardian.evolving.sourcing import told

LOOKED_AT = 10_000
"""The newest rows that are counted."""
NO_EVIDENCE = "no_evidence"
DECIDED = ("promoted", "rejected", "failed", "rolled_back")
Rows = Sequence[Mapping[str, Any]]


def source_of(row: Mapping[str, Any]) -> str:
    """Where a row's candidate came from; as long as none is there, what was asked for."""
    return str(row.get("source", {}).get("origin") or row.get("origin", ""))


def pick(rows: Rows, gene: str = "", state: str = "", source: str = "", since_ns: int = 0) -> list[Mapping[str, Any]]:
    """Those of a gene, a state (or outcome), a source, begun since then."""
    return [
        row
        for row in rows
        if (not gene or row["gene"] == gene)
        and (not state or state in (row["state"], outcome(row)))
        and (not source or source_of(row) == source)
        and (not since_ns or int(row.get("time_ns", 0)) >= since_ns)  # a clock may stand before 1970
    ]


def outcome(row: Mapping[str, Any]) -> str:
    """promoted, pending, rejected, no_evidence, failed or rolled_back; what a person refused is rejected."""
    if row["state"] == "rejected" and row.get("verdict") == NO_EVIDENCE and not row.get("by"):
        return NO_EVIDENCE
    return str(row["state"])


def outcomes(row: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What a row that has just settled teaches: of the candidate that it is about, and of those that lost to it."""
    if row["state"] == "failed" and not told(str(row["reason"])):
        return []
    spent = float(row.get("budget", {}).get("spent", {}).get("cpu_s", 0.0))
    about = {"evolution": row["id"], "gene": row["gene"], "source": source_of(row)}
    operator = str(row.get("source", {}).get("operator", ""))
    found = [{**about, "operator": operator, "outcome": outcome(row), "cost_s": spent}]
    if row["state"] in ("pending", "rejected"):
        lost = {str(each["operator"]) for each in row.get("race", ()) if each["revision"] != row["revision"]}
        found += [
            {**about, "operator": name, "outcome": "rejected", "cost_s": 0.0} for name in sorted(lost - {operator})
        ]
    return found


def statistics(rows: Rows, learned: Rows) -> dict[str, Any]:
    """Counts and rates over rows.

    Returns:
        count; states {state: n}; sources, operators and genes {name: {count, promoted, rate}} (rate: promoted of those
        that are decided, null where none is); decision_s {median, longest} from the begin to the wait or the end;
        credit {sources, operators} as the strategy sees it.
    """
    seconds = [(row["decided_ns"] - row["time_ns"]) / 1e9 for row in rows if row.get("decided_ns")]
    by_operator = [row for row in rows if row.get("source", {}).get("operator")]
    return {
        "count": len(rows),
        "states": dict(Counter(outcome(row) for row in rows)),
        "sources": _rates(rows, source_of),
        "operators": _rates(by_operator, lambda row: str(row["source"]["operator"])),
        "genes": _rates(rows, lambda row: str(row["gene"])),
        "decision_s": {
            "median": round(figures.median(seconds), 3) if seconds else None,
            "longest": round(max(seconds), 3) if seconds else None,
        },
        "credit": {"sources": strategy.credit(learned), "operators": strategy.credit(learned, "operator")},
    }


def _rates(rows: Rows, name: Any) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for row in rows:
        known = found.setdefault(name(row), {"count": 0, "promoted": 0, "decided": 0})
        known["count"] += 1
        known["promoted"] += row["state"] == "promoted"
        known["decided"] += row["state"] in DECIDED
    for known in found.values():
        known["rate"] = round(known["promoted"] / known["decided"], 4) if known["decided"] else None
    return found
