"""Calculator, calendar and text."""

from __future__ import annotations

import datetime as dt

from ..tools import calculator, dates, text

NOW = dt.datetime(2026, 11, 21, 10, 30, tzinfo=dt.UTC)


def test_arithmetic() -> None:
    cases = {"17*23": "391", "3% of 80": "2.4", "200 + 10%": "220", "sqrt of 16": "4", "7 x 8": "56", "2^10": "1024"}
    for expression, result in cases.items():
        assert calculator.answer(expression) == result, expression


def test_units() -> None:
    assert calculator.answer("5 km in m") == "5000 m"
    assert calculator.answer("100 c in f") == "212 °F"


def test_what_is_too_large_or_no_arithmetic_is_refused() -> None:
    refused = {
        "9**9**9": calculator.NoResultError,
        "1/0": calculator.NoResultError,
        "__import__('os')": calculator.NotArithmeticError,
        "a.b": calculator.NotArithmeticError,
        "(" * 400: calculator.NotArithmeticError,
    }
    for expression, kind in refused.items():
        try:
            calculator.answer(expression)
        except kind:
            continue
        raise AssertionError(expression)


def test_dates() -> None:
    assert dates.answer("days until 2026-12-24", NOW) == (
        "33 days (4 weeks and 5 days) until Thursday, 24 December 2026."
    )
    assert dates.answer("What day is 3 May 2027?", NOW) == "Monday, 3 May 2027 (in 163 days)."
    assert dates.answer("in 3 weeks", NOW) == "Saturday, 12 December 2026 (in 21 days)."
    assert dates.find("yesterday", dates.dt.date.min) is None


def test_every_word_for_a_day_or_a_number_is_found() -> None:
    for word in ("tomorrow", "day before yesterday", "christmas", "halloween", "next friday", "3 sep", "may 3"):
        assert dates.find(word, NOW.date()) is not None, word
    assert dates.find("3 sept", NOW.date()) is None
    for word in ("a", "an", "one", "two", "three", "four", "five", "six", "seven", "eight", "12"):
        assert dates.answer(f"in {word} weeks", NOW) is not None, word


def test_what_is_not_about_dates_alone_is_left_to_others() -> None:
    for question in ("when is my birthday?", "In 3 weeks I go to Rome", "what day did I say?", "hello"):
        assert dates.answer(question, NOW) is None, question


def test_counting() -> None:
    assert text.count_text("one two. three") == "3 words, 14 characters, 2 sentences, 1 line"
