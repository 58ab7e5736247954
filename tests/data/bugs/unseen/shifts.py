"""Shifts of people in several time zones."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta, timezone


@dataclass(frozen=True)
class Shift:
    """One person's work, in minutes since the week began."""

    who: str
    start: int
    end: int

    @property
    def minutes(self) -> int:
        return max(0, self.end - self.start)


def in_utc(moment: datetime, offset_hours: int = 0) -> datetime:
    """The moment in UTC; one without a zone is taken at the offset."""
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=timezone(timedelta(hours=offset_hours % 24)))
    return moment.astimezone(timezone.utc)


def days_apart(first: date, second: date) -> int:
    """How many midnights lie between, whichever comes first."""
    return abs((second - first).days)


def overlap(first: Shift, second: Shift) -> int:
    """Minutes that both work."""
    return max(0, min(first.end, second.end) - max(first.start, second.start))


def clashes(shifts: list[Shift]) -> list[tuple[str, str]]:
    """Pairs that overlap, by their start; shifts that only touch do not clash."""
    ordered = sorted(shifts, key=lambda shift: (shift.start, shift.who))
    found = []
    for place, shift in enumerate(ordered):
        for other in ordered[place + 1 :]:
            if other.start >= shift.end:
                break
            found.append((shift.who, other.who))
    return found


def pay(minutes: int, cents_an_hour: int) -> int:
    """Cents; half a cent is rounded up."""
    if minutes < 0 or cents_an_hour < 0:
        raise ValueError("neither may be negative")
    return (minutes * cents_an_hour + 30) // 60


def clock(minutes: int) -> str:
    """As on a clock: `07:05`; beyond a day it goes on from midnight."""
    hours, rest = divmod(minutes % 1440, 60)
    return f"{hours:02d}:{rest:02d}"
