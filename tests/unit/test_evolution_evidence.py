"""Evidence and decisions on synthetic pairs: equal, slower, faster, error-prone."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from o_tui.evolution import evidence
from o_tui.evolution.arbiter import SEED, Arbiter, Policy, decide
from o_tui.evolution.metrics import Stalls
from o_tui.evolution.samples import Pair, RecordedRequest, Side, Trial

MIB = 1024**2


def pair(
    main_ms: float,
    candidate_ms: float,
    text: str = "same",
    ending: str = "answered",
    quality: tuple[float, float] | None = None,
    key: str = "r",
) -> Pair:
    worth = quality or (None, None)
    main = Side("answered", text="same", wall_ns=int(main_ms * 1e6), cpu_ns=int(main_ms * 8e5), quality=worth[0])
    candidate = Side(
        ending,  # type: ignore[arg-type]
        text=text,
        error="" if ending == "answered" else "boom",
        wall_ns=int(candidate_ms * 1e6),
        cpu_ns=int(candidate_ms * 8e5),
        quality=worth[1],
    )
    return Pair(RecordedRequest(key, "hello"), main, candidate)


def world(seed: int, factor: float, count: int = 60) -> list[Pair]:
    """Pairs with heavy-tailed noise, as replayed requests have: a request's own size, and stalls on either side."""
    dice = random.Random(seed)

    def noise() -> float:
        return dice.lognormvariate(0, 0.05) * (3 if dice.random() < 0.02 else 1)

    found = []
    for _ in range(count):
        size_ms = dice.lognormvariate(1, 0.8)
        found.append(pair(size_ms * noise(), size_ms * factor * noise()))
    return found


def verdicts(factor: float, runs: int = 40) -> dict[str, int]:
    found: dict[str, int] = {"promote": 0, "reject": 0, "no_evidence": 0}
    for seed in range(runs):
        found[decide(Trial(world(seed, factor, 800))).verdict] += 1
    return found


def test_equal_code_is_neither_promoted_nor_rejected() -> None:
    assert verdicts(1.0) == {"promote": 0, "reject": 0, "no_evidence": 40}


def test_slower_code_is_rejected() -> None:
    assert verdicts(1.2) == {"promote": 0, "reject": 40, "no_evidence": 0}


def test_faster_code_is_promoted() -> None:
    found = verdicts(0.9)
    assert found["reject"] == 0 and found["promote"] >= 39


def test_a_gain_below_the_least_is_hardly_ever_promoted() -> None:
    assert verdicts(0.97)["promote"] == 0


def test_the_numbers_are_in_the_reasons() -> None:
    pairs = [pair(2.0, 1.0)] * 120
    found, decision = evidence.measure(Trial(pairs)), decide(Trial(pairs))
    assert decision.verdict == "promote"
    assert decision.reasons[0] == (
        "latency -50.0 % pair by pair (95 %: -50.0 to -50.0), medians 2.00 -> 1.00 ms over 100 pairs"
    )
    assert decision.reasons[-1] == "all 100 answers are the same, no new errors"
    assert (found.latency.main_p50_ms, found.latency.candidate_p50_ms, found.latency.ratio_median) == (2.0, 1.0, 0.5)
    assert found.trend == [0.5] * 120 and found.paired == [round(math.log(0.5), 4)] * 120


def test_it_may_be_asked_after_each_pair_and_ends_with_the_budget() -> None:
    arbiter = Arbiter(Policy(budget=30))
    seen = []
    for _ in range(30):
        arbiter.add(pair(2.0, 2.0))
        seen.append(arbiter.decision().verdict)
    assert seen == ["continue"] * 29 + ["no_evidence"]


@pytest.mark.parametrize("ending", ["crash", "hang"])
def test_one_crash_or_hang_rejects_whatever_the_gain(ending: str) -> None:
    decision = decide(Trial([*[pair(2.0, 1.0)] * 50, pair(2.0, 1.0, ending=ending)]))
    assert decision.verdict == "reject"
    assert f"({ending}: boom)" in decision.reasons[0]


