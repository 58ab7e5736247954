"""`o-tui evolve … --cluster`: a real scheduler and real workers, some of which are killed in the middle."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from o_tui.programs import starting
from o_tui.programs.cluster.batches import AHEAD, BATCH
from o_tui.programs.cluster.link import Cluster
from o_tui.programs.convention import Settings
from o_tui.programs.orders import Answer, Order
from o_tui.programs.store import Store
from tests.support.clusters import TLS, Scheduler, kill, scheduler
from tests.support.user_programs import GOOD, IMPORTING, files, setup_of

BUDGET = 60


@pytest.fixture(scope="module")
def dask(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scheduler]:
    with scheduler(tmp_path_factory.mktemp("cluster") / "dask") as found:
        yield found


@pytest.fixture
def cluster(dask: Scheduler, monkeypatch: pytest.MonkeyPatch) -> Scheduler:
    """Two workers, whatever the last test did to them."""
    dask.have(2)
    monkeypatch.setattr(Cluster, "environment", {**Cluster.environment, **dask.environment})
    return dask


def command(folder: Path, *words: str | Path) -> list[str]:
    return [sys.executable, "-m", "o_tui", "evolve", *map(str, words), "--data-dir", str(folder / "w"), "--json"]


def began(folder: Path, cluster: Scheduler, *words: str | Path) -> subprocess.Popen[str]:
    environment = {**os.environ, **cluster.environment}
    words = (*words, "--cluster", cluster.address)
    return subprocess.Popen(
        command(folder, *words), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    )


def read(process: subprocess.Popen[str], until: str, count: int = 1) -> list[dict[str, Any]]:
    """Events, up to the `count`-th of a kind."""
    assert process.stdout is not None
    found: list[dict[str, Any]] = []
    while sum(each.get("event") == until for each in found) < count:
        line = process.stdout.readline()
        assert line, process.stderr.read() if process.stderr else ""
        found.append(json.loads(line))
    return found


def ended(process: subprocess.Popen[str]) -> tuple[list[dict[str, Any]], str]:
    """The events that were not read yet, and what it said of its end."""
    assert process.stdout is not None and process.stderr is not None
    # `communicate` reads the pipe and passes over the lines that `read` has taken out of it ahead of its last one
    late = threading.Timer(120, process.kill)
    late.start()
    try:
        with ThreadPoolExecutor(1) as apart:
            problem = apart.submit(process.stderr.read)
            said = [json.loads(line) for line in process.stdout]
            process.wait()
            return said, problem.result()
    finally:
        late.cancel()


def population(runs: Path, name: str) -> tuple[list[tuple[Any, ...]], int]:
    """All but times of a run, and how far its search looked back."""
    store = Store.open(runs / name)
    try:
        rows = [(row.number, row.sha256, row.operator, row.parents, row.score, row.error) for row in store.rows()]
        return rows, int(store.fact("window"))
    finally:
        store.close()


def at_home(folder: Path, program: Path, evaluator: Path, window: int) -> list[tuple[Any, ...]]:
    """What the same run comes to on this machine alone, where it looks back as far."""
    wish = starting.Wish(program, evaluator, budget=BUDGET, seed=3)
    run = starting.begin(folder / "home", wish, lambda _event: None)
    run.store.set(window=window)
    run.go()
    run.store.close()
    return population(folder / "home", run.store.folder.name)[0]


def evaluated(lane: Cluster, sources: list[bytes]) -> list[Answer]:
    for number, source in enumerate(sources):
        lane.submit(Order(number=number, source=source, seed=1))
    found: dict[int, Answer] = {}
    while len(found) < len(sources):
        answer = lane.answer()
        if answer is not None:
            found[answer.number] = answer
    return [found[number] for number in range(len(sources))]


def test_what_hangs_exits_or_grows_costs_no_worker(folder: Path, cluster: Scheduler) -> None:
    hostile = [
        b"def score():\n    while True:\n        pass\n",
        b"import os\n\n\ndef score():\n    os._exit(0)\n",
        b"import os\n\n\ndef score():\n    os.kill(os.getppid(), 9)\n    os.kill(os.getpid(), 9)\n",
        b"def score():\n    return float(len(bytearray(1_500_000_000)))\n",
    ]
    heard: list[int] = []
    lane = Cluster(setup_of(folder / "p", settings=Settings(timeout_s=10.0)), cluster.address, heard.append)
    try:
        lane.ready()
        answers = evaluated(lane, [each for bad in hostile for each in (GOOD, bad)] + [GOOD])
        os.kill(lane.pid, signal.SIGKILL)  # the client may go too: another one asks again
        again = evaluated(lane, [GOOD] * 5)
    finally:
        lane.close()
    assert [(answer.result.metrics, answer.result.error) for answer in again] == [({"combined_score": 7.0}, "")] * 5
    assert all(answer.result.metrics == {"combined_score": 7.0} for answer in answers[::2])
    assert all(answer.result.error and not answer.result.metrics for answer in answers[1::2])
    assert "more than 10 s" in answers[1].result.error
    assert set(heard) == {2} and all(worker.poll() is None for worker in cluster.workers)


def test_an_evaluator_finds_its_files_on_a_worker_and_nothing_else(folder: Path, cluster: Scheduler) -> None:
    evaluator = IMPORTING + (
        "\nfrom pathlib import Path\n\nimport beside_me\n\n\n"
        "def evaluate(program_path):\n"
        "    here = Path(__file__).parent\n"
        "    factor = float((here / 'data' / 'factor.txt').read_text())\n"
        "    secret = Path('SECRET').exists()\n"
        "    return {'combined_score': load(program_path).score() * factor * beside_me.SIGN, 'where': str(here),\n"
        "            'secret': float(secret)}\n"
    ).replace("SECRET", str(folder / "secret"))
    (folder / "secret").write_text("x")
    (folder / "p" / "data").mkdir(parents=True)
    (folder / "p" / "data" / "factor.txt").write_text("2.0")
    (folder / "p" / "beside_me.py").write_text("SIGN = -1\n")
    lane = Cluster(setup_of(folder / "p", evaluator), cluster.address, lambda _count: None)
    try:
        lane.ready()
        (answer,) = evaluated(lane, [GOOD])
    finally:
        lane.close()
    assert answer.result.metrics == {"combined_score": -14.0, "secret": 0.0}, answer.result
    assert answer.result.artifacts["where"] != str(folder / "p")


def test_what_a_worker_lacks_ends_the_run_in_one_line(folder: Path, cluster: Scheduler, tmp_path: Path) -> None:
    evaluator = "import not_installed_there\n\n\ndef evaluate(path):\n    return {}\n"
    process = began(folder, cluster, *files(folder / "p", evaluator=evaluator))
    _, problem = ended(process)
    assert process.returncode == 69 and "No module named 'not_installed_there'" in problem
    assert f"the worker on {socket.gethostname()} cannot evaluate" in problem
    assert "Traceback" not in problem
    (tmp_path / "older.py").write_text("import o_tui\n\no_tui.__version__ = '0.0.1'\n")
    older = cluster.worker(f"--preload={tmp_path / 'older.py'}")
    cluster.have(3)
    process = began(folder, cluster, *files(folder / "p"))
    _, problem = ended(process)
    assert process.returncode == 69 and "has o-tui 0.0.1, not" in problem and "Traceback" not in problem
    kill(older)


def test_a_killed_worker_and_a_killed_run_cost_nothing(folder: Path, cluster: Scheduler) -> None:
    """One of two workers dies in the middle, then the run; what it goes on to is what it would have come to at home."""
    program, evaluator = files(folder / "p")
    process = began(folder, cluster, program, evaluator, "--budget", str(BUDGET), "--seed", "3")
    said = read(process, "evaluation", 5)
    assert [each["workers"] for each in said if each["event"] == "workers"] == [2]
    kill(cluster.workers[0])
    said += read(process, "evaluation", 10)
    process.kill()
    said += ended(process)[0]
    again, problem = ended(began(folder, cluster, "--resume", said[0]["evolution"]))
    assert [each["workers"] for each in again if each.get("event") == "workers"] == [1], problem
    reported = [each["number"] for each in said + again if each.get("event") == "evaluation"]
    assert len(reported) == len(set(reported)) and again[-1]["evaluations"] == BUDGET
    rows, window = population(folder / "w" / "programs", said[0]["evolution"])
    assert {*reported} <= {row[0] for row in rows} and window == 2 * AHEAD * BATCH
    assert rows == at_home(folder, program, evaluator, window)


def test_a_frozen_worker_is_not_waited_for_until_the_scheduler_gives_it_up(folder: Path, cluster: Scheduler) -> None:
    program, evaluator = files(folder / "p")
    process = began(folder, cluster, program, evaluator, "--budget", str(BUDGET), "--seed", "3")
    said = read(process, "evaluation", 5)
    frozen = cluster.workers[0]
    frozen.send_signal(signal.SIGSTOP)
    try:
        more, problem = ended(process)
        assert process.returncode == 0, problem
    finally:
        frozen.send_signal(signal.SIGCONT)
    said += more
    assert [each["workers"] for each in said if each.get("event") == "workers"] == [2, 1]
    assert sorted(each["number"] for each in said if each.get("event") == "evaluation") == [*range(1, BUDGET + 1)]
    assert frozen.poll() is None, "it is the scheduler's to end it"


def test_certificates_open_the_way_and_a_scheduler_that_goes_is_one_line(folder: Path, tmp_path: Path) -> None:
    program, evaluator = files(folder / "p")
    tls = certificates(tmp_path)
    with scheduler(tmp_path / "dask", scheme="tls", environment=tls) as cluster:
        assert cluster.address.startswith("tls://")
        cluster.have(1)
        process = began(folder, cluster, program, evaluator, "--budget", "5000", "--seed", "3")
        said = read(process, "evaluation", 5)
        for name in tls:
            del cluster.environment[name]
        stranger = began(folder, cluster, program, evaluator)
        _, problem = ended(stranger)
        assert stranger.returncode == 69 and "Dask's settings name none" in problem, problem
        assert "Traceback" not in problem
        kill(cluster.process)
        more, problem = ended(process)
    assert process.returncode == 69 and "the connection to the scheduler is lost" in problem and "--resume" in problem
    told = sum(each.get("event") == "evaluation" for each in said + more)
    home = command(folder, "--resume", said[0]["evolution"], "--budget", str(told + 30))
    done = subprocess.run(home, capture_output=True, text=True, timeout=120, check=True)
    assert json.loads(done.stdout.splitlines()[-1])["evaluations"] >= told


def certificates(folder: Path) -> dict[str, str]:
    """Dask's settings for one certificate of all roles."""
    certificate, key = folder / "cert.pem", folder / "key.pem"
    make = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=o-test -addext subjectAltName=IP:127.0.0.1"
    subprocess.run([*make.split(), "-keyout", key, "-out", certificate], check=True, capture_output=True)
    known = {"CERT": str(certificate), "KEY": str(key)}
    tls = {f"{role}__{what}": path for role in ("SCHEDULER", "WORKER", "CLIENT") for what, path in known.items()}
    tls["CA_FILE"] = str(certificate)
    return {f"{TLS}{name}": path for name, path in tls.items()}
