"""The blue team's turn: what an attack asks of a candidate, whoever makes it, and what it has to stand then."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from o_tui.evolution.attacks import Attack
from o_tui.evolution.probe.case import show
from o_tui.protocol.errors import UsageError
from o_tui.protocol.safe_text import safe

METRIC = "attack"
"""What an intent and the `why` of an evolution name where an attack calls for the change."""
GOAL_CHARS = 400
_SHOWN = 3


def stand(attack: Attack) -> str:
    """What is asked for by one attack, in a line."""
    return safe(f"Stand this input: {show(attack.case())}. Now it {attack.expected}")[:GOAL_CHARS]


def goal(gene: str, kept: Sequence[Attack]) -> str:
    """The same by all that are kept, the newest first; raises UsageError where there is none."""
    if not kept:
        raise UsageError(f"no attack on {gene[:40]!r} is kept", hint="o-tui history --intents")
    said = "; ".join(stand(attack) for attack in reversed(kept[-_SHOWN:]))
    more = f"; and {len(kept) - _SHOWN} more" if len(kept) > _SHOWN else ""
    return said + more


def why(kept: Sequence[Attack]) -> dict[str, Any]:
    """Why an operator's own repair was begun: the same keys as an intent's."""
    signatures = [attack.signature for attack in kept[-_SHOWN:]]
    text = f"an operator asked for it: {len(kept)} kept attack" + ("s" if len(kept) > 1 else "")
    return {"metric": METRIC, "text": text, "figures": {"attacks": len(kept), "signatures": signatures}}


def repairs(row: Mapping[str, Any]) -> bool:
    """Whether an attack has begun it: then it has to stand every kept one, those too that main fails at."""
    return bool(row.get("why", {}).get("metric") == METRIC)