def test_more_errors_than_main_reject_and_one_is_for_the_operator() -> None:
    decision = decide(Trial([pair(2.0, 1.0, ending="error")] * 10))
    assert decision.verdict == "reject"
    assert decision.reasons[0] == "7 of 7 requests failed, 0 of main's (error: boom)"
    decision = decide(Trial([pair(2.0, 1.0, ending="error"), *[pair(2.0, 1.0)] * 80]))
    assert decision.verdict == "no_evidence"
    assert decision.reasons[0] == "1 of 81 requests failed, 0 of main's (error: boom)"


def test_a_repair_is_shown_on_several_requests_not_on_one_again_and_again() -> None:
    failed = Side("error", error="boom")
    repaired = [Pair(RecordedRequest(f"r{n}", "x"), failed, Side("answered", text="same")) for n in range(100)]
    decision = decide(Trial(repaired), goal="errors")
    assert decision.verdict == "promote"
    assert decision.reasons[0].startswith("100 of 100 requests failed in main's code, 0 in the candidate's")
    assert decide(Trial(repaired[:1] * 200), goal="errors").verdict == "no_evidence"


def test_quality_is_bet_on_once_a_request() -> None:
    better = [pair(2, 2, "other", quality=(0.2, 0.9), key=f"q{n}") for n in range(100)]
    decision = decide(Trial(better), goal="quality")
    assert decision.verdict == "promote" and decision.reasons[0].startswith("quality 0.200 -> 0.900 (+0.700) over")
    assert "answers differ, judged by quality" in decision.reasons[-1]
    assert decide(Trial(better[:1] * 200), goal="quality").verdict == "no_evidence"
    worse = decide(Trial([pair(2, 1, quality=(0.9, 0.2), key=f"q{n}") for n in range(40)]))
    assert worse.verdict == "reject" and worse.reasons[0].startswith("worse: quality 0.900 -> 0.200")
    found = evidence.measure(Trial(better)).quality
    assert (found.main, found.candidate, found.difference, found.requests) == (0.2, 0.9, 0.7, 100)


def test_better_answers_may_cost_time_but_not_any() -> None:
    slower = [pair(2, 3, "other", quality=(0.2, 0.9), key=f"q{n}") for n in range(100)]
    assert decide(Trial(slower), goal="quality").verdict == "promote"
    assert decide(Trial(slower)).verdict == "promote"
    assert decide(Trial(slower), goal="latency").verdict == "reject"
    equal = [pair(2, 3, quality=(0.9, 0.9), key=f"q{n}") for n in range(100)]
    assert decide(Trial(equal)).verdict == "reject"
    assert decide(Trial(equal), goal="quality").verdict == "no_evidence"
    far = [pair(2, 5, "other", quality=(0.2, 0.9), key=f"q{n}") for n in range(100)]
    assert decide(Trial(far), goal="quality").verdict == "reject"


def test_the_profile_of_the_seeds_wants_more() -> None:
    faster = Trial([pair(2.0, 1.86)] * 200)
    assert decide(faster).verdict == "promote"
    assert decide(faster, SEED).verdict == "no_evidence"


def test_effects_that_main_did_not_have_are_told_and_too_many_reject() -> None:
    asks = Side("answered", text="same", wall_ns=10**6, would_have=1, diverged=("tool.shell would have been done: {}",))
    more = Pair(RecordedRequest("r", "x"), Side("answered", text="same", wall_ns=2 * 10**6), asks)
    decision = decide(Trial([more, *[pair(2.0, 1.0)] * 80]))
    assert decision.verdict == "no_evidence" and "would have done what main did not" in decision.reasons[0]
    assert decide(Trial([more] * 20)).verdict == "reject"
    assert evidence.measure(Trial([more])).effects.would_have == 1


def test_errors_of_both_are_not_the_candidates() -> None:
    failed = Side("crash", error="boom")
    both = Pair(RecordedRequest("r", "x"), failed, failed)
    found = evidence.measure(Trial([*[pair(2.0, 1.0)] * 50, both]))
    assert (found.errors.main, found.errors.candidate, found.errors.both) == (1, 1, 1)
    assert found.errors.candidate_crashes == 0
    assert decide(Trial([*[pair(2.0, 1.0)] * 100, both])).verdict == "promote"


def test_different_answers_are_left_to_the_operator_with_examples() -> None:
    pairs = [pair(2.0, 1.0, text="x" * 1000), *[pair(2.0, 1.0)] * 50]
    found = evidence.measure(Trial(pairs))
    decision = decide(Trial(pairs))
    assert decision.verdict == "no_evidence"
    assert decision.reasons[0].startswith("1 of 51 answers differ, and which are better is not measured")
    (example,) = found.answers.examples
    assert example.main == "same" and len(example.candidate) == 240


