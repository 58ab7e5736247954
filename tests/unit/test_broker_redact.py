"""No key in any form leaves the broker in a text."""

from __future__ import annotations

import base64
import logging
from itertools import pairwise
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from o_tui.broker.redact import RedactingFormatter, Redactor, mask

ONE = "sk-proj-AAAAbbbbCCCCdddd1111"
TWO = "sk-proj-AAAAbbbbEEEEffff2222"  # begins like ONE


@pytest.fixture
def redactor() -> Redactor:
    made = Redactor()
    made.add(ONE)
    made.add(TWO)
    return made


def test_mask_shows_the_last_four_of_a_long_key_only() -> None:
    assert mask(ONE) == "sk-…1111"
    assert mask("abcdefgh12345678wxyz") == "…wxyz"
    assert mask("short") == "…"
    assert mask("") == ""


@pytest.mark.parametrize("key", [ONE, TWO])
@pytest.mark.parametrize("form", [str, lambda k: quote(k, safe=""), lambda k: base64.b64encode(k.encode()).decode()])
def test_whole_keys_go_in_every_form(redactor: Redactor, key: str, form) -> None:
    text = redactor.clean(f"bad key: {form(key)}!")
    assert form(key).rstrip("=") not in text
    assert key[12:20] not in text
    assert text.startswith("bad key: ")


def test_keys_with_a_common_beginning_do_not_uncover_each_other(redactor: Redactor) -> None:
    text = redactor.clean(f"{TWO} {ONE} {TWO}")
    assert "EEEE" not in text
    assert "CCCC" not in text


def test_a_key_that_is_cut_off_goes_too(redactor: Redactor) -> None:
    odd = Redactor()
    odd.add("0123456789abcdefghijklmnop")  # of no known shape
    assert odd.clean("you sent 0123456789abcde...") == "you sent …..."
    assert "AAAAbb" not in redactor.clean(f"you sent {ONE[:20]}...")


def test_an_unknown_key_goes_by_its_shape() -> None:
    assert "abcdefghijkl" not in Redactor().clean("Authorization: Bearer abcdefghijklmnop, sk-abcdefghijklmnop")


def test_a_short_key_goes_only_as_a_word() -> None:
    redactor = Redactor()
    redactor.add("k")
    assert redactor.clean("k is a bad key (k)") == "… is a bad key (…)"


def test_a_line_is_redacted_before_it_is_cut() -> None:
    redactor = Redactor()
    redactor.add(ONE)
    line = redactor.line("x" * 390 + ONE)
    assert "sk-proj" not in line
    assert len(line) <= 400
    assert redactor.line("a\n\x1b[31mb\u202e") == "a [31mb"


@given(before=st.text(max_size=30), after=st.text(max_size=30), cuts=st.lists(st.integers(0, 90), max_size=8))
def test_a_streamed_key_is_taken_out_wherever_it_is_cut(before: str, after: str, cuts: list[int]) -> None:
    redactor = Redactor()
    redactor.add(ONE)
    text = before + ONE + after
    marks = sorted({0, len(text), *(cut for cut in cuts if cut < len(text))})
    stream = redactor.stream()
    passed = "".join(stream.feed(text[a:b]) for a, b in pairwise(marks)) + stream.finish()
    assert passed == text.replace(ONE, mask(ONE))


def test_a_stream_without_keys_is_not_held_back() -> None:
    assert Redactor().stream().feed("is") == "is"


def test_logs_of_libraries_with_their_tracebacks_are_redacted(redactor: Redactor) -> None:
    formatter = RedactingFormatter(redactor)
    try:
        raise ValueError(f"401: {ONE}")
    except ValueError:
        import sys

        record = logging.LogRecord("x", logging.ERROR, "f", 1, "key %s", (TWO,), sys.exc_info())
    text = formatter.format(record)
    assert ONE not in text
    assert TWO not in text
    assert "ValueError" in text
