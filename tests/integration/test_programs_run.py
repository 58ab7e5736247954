"""`o-tui evolve PROGRAM EVALUATOR` as its user sees it: outcome, resume after a kill, a file of his own, bad input."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import re
import select
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from o_tui.evolution.population import AGAIN
from o_tui.evolution.portfolio import Proposal, Scored
from o_tui.programs import lane as lanes
from o_tui.programs import outcome, starting
from o_tui.programs.starting import digest as digest_of
from o_tui.programs.store import Store
from o_tui.protocol.errors import NotFoundError, OError, PeerError, RefusedError
from tests.support.patience import PATIENCE_S
from tests.support.user_programs import EVALUATOR, IMPORTING, PROGRAM, files

BUDGET = 40


def command(folder: Path, *words: str | Path) -> list[str]:
    return [
        sys.executable,
        "-m",
        "o_tui.cli.main",
        "evolve",
        *map(str, words),
        "--data-dir",
        str(folder / "w"),
        "--json",
    ]


def evolve(folder: Path, *words: str | Path, code: int = 0) -> list[dict[str, Any]]:
    """The events of one command."""
    done = subprocess.run(command(folder, *words), capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == code, (done.returncode, done.stderr, done.stdout[-500:])
    return [json.loads(line) for line in done.stdout.splitlines()] or [{"said": done.stderr}]


def population(folder: Path, run: str) -> list[tuple[Any, ...]]:
    """What a run's search came to: all but times."""
    with contextlib.closing(sqlite3.connect(folder / "w" / "programs" / run / "run.db")) as connection:
        return connection.execute(
            "SELECT number, sha256, operator, parents, score, error FROM evaluations ORDER BY number"
        ).fetchall()


def test_a_run_improves_a_program_and_says_how(folder: Path) -> None:
    program, evaluator = files(folder / "p")
    events = evolve(folder, program, evaluator, "--budget", str(BUDGET), "--out", folder / "better.py")
    last = events[-1]
    assert last["outcome"] == "improved" and last["evaluations"] == BUDGET
    assert last["best"]["measured_again"] == last["best"]["claimed"] > last["best"]["initial"]
    assert sorted(event["number"] for event in events if event.get("event") == "evaluation") == [*range(1, BUDGET + 1)]
    best = Path(last["best"]["path"])
    assert best.read_bytes() == (folder / "better.py").read_bytes()
    assert digest_of(best.read_bytes()) == last["best"]["revision"]
    assert len((best.parent / "history.jsonl").read_text().splitlines()) == BUDGET
    assert (best.parent / "run.db").stat().st_mode & 0o777 == 0o600
    before, after = PROGRAM.split("# EVOLVE-BLOCK-START")[0], PROGRAM.split("# EVOLVE-BLOCK-END")[1]
    assert best.read_text().startswith(before) and best.read_text().endswith("# EVOLVE-BLOCK-END" + after)
    assert program.read_text() == PROGRAM


def test_a_run_that_is_killed_loses_nothing_and_ends_in_the_same_population(folder: Path) -> None:
    program, evaluator = files(folder / "p")
    whole = evolve(folder, program, evaluator, "--budget", str(BUDGET), "--seed", "7")[-1]
    for kill_after in (1, 25):
        process = subprocess.Popen(
            command(folder, program, evaluator, "--budget", str(BUDGET), "--seed", "7"), stdout=subprocess.PIPE
        )
        assert process.stdout is not None
        said = [json.loads(process.stdout.readline()) for _ in range(kill_after + 1)]
        others = [os.pidfd_open(pid) for pid in descendants(process.pid)]
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
        for pidfd in others:
            assert select.select([pidfd], [], [], PATIENCE_S)[0], "a process of the run is still there"
            os.close(pidfd)
        assert len(others) >= 2
        run = said[0]["evolution"]
        kept = {row[0] for row in population(folder, run)}
        assert {event["number"] for event in said[1:]} <= kept
        again = evolve(folder, "--resume", run)
        assert again[0]["done"] == len(kept)
        assert {event["number"] for event in again if event.get("event") == "evaluation"} == {
            *range(1, BUDGET + 1)
        } - kept
        assert population(folder, run) == population(folder, whole["evolution"])
        assert again[-1]["best"]["revision"] == whole["best"]["revision"]


