"""What the nursery does before it forks: the kernel at work, and the code that ran moved together."""

from __future__ import annotations

import signal
import sys
from types import CodeType, FunctionType

from o_tui.agent import gathering, rehearsal
from o_tui.bench import recall
from tests.support.agents import SEED, block
from tests.support.nursery_driver import genome_files

FILES = genome_files(SEED)


def test_a_rehearsal_leaves_state_and_process_as_they_were() -> None:
    state = recall.remember([block(f"b{n}", f"the {n}th word of many", thread="t", time_ns=n) for n in range(50)])
    digest, seq = state.logical_digest(), state.seq
    process = sys.stdout, sys.stderr, signal.getsignal(signal.SIGALRM), signal.getitimer(signal.ITIMER_REAL)
    ran: set[CodeType] = set()
    sys.setprofile(lambda frame, _event, _argument: ran.add(frame.f_code))
    try:
        assert rehearsal.rehearse(state, FILES)
    finally:
        sys.setprofile(None)
    assert {"genome:recall.py", "genome:respond.py"} & {code.co_filename for code in ran} >= {"genome:recall.py"}
    assert (state.logical_digest(), state.seq) == (digest, seq)
    assert (sys.stdout, sys.stderr, signal.getsignal(signal.SIGALRM), signal.getitimer(signal.ITIMER_REAL)) == process
    state.close()


def test_answers_that_nobody_reads_end_it() -> None:
    state = recall.remember([block(f"b{n}", f"word {'x' * 100_000}", thread="t", time_ns=n) for n in range(10)])
    assert not rehearsal.rehearse(state, FILES)
    state.close()


def _inner(values: list[int]) -> list[int]:
    return [value + 1 for value in values]


def _idle() -> int:
    return 1


def test_code_that_ran_is_moved_and_does_the_same() -> None:
    before, idle = _inner.__code__, _idle.__code__
    gathering.gather(lambda: _inner([1]))
    assert _inner.__code__ == before
    assert _inner.__code__ is not before
    assert _idle.__code__ is idle
    assert _inner([1, 2]) == [2, 3]
    assert sys.getprofile() is None
    again = FunctionType(gathering.copy(before), {})
    assert again([3]) == [4]
    inner = [each for each in before.co_consts if isinstance(each, CodeType)]
    assert not {id(each) for each in inner} & {id(each) for each in again.__code__.co_consts}
