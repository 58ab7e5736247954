"""Users' programs: markers, what evaluators return, plain data, calls, the search's order, a model's answers."""

from __future__ import annotations

import dataclasses
import math
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from o_tui.evolution.population import AGAIN
from o_tui.evolution.portfolio import Proposal, Scored
from o_tui.programs import convention, markers, plain, search, writing
from o_tui.programs.calls import Peer, ProgramEndedError
from o_tui.programs.convention import Settings
from o_tui.protocol.errors import PeerError, UsageError
from tests.support.user_programs import EVALUATOR, IMPORTING, PROGRAM, bench

# --- markers


@given(st.binary(max_size=60), st.binary(max_size=60), st.sampled_from([b"\n", b"\r\n", b"\r"]))
def test_what_stands_outside_the_markers_stays(before: bytes, block: bytes, end: bytes) -> None:
    start, stop = b"# EVOLVE-BLOCK-START" + end, b"\t# EVOLVE-BLOCK-END" + end
    before = b"#" + before.replace(b"\n", b"").replace(b"\r", b"") + end
    program = before + start + b"x = 1" + end + stop + before
    parts = markers.split(program)
    assert parts == ((before + start, stop + before), (b"x = 1" + end,))
    candidate = parts.joined([b"y = " + repr(block).encode() + end])
    try:
        before.decode()
    except UnicodeDecodeError:
        assert markers.objection(parts, candidate)
        return
    if not markers.compiles(candidate.decode()):
        assert not markers.objection(parts, candidate)
    assert "outside" in markers.objection(parts, b"#" + candidate)
    assert markers.objection(parts, candidate + b"#")
    assert markers.objection(parts, parts.joined([start]))


@given(st.lists(st.sampled_from([b"x = 1\n", b"\r\n", b"# EVOLVE-BLOCK\r"]), min_size=1, max_size=4), st.data())
def test_what_stands_before_between_and_behind_several_blocks_stays(texts: list[bytes], data: st.DataObject) -> None:
    start, stop = b"  # EVOLVE-BLOCK-START: one\n", b"#EVOLVE-BLOCK-END"
    program = b"\n".join(text + start + text + stop for text in texts) + b"\n"
    parts = markers.read(program.replace(b"  #", b"#"))
    assert len(parts.blocks) == len(texts) == len(parts.outside) - 1
    assert parts.joined(parts.blocks) == program.replace(b"  #", b"#") and list(parts.blocks) == texts
    at = data.draw(st.integers(0, len(texts) - 1))
    changed = [*parts.blocks[:at], b"y = 2\n", *parts.blocks[at + 1 :]]
    assert not markers.objection(parts, parts.joined(changed))
    beside = parts.outside[at + 1].replace(b"END\n", b"END\ny = 2\n")
    outside = (*parts.outside[: at + 1], beside, *parts.outside[at + 2 :])
    assert "outside" in markers.objection(parts, markers.Parts(outside, parts.blocks).joined(changed))
    assert "outside" in markers.objection(
        parts, parts.joined([*parts.blocks[:at], stop + b"\n" + start, *changed[at + 1 :]])
    )


def test_half_a_block_is_refused_with_its_lines() -> None:
    with pytest.raises(UsageError, match="its markers: lines 2"):
        markers.read(b"x = 1\n# EVOLVE-BLOCK-START\n")
    for wrong in (b"SSEE", b"SEE", b"ES", b"SES"):
        text = b"".join(
            {ord("S"): b"# EVOLVE-BLOCK-START\n", ord("E"): b"# EVOLVE-BLOCK-END\n"}[each] for each in wrong
        )
        with pytest.raises(UsageError, match="its markers: lines 1, 2"):
            markers.read(text)
    with pytest.raises(UsageError, match="null bytes"):
        markers.read(b"# EVOLVE-BLOCK-START\nx = '\0'\n# EVOLVE-BLOCK-END\n")
    with pytest.raises(UsageError, match="not UTF-8 text: byte 1"):
        markers.read(b"#\xff\n")


# --- what evaluators return

NUMBER = st.floats(allow_nan=False, allow_infinity=False)
WRONG = st.one_of(
    st.sampled_from([math.nan, math.inf, -math.inf, None, True, "0.9", b"1", [1.0], {"a": 1.0}, 10**400, object()])
)