def test_a_finished_run_goes_on_with_a_larger_budget(folder: Path) -> None:
    program, evaluator = files(folder / "p")
    run = evolve(folder, program, evaluator, "--budget", "20")[-1]["evolution"]
    assert evolve(folder, "--resume", run, "--budget", "100000", "--time", "8")[-1]["evaluations"] < 100_000
    for given in ("--seed=3", "--config=x.yaml"):
        assert "it keeps its own" in evolve(folder, "--resume", run, given, code=2)[0]["said"]
    run = evolve(folder, program, evaluator, "--budget", "20", "--seed", "5")[-1]["evolution"]
    more = evolve(folder, "--resume", program, evaluator, "--budget", "30")
    assert more[0]["evolution"] == run and more[0]["done"] == 20 and more[-1]["evaluations"] == 30
    other = evolve(folder, program, evaluator, "--budget", "30", "--seed", "5")[-1]
    assert population(folder, other["evolution"]) == population(folder, run)


def test_a_file_of_the_users_is_replaced_only_with_his_word(folder: Path) -> None:
    program, evaluator = files(folder / "p")
    last = evolve(folder, program, evaluator, "--budget", "15", "--out", program)[-1]
    assert last["outcome"] == "pending" and program.read_text() == PROGRAM
    run, digest = last["evolution"], last["best"]["revision"]
    assert digest in last["approve"]
    evolve(folder, "--resume", run, "--approve", "0" * 64, code=4)
    assert program.read_text() == PROGRAM
    assert evolve(folder, "--resume", run, "--approve", digest)[-1]["outcome"] == "approved"
    assert digest_of(program.read_bytes()) == digest
    evolve(folder, "--resume", run, "--approve", digest, code=3)
    with contextlib.closing(sqlite3.connect(folder / "w" / "programs" / run / "run.db")) as connection:
        verdicts = [row[0] for row in connection.execute("SELECT verdict FROM decisions ORDER BY id")]
    assert verdicts == ["pending", "approved"]


def test_a_file_that_changed_meanwhile_is_not_replaced(folder: Path) -> None:
    program, evaluator = files(folder / "p")
    last = evolve(folder, program, evaluator, "--budget", "15", "--out", program)[-1]
    program.write_text("mine\n")
    evolve(folder, "--resume", last["evolution"], "--approve", last["best"]["revision"], code=4)
    assert program.read_text() == "mine\n"


BAD = {
    "no block": (PROGRAM.replace("EVOLVE-", ""), EVALUATOR, "no EVOLVE-BLOCK"),
    "a block in a block": (
        PROGRAM.replace("A = 3.0", "# EVOLVE-BLOCK-START"),
        EVALUATOR,
        "its markers: lines 3, 4, 10",
    ),
    "no Python": (PROGRAM.replace("def score():", "def score(:"), EVALUATOR, "line 8"),
    "no evaluate": (PROGRAM, "x = 1\n", "has no evaluate(program_path)"),
    "an evaluator that is no Python": (PROGRAM, "def evaluate(:\n", "does not compile"),
    "an evaluator that cannot be loaded": (
        PROGRAM,
        "1 / 0\n" + EVALUATOR,
        "ZeroDivisionError: division by zero (line 1",
    ),
    "raises": (PROGRAM, "def evaluate(program_path):\n    raise ValueError('x\\ny')\n", "ValueError: x y (line 2"),
    "no score": (PROGRAM, "def evaluate(program_path):\n    return {}\n", "returned no combined_score"),
    "unlike things": (PROGRAM, "def evaluate(program_path):\n    return {'a': 1, 'b': 900}\n", "mix unlike things"),
    "a text": (PROGRAM, "def evaluate(program_path):\n    return {'combined_score': '1'}\n", "'1', which is no finite"),
    "nested": (PROGRAM, "def evaluate(p):\n    return {'combined_score': {'a': 1}}\n", "which is no finite number"),
    "infinity": (
        PROGRAM,
        "def evaluate(p):\n    return {'combined_score': float('inf')}\n",
        "which is no finite number",
    ),
    "a number": (PROGRAM, "def evaluate(program_path):\n    return 3\n", "returned a int, not a dict"),
    "exits": (PROGRAM, "import os\n\n\ndef evaluate(p):\n    os._exit(0)\n", "the evaluator's process ended"),
    "executes the text": (
        PROGRAM,
        "def evaluate(p):\n    names = {}\n    exec(open(p).read(), names)\n    return {'combined_score': 1}\n",
        "let it import program_path",
    ),
}


