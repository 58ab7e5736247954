"""The differential prober, in real confined forks: what it finds, what it must not find, and what cannot stop it."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from o_tui.guardian.evolving import validating
from o_tui.guardian.evolving.probe_orders import Order, Report
from o_tui.guardian.evolving.prober import Prober
from o_tui.guardian.evolving.validating import judge, seed
from tests.support import bugs
from tests.support.patience import PATIENCE_S

SMALL = '''
"""A few sums."""
from __future__ import annotations
import threading

def total(numbers: list[int], limit: int = 10) -> int:
    """The sum, cut at the limit."""
    return min(limit, sum(numbers))

class Counter:
    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._seen: dict[str, int] = {}

    def add(self, name: str) -> int:
        with self._lock:
            count = self._seen.get(name, 0)
            count += 1
            self._seen[name] = count
            return count

    def names(self) -> list[str]:
        return sorted(self._seen)
'''


def wrong(old: str, new: str, source: str = SMALL) -> str:
    """Why the changed module is refused; empty: it passes."""
    assert old in source
    return judge("", source.replace(old, new).encode(), source.encode()).reason


def test_a_difference_is_shown_by_the_smallest_call_that_shows_it() -> None:
    reason = wrong("min(limit, sum(numbers))", "max(limit, sum(numbers))")
    assert reason.startswith("total: gives ")
    assert len(reason) < 120


def test_a_lost_lock_is_found_without_threads() -> None:
    lost = wrong(
        "        with self._lock:\n            count = self._seen.get(name, 0)\n",
        "        count = self._seen.get(name, 0)\n        with self._lock:\n",
    )
    assert lost.startswith("Counter.add: two calls at once give")


@pytest.mark.parametrize(
    ("new", "words"),
    [
        ("    numbers.sort()\n    return min(limit, sum(numbers))", "leaves its arguments as"),
        (
            "    if len(numbers) == 3:\n        __import__('os')._exit(0)\n    return min(limit, sum(numbers))",
            "ended its pro",
        ),
        ("    while len(numbers) == 2:\n        pass\n    return min(limit, sum(numbers))", "does not end"),
        ("    if not numbers:\n        raise SystemExit\n    return min(limit, sum(numbers))", "raises SystemExit"),
        ("    return min(limit, sum(numbers[i] for i in range(len(numbers)) if [sum(numbers[:i])]))", "takes"),
    ],
    ids=["changes its argument", "ends the process", "hangs", "exits", "grows by the square"],
)
def test_what_a_candidate_does_costs_its_own_probe_only(new: str, words: str) -> None:
    assert words in wrong("    return min(limit, sum(numbers))", new)


def test_a_candidate_is_confined_when_it_runs(tmp_path: Path) -> None:
    witness = tmp_path / "witness"
    source = SMALL + f"\ntry:\n    open({str(witness)!r}, 'w')\nexcept OSError:\n    pass\n"
    assert judge("", source.encode(), source.encode()).ok
    assert not witness.exists()


def test_a_rewrite_that_does_the_same_passes() -> None:
    source = SMALL.replace("min(limit, sum(numbers))", "sum(numbers) if sum(numbers) < limit else limit")
    source = source.replace("return sorted(self._seen)", "return sorted(list(self._seen.keys()))")
    old = "            count += 1\n            self._seen[name] = count\n            return count"
    source = source.replace(old, "            self._seen |= {name: count + 1}\n            return self._seen[name]")
    assert judge("", source.encode(), SMALL.encode()).reason == ""


def test_what_the_reference_does_by_chance_or_by_the_clock_is_no_difference() -> None:
    source = "import random, time\n\ndef pick(items: list[int]) -> int:\n    return random.randint(0, 9) + len(items)\n"
    source += "\n\ndef stamp(name: str) -> str:\n    return f'{name}-{time.time()}'\n"
    assert wrong("random.randint(0, 9)", "random.choice(range(10))", source) == ""


SOME = ("limiter: the window", "words: quadratic", "bus: made twice", "streams: one batch")


@pytest.mark.parametrize("change", [c for c in bugs.ours("bug") if c.name.startswith(SOME)], ids=lambda c: c.name)
def test_bugs_of_each_kind_are_found(change: bugs.Change) -> None:
    assert not judge("", change.candidate.encode(), change.reference.encode()).ok


TASKS = '''
"""A purse that several tasks spend from, and words."""
from __future__ import annotations
import asyncio

class Purse:
    def __init__(self, money: int = 10) -> None:
        self._money = money
        self._lock = asyncio.Lock()

    async def spend(self, amount: int) -> bool:
        async with self._lock:
            if amount < 0 or amount > self._money:
                return False
            await asyncio.sleep(0)
            self._money -= amount
            return True

class Word:
    def __init__(self, text: str) -> None:
        self._text = text

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Word) and self._text.lower() == other._text.lower()

    def __hash__(self) -> int:
        return hash(self._text.lower())

    @property
    def text(self) -> str:
        return self._text

    @text.setter
    def text(self, value: str) -> None:
        self._text = value.strip()
'''


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("async with self._lock:", "async with asyncio.Lock():", "Purse.spend: two calls at once give"),
        ("value.strip()", "value", "Word.text: gives"),
        ("hash(self._text.lower())", "hash(self._text)", "another hash"),
    ],
    ids=["a lock of tasks is lost", "what sets a property", "equal, and another hash"],
)
def test_tasks_properties_and_hashes_are_probed(old: str, new: str, words: str) -> None:
    assert words in wrong(old, new, TASKS)


LATER = ("pool: async", "codec: size: the length")


@pytest.mark.parametrize("seed_", [1, 2])
@pytest.mark.parametrize(
    "change", [c for c in bugs.ours("bug", bugs.FRESH) if c.name.startswith(LATER)], ids=lambda c: c.name
)
def test_bugs_of_later_kinds_are_found_whatever_the_seed(change: bugs.Change, seed_: int) -> None:
    with Prober() as prober:
        report = prober.ask(Order(reference=change.reference, candidate=change.candidate, seed=seed_), 30.0)
    assert report is not None
    assert report.finding is not None


def test_a_wrong_recall_is_found_and_another_answer_is_none() -> None:
    main = seed()["recall.py"]

    def reason(old: str, new: str) -> str:
        assert main.count(old) == 1
        return judge("recall", main.replace(old, new).encode(), main.encode(), strict=False).reason

    assert "recall: " in reason("return hits[:k]", "return hits[: k + 1]")
    assert "best first" in reason("(-hit.score, hit.block.id)", "(hit.score, hit.block.id)")
    assert reason("OTHER_SPEAKER = 0.25", "OTHER_SPEAKER = 0.5") == ""


def test_a_kept_attack_is_tried_first() -> None:
    bad = SMALL.replace("min(limit, sum(numbers))", "max(limit, sum(numbers))").encode()
    found = judge("", bad, SMALL.encode())
    assert found.attack is not None and found.attack.function == "total"
    again = judge("", bad, SMALL.encode(), [found.attack.case()])
    assert again.stages[-1].name == "attacks" and again.stages[-1].verdict == "fail"
    assert again.attack is None  # it is kept already


def test_the_command_says_which_stage_failed(tmp_path: Path) -> None:
    good, bad = tmp_path / "good.py", tmp_path / "bad.py"
    good.write_text(SMALL)
    bad.write_text(SMALL.replace("sum(numbers))", "sum(numbers)"))
    command = [sys.executable, "-m", "o_tui", "validate", str(bad), "--reference", str(good), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    answer = json.loads(done.stdout)
    assert (done.returncode, answer["verdict"], answer["stages"][-1]["name"]) == (1, "fail", "compile")


async def test_a_validation_that_nobody_waits_for_ends_with_its_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    """A candidate that blocks is given a while; a guardian that is stopped meanwhile does not wait for it."""
    asked, ended = asyncio.Event(), asyncio.Event()
    loop, pids = asyncio.get_running_loop(), list[int]()

    class Watched(Prober):
        def ask(self, order: Order, timeout_s: float) -> Report | None:
            pids.append(self.pid)
            loop.call_soon_threadsafe(asked.set)
            return super().ask(order, timeout_s)

        def __exit__(self, *error: object) -> None:
            super().__exit__(*error)
            loop.call_soon_threadsafe(ended.set)

    monkeypatch.setattr(validating, "Prober", Watched)
    monkeypatch.setattr(validating, "PROBE_TIMEOUT_S", 10 * PATIENCE_S)
    blocks = SMALL.replace("    return min(", "    __import__('queue').SimpleQueue().get()\n    return min(")
    task = asyncio.create_task(validating.validate_apart("", blocks, SMALL.encode()))
    await asked.wait()
    task.cancel()
    async with asyncio.timeout(PATIENCE_S):
        await ended.wait()
    with pytest.raises(asyncio.CancelledError):
        await task
    with pytest.raises(ProcessLookupError):
        os.kill(pids[0], 0)
