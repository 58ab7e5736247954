"""What the guardian asks of Linux about processes, on real ones."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from o_tui import _native
from tests.support.patience import PATIENCE_S
from tests.support.turns import SHORT_NS, turn_ns

NOBODY = 0x7FFFFFF0


def run(program: str, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments], capture_output=True, text=True, timeout=PATIENCE_S, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_memory_of_a_process() -> None:
    before = _native.process_rss_pss(os.getpid())
    held = bytearray(b"x" * (32 << 20))
    rss, pss, private = _native.process_rss_pss(os.getpid())
    assert private <= pss <= rss
    assert private - before[2] > 30 << 20
    assert abs(_native.process_rss(os.getpid()) - rss) < 8 << 20
    assert len(held) == 32 << 20


def test_free_memory_goes_back_also_where_there_were_threads() -> None:
    program = """
import os, threading
from o_tui import _native
thread = threading.Thread(target=lambda: None)  # as those that unpack a checkpoint, before a fork
thread.start()
thread.join()
held = [bytearray(b"x" * 50_000) for _ in range(30)]
before = _native.process_rss_pss(os.getpid())[2]
del held
_native.give_back_memory()
print(before - _native.process_rss_pss(os.getpid())[2])
"""
    environment = os.environ | {"GLIBC_TUNABLES": "glibc.malloc.hugetlb=1", "MALLOC_ARENA_MAX": "1"}
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, timeout=PATIENCE_S, check=True
    )
    assert int(done.stdout) > 1_000_000


def test_cpu_time_of_a_process() -> None:
    def spent() -> float:
        usage = resource.getrusage(resource.RUSAGE_SELF)
        return usage.ru_utime + usage.ru_stime

    ours, theirs = spent(), _native.process_cpu_ns(os.getpid())
    while spent() - ours < 0.05:
        sum(range(1000))
    grown_ns = _native.process_cpu_ns(os.getpid()) - theirs
    assert 40e6 < grown_ns < 200e6


def test_a_process_that_has_gone() -> None:
    child = subprocess.Popen([sys.executable, "-c", ""])
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)  # a zombie now
    with pytest.raises(ProcessLookupError):
        _native.process_rss_pss(child.pid)
    child.wait()
    for ask in (_native.process_rss_pss, _native.process_rss, _native.process_cpu_ns):
        for pid in (child.pid, NOBODY):
            with pytest.raises(ProcessLookupError):
                ask(pid)
        with pytest.raises(OverflowError):
            ask(-1)


def test_a_child_dies_with_its_parent() -> None:
    read, write = os.pipe()
    parent = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import os, signal, sys\n"
            "from o_tui import _native\n"
            "write = int(sys.argv[1])\n"
            "if os.fork() == 0:\n"
            "    _native.set_parent_death_signal(signal.SIGKILL)\n"
            "    os.write(write, f'{os.getpid()} '.encode())\n"
            "while True:\n"
            "    signal.pause()\n",
            str(write),
        ],
        pass_fds=[write],
    )
    os.close(write)
    child = int(os.read(read, 100))
    pidfd = os.pidfd_open(child)
    parent.kill()
    parent.wait()
    # The last writer of the pipe has gone: the child is dead, and nothing else keeps it open.
    assert os.read(read, 1) == b""
    os.close(read)
    os.close(pidfd)


def test_bad_signals() -> None:
    for number in (-1, 999):
        with pytest.raises(OSError, match="Invalid"):
            _native.set_parent_death_signal(number)


@pytest.mark.skipif(os.geteuid() != 0, reason="becomes another user, and needs to be root for that")
def test_what_another_user_may_ask() -> None:
    sleeper = subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"])
    try:
        read, write = os.pipe()
        child = os.fork()
        if child == 0:
            answers = []
            try:
                os.setuid(65534)
                for ask in (_native.process_rss_pss, _native.process_rss, _native.process_cpu_ns):
                    try:
                        ask(sleeper.pid)
                        answers.append("ok")
                    except PermissionError:
                        answers.append("refused")
                os.write(write, " ".join(answers).encode())
            finally:
                os._exit(0)
        os.waitpid(child, 0)
        assert os.read(read, 100) == b"refused ok ok"
        os.close(read)
        os.close(write)
    finally:
        sleeper.send_signal(signal.SIGKILL)
        sleeper.wait()


def test_what_comes_after_the_holes_are_filled_lies_elsewhere() -> None:
    program = """
import sys
from o_tui import _native
def made(count):
    makes = (lambda _: object(), (1 << 40).__add__, lambda _: bytes(100), lambda _: bytes(5_000))
    return [make(number) for make in makes for number in range(count)]
held = made(2_000)
places = {id(each) for each in held}
del held[::2]
_native.fill_holes()
new = made(500)
print(len(places.intersection(map(id, new))))
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=PATIENCE_S, check=True
    )
    assert int(done.stdout) == 0


def test_short_turns_are_for_the_thread_that_asks() -> None:
    def own_ns() -> int:
        return turn_ns(os.getpid(), threading.get_native_id())

    def ask() -> tuple[int, int, int]:
        before_ns = own_ns()  # this thread's: the main one may have run a guardian's loop
        _native.set_short_turns()
        with ThreadPoolExecutor(1) as other:
            return before_ns, other.submit(own_ns).result(), own_ns()

    with ThreadPoolExecutor(1) as asking:
        before_ns, other_ns, after_ns = asking.submit(ask).result()
    assert before_ns == other_ns > after_ns == SHORT_NS