@given(NUMBER)
def test_a_finite_number_is_a_score(number: float) -> None:
    result = convention.result_of({"combined_score": number})
    assert convention.score(result, Settings()) == (number, "")
    assert convention.score(result, Settings(smaller=True)) == (-number, "")


@given(WRONG)
def test_everything_else_is_none(value: object) -> None:
    score, problem = convention.score(convention.result_of({"combined_score": value, "n": 1}), Settings())
    assert score == -math.inf and problem


def test_an_object_with_metrics_and_artifacts() -> None:
    @dataclasses.dataclass
    class EvaluationResult:
        metrics: dict[str, Any]
        artifacts: dict[str, Any]

    result = convention.result_of(EvaluationResult({"speed": 2, "note": "é"}, {"log": b"x", "more": [1]}))
    assert result.metrics == {"speed": 2.0} and result.artifacts == {"note": "é", "log": "x", "more": "[1]"}
    assert convention.score(result, Settings(objective="speed")) == (2.0, "")
    assert "`objective: speed`" in convention.score(result, Settings())[1]
    result = convention.result_of({"speed": 2, "beauty": 3})
    assert "mix unlike things" in convention.score(result, Settings())[1]


def test_of_many_metrics_the_one_that_counts_is_kept() -> None:
    many = {f"k{number}": 1.0 for number in range(10_000)}
    assert convention.score(convention.result_of(many | {"combined_score": 2.0}), Settings()) == (2.0, "")
    loss = Settings(objective="loss")
    assert convention.score(convention.result_of(many | {"loss": 3.0}, loss.objective), loss) == (3.0, "")


def test_a_marker_may_stand_behind_a_byte_order_mark() -> None:
    program = b"\xef\xbb\xbf# EVOLVE-BLOCK-START\nA = 1\n# EVOLVE-BLOCK-END\n"
    parts = markers.read(program)
    assert parts.blocks == (b"A = 1\n",) and parts.joined(parts.blocks) == program


def test_a_stage_of_a_cascade_passes_by_the_objective_or_by_the_one_thing_that_it_says() -> None:
    loss = Settings(objective="loss", smaller=True, thresholds=(0.5,))
    cases: list[tuple[dict[str, Any], Settings, bool]] = [
        ({"combined_score": 0.5}, Settings(), True),
        ({"combined_score": 0.4}, Settings(), False),
        ({"loss": 0.4}, loss, True),
        ({"loss": 0.6}, loss, False),
        ({"runs": 1.0}, loss, True),
        ({"runs": 0.0}, Settings(), False),
        ({"runs": 1.0, "other": 1.0}, Settings(), False),
        ({}, Settings(), False),
    ]
    for metrics, wanted, expected in cases:
        assert convention.passes(convention.result_of(metrics), wanted, 1) is expected, metrics
    failed = convention.Result(metrics={"combined_score": 1.0}, error="x")
    assert not convention.passes(failed, Settings(), 1) and not convention.passes(failed, Settings(), 9)


def test_a_config_of_openevolve() -> None:
    text = (
        "max_iterations: 30\nrandom_seed: 4\nllm: {primary_model: x}\n"
        "evaluator: {timeout: 5, cascade_thresholds: [0.2], parallel_evaluations: 3}\n"
    )
    settings, unused = convention.settings_of(text)
    assert settings == Settings(budget=30, seed=4, timeout_s=5.0, thresholds=(0.2,))
    assert unused == ("llm", "evaluator.parallel_evaluations")
    for bad in ("a: [", "- 1\n", "evaluator: 3\n", "max_iterations: many\n", "evaluator: {timeout: -1}\n"):
        with pytest.raises(UsageError):
            convention.settings_of(bad)


def test_a_results_folder() -> None:
    assert convention.results_folder('{"combined_score": 1}', '{"correct": true}').metrics == {"combined_score": 1.0}
    for metrics, correct in ((None, None), ("{", "{}"), ("[]", "{}"), ('{"combined_score": 1}', '{"correct": false}')):
        assert convention.results_folder(metrics, correct).error


# --- the ways of evaluators, with real processes

