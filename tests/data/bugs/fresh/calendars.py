"""Days and moments."""

from __future__ import annotations

from datetime import date, datetime, timedelta, timezone


def is_leap(year: int) -> bool:
    return year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)


def month_end(year: int, month: int) -> int:
    """The last day of a month. Raises ValueError: there is no such month."""
    if not 1 <= month <= 12:
        raise ValueError("no such month")
    return 29 if month == 2 and is_leap(year) else (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)[month - 1]


def add_months(day: date, count: int) -> date:
    """The same day so many months later, or the month's last where there is none."""
    months = day.year * 12 + day.month - 1 + count
    year, month = months // 12, months % 12 + 1
    return date(year, month, min(day.day, month_end(year, month)))


def next_weekday(day: date, weekday: int) -> date:
    """The next one after this day: a Monday (0) after a Monday is a week later."""
    return day + timedelta((weekday - day.weekday() - 1) % 7 + 1)


def hours_between(first: datetime, second: datetime, offset: int = 0) -> float:
    """From the one to the other; one without a zone is `offset` hours east of Greenwich."""
    zone = timezone(timedelta(hours=max(-23, min(23, offset))))
    ends = [each if each.tzinfo else each.replace(tzinfo=zone) for each in (first, second)]
    return (ends[1] - ends[0]).total_seconds() / 3600


def spoken(seconds: int) -> str:
    """`1 h 5 min`, `59 s`, `-2 min`; the smaller unit is left out where it is 0."""
    sign, rest = ("-" if seconds < 0 else ""), abs(seconds)
    for unit, smaller, size in (("d", "h", 86400), ("h", "min", 3600), ("min", "s", 60)):
        if rest >= size:
            many, few = rest // size, rest % size // (size // {"d": 24, "h": 60, "min": 60}[unit])
            return f"{sign}{many} {unit}" + (f" {few} {smaller}" if few else "")
    return f"{sign}{rest} s"


def workdays(first: date, last: date, holidays: list[date] | None = None) -> int:
    """Mondays to Fridays from the first to the last, both counted, without the holidays."""
    free = set(holidays or ())
    count = 0
    day = first
    while day <= last and count < 1000:
        count += day.weekday() < 5 and day not in free
        day += timedelta(1)
    return count
