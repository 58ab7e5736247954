"""What every built-in operator promises of what it makes, whatever it is given."""

from __future__ import annotations

import ast
import io
import math
import tokenize
from collections import Counter
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from o_tui.evolution.operators import OPERATORS, cma
from o_tui.evolution.operators.cma import Cma
from o_tui.evolution.operators.crossover import Crossover
from o_tui.evolution.operators.idioms import Idioms, rewrites
from o_tui.evolution.operators.literals import Literals, literals
from o_tui.evolution.operators.module import kept, marked, parse
from o_tui.evolution.operators.operator import Operator
from o_tui.evolution.operators.options import Options, slots
from o_tui.evolution.operators.statements import Statements
from o_tui.paths import shipped
from tests.support.operators import changes

PROGRAM = '''"""Outside: größe = 1."""
import math
LIMIT = 9  # not to be touched

# EVOLVE-BLOCK-START
WEIGHT = 0.5  # how much it counts
GRÖSSE = -3  # ein Wert
MODE = "near"  # one of: near, far, "in between"


def places(count=26, *, shift: float = 0.25):  # keep me
    """Where things are, 12 of them."""
    points = []
    for number in range(12):
        angle = 2 * math.pi * number / 12  # a turn
        points.append((0.5 + 0.3 * math.cos(angle), 0.5 + 0.3 * math.sin(angle)))
    return points


def judge(points):
\ttotal = 0
\tfor x, y in points:
\t\ttotal += x * WEIGHT + y  # tabs
\tif total > 3 and GRÖSSE < 0:
\t\ttotal = max([total, 1.5])
\treturn sorted(points, key=sum)[:4], f"{total + 1:.2f}", LIMIT in (1, 2, 9)


class Shape:
    side = 4.0

    async def grow(self, by: int = 2) -> float:
        self.side *= 1.5
        return self.side
# EVOLVE-BLOCK-END

print(judge(places()))  # outside, 7
'''
BETWEEN = "# EVOLVE-BLOCK-END\nLIMIT = 9\n# EVOLVE-BLOCK-START\n"
TWO = f"# EVOLVE-BLOCK-START\nFIRST = 1.5\n{BETWEEN}SECOND = 2.5\n# EVOLVE-BLOCK-END\n"
OTHER = PROGRAM.replace("0.3 * math.cos", "0.25 * math.sin").replace("total += x", "y = y * 2  # more\n\t\ttotal += x")
NUMBERS = PROGRAM.replace("0.5", "0.625").replace("1.5", "2.5")
GENE = (shipped("data") / "genome" / "recall.py").read_text("utf-8")
SOURCES = [
    PROGRAM,
    PROGRAM.replace("\n", "\r\n"),
    "\ufeff" + PROGRAM,
    PROGRAM.rstrip("\n"),
    PROGRAM.replace("\n\n\nclass Shape", "\n# EVOLVE-BLOCK-END\nLIMIT = LIMIT + 1\n# EVOLVE-BLOCK-START\nclass Shape"),
    OTHER,
    NUMBERS,
    GENE,
    (shipped("data") / "programs" / "circle_packing" / "initial.py").read_text("utf-8"),
]
KEEPS_COMMENTS = ("literals", "options", "idioms", "cma")


def comments(text: str) -> list[str]:
    tokens = tokenize.generate_tokens(io.StringIO(text.removeprefix("\ufeff"), newline="").readline)
    return sorted(token.string for token in tokens if token.type == tokenize.COMMENT)