def test_answers_to_attacks_may_differ_where_quality_is_measured() -> None:
    """Both stand the attack, so neither answer is wrong by it; what is better is measured on the other requests."""
    plain = pair(2.0, 2.0, text="other")
    attack = replace(plain, request=replace(plain.request, source="attack", attack="property"))
    judged = [pair(2, 2, "other", quality=(0.2, 0.9), key=f"q{n}") for n in range(100)]
    assert decide(Trial([attack, *judged]), goal="quality").verdict == "promote"
    decision = decide(Trial([attack, *[pair(2.0, 1.0)] * 100]))
    assert decision.verdict == "no_evidence" and decision.reasons[0].startswith("1 of 101 answers differ")


def test_what_is_better_and_left_to_the_operator_says_both() -> None:
    judged = [pair(2, 2, "other", quality=(0.2, 0.9), key=f"q{n}") for n in range(100)]
    decision = decide(Trial([pair(2.0, 2.0, text="other"), *judged]), goal="quality")
    assert decision.verdict == "no_evidence" and decision.shown
    assert decision.reasons[0].startswith("1 of 101 answers differ, and which are better is not measured")
    assert decision.reasons[1].startswith("quality 0.200 -> 0.900 (+0.700) over 100 requests")
    neither = decide(Trial([pair(2.0, 2.0, text="other"), *[pair(2.0, 2.0)] * 100]))
    assert neither.verdict == "no_evidence" and not neither.shown


@pytest.mark.parametrize(
    ("ours", "theirs", "verdict"),
    [(20, 40, "reject"), (20, 29, "promote"), (2, 4, "promote"), (0, 400, "promote"), (20, 31, "reject")],
)
def test_memory_half_as_much_again_rejects(ours: int, theirs: int, verdict: str) -> None:
    trial = Trial([pair(2.0, 1.0)] * 100, main_peak_bytes=ours * MIB, candidate_peak_bytes=theirs * MIB)
    assert decide(trial).verdict == verdict


def test_blow_ups_reject_where_the_median_is_better() -> None:
    pairs = [pair(10, 30 if at % 4 == 0 else 9.3) for at in range(200)]
    decision = decide(Trial(pairs))
    assert decision.verdict == "reject"
    assert "requests took twice as long or longer; 0 did of main's" in decision.reasons[0]


def test_a_few_blow_ups_are_for_the_operator() -> None:
    decision = decide(Trial([pair(10, 30)] * 4 + [pair(10, 9)] * 100))
    assert decision.verdict == "no_evidence"
    assert decision.reasons[0] == "4 of 104 requests took twice as long or longer; 0 did of main's"


def test_stalls_of_the_machine_are_no_blow_ups() -> None:
    pairs = [pair(10, 30), *[pair(10, 9)] * 9, pair(30, 10), *[pair(10, 9)] * 9] * 6
    assert decide(Trial(pairs)).verdict == "promote"
    tiny = [pair(0.1, 0.3), *[pair(0.1, 0.09)] * 9] * 12
    assert decide(Trial(tiny)).verdict == "promote"


@given(st.lists(st.lists(st.integers(-1, 1), min_size=1, max_size=10), min_size=1, max_size=4))
@settings(max_examples=60)
def test_a_fork_that_stalls_on_either_side_alike_is_no_evidence(forks: list[list[int]]) -> None:
    """Whatever the pairs of a fork share: the mean over which side had them is never more than before it."""
    *before, last = forks

    def evidence_after(stalls: list[int]) -> float:
        found = Stalls(Policy().blow_up_share)
        for fork, pairs in enumerate([*before, stalls]):
            for stall in pairs:
                found.add(fork, 30_000_000 if stall < 0 else 10_000_000, 30_000_000 if stall > 0 else 10_000_000)
        return found.worse.value

    mean = (evidence_after(last) + evidence_after([-stall for stall in last])) / 2
    assert mean <= evidence_after([]) * (1 + 1e-9)


