"""Who is changed next: the few best of all, islands beside them, and the best of each kind of idea.

The mainland holds the best of all: there the search climbs. Once the climb is flat, islands are founded beside it, each
from the best member of another kind (kinds are the cells of MAP-Elites: Mouret and Clune 2015, "Illuminating search
spaces by mapping elites"). An island is left alone for a round; then the better half of the islands goes on, and the
others are founded anew (successive halving: Jamieson and Talwalkar 2016, "Non-stochastic best arm identification").
What an island finds is on the mainland at once, if it is good enough there; the mainland's best comes to an island as
a mate only, or all islands would be one. An archive grows at its end: each look reads what is new.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

ELITES = 5
"""How many members an island has."""
ISLANDS = 4
"""Islands beside the mainland, at most."""
ROUND = 30
"""Turns of an island before it is compared with the others."""
SHARE = 0.2
"""Of all turns once there are islands: theirs. The mainland climbs on with the rest."""
KINDS = 64
AGAIN = "again"
"""The operator of a row that only measures a member once more: it is no new one."""
ADDING = frozenset({"statements"})
"""Operators that add for adding's sake: of equal members theirs come later, else the newest first."""
_BEST_SHARE = 0.7
_TOURNAMENT = 2
_HOMES = 512
_EQUAL = 1e-9
"""Scores that differ by less than this part of them are equal: the same numbers, added up in another order."""


@dataclass(frozen=True, slots=True)
class Scored:
    """A member of an archive: a higher score is better, -inf one that failed."""

    id: str
    source: str
    score: float
    parent: str = ""
    operator: str = ""


@dataclass(slots=True)
class Island:
    """A few members, best first. `number` is never given twice; 0 is the mainland.

    Attributes:
        kind: That of the member which it was founded with.
        turns: Those that it has had in this round.
    """

    number: int
    kind: str = ""
    turns: int = 0
    members: list[Scored] = field(default_factory=list)