WAYS = {
    "async": EVALUATOR.replace("def evaluate", "async def evaluate"),
    "an object": EVALUATOR.replace(
        '    return {"combined_score": load(program_path).score()}',
        "    import types\n    return types.SimpleNamespace(metrics={'combined_score': load(program_path).score()})",
    ),
    "by a script": IMPORTING
    + (
        "import subprocess\nimport sys\n\n\ndef evaluate(program_path):\n"
        "    done = subprocess.run([sys.executable, program_path, 'a'], input='b', capture_output=True, text=True)\n"
        "    assert done.returncode == 0, done.stderr\n    return {'combined_score': float(done.stdout)}\n"
    ),
    "by a program that imports it": (
        "import subprocess\nimport sys\n\n\ndef evaluate(program_path):\n"
        "    code = 'import sys; sys.path.insert(0, sys.argv[1]); import program; print(program.score())'\n"
        "    folder = program_path.rpartition('/')[0]\n"
        "    done = subprocess.run([sys.executable, '-c', code, folder], stdout=-1, stderr=-3, text=True)\n"
        "    return {'combined_score': float(done.stdout)}\n"
    ),
    "in a thread": IMPORTING
    + (
        "from concurrent.futures import ThreadPoolExecutor\n\n\ndef evaluate(program_path):\n"
        "    with ThreadPoolExecutor(2) as pool:\n"
        "        return {'combined_score': pool.submit(load(program_path).score).result(timeout=5)}\n"
    ),
    "reading the text": IMPORTING
    + (
        "\n\ndef evaluate(program_path):\n    assert 'EVOLVE' in open(program_path).read()\n"
        "    return {'combined_score': load(program_path).score()}\n"
    ),
    "of Shinka": IMPORTING
    + (
        "import argparse\nimport json\nfrom pathlib import Path\n\n\nif __name__ == '__main__':\n"
        "    parser = argparse.ArgumentParser()\n"
        "    parser.add_argument('--program_path')\n    parser.add_argument('--results_dir')\n"
        "    args = parser.parse_args()\n    results = Path(args.results_dir)\n"
        "    score = load(args.program_path).score()\n"
        "    (results / 'metrics.json').write_text(json.dumps({'combined_score': score}))\n"
        "    (results / 'correct.json').write_text(json.dumps({'correct': True}))\n"
    ),
}
SCRIPT = PROGRAM.replace("10.0 - (A", "10.5 - (A") + "\nif __name__ == '__main__':\n    print(score())\n"


@pytest.mark.parametrize("way", list(WAYS))
def test_the_ways_of_evaluators(folder: Path, way: str) -> None:
    folder.chmod(0o755)
    with bench(folder / "p", WAYS[way]) as lane:
        for _ in range(2):
            answer = lane.evaluate(SCRIPT)
            assert answer.result.metrics == {"combined_score": 10.5 - 1.75**2 - 2.75}, answer


def test_stages_end_where_a_threshold_is_not_reached(folder: Path) -> None:
    folder.chmod(0o755)
    evaluator = IMPORTING + "".join(
        f"\n\ndef evaluate_stage{n}(program_path):\n"
        f"    return {{'combined_score': load(program_path).score({n}), 'stage{n}': 1}}\n"
        for n in (1, 2, 3)
    )
    with bench(folder / "p", evaluator, Settings(thresholds=(0.5, 2.0))) as lane:
        found = [
            lane.evaluate(f"def score(n):\n    return {text}\n").result.metrics for text in ("0.4", "n", "n - 0.3")
        ]
    assert found[0] == {"combined_score": 0.4, "stage1": 1.0}
    assert found[1] == {"combined_score": 3.0, "stage1": 1.0, "stage2": 1.0, "stage3": 1.0}
    assert found[2] == {"combined_score": 1.7, "stage1": 1.0, "stage2": 1.0}


def test_a_seed_makes_chance_the_same(folder: Path) -> None:
    folder.chmod(0o755)
    source = "import random\n\n\ndef score():\n    return random.random()\n"
    with bench(folder / "p") as lane:
        first, again, other = (lane.evaluate(source, seed).result.metrics for seed in (1, 1, 2))
    assert first == again != other


# --- plain data and calls

