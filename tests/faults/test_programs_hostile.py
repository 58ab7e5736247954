"""Hostile candidates against a run's lane: none succeeds, none leaves anything, the next good one is scored at once."""

from __future__ import annotations

import os
import select
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from o_tui import _native
from o_tui.programs.convention import Settings, score
from o_tui.protocol.errors import UsageError
from tests.support.patience import PATIENCE_S
from tests.support.user_programs import EVALUATOR, GOOD, IMPORTING, Bench, bench

LIMIT_S = 2.0
SETTINGS = Settings(timeout_s=LIMIT_S)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("hostile")
    folder.chmod(0o755)
    return folder


@pytest.fixture(scope="module")
def lane(place: Path) -> Iterator[Bench]:
    os.environ["SECRET_API_KEY"] = "sk-canary"
    with bench(place, settings=SETTINGS) as found:
        yield found
    del os.environ["SECRET_API_KEY"]


def of(source: str) -> str:
    return f"import os, sys, signal, time\n\n\ndef score():\n{source}"


ENDINGS = {
    "os._exit": of("    os._exit(0)\n"),
    "kills itself": of("    os.kill(os.getpid(), signal.SIGKILL)\n"),
    "sys.exit": of("    sys.exit(0)\n"),
    "1.5 GB": of("    return float(len(bytearray(1_500_000_000)))\n"),
    "15 detached children": of(
        "    for _ in range(15):\n        if os.fork() == 0:\n            os.setsid()\n            time.sleep(600)\n"
        "    return 99.0\n"
    ),
    "a fork in a thread": of(
        "    import threading\n    found = []\n    thread = threading.Thread(target=lambda: found.append(os.fork()))\n"
        "    thread.start()\n    thread.join()\n    return float(found[0])\n"
    ),
    "threads without end": of(
        "    import threading\n    threading.stack_size(32768)\n    while True:\n"
        "        threading.Thread(target=time.sleep, args=(600,), daemon=True).start()\n"
    ),
    "a busy thread that is left": of(
        "    import threading\n    threading.Thread(target=lambda: [0 for _ in iter(int, 1)], daemon=True).start()\n"
        "    os._exit(0)\n"
    ),
    "at import": "import os\nos._exit(3)\n",
    "recursion": of("    return score()\n"),
    "infinity": of("    return float('inf')\n"),
    "NaN": of("    return float('nan')\n"),
    "text": of("    return '99'\n"),
    "nothing": of("    return None\n"),
}


@pytest.mark.parametrize("name", list(ENDINGS))
def test_a_candidate_that_ends_or_lies_has_no_score_and_the_next_is_scored_at_once(lane: Bench, name: str) -> None:
    answer = lane.evaluate(ENDINGS[name])
    assert score(answer.result, SETTINGS)[1], answer
    assert next_one(lane)
    assert len(below(lane)) == 2  # the evaluator's, and the one that waits for the next candidate


def test_six_hangs_in_a_row_cost_their_own_time_only(lane: Bench) -> None:
    for source in ("    while True:\n        pass\n", "    time.sleep(600)\n") * 3:
        started = time.monotonic()
        answer = lane.evaluate(of(source))
        assert answer.result.error == f"it took more than {LIMIT_S:g} s"
        assert time.monotonic() - started < PATIENCE_S
    assert next_one(lane)


def test_a_key_in_the_environment_is_not_there(lane: Bench) -> None:
    source = of("    return float(any('canary' in value for value in os.environ.values()))\n")
    assert lane.evaluate(source).result.metrics == {"combined_score": 0.0}
    stolen = of("    return float('canary' in open('/proc/%d/environ' % os.getppid()).read())\n")
    assert lane.evaluate(stolen).result.error


def test_nobody_is_reached_on_this_machine(lane: Bench) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        answer = lane.evaluate(
            f"import socket\n\n\ndef score():\n    socket.create_connection(('127.0.0.1', {port}))\n    return 99.0\n"
        )
        assert answer.result.error and not answer.result.metrics
        assert "socket" in {each.what.split()[0] for each in answer.refused}


def test_files_stay_as_they_are(lane: Bench, place: Path) -> None:
    database = place / "run.db"
    database.write_text("rows")
    for path in (place / "evaluator.py", database):
        for attack in (f"open({str(path)!r}, 'w').write('x')", f"os.unlink({str(path)!r})"):
            answer = lane.evaluate(of(f"    {attack}\n    return 99.0\n"))
            assert answer.result.error and not answer.result.metrics
    assert (place / "evaluator.py").read_text() == EVALUATOR and database.read_text() == "rows"