@pytest.mark.parametrize("name", list(BAD))
def test_bad_input_is_one_clear_line_and_a_row(folder: Path, name: str) -> None:
    program, evaluator, expected = BAD[name]
    wish = starting.Wish(*files(folder / "p", program, evaluator), budget=5)
    with pytest.raises(OError) as raised:
        go(folder, wish)
    text = str(raised.value)
    assert expected in text and "\n" not in text
    (path,) = (folder / "runs").glob("*/run.db")
    store = Store.open(path.parent)
    assert store.fact("error") == text or next(store.rows()).error in text
    store.close()


def test_a_run_that_cannot_go_on_has_an_outcome_for_scripts_too(folder: Path) -> None:
    program, evaluator = files(folder / "p", evaluator="def evaluate(path):\n    return {'combined_score': 'much'}\n")
    last = evolve(folder, program, evaluator, "--budget", "5", code=1)[-1]
    assert last["outcome"] == "failed" and last["best"]["path"] == "" and "no finite number" in last["reason"]
    program, evaluator = files(folder / "q")
    last = evolve(folder, program, evaluator, "--time", "0.000001", code=1)[-1]
    assert last["outcome"] == "failed" and "time was over" in last["reason"]


def test_a_table_of_20000_numbers_evolves(folder: Path) -> None:
    table = ", ".join(str(number / 10) for number in range(20_000))
    program = f"# EVOLVE-BLOCK-START\nTABLE = [{table}]\n# EVOLVE-BLOCK-END\n\n\ndef score():\n    return TABLE[7]\n"
    run = go(folder, starting.Wish(*files(folder / "p", program), budget=3))
    assert run.done == 3 and run.failures == 0
    run.store.close()


def test_an_evaluator_that_prints_and_writes_files_does_no_harm(folder: Path) -> None:
    evaluator = IMPORTING + (
        "\nimport sys\nimport tempfile\n\n\ndef evaluate(program_path):\n    print('x' * 100000)\n"
        "    print('y', file=sys.stderr)\n    open('here', 'w').write('z')\n    tempfile.mkstemp()\n"
        "    return {'combined_score': load(program_path).score(), 'artifacts': {'note': 'é'}}\n"
    )
    run = go(folder, starting.Wish(*files(folder / "p", evaluator=evaluator), budget=5))
    assert run.done == 5 and run.failures == 0
    assert {path.name for path in (folder / "p").iterdir()} == {"program.py", "evaluator.py"}
    run.store.close()


def test_crlf_tabs_and_names_in_utf8_stay_to_the_byte(folder: Path) -> None:
    program = (
        PROGRAM.replace("    return", "\treturn")
        .replace("import math", "import math  # größe 尺寸")
        .replace("\n", "\r\n")
    )
    (folder / "größe").mkdir()
    path, evaluator = files(folder / "größe", program)
    path = path.rename(path.with_name("programm-größe.py"))
    run = go(folder, starting.Wish(path, evaluator, budget=30))
    value = outcome.finish(run.store)
    assert value["outcome"] == "improved"
    best = Path(value["best"]["path"]).read_bytes()
    assert best.count(b"\r\n") == best.count(b"\n") and "größe 尺寸".encode() in best and b"\treturn" in best
    run.store.close()


def test_several_blocks_evolve_and_what_stands_between_them_stays(folder: Path) -> None:
    start, end = "# EVOLVE-BLOCK-START\n", "# EVOLVE-BLOCK-END\n"
    score = "\ndef score():\n    return min(A, LIMIT) + min(B, LIMIT)\n"
    program = f"{start}A = 3.0\n{end}LIMIT = 7.0\n{start}B = 2.0\n{end}{score}"
    run = go(folder, starting.Wish(*files(folder / "p", program), budget=60))
    assert outcome.finish(run.store)["best"]["claimed"] == 14.0
    for row in run.store.rows():
        pieces = re.split("(?<=START\n)(?s:.)*?(?=# EVOLVE-BLOCK-END)", run.store.source(row.sha256).decode())
        assert pieces[:2] == [start, f"{end}LIMIT = 7.0\n{start}"] and pieces[2] == end + score
    run.store.close()


