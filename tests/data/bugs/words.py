"""Words and how alike they are."""

from __future__ import annotations

import re
import unicodedata

_GAP = re.compile(r"[^a-z0-9]+")


def slug(text: str, limit: int = 40) -> str:
    """Lower case, ASCII, joined by hyphens; cut at a hyphen where it is too long."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    words = [word for word in _GAP.split(plain) if word]
    made = "-".join(words)
    if len(made) <= limit:
        return made
    cut = made[: limit + 1].rpartition("-")[0]
    return cut or made[:limit]


def grams(text: str, n: int = 3) -> list[str]:
    if n < 1:
        raise ValueError("n must be positive")
    return [text[start : start + n] for start in range(len(text) - n + 1)]


def distance(a: str, b: str) -> int:
    """Edits between two words."""
    row = list(range(len(b) + 1))
    for i, left in enumerate(a, 1):
        previous, row[0] = row[0], i
        for j, right in enumerate(b, 1):
            previous, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, previous + (left != right))
    return row[-1]


def closest(word: str, known: list[str], most: int = 2) -> list[str]:
    """The known words within `most` edits, nearest first, then by the alphabet."""
    found = [(distance(word, other), other) for other in known]
    return [other for edits, other in sorted(found) if edits <= most]


def highlight(text: str, words: list[str]) -> str:
    """The words in brackets, the longest first, whatever their case."""
    wanted = sorted({word for word in words if word}, key=lambda word: (-len(word), word))
    if not wanted:
        return text
    pattern = re.compile("|".join(map(re.escape, wanted)), re.IGNORECASE)
    return pattern.sub(lambda match: f"[{match[0]}]", text)


def counts(text: str, top: int = 5) -> list[tuple[str, int]]:
    seen: dict[str, int] = {}
    for word in text.lower().split():
        word = word.strip(".,;:!?")
        if word:
            seen[word] = seen.get(word, 0) + 1
    return sorted(seen.items(), key=lambda pair: (-pair[1], pair[0]))[:top]


def unique(items: list[str]) -> list[str]:
    """Each once, in the order of first appearance."""
    seen = set()
    out = []
    for item in items:
        if item not in seen:
            seen.add(item)
            out.append(item)
    return out