LEAVES = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary()
DATA = st.recursive(
    LEAVES | st.complex_numbers(allow_nan=False),
    lambda inner: st.lists(inner, max_size=4)
    | st.tuples(inner, inner)
    | st.dictionaries(st.text() | st.integers() | st.tuples(st.integers()), inner, max_size=4)
    | st.frozensets(st.integers(), max_size=4)
    | st.sets(st.text(), max_size=4),
    max_leaves=20,
)  # fmt: skip


def no_objects(*_: Any) -> Any:
    raise AssertionError("there are no objects here")


@settings(max_examples=50)
@given(DATA)
def test_plain_data_comes_out_as_it_went_in(value: Any) -> None:
    found = plain.unpack(plain.pack(value, no_objects), no_objects)
    assert found == value and repr(type(found)) == repr(type(value))


def test_arrays_of_numbers_go_over_and_arrays_of_objects_do_not() -> None:
    numpy = pytest.importorskip("numpy")
    for array in (numpy.arange(6.0).reshape(2, 3)[:, ::2], numpy.array([]), numpy.array([True]), numpy.float32(1.5)):
        found = plain.unpack(plain.pack(array, no_objects), no_objects)
        assert found.dtype == array.dtype and found.shape == array.shape and (found == array).all()
    with pytest.raises(plain.PlainError):
        plain.pack(numpy.array([object()]), no_objects)


@given(st.binary(max_size=200))
def test_what_is_no_plain_data_is_one_kind_of_error(data: bytes) -> None:
    try:
        plain.unpack(data, lambda *_: None)
    except plain.PlainError:
        pass


def test_nesting_has_an_end() -> None:
    value: Any = 1
    for _ in range(100):
        value = (value,)
    with pytest.raises(plain.PlainError, match="nested"):
        plain.pack(value, no_objects)
    data = msgspec.msgpack.encode(1)
    for _ in range(100):
        data = msgspec.msgpack.encode(msgspec.msgpack.Ext(1, data))
    with pytest.raises(plain.PlainError):
        plain.unpack(data, no_objects)


@pytest.fixture
def peer() -> Iterator[Peer]:
    """The evaluator's end; the other end serves a module of a few names."""
    ours, theirs = socket.socketpair()
    other = Peer(theirs, opened=True)

    class Counting:
        def __init__(self, start: int = 0) -> None:
            self.value = start

        def add(self, number: int) -> int:
            self.value += number
            return self.value

    class Module:
        Counter = Counting
        SIZE = 3

        @staticmethod
        def apply(function: Any, value: int, twice: bool = False) -> Any:
            return function(function(value)) if twice else function(value)

        @staticmethod
        def steps() -> Iterator[int]:
            yield from range(3)

        @staticmethod
        def fails() -> None:
            raise KeyError("x")

    other.keep(Module)
    thread = threading.Thread(target=other.serve)
    thread.start()
    yield Peer(ours, opened=False)
    ours.close()
    thread.join()
    theirs.close()


def test_objects_stay_where_they_are(peer: Peer) -> None:
    counter = peer.ask("get", 0, "Counter")(5)
    assert counter.add(2) == 7 and counter.value == 7
    assert list(peer.ask("get", 0, "steps")()) == [0, 1, 2]
    assert peer.ask("get", 0, "SIZE") == 3
    apply = peer.ask("get", 0, "apply")
    assert apply.__name__ == "apply" and apply(lambda x: x * 3, 2, twice=True) == 18
    with pytest.raises(KeyError, match="x"):
        peer.ask("get", 0, "fails")()
    with pytest.raises(AttributeError):
        peer.ask("get", 0, "nothing")
    with pytest.raises(plain.PlainError, match="cannot be handed"):
        apply(object(), 2)


def test_an_end_is_an_error_of_its_own() -> None:
    ours, theirs = socket.socketpair()
    theirs.close()
    with pytest.raises(ProgramEndedError):
        Peer(ours, opened=False).ask("get", 0, "x")
    ours.close()


# --- the order of the search


class Noting:
    """A proposer whose proposals tell what it knew."""

    def __init__(self, state: dict[str, Any] | None) -> None:
        self.known: list[Any] = list(state["known"]) if state else []
        self.count: int = state["count"] if state else 0

    def propose(self, archive: Any) -> Proposal | None:
        self.count += 1
        if self.count % 7 == 0 and len(archive) % 2:
            return None
        return Proposal(f"{self.count} {self.known[-3:]} {len(archive)}", "x", ("1",), "")

    def learn(self, proposal: Proposal, score: float, cost_s: float) -> None:
        assert cost_s == 0.0
        self.known.append(score)

    def state(self) -> dict[str, Any]:
        return {"known": list(self.known), "count": self.count}


