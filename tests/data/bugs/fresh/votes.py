"""Elections: who has won, by several rules."""

from __future__ import annotations

from collections.abc import Iterable


def plurality(votes: Iterable[str]) -> str | None:
    """Who has most votes; of several the one that was named first."""
    counts: dict[str, int] = {}
    for name in votes:
        counts[name] = counts.get(name, 0) + 1
    best: str | None = None
    for name, count in counts.items():
        if best is None or count > counts[best]:
            best = name
    return best


def ranking(scores: dict[str, int]) -> list[str]:
    """Most points first, equal ones by name."""
    return sorted(scores, key=lambda name: (-scores[name], name))


def borda(ballots: list[list[str]]) -> dict[str, int]:
    """The first of n gets n - 1 points, the last one none; by order of appearance."""
    points: dict[str, int] = {}
    for ballot in ballots:
        for place, name in enumerate(ballot):
            points[name] = points.get(name, 0) + len(ballot) - 1 - place
    return points


def runoff(ballots: list[list[str]]) -> list[str]:
    """Who is left out in each round, the winner at the end; of equal ones the last by name goes first."""
    left = {name for ballot in ballots for name in ballot}
    gone: list[str] = []
    while len(left) > 1:
        counts = dict.fromkeys(left, 0)
        for ballot in ballots:
            first = next((name for name in ballot if name in left), None)
            if first is not None:
                counts[first] += 1
        lowest = min(counts.values())
        out = max(name for name in left if counts[name] == lowest)
        left.discard(out)
        gone.append(out)
    return gone + sorted(left)


def seats(votes: dict[str, int], count: int) -> dict[str, int]:
    """Seats by d'Hondt; of equal quotients the party with more votes, then by name."""
    if count < 0:
        raise ValueError("count is negative")
    given = dict.fromkeys(votes, 0)
    for _ in range(count if votes else 0):
        best = min(votes, key=lambda name: (-votes[name] / (given[name] + 1), -votes[name], name))
        given[best] += 1
    return given


def distinct(ballots: list[list[str]]) -> list[str]:
    """Every name once, in the order of first appearance."""
    return list(dict.fromkeys(name for ballot in ballots for name in ballot))