@pytest.mark.parametrize("operator", OPERATORS, ids=lambda each: each.name)
@settings(max_examples=12)
@given(source=st.sampled_from(SOURCES), seed=st.integers(0, 10_000))
def test_what_is_made_compiles_and_keeps_all_that_must_stay(operator: Operator, source: str, seed: int) -> None:
    twin = {PROGRAM: OTHER, OTHER: PROGRAM, NUMBERS: PROGRAM}.get(source, source)
    for before, after in changes(operator, source, seed, 6, [twin, NUMBERS]):
        child = parse(after)
        assert child.outside == before.outside
        signatures = {name: ast.dump(node.args) for name, node in child.functions()}
        assert {name: ast.dump(node.args) for name, node in before.functions()}.items() <= signatures.items()
        assert after.startswith("\ufeff") == source.startswith("\ufeff")
        if "\r\n" in source:
            assert "\n" not in after.replace("\r\n", ""), "the lines end as they did"
        if operator.name in KEEPS_COMMENTS:
            assert not Counter(comments(before.text)) - Counter(comments(after))


def test_every_operator_makes_something_of_the_program() -> None:
    for operator in OPERATORS:
        made = changes(operator, PROGRAM, 1, 8, [OTHER, NUMBERS])
        assert made, operator.name


def test_what_is_outside_of_the_block_is_never_a_number_to_step() -> None:
    found = {each.name for each in literals(parse(PROGRAM))}
    assert {"WEIGHT", "GRÖSSE", "side"} <= found
    assert not {"LIMIT", "count", "shift", "by"} & found


def test_a_number_with_named_options_is_a_choice_and_not_stepped() -> None:
    source = "X = 3  # one of: 1, 3, 9\nY = 2.0\n"
    assert [each.name for each in literals(parse(source))] == ["Y"]


def test_what_breaks_a_promise_is_not_kept() -> None:
    module = parse(PROGRAM)
    for old, new in (
        ("LIMIT = 9", "LIMIT = 8"),
        ("shift: float = 0.25", "shift: float = 0.5"),
        ("def judge(points)", "def judged(points)"),
        ("async def grow", "def grow"),
        ("return points", "yield points"),
        ("outside, 7", "outside, 8"),
        ("total = 0", "total = ("),
    ):
        assert old in PROGRAM
        assert kept(module, PROGRAM.replace(old, new)) is None, new
    assert kept(module, PROGRAM.replace("WEIGHT = 0.5", "WEIGHT = 0.75")) is not None


def test_markers_without_a_partner_are_refused() -> None:
    start, end = "# EVOLVE-BLOCK-START", "# EVOLVE-BLOCK-END"
    for lines in ([start, "x = 1"], [end, start], [start, start, end, end], [start, end, end], [start, end, start]):
        with pytest.raises(ValueError, match="must have one EVOLVE-BLOCK-END"):
            marked(lines)
    assert marked(["x = 1", "y = 2"]) == ((1, 2),)
    assert marked([start, "x = 1", end, "y = 2", start, end]) == ((2, 2), (6, 5))


def test_what_stands_between_two_blocks_is_not_changed_and_both_are() -> None:
    module = parse(TWO)
    assert module.outside == (
        ("# EVOLVE-BLOCK-START\n",),
        tuple(BETWEEN.splitlines(keepends=True)),
        (TWO.splitlines(keepends=True)[-1],),
    )
    assert {each.name for each in literals(module)} == {"FIRST", "SECOND"}
    assert kept(module, TWO.replace("LIMIT = 9", "LIMIT = 8")) is None
    assert kept(module, TWO.replace("FIRST = 1.5\n", "")) is not None
    assert (
        kept(module, TWO.replace(BETWEEN, "")) is None
        and kept(module, TWO.replace("# EVOLVE-BLOCK-END", "", 1)) is None
    )


# --- numbers


@given(seed=st.integers(0, 10_000))
@settings(max_examples=30)
def test_whole_numbers_stay_whole_and_booleans_booleans(seed: int) -> None:
    source = "COUNT = 7\nFLAG = True\nPART = 0.5\nLOW = -2\n"
    for before, after in changes(Literals(), source, seed, 12):
        for old, new in zip(literals(before), literals(parse(after)), strict=True):
            assert type(old.value) is type(new.value)
            assert math.isfinite(new.value)