def test_where_the_best_goes_is_looked_at_before_the_run(folder: Path) -> None:
    program, evaluator = files(folder / "p")
    (folder / "there").mkdir()
    for out, why in ((folder / "there", "is no file"), (folder / "nowhere" / "x.py", "nothing can be written")):
        said = evolve(folder, program, evaluator, "--budget", "5", "--out", out, code=2)[0]["said"]
        assert why in said and said.count("\n") == 1
    assert not (folder / "w" / "programs").exists()


def test_a_link_stands_for_its_file_which_stays_as_readable_as_it_was(folder: Path) -> None:
    program, evaluator = files(folder / "p")
    program.chmod(0o750)
    (folder / "link.py").symlink_to(program)
    (folder / "new.py").symlink_to(folder / "target.py")
    last = evolve(folder, program, evaluator, "--budget", "15", "--out", folder / "link.py")[-1]
    evolve(folder, "--resume", last["evolution"], "--approve", last["best"]["revision"])
    assert digest_of(program.read_bytes()) == last["best"]["revision"] and (folder / "link.py").is_symlink()
    assert program.stat().st_mode & 0o777 == 0o750
    evolve(folder, "--resume", last["evolution"], "--out", folder / "new.py")
    assert digest_of((folder / "target.py").read_bytes()) == last["best"]["revision"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_run_that_is_asked_to_stop_says_how_to_go_on(folder: Path, number: signal.Signals) -> None:
    program, evaluator = files(folder / "p")
    with subprocess.Popen(
        command(folder, program, evaluator, "--budget", "100000"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        run = json.loads(process.stdout.readline())["evolution"]
        process.stdout.readline()
        process.send_signal(number)
        said = process.communicate()[1]
    assert process.returncode == 130
    again = f"go on with o-tui evolve --resume {run} --data-dir {folder / 'w'}\n"
    assert said.endswith(again) and said.startswith("stopped after ")


def test_the_program_and_the_evaluator_may_go_while_it_runs(folder: Path) -> None:
    program, evaluator = files(folder / "p")
    run = starting.begin(folder / "runs", starting.Wish(program, evaluator, budget=10), lambda _event: None)
    program.unlink()
    evaluator.unlink()
    run.go()
    assert run.done == 10 and outcome.finish(run.store)["best"]["path"]
    run.store.close()


def test_an_evaluator_that_changed_ends_the_run(folder: Path) -> None:
    program, evaluator = files(folder / "p")
    run = go(folder, starting.Wish(program, evaluator, budget=5))
    name = run.store.folder.name
    run.store.close()
    evaluator.write_text(EVALUATOR + "\n")
    with pytest.raises(RefusedError, match="has changed since the run began"):
        starting.resume(folder / "runs", name, None, lambda _event: None)


def test_a_full_disk_stops_the_run_with_what_it_kept(folder: Path) -> None:
    program, evaluator = files(folder / "p")
    said: list[int] = []
    run = starting.begin(
        folder / "runs",
        starting.Wish(program, evaluator, budget=400),
        lambda event: said.append(event["number"]) if event["event"] == "evaluation" else None,
    )
    run.store._connection.execute("COMMIT")
    (pages,) = run.store._connection.execute("PRAGMA page_count").fetchone()
    run.store._connection.execute(f"PRAGMA max_page_count={pages + 8}")
    run.store._connection.execute("BEGIN IMMEDIATE")
    with pytest.raises(PeerError, match="all evaluations that were reported are kept") as raised:
        run.go()
    name = run.store.folder.name
    assert name in raised.value.hint
    run.store.close()
    again = starting.resume(folder / "runs", name, None, lambda _event: None, budget=60)
    kept = {row.number for row in again.store.rows()}
    assert kept >= set(said)  # some were kept, and not yet told
    again.go()
    assert again.done == max(60, len(kept))
    again.store.close()


def test_a_resumed_run_with_less_to_spend_leaves_what_was_under_way(folder: Path) -> None:
    """It had begun more evaluations than the new budget has room for."""

    class StoppedError(Exception):
        pass

    def told(event: Mapping[str, Any]) -> None:
        if event["event"] == "evaluation" and run.store.fact("search") is not None:
            raise StoppedError

    program, evaluator = files(folder / "p")
    run = starting.begin(folder / "runs", starting.Wish(program, evaluator, budget=400), told)
    with pytest.raises(StoppedError):
        run.go()
    kept, begun = len(list(run.store.rows())), run.store.fact("search")["next"] - 1
    run.store.close()
    assert begun > kept + 1
    again = starting.resume(folder / "runs", run.store.folder.name, None, lambda _event: None, budget=kept + 1)
    again.go()
    assert again.done == len(list(again.store.rows())) == kept + 1
    again.store.close()
    more = starting.resume(folder / "runs", run.store.folder.name, None, lambda _event: None, budget=begun + 5)
    more.go()
    assert sorted(row.number for row in more.store.rows()) == [*range(1, begun + 6)]
    more.store.close()


def test_a_model_that_is_better_than_the_operators_wins(folder: Path) -> None:
    """A writer beside the operators: its candidate is evaluated as all others are, and kept for a resumed run."""

    class Writer:
        def __init__(self) -> None:
            self.looks = itertools.count()
            self.written = False
            self.busy = False

        def wait(self, timeout_s: float) -> None:
            raise AssertionError("it is never busy")

        def look(self, best: Scored, failures: list[str]) -> None:
            next(self.looks)

        def take(self) -> Proposal | None:
            if self.written or not next(self.looks):
                return None
            self.written = True
            return Proposal(PROGRAM.replace("return 10.0", "return 5e300"), "llm x", ("1",), "x")

        def close(self) -> None:
            pass

    program, evaluator = files(folder / "p")
    run = starting.begin(folder / "runs", starting.Wish(program, evaluator, budget=20), lambda _event: None)
    run.writer = Writer()
    run.go()
    value = outcome.finish(run.store)
    assert value["best"]["claimed"] >= 4e300
    assert [row.operator for row in run.store.rows()].count("llm x") == 1
    run.store.close()


def test_a_champion_that_was_only_lucky_is_shown_as_one(folder: Path) -> None:
    """Its score under the seed of all candidates is luck alone: under others it is no better than what was there."""
    program = "# EVOLVE-BLOCK-START\nN = 10\n# EVOLVE-BLOCK-END\n\n\ndef score():\n    return N\n"
    evaluator = IMPORTING + (
        "\nimport random\n\n\ndef evaluate(program_path, seed):\n"
        "    luck = random.Random(f'{seed} {load(program_path).score()}').random()\n"
        "    return {'combined_score': luck}\n"
    )
    run = go(folder, starting.Wish(*files(folder / "p", program, evaluator), budget=40))
    best = outcome.finish(run.store)["best"]
    assert best["claimed"] > 0.9 and best["measured_again"] < best["claimed"]
    assert best["initial_again"] != best["initial"]
    run.store.close()


def test_a_run_with_nothing_new_to_try_spends_its_budget_on_measuring_its_best_again(folder: Path) -> None:
    """Two variants, and luck: the one that is better in the middle wins, and not the one that had luck once."""
    program = "# EVOLVE-BLOCK-START\nX = True\n# EVOLVE-BLOCK-END\n\n\ndef score():\n    return X\n"
    evaluator = IMPORTING + (
        "\nimport random\n\n\ndef evaluate(program_path, seed):\n"
        "    x, luck = load(program_path).score(), random.Random(seed).random()\n"
        "    return {'combined_score': (0.0 if x else 0.2) + luck}\n"
    )
    run = go(folder, starting.Wish(*files(folder / "p", program, evaluator), budget=40))
    rows = list(run.store.rows())
    assert run.done == len(rows) == 40 and outcome.finish(run.store)["outcome"] == "improved"
    again = [row for row in rows if row.operator == AGAIN]
    assert len(again) == 38 and {row.parents for row in again} == {("1",), ("2",)}
    assert len({row.score for row in again}) == 38, "each under a seed of its own"
    name, kept = run.store.folder.name, [(row.number, row.score, row.parents) for row in rows]
    run.store.close()
    more = starting.resume(folder / "runs", name, None, lambda _event: None, budget=50)
    more.go()
    assert more.done == 50 and [(row.number, row.score, row.parents) for row in more.store.rows()][:40] == kept
    more.store.close()


def test_a_program_with_nothing_to_change_ends_early_and_says_so(folder: Path) -> None:
    program = "# EVOLVE-BLOCK-START\nX = 'a'\n# EVOLVE-BLOCK-END\n\n\ndef score():\n    return 1.0\n"
    last = evolve(folder, *files(folder / "p", program), "--budget", "40", code=1)[-1]
    assert (last["outcome"], last["evaluations"]) == ("nothing_to_change", 1)
    assert "nothing that the built-in operators can change" in last["reason"] and "\n" not in last["reason"]


def test_one_run_has_one_process(folder: Path) -> None:
    program, evaluator = files(folder / "p")
    run = go(folder, starting.Wish(program, evaluator, budget=2))
    with pytest.raises(RefusedError, match="another process"):
        Store.open(run.store.folder)
    run.store.close()
    with pytest.raises(NotFoundError):
        Store.open(folder / "runs" / "nowhere")


def descendants(pid: int) -> list[int]:
    """The servers of a run and their evaluators; candidates come and go too quickly."""
    servers = [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    below = [Path(f"/proc/{server}/task/{server}/children").read_text().split() for server in servers]
    return [*servers, *(int(found[0]) for found in below if found)]


def go(folder: Path, wish: starting.Wish) -> Any:
    """A run to its end; its store is open."""
    run = starting.begin(folder / "runs", wish, lambda _event: None)
    try:
        run.go()
    except OError:
        run.store.close()
        raise
    return run


def test_the_time_of_a_run_bounds_the_load_of_its_evaluator(folder: Path) -> None:
    program, evaluator = files(folder / "p")
    evaluator.write_text(f"import time\n\ntime.sleep(600)\n{evaluator.read_text()}")
    began = time.monotonic()
    last = evolve(folder, program, evaluator, "--time", "2", code=1)[-1]
    assert time.monotonic() - began < PATIENCE_S
    assert last["outcome"] == "failed" and "time was over before the evaluator was loaded" in last["reason"]
    assert not [each for each in Path("/proc").glob("[0-9]*/cmdline") if str(folder).encode() in _read(each)]


@pytest.mark.parametrize("dead", [1, 2])
def test_the_time_of_a_run_bounds_a_load_after_the_death_of_its_server_too(folder: Path, dead: int) -> None:
    """The evaluator hangs when it is loaded again; one server that is left measures the champion."""
    program, evaluator = files(folder / "p")
    hang = "import os, time\n\nif os.path.exists(os.path.dirname(__file__) + '/hang'):\n    time.sleep(600)\n"
    evaluator.write_text(f"{hang}\n{evaluator.read_text()}")
    asked = command(folder, program, evaluator, "--budget", "100000", "--time", "15")
    began = time.monotonic()
    with subprocess.Popen(asked, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(4)]
        (folder / "p" / "hang").touch()
        servers = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        for server in servers[:dead]:
            os.kill(int(server), signal.SIGKILL)
        lines += process.stdout.readlines()
    assert time.monotonic() - began < PATIENCE_S
    last = json.loads(lines[-1])
    assert last["evaluations"] > 3 and last["failed"] < last["evaluations"]
    if dead == 1:
        assert last["outcome"] in ("improved", "no_improvement")
    else:
        assert last["outcome"] == "failed" and "time was over before the evaluator was loaded" in last["reason"]
        (folder / "p" / "hang").unlink()
        more = evolve(folder, "--resume", last["evolution"], "--time", "10")[-1]
        assert more["outcome"] in ("improved", "no_improvement")


def test_a_server_that_is_frozen_is_replaced(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program, evaluator = files(folder / "p")
    config = folder / "config.yaml"
    config.write_text("evaluator:\n  timeout: 5\n")
    run = starting.begin(folder / "runs", starting.Wish(program, evaluator, budget=60, config=config), frozen_once())
    monkeypatch.setattr(lanes, "START_S", 10.0)
    run.go()
    assert run.done == 60 and run.failures == 0
    run.store.close()


def frozen_once() -> Callable[[Mapping[str, Any]], None]:
    """A report that stops the servers of this process when the tenth evaluation is told."""
    told: list[Mapping[str, Any]] = []

    def report(event: Mapping[str, Any]) -> None:
        told.append(event)
        if event.get("number") == 10:
            for server in Path(f"/proc/self/task/{os.getpid()}/children").read_text().split():
                if b"o_tui.programs.server" in _read(Path(f"/proc/{server}/cmdline")):
                    os.kill(int(server), signal.SIGSTOP)

    return report


def test_time_that_is_enough_ends_a_run_with_what_it_has(folder: Path) -> None:
    program, evaluator = files(folder / "p")
    last = evolve(folder, program, evaluator, "--budget", "100000", "--time", "10")[-1]
    assert 0 < last["evaluations"] < 100_000


def _read(file: Path) -> bytes:
    with contextlib.suppress(OSError):
        return file.read_bytes()
    return b""