def score_of(source: str) -> float:
    return float(len(source) + sum(map(ord, source)) % 13)


def feed(made: search.Search, flying: list[search.Numbered]) -> None:
    while made.ready() and made.next <= 40:
        proposal = made.propose()
        if proposal is not None:
            flying.append(proposal)


@given(st.integers(0, 10_000), st.integers(0, 40))
def test_a_search_depends_on_seed_and_results_only(order: int, kept_at: int) -> None:
    """However late answers come, and wherever it was stopped, with a state that was kept at any time before."""

    def go(random: Random, stop: int) -> tuple[search.Search, list[Scored], dict[str, Any] | None]:
        made, flying, done, state = search.Search("p", Noting), [], [], None
        while len(done) < stop:
            feed(made, flying)
            if not flying:
                break
            each = flying.pop(random.randrange(len(flying)))
            score = score_of(each.proposal.source)
            parent = each.proposal.parents[0] if each.proposal.parents else ""
            done.append(Scored(str(each.number), each.proposal.source, score, parent, each.proposal.operator))
            made.result(each.number, score)
            if len(done) == kept_at:
                state = msgspec.json.decode(msgspec.json.encode(made.state()))
        return made, done, state

    whole, _, _ = go(Random(0), 40)
    whole.finish()
    random = Random(order)
    _, done, state = go(random, 1 + order % 40)
    again = search.Search("p", Noting)
    flying = again.restore(state, done)
    feed(again, flying)
    while flying:
        each = flying.pop(random.randrange(len(flying)))
        again.result(each.number, score_of(each.proposal.source))
        feed(again, flying)
    again.finish()
    assert again.archive == whole.archive and len(whole.archive) > 3


class Dry(Noting):
    """A proposer that has few ideas."""

    def propose(self, archive: Any) -> Proposal | None:
        return super().propose(archive) if self.count < 9 else None


@pytest.mark.parametrize("kept_at", [0, 5, 12, 25])
def test_what_is_left_of_a_budget_goes_to_the_best_in_turn(kept_at: int) -> None:
    made = search.Search("p", Dry)
    state, done = made.state(), []
    while made.next <= 30:
        found = made.propose() if made.ready() else None
        if found is None:
            continue
        score = float(found.number) if found.number < 8 else 7.5
        made.result(found.number, score)
        parent = found.proposal.parents[0] if found.proposal.parents else ""
        done.append(Scored(str(found.number), found.proposal.source, score, parent, found.proposal.operator))
        state = msgspec.json.decode(msgspec.json.encode(made.state())) if found.number == kept_at else state
    made.finish()
    again = [each.parent for each in made.archive if each.operator == AGAIN]
    assert len(made.archive) == 30 and len(again) > 15
    assert max(again.count(one) - again.count(two) for one in again for two in again) <= 1
    other = search.Search("p", Dry)
    assert other.restore(state if kept_at else None, done) == []
    other.finish()
    assert other.archive == made.archive


def test_a_best_member_that_was_only_lucky_comes_behind() -> None:
    made = search.Search("p", Dry)
    rows = [("1", 1.0, "", "initial"), ("2", 5.0, "1", "x"), ("3", 9.0, "1", "x")]
    rows += [("4", 2.0, "3", AGAIN), ("5", 3.0, "3", AGAIN), ("6", 5.5, "2", AGAIN)]
    made.archive = [Scored(number, number, score, parent, operator) for number, score, parent, operator in rows]
    assert [each.id for each in made.best(3)] == ["2", "3", "1"]


def test_what_another_version_has_kept_counts_but_its_state_is_not_read() -> None:
    kept = [
        Scored(str(number), f"other {number}", float(number), "1" if number > 1 else "", "x") for number in range(1, 9)
    ]
    made = search.Search("p", Noting)
    assert [each.number for each in made.restore({"format": "0"}, kept)] == []
    made.finish()
    assert [each.source for each in made.archive] == [each.source for each in kept]
    assert made.next == 9


# --- a model's answers

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