def test_a_step_that_helps_is_followed_and_one_that_does_not_shrinks() -> None:
    module, memory, literals_ = parse("X = 1.0\n"), {}, Literals()
    change = literals_.operate(module, [], Random(3), memory)
    assert change is not None
    ((record,),) = memory["shapes"].values()
    first = record[0]
    literals_.learn(memory, {**change.note, "by": 0.5}, "better", 1.0)
    assert record[0] > first
    wide = record[0]
    literals_.learn(memory, {**change.note, "by": 0.5}, "worse", 0.0)
    assert record[0] < wide


def test_each_number_keeps_a_step_of_its_own() -> None:
    source = "FINE = 0.5\nCOARSE = 100.0\nDEAD = 3.0\n"

    def worth(text: str) -> float:
        names: dict[str, Any] = {}
        exec(text, names)
        return float(-abs(names["FINE"] - 0.503) * 50 - abs(names["COARSE"] - 400) / 100)

    best, module, memory, random, literals_ = worth(source), parse(source), {}, Random(5), Literals()
    for _ in range(300):
        change = literals_.operate(module, [], random, memory)
        assert change is not None
        score = worth(change.text)
        literals_.learn(memory, change.note, "better" if score > best else "same" if score == best else "worse", score)
        if score > best:
            best, module = score, parse(change.text)
    assert best > -0.05
    tries = [record[2] for record in next(iter(memory["shapes"].values()))]
    assert tries[2] < min(tries[:2]) / 2, "what changes nothing is left alone"


# --- options


def test_options_are_found_where_a_source_names_them() -> None:
    source = """
from enum import Enum
from typing import Literal

Kind = Literal["a", "b", "c"]
class Colour(Enum):
    RED = 1
    BLUE = 2
MODE = "fast"  # one of: fast, slow | careful
ORDER: Kind = "a"
TONE = Colour.RED
# options: 1, 2.5, "three"
SIZE = 1
STYLE = "plain"
TABLE = {"x": 1, "y": 2}
WHERE = "x"
def draw():
    if STYLE == "fancy" or STYLE in ("bold", "thin"):
        return TABLE[WHERE]
    return dict(
        depth=3,  # choices: (1, 2), (3, 4), 3
    )
"""
    found = {slot.name: slot.options for slot in slots(parse(source))}
    assert found == {
        "MODE": ("'slow | careful'",),
        "ORDER": ("'b'", "'c'"),
        "TONE": ("Colour.BLUE",),
        "SIZE": ("2.5", '"three"'),
        "STYLE": ("'fancy'", "'bold'", "'thin'"),
        "WHERE": ("'y'",),
        "depth": ("(1, 2)", "(3, 4)"),
    }


def test_a_comment_that_is_no_list_is_no_option() -> None:
    assert slots(parse("X = 1  # one of the best\nY = 2  # one of: ), (\n# options: 1, 2\n")) == []


# --- the others


def test_sources_that_differ_in_numbers_only_mix_their_numbers() -> None:
    source = "A = 1.0\nB = 2.0\nC = 3.0\nD = 4.0\n"
    other = "A = 1.5\nB = 2.5\nC = 3.5\nD = 4.5\n"
    change = Crossover().operate(parse(source), [parse(other)], Random(2), {})
    assert change is not None and change.other == 0
    values = [each.value for each in literals(parse(change.text))]
    assert all(value in pair for value, pair in zip(values, [(1, 1.5), (2, 2.5), (3, 3.5), (4, 4.5)], strict=True))
    assert change.text not in (source, other)


def test_a_function_of_the_other_comes_with_its_comments_and_our_indentation() -> None:
    ours = "def f(x):\r\n  # ours\r\n  return x\r\n"
    theirs = "def f(x):\n    # theirs\n    if x > 2:\n        return 3  # more\n    return x + 1\n"
    texts = {
        change.text
        for seed in range(20)
        if (change := Crossover().operate(parse(ours), [parse(theirs)], Random(seed), {})) is not None
    }
    assert "def f(x):\r\n  # theirs\r\n  if x > 2:\r\n    return 3  # more\r\n  return x + 1\r\n" in texts


