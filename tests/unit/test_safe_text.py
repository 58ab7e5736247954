"""Text from outside is harmless in every form in which it can be shown."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from o_tui import _native
from o_tui.protocol.safe_text import Safe, Untrusted, hidden, safe, safe_line

ANY_TEXT = st.text(st.characters(exclude_categories=()))
"""Lone surrogates too."""
TRICKS = st.lists(
    st.sampled_from("\x1b[]()\\\r\n\t\x07\x9b\u202e\u200b\u200d\ufe0f\u0301👩👧🏴e1\U000e0067\ud83d\u1161\u0930\u094d"),
    max_size=60,
).map("".join)
INVISIBLE = {"Cc", "Cf", "Cs", "Zl", "Zp"}
KEPT = {"\n", "\t", "\u200c", "\u200d"}


def assert_harmless(shown: str) -> None:
    shown.encode()  # no surrogate is left
    odd = [c for c in shown if unicodedata.category(c) in INVISIBLE and c not in KEPT]
    # Signs that stand around Arabic numbers are of the category Cf, but are drawn; flags are spelt with tags.
    assert not [c for c in odd if "NUMBER" not in unicodedata.name(c, "") and not 0xE0060 < ord(c) <= 0xE007F], odd


@given(ANY_TEXT | TRICKS)
@example("\ud800")
@example("a\x85b\u2028c")
def test_whatever_comes_is_harmless(text: str) -> None:
    shown = safe(text)
    if not any(0x600 <= ord(c) <= 0x8E2 or ord(c) in (0x110BD, 0x110CD) for c in text):
        assert_harmless(shown)
    assert not set(shown) & {chr(c) for c in (*range(0, 9), *range(11, 32), *range(127, 160))}
    assert safe(shown) is shown, "once is enough"
    line = safe_line(text, 0)
    assert len(line.splitlines()) <= 1
    assert "\t" not in line


@given(ANY_TEXT | TRICKS, st.integers(1, 80))
def test_the_limit_holds(text: str, limit: int) -> None:
    line = safe_line(text, limit)
    assert len(line) <= limit
    assert line == safe_line(text, 0) or line.endswith("…") or line.endswith(" more)")


@given(ANY_TEXT | TRICKS)
def test_what_is_written_out_is_named(text: str) -> None:
    found = hidden(text)
    assert found == sorted(found)
    for index, name in found:
        assert 0 <= index < len(text)
        if name.startswith("U+"):
            assert int(name[2:].split()[0], 16) == ord(text[index])
    if safe(text) != text and "\r\n" not in text:
        assert found


def test_ordinary_text_is_the_same_object() -> None:
    for text in ("", "words\n\tand lines", "naïve Zürich", "日本語", "👩\u200d👩\u200d👧 1\ufe0f\u20e3"):
        assert safe(text) is text
        assert hidden(text) == []


def test_a_long_line_is_cut_with_its_count() -> None:
    line = safe_line("x" * 1_000_000, 40)
    assert line == "x" * 24 + "… (999976 more)"


def test_the_reviewer_is_told() -> None:
    diff = "+    if access_level != 'user\u202e \u2066// only admins\u2069 \u2066':\n+    p\u0430y(total)\n"
    assert [name for _, name in hidden(diff)] == [
        "U+202E RIGHT-TO-LEFT OVERRIDE",
        "U+2066 LEFT-TO-RIGHT ISOLATE",
        "U+2069 POP DIRECTIONAL ISOLATE",
        "U+2066 LEFT-TO-RIGHT ISOLATE",
        "U+0430 Cyrillic letter that looks like \"a\"",
    ]  # fmt: skip
    assert "<U+202E>" in safe(diff)


def test_untrusted_shows_itself_harmlessly() -> None:
    text = Untrusted("\x1b[31mred\u202e")
    for shown in (f"{text}", str(text), f"{text}", f"{text:>20}".strip(), text.safe(), text.line(50)):
        assert shown == "␛[31mred<U+202E>"
    assert repr(text) == "Untrusted('␛[31mred<U+202E>')"
    assert text.raw == "\x1b[31mred\u202e"
    assert text == Untrusted("\x1b[31mred\u202e")
    assert text != "\x1b[31mred\u202e"
    assert not isinstance(text, str)
    assert not Untrusted("")
    assert text.hidden()[0][1] == "U+001B ESCAPE"


def test_arguments_are_checked() -> None:
    with pytest.raises(TypeError):
        _native.safe_text(b"bytes")  # type: ignore[arg-type]
    with pytest.raises(OverflowError):
        _native.safe_text("text", -1)


def test_safe_is_a_str_at_run_time() -> None:
    assert type(Safe("x")) is str