def test_processes_that_got_the_worse_core_reject_nobody() -> None:
    """Equal code on a busy machine: in every third fork all requests of one side, of either, take three times as long.

    A guard errs by 5 % at most; with a bet for each request of a fork most of these runs were rejected.
    """
    dice, rejected = random.Random(9), 0
    for _ in range(60):
        pairs = []
        for fork in range(40):
            slow = dice.choice(((10, 30), (30, 10), (10, 10), (10, 10), (10, 10), (10, 10)))
            pairs += [replace(pair(*slow), fork=fork) for _ in range(10)]
        rejected += decide(Trial(pairs)).verdict == "reject"
    assert rejected <= 3
    assert decide(Trial([replace(pair(10, 30), fork=0) for _ in range(10)])).verdict == "no_evidence"


def test_too_few_pairs_tell_nothing() -> None:
    decision = decide(Trial([pair(2.0, 1.0)] * 5))
    assert decision == decide(Trial([pair(2.0, 1.0)] * 5), Policy())
    assert decision.verdict == "no_evidence"
    assert decision.reasons == ("5 pairs are too few to tell; 6 are the least",)
    assert decide(Trial([])).verdict == "no_evidence"


def test_effects_and_sources_are_counted() -> None:
    side = Side("answered", effects=2, diverged=("llm.chat ab", "llm.chat cd"))
    main = Side("answered", diverged=("llm.chat ab",))
    found = evidence.measure(Trial([Pair(RecordedRequest("r", "x", source="workload"), main, side)]))
    assert (found.effects.recorded, found.effects.diverged, found.effects.main_diverged) == (2, 2, 1)
    assert found.effects.examples == ["llm.chat ab", "llm.chat cd"]
    assert (found.requests_from.recorded, found.requests_from.workload) == (0, 1)


def test_the_digest_is_of_the_content() -> None:
    row = evidence.measure(Trial(world(1, 0.9))).row()
    same = dict(reversed(row.items()))
    assert evidence.digest(row) == evidence.digest(same)
    assert evidence.digest({**row, "pairs": row["pairs"] + 1}) != evidence.digest(row)


def test_the_digest_survives_the_database() -> None:
    import msgspec

    row = evidence.measure(Trial(world(1, 0.9))).row()
    assert evidence.digest(msgspec.msgpack.decode(msgspec.msgpack.encode(row))) == evidence.digest(row)
    assert evidence.digest(msgspec.json.decode(msgspec.json.encode(row))) == evidence.digest(row)


@pytest.mark.parametrize(("count", "ranks"), [(6, (0, 5)), (9, (1, 7)), (20, (5, 14)), (100, (39, 60))])
def test_the_interval_is_the_one_of_the_tables(count: int, ranks: tuple[int, int]) -> None:
    """Ranks of the 95 % interval of a median, as statistics' textbooks print them."""
    assert evidence.median_interval(range(count)) == ranks
    assert evidence.median_interval(range(5)) is None


def test_the_interval_covers_as_often_as_it_says() -> None:
    draws: list[Callable[[random.Random], float]] = [
        lambda dice: dice.gauss(0, 1),
        lambda dice: dice.expovariate(1) - math.log(2),
        lambda dice: math.tan(math.pi * (dice.random() - 0.5)),
    ]
    for draw in draws:
        missed = 0
        for seed in range(2_000):
            dice = random.Random(seed)
            low, high = evidence.median_interval([draw(dice) for _ in range(40)]) or (0, 0)
            missed += not low <= 0 <= high
        assert missed <= 2_000 * 0.065


@given(st.lists(st.tuples(st.integers(1, 10**10), st.integers(1, 10**10)), max_size=200))
def test_swapping_the_sides_turns_the_ratio_round(times: list[tuple[int, int]]) -> None:
    pairs = [pair(ours / 1e6, theirs / 1e6) for ours, theirs in times]
    turned = [pair(theirs / 1e6, ours / 1e6) for ours, theirs in times]
    one, other = evidence.measure(Trial(pairs)), evidence.measure(Trial(turned))
    assert one.latency.main_p50_ms == other.latency.candidate_p50_ms
    if one.latency.pairs >= evidence.MIN_FORKS:
        assert one.latency.ci_low <= one.latency.ratio_median <= one.latency.ci_high
    ways = [decide(Trial(each)).verdict for each in (pairs, turned)]
    assert ways != ["promote", "promote"]