IDIOMS = """
def found(xs, k):
    out = []
    for x in xs:
        if x > 2:
            out.append(x * 2)
    count = 0
    for x in xs:
        count += abs(k) + x
    if k in (1, 2, 3):
        count = max([x for x in out])
    return sorted(out, key=abs, reverse=True)[:k], count, helped(k)


def helped(k):
    return k * 2
"""


def test_rewrites_that_must_not_change_results_do_not() -> None:
    names: dict[str, Any] = {}
    exec(IDIOMS, names)
    module, done = parse(IDIOMS), set()
    for detail, edits in rewrites(module):
        text = module.edited(edits)
        again: dict[str, Any] = {}
        exec(text, again)
        for xs in ([3, -4, 5, 9], [8, 8, 3], [7]):
            for k in (1, 2, 7):
                assert again["found"](xs, k) == names["found"](xs, k), detail
        done.add(detail.split(": ")[1])
    assert {
        "results remembered",
        "the loop as one expression",
        "looked up in a set",
        "without a list in between",
        "nlargest instead of a sort",
        "abs(k) worked out once",
    } <= done


def test_no_comment_is_lost_to_a_rewrite() -> None:
    source = "def f(xs):\n    out = []\n    for x in xs:  # each\n        out.append(x)\n    return out\n"
    assert all("each" in parse(source).edited(edits) for _detail, edits in rewrites(parse(source)))


def test_a_constructor_is_climbed_from() -> None:
    source = PROGRAM.replace("def places(count=26, *, shift: float = 0.25)", "def places()")
    texts = [text for _before, text in changes(Idioms(), source, 4, 12)]
    assert any("_climbed(points, judge, 0.1)" in text for text in texts)


def test_statements_are_moved_but_names_and_results_stay() -> None:
    for seed in range(10):
        for _before, after in changes(Statements(), PROGRAM, seed, 4):
            assert {name for name, _node in parse(after).functions()} == {"places", "judge", "Shape.grow"}


def test_cma_polishes_and_goes_on_where_it_was_put_down() -> None:
    pytest.importorskip("cma")
    source = "X = 0.5\nY = -1.0\nZ = 3.0\n"

    def worth(text: str) -> float:
        names: dict[str, Any] = {}
        exec(text, names)
        return float(-((names["X"] - 0.48) ** 2) - (names["Y"] + 1.03) ** 2 - (names["Z"] - 2.9) ** 2)

    def run(fresh_every: int) -> list[float]:
        memory: dict[str, Any] = {}
        operator, scores = Cma(), []
        for number in range(210):
            if fresh_every and number % fresh_every == 0:
                operator = Cma()
            change = operator.operate(parse(source), [], Random(1), memory)
            assert change is not None
            scores.append(worth(change.text))
            operator.learn(memory, change.note, "worse", scores[-1])
        return scores

    scores = run(0)
    assert max(scores) > worth(source) / 100
    assert run(11) == scores


def test_options_are_tried_one_at_a_time_and_the_least_tried_first() -> None:
    source = 'A = "x"  # one of: x, y, z\nB = 1  # one of: 1, 2\n'
    memory: dict[str, Any] = {}
    module, random, options = parse(source), Random(1), Options()
    made = {change.text for _ in range(3) if (change := options.operate(module, [], random, memory)) is not None}
    assert len(made) == 3
    assert not options.eager(module, memory)


def test_without_the_package_cma_is_left_out_and_a_long_search_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cma, "available", lambda: False)
    assert Cma().operate(parse("X = 0.5\nY = 1.5\n"), [], Random(1), {}) is None
    assert "pip install 'o-tui[search]'" in cma.missing(3000)
    assert cma.missing(200) == ""
