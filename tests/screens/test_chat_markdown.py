"""Markdown as lines: what it looks like, that it always fits, and that a stream ends as the whole text would."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from o_tui.paths import shipped
from o_tui.ui import themes
from o_tui.ui.chat.commands import COMMANDS, Words, offers, split
from o_tui.ui.chat.markdown import render, share
from o_tui.ui.chat.paint import Paint, paint_from, strips
from o_tui.ui.chat.pieces import Piece, draw
from o_tui.ui.chat.stream import TAIL_CHARS, TAIL_LINES, MarkdownStream
from o_tui.ui.glyphs import ASCII, UNICODE
from tests.support.scripted_data import MARKDOWN


def paint(ascii_only: bool = False) -> Paint:
    theme = themes.build("night", themes.read(shipped("themes") / "night.toml"))
    variables = theme.to_color_system().generate() | theme.variables
    return paint_from(variables, ASCII if ascii_only else UNICODE)


PAINT = paint()


def plain(source: str, width: int = 60) -> list[str]:
    return [line.plain.rstrip() for line in render(source, width, PAINT)]


@pytest.mark.parametrize(
    ("source", "lines"),
    [
        ("one\ntwo", ["one", "two"]),
        ("# Title", ["Title", "─────"]),
        ("## Sub\ntext", ["Sub", "", "text"]),
        ("- a\n- b\n  - c", ["• a", "• b", "  • c"]),
        ("- a\n\n- b", ["• a", "", "• b"]),
        ("3. a\n4. b", ["3. a", "4. b"]),
        ("> quoted\n> text", ["▎ quoted", "▎ text"]),
        ("a `code` **b** *i* ~~s~~", ["a code b i s"]),
        ("[words](http://x.y)", ["words (http://x.y)"]),
        ("<http://x.y>", ["http://x.y"]),
        ("![picture](http://x/p.png)", ["[picture] http://x/p.png"]),
        ("<b>not html</b>", ["<b>not html</b>"]),
        ("```\n  kept  spaces\n```", ["   kept  spaces"]),
        ("```python\nx = '[red]'\n```", [" x = '[red]'"]),
        ("```nolanguage\nx\n```", [" x"]),
        ("| a | b |\n|---|--:|\n| 1 | 22 |", ["a   b", "─  ──", "1  22"]),
        ("---", ["─" * 40]),
        ("", []),
    ],
)
def test_how_it_looks(source: str, lines: list[str]) -> None:
    assert plain(source) == lines


def test_ascii_twins() -> None:
    lines = render(MARKDOWN + "\n# H\n\n---\n", 60, paint(ascii_only=True))
    assert [line.plain for line in lines if not line.plain.isascii()] == []


def test_a_wide_table_wraps_its_cells_and_loses_nothing() -> None:
    words = "alpha beta gamma delta epsilon zeta"
    lines = plain(f"| a | b |\n|---|---|\n| {words} | {words} |", 30)
    assert max(len(line) for line in lines) <= 30
    assert set(words.split()) <= set(" ".join(lines).split())


def test_entities_cannot_smuggle_what_safe_would_show() -> None:
    assert not {"\u202e", "\x1b", "\x9b"} & set("".join(plain("&#x202e; &#27;[31m &#x9b;x `\x1b[2J` [a](&#x202e;b)")))


text = st.text(alphabet=st.sampled_from(list("ab *_`#>-|[]()!\n\t1.~<&;:\\é日👍\u202e\x1b")), max_size=200)


@settings(max_examples=150)
@given(text, st.integers(8, 90))
def test_every_line_fits_and_nothing_raises(source: str, width: int) -> None:
    for kind in ("markdown", "plain", "error", "note"):
        for strip in draw(Piece(kind, source, gap=True), width, PAINT):
            assert strip.cell_length == width
            assert not {"\x1b", "\u202e", "\n", "\t"} & set(strip.text)


@settings(max_examples=150)
@given(
    st.lists(
        st.sampled_from(["# H\n\n", "text ", "\n", "\n\n", "- a\n", "- b\n", "```\n", "x\n", "> q\n"]), max_size=40
    )
)
def test_a_stream_in_any_pieces_gives_the_same_blocks(parts: list[str]) -> None:
    whole = "".join(parts)
    streamed, at_once = MarkdownStream(), MarkdownStream()
    found = []
    for part in parts:
        streamed.append(part)
        found += streamed.take()
    found += streamed.finish()
    at_once.append(whole)
    assert found == [*at_once.take(), *at_once.finish()]


def test_finished_blocks_are_given_away_and_the_tail_stays_small() -> None:
    stream = MarkdownStream()
    largest, found = 0, []
    sources = (MARKDOWN, "```python\n" + "x = 1\n" * 2_000 + "```\n\n", "word " * 20_000, "\n\n- item\n" * 500)
    for source in sources:
        for start in range(0, len(source), 12):
            stream.append(source[start : start + 12])
            found += stream.take()
            largest = max(largest, len(stream.tail))
    found += stream.finish()
    assert largest <= TAIL_CHARS + 12
    assert max(source.count("\n") for source, _ in found) <= TAIL_LINES + 2
    words = "".join(source for source, _ in found)
    assert words.count("x = 1") == 2_000
    assert words.count("word") >= 19_900


def test_the_work_does_not_grow_with_the_answer() -> None:
    def spent(chunks: int) -> float:
        stream = MarkdownStream()
        start = time.process_time()
        for number in range(chunks):
            stream.append("and more words, " + ("\n\n" if number % 20 == 19 else ""))
            stream.take()
        return time.process_time() - start

    spent(1_000)
    assert spent(16_000) < 16 * max(spent(1_000), 0.002) * 4


def test_columns_share_the_room() -> None:
    assert share([5, 5], 20) == [5, 5]
    assert sum(share([50, 5], 20)) <= 20
    assert share([50, 5], 20)[1] == 5
    assert min(share([9] * 9, 10)) == 3


def test_strips_have_exactly_the_width() -> None:
    assert {strip.cell_length for strip in strips(render("日本語 👍 " * 40, 30, PAINT), PAINT["base"], 33, 2)} == {33}


def test_commands_are_split_and_offered() -> None:
    assert split("/evolve recall x") == ("evolve", "recall x")
    assert split("//text") == ("", "//text")
    assert [offer.line for offer in offers("/q", Words())] == ["/quit"]
    assert [offer.label for offer in offers("/theme d", Words(themes=["day", "night"]))] == ["day"]
    assert offers("no command", Words()) == []
    assert len(offers("/", Words())) == len(COMMANDS)