class Population:
    """The members of an archive that may be parents. The same archive and the same chance give the same."""

    def __init__(self, kind: Callable[[Scored], str], state: Mapping[str, Any] | None) -> None:
        """Begins, or goes on.

        Args:
            kind: Says which idea a member is; asked once for each.
            state: What `state()` gave, if any; it counts for the archive that it was made of.
        """
        self._kind = kind
        self._state = dict(state or {})
        self._forget()

    def _forget(self) -> None:
        self.mainland = Island(0)
        self.islands: list[Island] = []
        self.kinds: dict[str, Scored] = {}
        self._homes: dict[str, int] = {}
        self._founded = 0
        self._first = self._last = ""
        self._read = 0

    @property
    def best(self) -> list[Scored]:
        """The best of all, best first."""
        return self.mainland.members

    # --- reading an archive

    def look(self, archive: Sequence[Scored]) -> Sequence[Scored]:
        """Reads what is new, or all of an archive that is not the one of before; returns what it read."""
        if self._state and not self._read:
            self._take_up(archive)
        if not _is_begun_by(archive, self._read, self._first, self._last):
            self._forget()
        new = archive[self._read :]
        for member in new:
            self._add(member)
        if archive:
            self._read, self._first, self._last = len(archive), archive[0].id, archive[-1].id
        return new

    def _add(self, member: Scored) -> None:
        home = self._homes.pop(_name(member.source), 0)
        if member.operator == AGAIN or not math.isfinite(member.score):
            return
        for island in (self.mainland, *self.islands):
            if island.number in (0, home):
                self._insert(island, member)
        kind = self._kind(member)
        if kind not in self.kinds or self._goes_before(member, self.kinds[kind]):
            self.kinds[kind] = member
        if len(self.kinds) > KINDS:
            del self.kinds[min(self.kinds, key=lambda each: self.kinds[each].score)]

    def _insert(self, island: Island, member: Scored) -> None:
        members = island.members
        if any(member.source == each.source for each in members):
            return
        at = 0
        while at < len(members) and not self._goes_before(member, members[at]):
            at += 1
        members.insert(at, member)
        del members[ELITES:]

    def _goes_before(self, member: Scored, other: Scored) -> bool:
        if equal(member.score, other.score):
            return member.operator not in ADDING
        return member.score > other.score

    # --- whose turn it is

    def turn(self, random: Random, flat: bool) -> Island:
        """The island whose members are changed next; `flat`: the mainland has hardly risen lately."""
        if flat and len(self.islands) < ISLANDS and all(each.turns >= ROUND // 2 for each in self.islands):
            self._found(random)
        if not self.islands or random.random() >= SHARE:
            return self.mainland
        island = min(self.islands, key=lambda each: each.turns)
        island.turns += 1
        if all(each.turns >= ROUND for each in self.islands):
            self._halve(random)
        return island

    def _found(self, random: Random) -> None:
        """A new island, with the better of some members of kinds that have no island and are not the mainland's."""
        lead = self.best[:1]
        taken = {each.kind for each in self.islands}
        free = [kind for kind, each in self.kinds.items() if kind not in taken and each not in lead]
        if free:
            drawn = [random.choice(free) for _ in range(_TOURNAMENT)]
            kind = max(drawn, key=lambda each: self.kinds[each].score)
            self._founded += 1
            self.islands.append(Island(self._founded, kind, 0, [self.kinds[kind]]))

    def _halve(self, random: Random) -> None:
        """The better half goes on; as many as ended are founded, each with another kind."""
        ranked = sorted(self.islands, key=lambda each: (-each.members[0].score, each.number))
        ended = len(ranked) // 2
        for island in ranked:
            island.turns = 0
        for _ in range(ended):  # before the ended ones go: it is another kind's turn
            self._found(random)
        self.islands = [each for each in self.islands if each not in ranked[len(ranked) - ended :]]

    # --- parents

    def pick(self, island: Island, random: Random, greedy: bool) -> Scored:
        """Its best where `greedy`; else mostly the best, or the better of some of its members."""
        if greedy or random.random() < _BEST_SHARE:
            return island.members[0]
        return island.members[min(random.randrange(len(island.members)) for _ in range(_TOURNAMENT))]

    def mates(self, island: Island, parent: Scored) -> list[Scored]:
        """What may be mixed with a parent: its island's other members, and on an island the best of all."""
        found = [each for each in island.members if each.id != parent.id][: ELITES - 1]
        return found + [each for each in self.best[:1] if each not in found and each.id != parent.id]

    def expect(self, source: str, island: Island) -> None:
        """A child that was made on an island belongs to it, when its score comes."""
        if island.number:
            self._homes[_name(source)] = island.number
            while len(self._homes) > _HOMES:
                del self._homes[next(iter(self._homes))]

    # --- keeping

    def state(self) -> dict[str, Any]:
        """All that it knows beside the archive, as plain data."""
        if self._state and not self._read:
            return dict(self._state)
        islands = (self.mainland, *self.islands)
        return {
            "read": [self._read, self._first, self._last],
            "islands": [[each.number, each.kind, each.turns, [one.id for one in each.members]] for each in islands],
            "kinds": {kind: each.id for kind, each in self.kinds.items()},
            "homes": dict(self._homes),
            "founded": self._founded,
        }

    def _take_up(self, archive: Sequence[Scored]) -> None:
        """Goes on from a kept state, if it was made of the beginning of this archive."""
        state, self._state = self._state, {}
        read, first, last = state["read"]
        if not _is_begun_by(archive, read, first, last):
            return
        by_id = {each.id: each for each in archive[:read]}
        (self.mainland, *self.islands) = [
            Island(number, kind, turns, [by_id[each] for each in members])
            for number, kind, turns, members in state["islands"]
        ]
        self.kinds = {kind: by_id[each] for kind, each in state["kinds"].items()}
        self._homes, self._founded = dict(state["homes"]), state["founded"]
        self._read, self._first, self._last = read, first, last


def rank(score: float, scores: Sequence[float]) -> int:
    """How many of these scores are better than this one."""
    return sum(each > score and not equal(score, each) for each in scores)


def equal(one: float, other: float) -> bool:
    """Whether two scores differ by nothing that counts."""
    return abs(one - other) <= _EQUAL * max(abs(one), abs(other))


def _is_begun_by(archive: Sequence[Scored], read: int, first: str, last: str) -> bool:
    return 0 < read <= len(archive) and (archive[0].id, archive[read - 1].id) == (first, last)


def _name(source: str) -> str:
    return hashlib.sha256(source.encode("utf-8", "surrogatepass")).hexdigest()[:16]
