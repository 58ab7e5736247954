"""The diff of the review: nothing is lost in parsing, nothing is hidden in drawing."""

from __future__ import annotations

import difflib

from hypothesis import given, settings
from hypothesis import strategies as st

from o_tui.ui.diff.document import Document, Options
from o_tui.ui.diff.flags import find
from o_tui.ui.diff.highlight import LONGEST_LINE, Highlighter, begins_inside_string
from o_tui.ui.diff.layout import common_ends, rows, with_context
from o_tui.ui.diff.parse import FileDiff, parse
from tests.support.panes import OLD, diff_text

texts = st.lists(
    st.sampled_from(["", "a", "b", "  c", "-- d", "++ e", "@@ -1 +1 @@", "--- a/x", "+++ b/x"]), max_size=30
)


def unified(old: list[str], new: list[str], context: int) -> str:
    lines = difflib.unified_diff(old, new, "a/f.py", "b/f.py", lineterm="", n=context)
    return "".join(f"{line}\n" for line in lines)


def applied(diff: FileDiff, old: list[str]) -> list[str]:
    """The new text: what the hunks say, and the old lines between them."""
    made: list[str] = []
    at = 1
    for hunk in diff.hunks:
        made += old[at - 1 : hunk.old_start - 1]
        at = hunk.old_start
        for line in hunk.lines:
            if line.kind in ("context", "removed"):
                assert old[at - 1] == line.text
                assert line.old == at
                at += 1
            if line.kind in ("context", "added"):
                made.append(line.text)
                assert line.new == len(made)
    return made + old[at - 1 :]


@settings(max_examples=200)
@given(texts, texts, st.integers(0, 5))
def test_a_parsed_diff_makes_the_new_text(old: list[str], new: list[str], context: int) -> None:
    files = parse(unified(old, new, context))
    if old == new:
        assert files == []
    else:
        assert applied(files[0], old) == new


@settings(max_examples=200)
@given(texts, texts, st.sampled_from([0, 1, 3, 7, 99]), st.booleans())
def test_context_changes_no_change(old: list[str], new: list[str], context: int, sourced: bool) -> None:
    files = parse(unified(old, new, 3))
    for diff in files:
        source = "".join(f"{line}\n" for line in old) if sourced else None
        regrouped = with_context(diff, context, source)
        assert applied(regrouped, old) == new
        assert (regrouped.added, regrouped.removed) == (diff.added, diff.removed)
        if context == 99 and sourced:
            assert len(regrouped.hunks) == 1
        if context == 0:
            assert all(line.kind != "context" for hunk in regrouped.hunks for line in hunk.lines)


@settings(max_examples=100)
@given(texts, texts, st.booleans())
def test_every_changed_line_is_in_a_row_once(old: list[str], new: list[str], split: bool) -> None:
    files = parse(unified(old, new, 3))
    made = rows(files, split=split)
    lines = [line for diff in files for hunk in diff.hunks for line in hunk.lines if line.kind != "context"]
    drawn = [side for row in made for side in (row.left, row.right) if side is not None and side.kind != "context"]
    assert sorted(map(repr, drawn)) == sorted(map(repr, lines))


def test_a_source_that_is_another_file_is_not_used() -> None:
    (diff,) = parse(diff_text())
    assert with_context(diff, 9, "something\nelse\n").hunks == with_context(diff, 9, None).hunks


def test_git_headers_become_notes_and_paths() -> None:
    text = (
        "diff --git a/old.py b/new.py\nsimilarity index 90%\nrename from old.py\nrename to new.py\nindex 1..2 100644\n"
        "--- a/old.py\n+++ b/new.py\n@@ -1 +1 @@\n-a\n+b\n\\ No newline at end of file\n"
        "diff --git a/gone.py b/gone.py\ndeleted file mode 100644\n--- a/gone.py\n+++ /dev/null\n@@ -1 +0,0 @@\n-x\n"
        "diff --git a/logo.png b/logo.png\nBinary files a/logo.png and b/logo.png differ\n"
    )
    renamed, gone, binary = parse(text)
    assert (renamed.old_path, renamed.new_path) == ("old.py", "new.py")
    assert renamed.notes == ["similarity index 90%", "rename from old.py", "rename to new.py"]
    assert [line.kind for line in renamed.hunks[0].lines] == ["removed", "added", "note"]
    assert (gone.path, gone.new_path, gone.removed) == ("gone.py", "", 1)
    assert binary.notes == ["Binary files a/logo.png and b/logo.png differ"]


def test_text_that_is_no_diff_is_shown_all_the_same() -> None:
    (diff,) = parse("this is\nno diff\n")
    assert diff.notes == ["this is", "no diff"]


def test_a_hunk_can_be_copied_as_a_diff() -> None:
    (diff,) = parse(diff_text())
    again = parse(f"--- a/recall.py\n+++ b/recall.py\n{diff.hunks[0].text()}")[0]
    assert again.hunks[0].lines == diff.hunks[0].lines


def test_what_changed_between_two_lines() -> None:
    assert common_ends("search(4 * k)", "search(3 * k)") == (7, 5)
    assert common_ends("aa", "aaa") == (2, 0)
    assert common_ends("", "x") == (0, 0)


# --- highlighting


def test_highlighting_keeps_to_the_lines() -> None:
    lines = OLD.split("\n")
    highlighter = Highlighter(lines, "recall.py")
    for number, line in enumerate(lines):
        spans = highlighter.line(number)
        assert spans is not None
        assert all(0 <= start < end <= len(line) for start, end, _ in spans)
        assert "".join(line[start:end] for start, end, _ in spans) == line
    assert any(style for *_, style in highlighter.line(5) or ())


def test_a_far_line_waits_for_its_turn() -> None:
    highlighter = Highlighter(["x = 1"] * 5_000, "x.py")
    assert highlighter.line(4_000) is None
    while not highlighter.complete:
        highlighter.advance()
    assert highlighter.line(4_000)


def test_absurd_lines_and_unknown_languages_stay_plain() -> None:
    highlighter = Highlighter(["x" * (LONGEST_LINE + 1), "y = 2"], "x.py")
    assert highlighter.line(0) == []
    assert highlighter.line(1)
    assert Highlighter(["select 1"], "x.sql").line(0) == []


def test_a_hunk_that_begins_inside_a_docstring() -> None:
    assert begins_inside_string(["    words", '    """', "    x = 1"])
    assert not begins_inside_string(['    """Words.', "    more"])
    assert not begins_inside_string(['    """Words."""'])
    highlighter = Highlighter(["    words of it", '    """', "    return x"], "x.py")
    code = highlighter.line(2) or []
    assert len(code) > 1, "code behind the docstring is read as code"


# --- drawing what deceives


def test_hidden_characters_are_found_in_added_lines_only() -> None:
    old = "a = 1\nb = '\u202e'\n"
    new = "a = 1\nс = '\u2066x'\n"
    flags = find(parse(diff_text(old, new, "x.py")))
    assert {flag.line for flag in flags} == {2}
    assert any("U+2066" in flag.name for flag in flags)
    assert any("U+0441" in flag.name for flag in flags)
    assert all("\u2066" not in flag.text() for flag in flags)


def test_nothing_that_a_terminal_acts_on_is_displayed() -> None:
    document = Document(parse(diff_text("a\n", "b\x1b[2J\t\u202e\rc\n", "x.py")), Options(), {})
    shown = document.display("b\x1b[2J\t\u202e\rc")
    assert shown.isprintable()
    assert "\u202e" not in shown
