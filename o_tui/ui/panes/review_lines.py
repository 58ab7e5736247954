"""The review's two lines as text: above the diff which change it is, below it what was decided or can be."""

from __future__ import annotations

from o_tui.ui.format import short, shown
from o_tui.ui.lists.row_list import Row
from o_tui.ui.outcome import ACTIVE, progress
from o_tui.ui.panes.shadows import canary_words, outcome_word
from o_tui.ui.text import Text
from o_tui.ui.widgets.line import Place

OFFERS = (
    ("A", "approve (asks for {})", "review.approve"), ("R", "reject", "review.reject"), ("L", "later", "review.later"),
    ("Space/x", "mark", "review.accept"), ("e", "edit", "review.edit"), ("T", "again", "review.measure"),
)  # fmt: skip


def is_stale(row: Row, deployed: str) -> bool:
    """Whether a change that waits was made on another revision than the deployed one (empty: not known)."""
    base = str(row.get("base") or "")
    return row.get("state") == "pending" and bool(deployed and base) and deployed != base


def head_of(row: Row, runs: str, stale_to: str, position: str) -> Text:
    """Which change of what, on which base, and where in its diff the cursor is.

    `runs`: the version that answers now. `stale_to`: the deployed revision where the change was made on another.
    """
    head = Text(no_wrap=True)
    head.append(f"{shown(row.get('id'), 20)} {shown(row.get('gene'), 40)}", "bold")
    if row.get("next_version"):
        before, new = row.get("version") or runs, shown(row["next_version"], 20)
        # after a promotion both are the version that runs
        head.append(f"  {shown(before, 20)} -> {new}" if before != row["next_version"] else f"  v{new}")
    head.append(f"  base {short(shown(row.get('base') or ''), 7)} ")
    if stale_to:
        head.append(f"[!] STALE, deployed is {short(stale_to, 7)}", "bold")
    elif row.get("state") == "pending":
        head.append("(current)")
    head.append(f"  {position}")
    head.append(f"  by {shown(row.get('origin'), 12)}")
    return head


def decision_of(row: Row, version: str, said: str) -> tuple[Text, list[Place]]:
    """What has just been said of a change, else what can be decided or how it ended; and what of it can be clicked."""
    state = str(row.get("state") or "")
    if said:
        line = Text(no_wrap=True)
        line.append(said, "bold")
        return line, []
    return _offers(version) if state == "pending" else _ended(row, state)


def _offers(version: str) -> tuple[Text, list[Place]]:
    line = Text(no_wrap=True)
    places: list[Place] = []
    for key, words, action in OFFERS:
        line.append("  " if places else "")
        start = line.cell_len
        line.append(key, "bold")
        line.append(f" {words}".replace("{}", shown(version, 20)))
        places.append(Place(start, line.cell_len, action))
    return line, places


def _ended(row: Row, state: str) -> tuple[Text, list[Place]]:
    line = Text(no_wrap=True)
    if not state:
        return line, []
    words = progress(row) if state in ACTIVE else outcome_word(row)
    line.append(words.capitalize() + canary_words(row), "bold")
    line.append(f" by {shown(row['by'], 40)}" if row.get("by") else "")
    told = line.plain.casefold() == str(row.get("reason") or "").casefold()
    line.append(f": {shown(row['reason'], 200)}" if row.get("reason") and not told else "")
    if state != "promoted":
        return line, []
    start = line.cell_len + 3
    line.append("   u rolls back")
    return line, [Place(start, line.cell_len, "review.rollback")]
