"""What a fork server leaves out of its forks, and what a child has all the same."""

from __future__ import annotations

import json
import subprocess
import sys

from tests.support.patience import PATIENCE_S

_PROGRAM = """
import json, os, random, resource, threading, time
from o_tui.agent import fork_hooks

def child(act):
    ours, theirs = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.write(theirs, json.dumps(act()).encode())
        os._exit(0)
    os.close(theirs)
    text = os.read(ours, 65536)
    os.close(ours)
    return json.loads(text), os.wait4(pid, 0)[2].ru_minflt

def threads():
    heard = []
    worker = threading.Thread(target=lambda: heard.append(threading.current_thread() is not threading.main_thread()))
    worker.start()
    worker.join()
    return [heard, threading.current_thread() is threading.main_thread(), threading.active_count()]

{before}
before = sorted(child(lambda: 0)[1] for _ in range(9))[4]
fork_hooks.lighten()
after = sorted(child(lambda: 0)[1] for _ in range(9))[4]
print(json.dumps({{
    "pages": [before, after],
    "chance": [child(random.random)[0] for _ in range(3)] + [random.random()],
    "threads": child(threads)[0],
}}))
"""


def _found(before: str = "") -> dict[str, list[float]]:
    program = [sys.executable, "-c", _PROGRAM.format(before=before)]
    found: dict[str, list[float]] = json.loads(
        subprocess.run(program, check=True, capture_output=True, text=True, timeout=PATIENCE_S).stdout
    )
    return found


def test_a_fork_touches_fewer_pages_has_chance_of_its_own_and_can_have_threads() -> None:
    found = _found()
    before, after = found["pages"]
    assert after < 0.8 * before
    assert len(set(found["chance"])) == 4
    assert found["threads"] == [[True], True, 1]


def test_who_has_threads_keeps_what_python_does_for_them() -> None:
    found = _found(before="threading.Thread(target=time.sleep, args=(30,), daemon=True).start()")
    before, after = found["pages"]
    assert after > 0.8 * before
    assert found["threads"] == [[True], True, 1]
