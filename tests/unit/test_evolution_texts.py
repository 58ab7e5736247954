"""Diffs, versions, changelogs, prompts, replays and workloads."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from o_tui import paths
from o_tui.evolution import changelog, diffs, prompting, versions, workloads
from o_tui.evolution.replay import Replay, digest_arguments
from o_tui.evolution.samples import RecordedReply, RecordedRequest
from o_tui.evolution.workloads import Workload
from o_tui.protocol.errors import CorruptError

DIFF = """diff --git a/recall.py b/recall.py
index 1..2 100644
--- a/recall.py
+++ b/recall.py
@@ -1,4 +1,5 @@ def recall(
 one
-two
+++ not a heading
+three
 four
 five
@@ -10 +11,0 @@
--- nor this
\\ No newline at end of file
diff --git a/tools/new.py b/tools/new.py
new file mode 100644
--- /dev/null
+++ b/tools/new.py
@@ -0,0 +1 @@
+x = 1
"""


# --- diffs


def test_a_diff_becomes_hunks_with_line_numbers() -> None:
    recall, tool = diffs.parse(DIFF)
    assert (recall.old_path, recall.new_path, recall.added, recall.removed) == ("recall.py", "recall.py", 2, 2)
    first, second = recall.hunks
    assert first.heading == "def recall("
    assert [(line.kind, line.text, line.old, line.new) for line in first.lines] == [
        ("context", "one", 1, 1),
        ("remove", "two", 2, 0),
        ("add", "++ not a heading", 0, 2),
        ("add", "three", 0, 3),
        ("context", "four", 3, 4),
        ("context", "five", 4, 5),
    ]
    assert [line.text for line in second.lines] == ["-- nor this"]
    assert (tool.old_path, tool.new_path, tool.added) == ("", "tools/new.py", 1)


def test_a_torn_diff_is_an_error() -> None:
    with pytest.raises(ValueError, match="line 5 of the diff belongs to no hunk"):
        diffs.parse("--- a/x\n+++ b/x\n@@ -1,3 +1,3 @@\n one\n")


def test_the_digest_is_over_the_exact_bytes() -> None:
    assert diffs.digest("") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert diffs.digest("a\n") != diffs.digest("a") != diffs.digest("a ")


# --- versions and changelog


@pytest.mark.parametrize(
    ("version", "part", "expected"),
    [("0.1.0", "minor", "0.2.0"), ("0.2.9", "patch", "0.2.10"), ("1.9.4", "minor", "1.10.0")],
)
def test_versions_rise(version: str, part: str, expected: str) -> None:
    assert versions.bump(version, part) == expected  # type: ignore[arg-type]


@pytest.mark.parametrize("version", ["", "1", "1.2", "v1.2.3", "1.2.3-rc1", "x.y.z"])
def test_what_is_no_version_is_named(version: str) -> None:
    with pytest.raises(CorruptError, match="is not three numbers"):
        versions.bump(version, "minor")


def test_only_the_versions_number_changes() -> None:
    text = "# version = \"9\"\nname = 'x'\n\n[genome]\n  version = '0.1.0' # ours\nother = \"0.1.0\"\n"
    assert versions.read(text) == "0.1.0"
    assert versions.write(text, "0.2.0") == text.replace("'0.1.0'", "'0.2.0'")
    with pytest.raises(CorruptError, match="not TOML"):
        versions.read("version = ")


def test_a_changelog_grows_at_its_top() -> None:
    one = changelog.prepend("", changelog.entry("0.2.0", 0, "First\nline", ["a  b", "c"]))
    assert one == "# Changelog\n\n## 0.2.0 - 1970-01-01\n\nFirst line\n\n- a b\n- c\n"
    two = changelog.prepend(one, changelog.entry("0.3.0", 86_400 * 10**9, "Second", []))
    assert two == (
        "# Changelog\n\n## 0.3.0 - 1970-01-02\n\nSecond\n\n## 0.2.0 - 1970-01-01\n\nFirst line\n\n- a b\n- c\n"
    )
    assert changelog.prepend("## 0.1.0\n\nSeed\n", "## 0.2.0\n") == "## 0.2.0\n\n## 0.1.0\n\nSeed\n"


@given(st.text(), st.lists(st.text()))
def test_nobodys_words_fake_an_entry(title: str, lines: list[str]) -> None:
    entry = changelog.entry("0.2.0", 0, title, lines)
    assert [line for line in entry.split("\n") if line.startswith("## ")] in (
        ["## 0.2.0 - 1970-01-01"],
        ["## 0.2.0 - 1970-01-01", " ".join(title.split())],
    )


# --- asking a model

SOURCE = '''"""Recall."""

import math

LIMIT = 3


@memo
def weight(hit):
    return math.sqrt(hit.score)


def recall(query, search, k, now_ns):
    return sorted(search.lexical(query, k), key=weight)


def last():
    return 1
'''
MODULE = "import math\n\ndef recall(query, search, k, now_ns):\n    return []\n"


def test_the_question_holds_goal_source_contract_and_failures() -> None:
    system, user = prompting.ask("recall", SOURCE, "Prefer recent memories", ["recall.py:3: a gene may not import os"])
    assert system["role"] == "system" and user["role"] == "user"
    for part in (
        "Prefer recent memories",
        SOURCE.rstrip(),
        "define recall(query, search, k, now_ns)",
        "recall.py:3: a gene may not import os",
        "o_tui.agent.dsl",
    ):
        assert part in user["content"]
    assert "Earlier tries" not in prompting.ask("recall", SOURCE, "x")[1]["content"]
    assert "a generator that yields steps" in prompting.rules("respond")
    assert "decorated with @tool" in prompting.ask("tools/dice", "", "Dice")[1]["content"]


@pytest.mark.parametrize(
    "answer",
    [
        f"```python\n{MODULE}```",
        f"Sure! Here it is:\n\n```py\n{MODULE}\n```\nThis sorts nothing.",
        f"<think>def recall(): maybe\n```python\nnope\n```</think>\n```\n{MODULE}```",
        f"Usage:\n```python\nrecall('x', None, 1, 2)  # {'long ' * 60}\n```\nand\n```python\n{MODULE}```",
        f"~~~python\n{MODULE}~~~",
        f"```python title=recall.py\n{MODULE}",
        MODULE,
        f"Here is the module.\n\n{MODULE}",
        f"```python\n{MODULE}```".replace("\n", "\r\n"),
    ],
    ids=["block", "talk", "thinking", "two blocks", "tildes", "cut off", "bare", "bare after talk", "crlf"],
)
def test_the_module_is_found_in_the_answer(answer: str) -> None:
    assert prompting.extract(answer, "recall", SOURCE) == MODULE


@pytest.mark.parametrize(
    "answer", ["", "I cannot do that.", "```python\n\n```", "<think>def x(): pass", "Use import math."]
)
def test_prose_is_no_code(answer: str) -> None:
    assert prompting.extract(answer, "recall", SOURCE) == ""


def test_a_lone_function_takes_its_place_in_the_module() -> None:
    answer = "```python\ndef weight(hit):\n    return 2\n\n\ndef fresh(hit):\n    return 3\n```"
    found = prompting.extract(answer, "recall", SOURCE)
    assert "import math" in found and "LIMIT = 3" in found and "sqrt" not in found and "@memo" not in found
    assert found.index("def weight(hit):\n    return 2\n") < found.index("def recall(") < found.index("def last(")
    assert found.endswith("def last():\n    return 1\n\n\ndef fresh(hit):\n    return 3\n")
    compile(found, "recall.py", "exec")


def test_a_part_with_imports_of_its_own_is_put_into_the_module_too() -> None:
    """It uses what only the module defines: small models write the imports anew, and not what stands between."""
    answer = "```python\nimport o_tui\n\nLIMIT = 5\n\ndef weight(hit):\n    return math.sqrt(LIMIT) + last()\n```"
    found = prompting.extract(answer, "recall", SOURCE)
    assert "import math" in found and "LIMIT = 5" in found and "LIMIT = 3" not in found
    assert "return math.sqrt(LIMIT) + last()" in found and "def recall(" in found and "import o_tui" not in found
    compile(found, "recall.py", "exec")


@given(st.text(alphabet=st.sampled_from("`~ \n\rdefpython:import<>think()x=")))
def test_no_answer_makes_extraction_raise(answer: str) -> None:
    prompting.extract(answer, "recall", SOURCE)


# --- replay


def reply(kind: str, arguments: dict[str, object], text: str) -> RecordedReply:
    return RecordedReply(kind, digest_arguments(arguments), {"text": text})


def test_effects_are_answered_from_the_record() -> None:
    replay = Replay([reply("llm.chat", {"a": 1, "b": 2}, "one"), reply("llm.chat", {"a": 2}, "two")])
    match, found = replay.answer("llm.chat", {"a": 2})
    assert match == "exact" and found is not None and found.data == {"text": "two"}
    match, found = replay.answer("llm.chat", {"b": 2, "a": 1})
    assert match == "exact" and found is not None and found.data == {"text": "one"}
    assert replay.effects == 2 and replay.diverged == []


def test_other_arguments_get_the_next_reply_and_count_as_diverged() -> None:
    replay = Replay([reply("tool.clock", {}, "now"), reply("llm.chat", {"a": 1}, "one")])
    match, found = replay.answer("llm.chat", {"a": 9})
    assert match == "position" and found is not None and found.data == {"text": "one"}
    assert replay.answer("llm.chat", {"a": 1}) == ("none", None), "each reply is given once"
    assert [what.split()[0] for what in replay.diverged] == ["llm.chat", "llm.chat"]
    assert replay.effects == 0


def test_what_main_never_asked_for_is_refused() -> None:
    replay = Replay([])
    assert replay.answer("tool.shell", {"command": "rm"}) == ("none", None)
    assert replay.diverged == ['tool.shell would have been done: {"command": "rm"}']
    assert replay.would_have == 1


# --- workloads


def test_recorded_requests_come_first_and_the_workload_fills_up() -> None:
    recorded = [RecordedRequest(f"r{n}", "x") for n in range(3)]
    setup = (RecordedRequest("s", "x", source="workload"),)
    workload = Workload(setup, tuple(RecordedRequest(f"w{n}", "x", source="workload") for n in range(4)))
    chosen = workloads.choose(recorded, workload, 5, seed=1)
    assert sorted(request.id for request in chosen.requests) == ["r0", "r1", "r2", "w0", "w1"]
    assert chosen.setup == setup
    assert workloads.choose(recorded, workload, 5, seed=1) == chosen
    few = workloads.choose(recorded, workload, 2, seed=1)
    assert sorted(request.id for request in few.requests) == ["r0", "r1"] and few.setup == ()
    assert len(workloads.choose([], workload, 9, seed=1).requests) == 4, "they are given again by who measures"
    attack = RecordedRequest("a", "x", source="attack")
    assert workloads.choose(recorded, workload, 5, seed=1, attacks=[attack]).requests[0] == attack
    assert workloads.choose([], Workload(setup), 9, seed=1) == Workload()


def test_a_workload_is_read_from_the_first_folder_that_has_it(tmp_path: Path) -> None:
    mine, shipped = tmp_path / "mine", tmp_path / "shipped"
    (mine / "tools").mkdir(parents=True)
    shipped.mkdir()
    (shipped / "recall.jsonl").write_text('# what for\n{"text": "a"}\n\n{"text": "b", "kind": "x", "session": "s"}\n')
    (shipped / "respond.jsonl").write_text('{"text": "r"}\n{"setup": true, "text": "first", "kind": "memory.add"}\n')
    first, second = workloads.load([mine, shipped], "recall").requests
    assert (first.text, first.kind, first.session, first.source) == ("a", "chat", "main", "workload")
    assert (second.text, second.kind, second.session) == ("b", "x", "s") and first.id != second.id
    (mine / "recall.jsonl").write_text('{"text": "own"}\n')
    assert [request.text for request in workloads.load([mine, shipped], "recall").requests] == ["own"]
    tool = workloads.load([mine, shipped], "tools/dates")
    assert [request.text for request in tool.requests] == ["r"] and [r.text for r in tool.setup] == ["first"]
    assert workloads.load([mine], "remember") == Workload()


@pytest.mark.parametrize("gene", ["respond", "recall", "remember", "tools/dates"])
def test_the_shipped_workloads_can_be_read(gene: str) -> None:
    assert len(workloads.load([paths.shipped("data") / "workloads"], gene).requests) >= 10


@pytest.mark.parametrize(
    ("line", "what"), [("{", "not JSON"), ("[]", "an object with a text"), ('{"text": 1}', "an object")]
)
def test_a_wrong_line_of_a_workload_is_named(tmp_path: Path, line: str, what: str) -> None:
    (tmp_path / "recall.jsonl").write_text(f'{{"text": "a"}}\n{line}\n')
    with pytest.raises(CorruptError, match=rf"recall\.jsonl:2: {what}"):
        workloads.load([tmp_path], "recall")
