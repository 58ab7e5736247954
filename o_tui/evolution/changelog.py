"""The genome's CHANGELOG.md: newest first, an entry for each version, with the evidence that it was decided on."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

CHANGELOG_FILE = "CHANGELOG.md"
_TITLE = "# Changelog\n"
_HEADING = "## "


def entry(version: str, time_ns: int, title: str, lines: Sequence[str]) -> str:
    """One version's text: a heading with the UTC date, a sentence, and a list."""
    date = datetime.fromtimestamp(time_ns // 1_000_000_000, UTC).strftime("%Y-%m-%d")
    items = "".join(f"- {_one_line(line)}\n" for line in lines)
    return f"{_HEADING}{version} - {date}\n\n{_one_line(title)}\n" + (f"\n{items}" if items else "")


def prepend(text: str, new: str) -> str:
    """A changelog with one more entry, above the others and below what introduces them."""
    if not text.strip():
        text = _TITLE
    at = 0 if text.startswith(_HEADING) else text.find("\n" + _HEADING) + 1
    if at == 0 and not text.startswith(_HEADING):
        return f"{text.rstrip()}\n\n{new}"
    return f"{text[:at]}{new}\n{text[at:]}"


def _one_line(text: str) -> str:
    return " ".join(text.split())
