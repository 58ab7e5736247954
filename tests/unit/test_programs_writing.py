"""Programs: what a model answers becomes a candidate, or says why not."""

from __future__ import annotations

import pytest

from o_tui.evolution.portfolio import Scored
from o_tui.programs import writing
from o_tui.protocol.errors import PeerError
from tests.support.user_programs import PROGRAM

DIFF = "<<<<<<< SEARCH\nA = 3.0\n=======\nA = 1.5\n>>>>>>> REPLACE\n"
ANSWERS = {
    "a diff": f"Sure:\n```\n{DIFF}```",
    "the block": "```python\n" + PROGRAM.split("START\n")[1].split("# EVOLVE")[0].replace("A = 3.0", "A = 1.5") + "```",
    "the program": "<think>A = 9</think>```python\n" + PROGRAM.replace("A = 3.0", "A = 1.5") + "```",
}
NO_ANSWERS = {
    "prose": ("I would change A.", "no code"),
    "half a diff": (DIFF[:40], "half a diff"),
    "a diff that does not apply": (DIFF.replace("A = 3.0", "A = 4.0"), "does not apply"),
    "no Python": ("```python\ndef score(:\n```", "no Python"),
    "two halves": ("<<<<<<< SEARCH\nA\n" + DIFF, "half a diff"),
    "surrogates": (DIFF.replace("1.5", "'\ud800'"), "not UTF-8"),
    "a bomb": ("<<<<<<< SEARCH\n" * 50_000, "half a diff"),
    "another bomb": ("```x\n" * 50_000, "no Python"),
    "nothing new": (DIFF.replace("1.5", "3.0"), "changes nothing"),
}


@pytest.mark.parametrize("name", list(ANSWERS))
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_models_answer_goes_between_the_markers(name: str, end: str) -> None:
    source = PROGRAM.replace("\n", end)
    assert writing.candidate_of(ANSWERS[name], source) == source.replace("A = 3.0", "A = 1.5")


SEVERAL = """\
# EVOLVE-BLOCK-START
A = 3.0
# EVOLVE-BLOCK-END
LIMIT = 1


def outer():
    # EVOLVE-BLOCK-START
    b = 2.0
    # EVOLVE-BLOCK-END
    return b


# EVOLVE-BLOCK-START
def score():
    return A
# EVOLVE-BLOCK-END
"""
MORE = "def helped():\n    return 1.0\n"


@pytest.mark.parametrize(
    ("answer", "changes"),
    [
        (
            "```python\n" + SEVERAL.replace("3.0", "4.0").replace("b = 2.0", "b = 5.0") + "```",
            [("3.0", "4.0"), ("2.0", "5.0")],
        ),
        (DIFF + DIFF.replace("A = 3.0", "    b = 2.0").replace("A = 1.5", "    b = 7"), [("3.0", "1.5"), ("2.0", "7")]),
        (
            "```\ndef score():\n    return helped()\n\n\n" + MORE + "```",
            [("return A\n", "return helped()\n\n\n" + MORE)],
        ),
        ("```\n" + SEVERAL.replace("LIMIT = 1", "LIMIT = 9").replace("3.0", "4.0") + "```", [("3.0", "4.0")]),
    ],
    ids=["the program", "a diff", "functions", "also outside, which stays"],
)
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_models_answer_goes_into_the_block_where_it_belongs(
    answer: str, changes: list[tuple[str, str]], end: str
) -> None:
    expected = SEVERAL
    for old, new in changes:
        expected = expected.replace(old, new)
    assert writing.candidate_of(answer, SEVERAL.replace("\n", end)) == expected.replace("\n", end)


def test_an_answer_that_names_no_block_of_several_says_so() -> None:
    for answer, why in (
        ("```\nA = 4.0\n```", "which of the 3"),
        ("```\n" + PROGRAM + "```", "it has 1 EVOLVE-BLOCKs, the program 3"),
        (DIFF.replace("A = 3.0", "LIMIT = 1"), "is there 0 times"),
    ):
        with pytest.raises(ValueError, match=why):
            writing.candidate_of(answer, SEVERAL)
    assert "whole new program" in writing.question_of(Scored("1", SEVERAL, 1.0), [])[0]["content"]


@pytest.mark.parametrize("name", list(NO_ANSWERS))
def test_what_is_no_answer_says_why(name: str) -> None:
    answer, why = NO_ANSWERS[name]
    with pytest.raises(ValueError, match=why):
        writing.candidate_of(answer, PROGRAM)


def test_a_function_that_uses_the_rest_of_the_block_does_not_take_its_place() -> None:
    block = "# EVOLVE-BLOCK-START\nA = 1.0\nB = 2.0\n\n\ndef score():\n    return A\n# EVOLVE-BLOCK-END\n"
    made = writing.candidate_of("```python\nB = 3.0\n\ndef score():\n    return A * B\n```", block)
    assert made == block.replace("B = 2.0", "B = 3.0").replace("return A", "return A * B")


def test_a_writer_takes_answers_tells_failures_and_falls_silent() -> None:
    asked: list[list[dict[str, str]]] = []
    notes: list[str] = []
    answers = iter(["prose", DIFF])

    def ask(messages: list[dict[str, str]]) -> writing.Written:
        asked.append(messages)
        try:
            return writing.Written(next(answers), 100)
        except StopIteration:
            raise PeerError("it is down") from None

    writer = writing.ModelWriter(ask, notes.append, "x:y")
    taken = []
    for _ in range(4):
        writer.look(Scored("7", PROGRAM, 1.0), ["number 3: ZeroDivisionError"])
        if writer._asked is not None:
            writer._asked[-1].exception(timeout=5)
        taken.append(writer.take())
    writer.close()
    assert [each and each.parents for each in taken] == [None, ("7",), None, None]
    assert taken[1] is not None and taken[1].source == PROGRAM.replace("A = 3.0", "A = 1.5")
    assert taken[1].detail.startswith("written by a model: 100 tokens, prompt ") and writer.tokens == 200
    assert "ZeroDivisionError" in asked[0][1]["content"] and "no code" in asked[1][1]["content"]
    assert len(asked) == 3 and "writes nothing more: it is down" in notes[-1]
