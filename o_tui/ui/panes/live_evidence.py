"""What a shadow has shown by now, in a few words: the evidence, whose requests, what the red team did. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from o_tui.ui.format import count, p_value
from o_tui.ui.text import Text


def shown_by_now(found: Mapping[str, Any], *, short: bool = False) -> list[Text]:
    """Items for a line or a few, the most important first; `short`: what cannot be done without."""
    if not found:
        return []
    pairs = int(found.get("pairs") or 0)
    e_value, wanted = float(found.get("e_value") or 0), float(found.get("wanted") or 0)
    items = [Text(p_value(e_value), "bold")]
    items += [] if short else [Text(f"e-value {_figure(e_value)} of {_figure(wanted)}")]
    items.append(Text(f"n {count(pairs)}, at least {count(int(found.get('least') or 0))}"))
    mirrored = int(found.get("mirrored") or 0)
    items.append(Text(f"mirrored {100 * mirrored / pairs if pairs else 0:.0f} %"))
    if not short:
        named = (("recorded", "recorded"), ("workload", "workload"))
        items += [Text(f"{word} {count(int(found[key]))}") for key, word in named if found.get(key)]
    attacks, broken = int(found.get("attacks") or 0), int(found.get("attacks_failed") or 0)
    red = (
        f"red team {count(attacks)} attacks, {count(broken)} BREAK IT" if broken else f"red team {count(attacks)} stood"
    )
    items.append(Text(red if attacks else "red team no attacks", "bold" if broken else ""))
    if repaired := int(found.get("repaired") or 0):
        items.append(Text(f"blue team {count(repaired)} repaired"))
    refused = int(found.get("refused") or 0)
    items.append(Text(f"sandbox {count(refused)} REFUSED" if refused else "sandbox clean", "bold" if refused else ""))
    return items


def _figure(value: float) -> str:
    return f"{value:.2g}" if value < 10 else count(value) if value < 1e6 else "a million"
