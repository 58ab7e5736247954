"""What a model's answer makes of a gene, and the one line that says why it makes nothing."""

from __future__ import annotations

import resource
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from o_tui.evolution import answers

SOURCE = """import re

LIMIT = 3


def recall(query, search, k, now_ns):
    found = search.find(query, LIMIT)
    return found


def other(x):
    return x
"""


def block(search: str, replace: str) -> str:
    return f"<<<<<<< SEARCH\n{search}\n=======\n{replace}\n>>>>>>> REPLACE\n"


def test_blocks_change_what_they_name_and_nothing_else() -> None:
    answer = f"Here you are:\n{block('LIMIT = 3', 'LIMIT = 5')}\nand\n{block('    return x', '    return x + 1')}"
    expected = SOURCE.replace("LIMIT = 3", "LIMIT = 5").replace("    return x\n", "    return x + 1\n")
    assert answers.read(answer, "recall", SOURCE) == expected


@pytest.mark.parametrize("dress", ["```python\n{}```", "<think>LIMIT = 9?</think>\n{}", "{}"])
def test_how_blocks_are_dressed_does_not_matter(dress: str) -> None:
    answer = dress.format(block("LIMIT = 3   ", "LIMIT = 5")).replace("\n", "\r\n")
    assert answers.read(answer, "recall", SOURCE) == SOURCE.replace("LIMIT = 3", "LIMIT = 5")


def test_a_block_may_delete_and_a_new_gene_may_be_written() -> None:
    assert "other" not in answers.read(block("def other(x):\n    return x", ""), "recall", SOURCE)
    assert answers.read(block("", "x = 1"), "tools/new", "") == "x = 1\n"


def test_a_unified_diff_counts_by_its_lines_and_not_by_its_numbers() -> None:
    answer = (
        "```diff\n--- a/recall.py\n+++ b/recall.py\n@@ -77,9 +1,2 @@ x\n import re\n \n-LIMIT = 3\n+LIMIT = 5\n```\n"
    )
    assert answers.read(answer, "recall", SOURCE) == SOURCE.replace("LIMIT = 3", "LIMIT = 5")


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        ("", "the answer is empty"),
        ("<think>what?", "the answer is empty"),
        ("I would rank newer memories higher.", "there is no Python code in the answer, only words"),
        ("<<<<<<< SEARCH\nLIMIT = 3\n=======\nLIMIT = 5\n", "the one that begins in line 1 has no >>>>>>> REPLACE"),
        ("<<<<<<< SEARCH\nLIMIT = 3\n", "half a block: the one that begins in line 1 has no ======="),
        ("LIMIT = 5\n>>>>>>> REPLACE\n", "half a block: line 2 ends one that has not begun"),
        (block("LIMIT = 4", "LIMIT = 5"), "block 1 (line 1) does not apply: the module has no such lines"),
        (block("", "LIMIT = 5"), "block 1 (line 1) does not apply: there is nothing to search for"),
        (block("", "x") + block("LIMIT = 3", "y"), "block 1 (line 1) does not apply: there is nothing to search for"),
        (block("LIMIT = 3", "LIMIT = 3"), "nothing would change"),
        (SOURCE, "nothing would change"),
        ("@@ -1,1 +1,1 @@\n LIMIT = 3\n", "an empty diff: the hunk in line 1 changes nothing"),
        ("@@ -1,1 +1,1 @@\n-LIMIT = 9\n+LIMIT = 5\n", "does not apply: the module has no such lines"),
        ("x" * 1_000_001, "at most 1,000,000 are read"),
    ],
)  # fmt: skip
def test_what_is_no_candidate_is_one_clear_line(answer: str, why: str) -> None:
    with pytest.raises(answers.AnswerError) as raised:
        answers.read(answer, "recall", SOURCE)
    assert why in str(raised.value) and "\n" not in str(raised.value)


def test_lines_that_are_there_twice_are_not_guessed() -> None:
    with pytest.raises(answers.AnswerError, match="its lines are there 2 times"):
        answers.read(block("    return", "    yield"), "recall", "def a():\n    return\ndef b():\n    return\n")


@given(st.text(st.sampled_from("<>=@-+ \nxSEARCHREPLACE`"), max_size=300))
def test_whatever_a_model_says_it_is_a_module_or_one_line(answer: str) -> None:
    try:
        assert isinstance(answers.read(answer, "recall", SOURCE), str)
    except answers.AnswerError as error:
        assert "\n" not in str(error)


HOSTILE = {
    "imports that never close": "from a import (\n" * 60_000,
    "fences that never close": "```python\n" * 100_000,
    "one endless fence": "`" * 1_000_000,
    "blanks": "import os\n" + " " * 1_000_000,
    "one endless constant": "import os\nLIMIT:" + " " * 999_000 + "x",
    "many constants": "".join(f"LIMIT{n} = 1\n" for n in range(60_000)),
    "many functions": "".join(f"def f{n}():\n    pass\n" for n in range(30_000)),
    "one function many times": "def other():\n    pass\n" * 40_000,
    "decorators": "@a\n" * 300_000 + "def f(): pass\n",
    "thoughts that never end": "<think>" * 140_000,
}


@pytest.mark.parametrize("name", HOSTILE)
def test_an_answer_of_a_hostile_peer_is_read_in_time_in_proportion_to_its_length(name: str) -> None:
    code = """
import sys
from o_tui.evolution import answers
source, *given = sys.stdin.read().split(chr(0))
for answer in given:
    try:
        answers.read(answer, "recall", source)
    except answers.AnswerError:
        pass
"""
    begun = ["", "```python\n", "def g():\n    return LIMIT\n"]
    given = [SOURCE, *((start + HOSTILE[name])[: answers.LIMIT_CHARS] for start in begun)]
    done = subprocess.run(
        [sys.executable, "-c", code],
        input="\0".join(given),
        text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_CPU, (20, 20)),  # some took minutes; now a second
        check=False,
    )
    assert done.returncode == 0


def test_a_constant_is_put_in_as_it_is_written() -> None:
    answer = "```python\nLIMIT: \\1 = 5\n\n\ndef other(x):\n    return LIMIT\n```"
    assert "LIMIT: \\1 = 5\n" in answers.read(answer, "recall", SOURCE)
