"""The calendar: what day is it, how long until, when is. Every answer counts from the time of the request."""

from __future__ import annotations

import calendar
import datetime as dt
import re

from o_tui.agent.dsl import Context, tool

_LONG = "january|february|march|april|may|june|july|august|september|october|november|december"
_SHORT = "jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec"
_WEEK = "monday|tuesday|wednesday|thursday|friday|saturday|sunday"
_MONTHS = {name: number for names in (_LONG, _SHORT) for number, name in enumerate(names.split("|"), 1)}
_WEEKDAYS = {name: number for number, name in enumerate(_WEEK.split("|"))}
_NUMBERS = {"a": 1, "an": 1, "one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8}
_NEAR_DAYS = {"day after tomorrow": 2, "day before yesterday": -2, "tomorrow": 1, "yesterday": -1, "today": 0}
_FEASTS = {"christmas eve": (12, 24), "christmas": (12, 25), "new year": (1, 1), "halloween": (10, 31)}
_FILLERS = frozenset(["the", "on", "of", "be", "it", "is", "and", "a", "day", "now"])

# patterns are made of constants: O compiles those that it ships once, and not in each new instance
_MONTH = f"{_LONG}|{_SHORT}"
_COUNT = r"\d{1,5}|a|an|one|two|three|four|five|six|seven|eight"
_AMOUNT = rf"(?:{_COUNT}) (?:day|week|month|year|hour|minute)s?"
_AMOUNT_PARTS = re.compile(rf"\b({_COUNT}) (day|week|month|year|hour|minute)s?\b")
_SHIFT = re.compile(
    r"(?:(?:what|which)(?:'s| is| was| will)?(?: be)?(?: the)?(?: weekday| day| date| time)?(?: is| was| will)?(?: it)?"
    rf"(?: be)? )?(in )?{_AMOUNT}(?:(?:,| and)? {_AMOUNT})*( ago| from now| from today| later)?"
)
_NOW = re.compile(r"(?:what(?:'s| is) the |what )?(?:local )?time(?: is it)?(?: now)?")
_TODAY = re.compile(
    r"(?:what(?:'s| is) )?(?:the |today's )?date(?: today)?|(?:what day is )?(?:it )?today|what day is it"
)
_ASKED = re.compile(
    r"(?:(?:what|which) (?:week)?day (?:of the week )?(?:is|was|will)|when is|what(?:'s| is) the date)\b"
)
_COUNTED = re.compile(
    r"(?:how (?:many|long)\b ?)?(days|weeks)? ?(?:is it|are there|are left|left|do we have)? ?"
    r"\b(until|till|to|since|between) (.+)"
)
_ISO = re.compile(r"\b(\d{4})-(\d{1,2})-(\d{1,2})\b")
_DAY_MONTH = re.compile(rf"\b(\d{{1,2}})(?:st|nd|rd|th)?\.? (?:of )?({_MONTH})\b\.?,?(?: (\d{{4}}))?")
_MONTH_DAY = re.compile(rf"\b({_MONTH})\b\.? (\d{{1,2}})(?:st|nd|rd|th)?\b,?(?: (\d{{4}}))?")
_NEAR = re.compile(
    r"\b(day after tomorrow|day before yesterday|tomorrow|yesterday|today|christmas eve|christmas|new year|halloween)"
    r"(?:'s)?\b"
)
_WEEKDAY = re.compile(rf"\b(?:(next|last|this) )?({_WEEK})\b")


@tool
def dates(question: str, context: Context) -> str:
    """Answers questions about time: "time", "days until 2026-12-24", "what day is 3 May 2027", "in 3 weeks".

    Args:
        question: The question; dates as 2026-12-24, 24 December 2026, tomorrow, next friday.
    """
    found = answer(question, local(context.now_ns))
    return found if found is not None else "I cannot find a date in that."


def local(now_ns: int) -> dt.datetime:
    """The local time of the machine at a time in ns UTC."""
    return dt.datetime.fromtimestamp(now_ns / 1e9, dt.UTC).astimezone()


def answer(question: str, now: dt.datetime) -> str | None:
    """The answer in words; None where the question is none about time alone."""
    text = " ".join(question.lower().split()).rstrip("?!. ")
    today = now.date()
    if _NOW.fullmatch(text):
        return f"It is {now:%H:%M} ({long(today)}, {now.tzname()})."
    if _TODAY.fullmatch(text):
        return f"Today is {long(today)}, week {now.isocalendar().week}."
    shift = _SHIFT.fullmatch(text)
    if shift is not None and (shift[1] or shift[2]):
        return _shifted(text, now)
    counted = _COUNTED.fullmatch(text)
    if counted is not None and not text.startswith(counted[2]):
        return _counted(counted[1] or "days", counted[2], counted[3], today)
    asked = _ASKED.match(text)
    day = only_date(text[asked.end() :], today) if asked else None
    return None if day is None else f"{long(day)} ({distance(day, today)})."


def _counted(unit: str, word: str, rest: str, today: dt.date) -> str | None:
    if word == "between":
        first, _, second = rest.partition(" and ")
        start, end = only_date(first, today), only_date(second, today)
    else:
        start, end = today, only_date(rest, today, past=word == "since")
    if start is None or end is None:
        return None
    days = abs((end - start).days)
    count = _plural(days, "day")
    if unit == "weeks" or days >= 14:
        weeks, left = divmod(days, 7)
        more = f" and {_plural(left, 'day')}" if left else ""
        count += f" ({_plural(weeks, 'week')}{more})"
    if word == "between":
        return f"{count} between {long(start)} and {long(end)}."
    if word != "since" and end < today:
        return f"{long(end)} is past: {count} ago."
    return f"{count} {'since' if word == 'since' else 'until'} {long(end)}."


def _plural(number: int, word: str) -> str:
    return f"{number} {word}{'' if number == 1 else 's'}"


def _shifted(text: str, now: dt.datetime) -> str:
    amounts = _AMOUNT_PARTS.findall(text)
    sign = -1 if text.endswith(" ago") else 1
    moment = now
    for number, unit in amounts:
        try:
            moment = _moved(moment, sign * (int(number) if number.isdigit() else _NUMBERS[number]), unit)
        except (OverflowError, ValueError):
            return "That is outside the calendar."
    if any(unit in ("hour", "minute") for _number, unit in amounts):
        return f"{moment:%H:%M} on {long(moment.date())}."
    return f"{long(moment.date())} ({distance(moment.date(), now.date())})."


def _moved(moment: dt.datetime, count: int, unit: str) -> dt.datetime:
    if unit in ("month", "year"):
        year, month = divmod(moment.year * 12 + moment.month - 1 + count * (12 if unit == "year" else 1), 12)
        last = calendar.monthrange(year, month + 1)[1]
        return moment.replace(year=year, month=month + 1, day=min(moment.day, last))
    return moment + dt.timedelta(**{f"{unit}s": count})


def only_date(text: str, today: dt.date, past: bool = False) -> dt.date | None:
    """The date that a text names, if it says nothing else ("the 3rd of May", but not "my flight on 3 May")."""
    rest = text.lower()
    for pattern in (_ISO, _DAY_MONTH, _MONTH_DAY, _NEAR, _WEEKDAY):
        rest = pattern.sub(" ", rest, count=1)
    return find(text, today, past) if not set(rest.split()) - _FILLERS else None


def find(text: str, today: dt.date, past: bool = False) -> dt.date | None:
    """The first date that a text names; one without a year is the next such day (with `past`: the last)."""
    text = text.lower()
    try:
        return _iso(text) or _written(text, today, past) or _relative(text, today)
    except (OverflowError, ValueError):
        return None  # 30 February, or a day outside of the calendar


def _iso(text: str) -> dt.date | None:
    match = _ISO.search(text)
    return dt.date(int(match[1]), int(match[2]), int(match[3])) if match else None


def _written(text: str, today: dt.date, past: bool) -> dt.date | None:
    match, turned, near = _DAY_MONTH.search(text), _MONTH_DAY.search(text), _NEAR.search(text)
    year = None
    if match:
        month, day, year = _MONTHS[match[2]], int(match[1]), match[3]
    elif turned:
        month, day, year = _MONTHS[turned[1]], int(turned[2]), turned[3]
    elif near and near[1] in _FEASTS:
        month, day = _FEASTS[near[1]]
    else:
        return None
    if year:
        return dt.date(int(year), month, day)
    step = -1 if past else 1
    for candidate in range(today.year, today.year + 9 * step, step):
        try:
            found = dt.date(candidate, month, day)
        except ValueError:
            continue  # 29 February of another year
        if found == today or (found < today) == past:
            return found
    return None


def _relative(text: str, today: dt.date) -> dt.date | None:
    near = _NEAR.search(text)
    if near and near[1] in _NEAR_DAYS:
        return today + dt.timedelta(days=_NEAR_DAYS[near[1]])
    match = _WEEKDAY.search(text)
    if match is None:
        return None
    ahead = (_WEEKDAYS[match[2]] - today.weekday()) % 7
    if match[1] == "last":
        return today - dt.timedelta(days=(-ahead) % 7 or 7)
    return today + dt.timedelta(days=ahead or 7)


def long(day: dt.date) -> str:
    """A date in full."""
    return f"{day:%A}, {day.day} {day:%B %Y}"


def distance(day: dt.date, today: dt.date) -> str:
    """How far a day is from today."""
    days = (day - today).days
    near = {0: "today", 1: "tomorrow", -1: "yesterday"}
    if days in near:
        return near[days]
    return f"in {days} days" if days > 0 else f"{-days} days ago"
