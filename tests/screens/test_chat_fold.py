"""Long texts in the chat: only what is near the screen is drawn, the rest when it is asked for, and nothing is lost."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from o_tui.ui.chat import markdown
from o_tui.ui.chat.fold import END_LINES, SHOWN_CHARS, SHOWN_LINES, fold, shown
from o_tui.ui.chat.turn import Turn
from tests.screens.test_chat_log import EMPTY, begin, finish, stream
from tests.screens.test_chat_markdown import PAINT
from tests.support import scripted_data
from tests.support.screen import view

MANY = 60_000
LONG = {
    "lines": "".join(f"import m{number}\n" for number in range(MANY)),
    "paragraphs": "a paragraph\n\n" * MANY,
    "one line": "word " * 190_000,
    "no spaces": "x" * 900_000,
    "a program": "```python\n" + "x = 1\n" * MANY + "```\n",
    "a list": "- an item\n" * MANY,
    "a table": "| a | b |\n|---|---|\n" + "| 1 | 2 |\n" * MANY,
}
PARTS = ["a line\n", "\n", "x" * 7_000, "words " * 900, "a line\n" * 150, "ä€\n"]
texts = st.lists(st.sampled_from(PARTS), max_size=30)


def turn(answer: str, text: str = "question") -> Turn:
    return Turn(scripted_data.request("rq-x", text, answer))


@given(texts)
def test_a_folded_text_is_the_whole_text(parts: list[str]) -> None:
    text = "".join(parts)
    folded = fold(text)
    if folded is None:
        assert len(text) <= SHOWN_CHARS and text.count("\n") <= SHOWN_LINES
        return
    assert folded.start + folded.middle + folded.end == text
    assert folded.start and folded.end.count("\n") <= END_LINES
    found, rest = "", text
    while rest:
        part, rest = shown(rest)
        assert 0 < len(part) <= SHOWN_CHARS and part.count("\n") <= SHOWN_LINES
        found += part
    assert found == text


@pytest.mark.parametrize("kind", LONG)
def test_what_is_drawn_of_a_long_answer_does_not_grow_with_it(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = 0
    render = markdown.render

    def counted(source: str, *rest: object) -> list[object]:
        nonlocal drawn
        drawn += len(source)
        return render(source, *rest)  # type: ignore[arg-type, return-value]

    monkeypatch.setattr(markdown, "render", counted)
    made = turn(LONG[kind])
    assert made.measure(100, PAINT) <= 3 * SHOWN_LINES
    assert 0 < drawn <= SHOWN_CHARS
    piece = next(piece for piece in made.pieces if piece.kind == "fold")
    made.unfold(piece)
    made.measure(100, PAINT)
    assert drawn <= 2 * SHOWN_CHARS
    assert made.answer_text() == LONG[kind]


def test_a_program_that_is_cut_stays_a_program() -> None:
    made = turn("Here:\n\n~~~python title\n" + "x = 1\n" * 2_000 + "~~~\n\nThat is *all*.")
    sources = [piece.source for piece in made.pieces if piece.kind == "markdown"]
    assert sources[1].startswith("~~~python title\nx = 1") and sources[-2].startswith("~~~python title\nx = 1")
    assert sources[-1] == "That is *all*."
    piece = made.pieces[-1]
    while (folded := made.folded_near(piece)) is not None:
        piece = made.unfold(folded)
    programs = [piece.source for piece in made.pieces if piece.source.startswith("~~~python")]
    assert sum(source.count("x = 1\n") for source in programs) >= 2_000 - len(programs)
    assert sum(source.count("x = 1") for source in programs) == 2_000


def test_what_the_operator_pasted_is_folded_too_and_copied_whole() -> None:
    made = turn("ok", LONG["lines"])
    assert made.measure(100, PAINT) <= SHOWN_LINES
    kinds = [piece.kind for piece in made.pieces]
    assert kinds == ["head", "plain", "fold", "plain", "head", "markdown"]
    assert made.unfold(made.pieces[2]).source.count("\n") == SHOWN_LINES // 2


async def test_a_long_answer_is_read_on_with_enter_and_copied_whole() -> None:
    row = scripted_data.request("rq-x", "question", LONG["lines"])
    async with view((80, 24), snapshot=EMPTY | {"requests": [row]}) as v:
        await v.sees(f"import m{MANY - 1}")
        await v.press("shift+tab", "enter")
        await v.sees("import m200", "import m210", "-- more below, End to follow --")
        await v.press("enter")
        await v.sees("import m400")
        await v.press("y")
        await v.until(lambda: v.app.chat.log_view.copied() == (LONG["lines"], "the answer"))


async def test_a_click_on_what_is_left_out_shows_more() -> None:
    row = scripted_data.request("rq-x", LONG["lines"], "short")
    async with view((80, 24), snapshot=EMPTY | {"requests": [row]}) as v:
        await v.sees("short")
        log = v.app.chat.log_view
        line = log.turns[0].starts[2]
        log.scroll_to(y=line - 3, animate=False, immediate=True)
        await v.sees("more lines (", "import m199")
        assert "import m200" not in v.text()
        await v.pilot.click("#chat-log", offset=(10, 3))
        await v.sees("import m200")
        log.select(log.turns[0], log.turns[0].pieces[1])
        assert log.copied() == (LONG["lines"], "the message")


async def test_what_streams_in_at_once_is_folded_and_what_was_read_stays() -> None:
    async with view((80, 24), snapshot=EMPTY) as v:
        begin(v)
        stream(v, "the first words\n\n")
        await v.sees("the first words")
        stream(v, LONG["lines"])
        await v.sees(f"import m{MANY - 1}")
        stream(v, "\nand the end")
        finish(v, "")
        await v.sees("and the end")
        pieces = v.app.chat.log_view.turns[0].pieces
        assert len(pieces) < SHOWN_LINES
        assert next(piece.source for piece in pieces if piece.kind == "markdown") == "the first words"
        assert pieces[-1].source.endswith("and the end")