@pytest.mark.skipif(_native.probe()["tier"] != "A", reason="no namespaces")
def test_the_disk_is_not_filled_with_small_files(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    filling = f"{EVALUATOR}    for number in range(70_000):\n        open(str(number), 'w').close()\n"
    filling = filling.replace("    return {", "    result = {") + "    return result\n"
    with bench(tmp_path, filling) as found:
        answer = found.evaluate(GOOD)
        assert "No space left on device" in answer.result.error, answer
        assert "No space left on device" in found.evaluate(GOOD).result.error, "the next one has as much room"


def test_an_evaluator_is_not_changed_in_memory(lane: Bench) -> None:
    source = of(
        "    import builtins, gc, types\n"
        "    for module in list(sys.modules.values()):\n"
        "        if isinstance(module, types.ModuleType):\n"
        "            module.evaluate = module.load = lambda *_: {'combined_score': 1e9}\n"
        "    for each in gc.get_objects():\n"
        "        if isinstance(each, types.FunctionType) and each.__name__ == 'evaluate':\n"
        "            each.__code__ = (lambda program_path: {'combined_score': 1e9}).__code__\n"
        "    builtins.float = lambda *_: 1e9\n"
        "    return 1.0\n"
    )
    assert lane.evaluate(source).result.metrics.get("combined_score") in (None, 1.0)
    assert next_one(lane)


def test_a_result_is_not_forged(lane: Bench) -> None:
    """The candidate has one descriptor, and what it says there is only what its functions return."""
    forged = of(
        "    import struct, msgspec\n"
        "    data = msgspec.msgpack.encode({'metrics': {'combined_score': 1e9}, 'artifacts': {}, 'error': ''})\n"
        "    for fd in range(300):\n"
        "        for frame in (data, struct.pack('<I', len(data)) + data):\n"
        "            try:\n"
        "                os.write(fd, frame)\n"
        "            except OSError:\n"
        "                pass\n"
        "    return 1.0\n"
    )
    answer = lane.evaluate(forged)
    assert answer.result.metrics.get("combined_score", 0.0) != 1e9
    assert next_one(lane)


def test_an_evaluators_own_objects_are_only_called(place: Path) -> None:
    evaluator = IMPORTING + (
        "\nSECRET = 42\n\n\ndef ask(x):\n    return x + 1\n\n\n"
        "def evaluate(program_path):\n    return {'combined_score': load(program_path).score(ask)}\n"
    )
    with bench(place / "objects", evaluator, SETTINGS) as lane:
        assert lane.evaluate("def score(ask):\n    return ask(2)\n").result.metrics == {"combined_score": 3.0}
        stolen = lane.evaluate("def score(ask):\n    return ask.__globals__['SECRET']\n")
        assert not stolen.result.metrics
        seen = lane.evaluate(
            "def score(ask):\n    peer, number = ask._of_peer\n    return peer.ask('get', number, '__globals__')\n"
        )
        assert "PermissionError" in seen.result.error


def test_an_evaluator_that_hangs_while_it_is_loaded_is_ended_by_the_timeout(place: Path) -> None:
    began = time.monotonic()
    hanging = f"import time\n\ntime.sleep(600)\n{EVALUATOR}"
    with (
        pytest.raises(UsageError, match=r"^the evaluator was not loaded within 5 s: it hangs"),
        bench(place / "hanging", hanging, SETTINGS),
    ):
        pass
    assert time.monotonic() - began < PATIENCE_S


def test_what_an_evaluator_leaves_behind_is_ended(place: Path) -> None:
    evaluator = IMPORTING + (
        "\nimport subprocess\nimport sys\n\n\ndef evaluate(program_path):\n"
        "    for _ in range(3):\n"
        "        subprocess.Popen([sys.executable, '-c', 'import os, time; os.fork(); os.setsid(); time.sleep(600)'])\n"
        "    open('litter', 'w').write('x')\n"
        "    return {'combined_score': load(program_path).score()}\n"
    )
    with bench(place / "litter", evaluator, SETTINGS) as lane:
        answer = lane.evaluate(GOOD)
        assert answer.result.metrics == {"combined_score": 7.0} and answer.left >= 3
        assert not [pid for pid in below(lane) if b"time.sleep(600)" in command(pid)]


def test_a_process_that_waits_for_the_next_candidate_and_is_killed_costs_nothing(place: Path) -> None:
    with bench(place / "waiting", settings=SETTINGS) as lane:
        assert next_one(lane)
        waiting = max(below(lane))  # the evaluator's was forked before it
        pidfd = os.pidfd_open(waiting)
        os.kill(waiting, signal.SIGKILL)
        assert select.select([pidfd], [], [], PATIENCE_S)[0]
        os.close(pidfd)
        assert next_one(lane)
        assert len(below(lane)) == 2 and waiting not in below(lane)


@pytest.mark.parametrize("hanging", ["program", "evaluator"])
def test_a_number_that_is_asked_for_again_is_another_evaluation(place: Path, hanging: str) -> None:
    """As a worker of a cluster is asked by a run that goes on after it was killed."""
    begun = "    load(program_path).begin(time.sleep)\n    return {"
    evaluator = f"import time\n{EVALUATOR}".replace("    return {", begun)
    begin = {"program": "import time\ntime.sleep(600)\n", "evaluator": "\n\ndef begin(sleep):\n    sleep(600)\n"}[
        hanging
    ]
    with bench(place / f"again-{hanging}", evaluator, SETTINGS) as lane:
        hung = lane.evaluate(begin, number=7)
        assert "more than" in hung.result.error
        for _ in range(2):
            good = lane.evaluate(GOOD + b"\n\ndef begin(sleep):\n    pass\n", number=7)
            assert (good.result.metrics, good.result.error) == ({"combined_score": 7.0}, "")


def next_one(lane: Bench) -> bool:
    """The next good candidate has its score (how soon: tests/benchmarks/bench_programs.py)."""
    return lane.evaluate(GOOD).result.metrics == {"combined_score": 7.0}


def below(lane: Bench) -> set[int]:
    """The processes below the lane's server: whoever loses its parent becomes its child."""
    found: set[int] = set()
    new = {lane.lane.pid}
    while new:
        found |= new
        new = {int(child) for pid in new for text in children(pid) for child in text.split()} - found
    return found - {lane.lane.pid}


def children(pid: int) -> list[str]:
    try:
        return [path.read_text() for path in Path(f"/proc/{pid}/task").glob("*/children")]
    except OSError:  # it has just gone
        return []


def command(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""
