"""Guardians that commands start, serve and end, and what lets none start."""

from __future__ import annotations

import contextlib
import json
import os
import re
import select
import shlex
import shutil
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from o_tui.cli.main import main
from o_tui.client import Client, ensure_guardian
from o_tui.guardian.lock import holder
from o_tui.paths import shipped
from tests.support import ordinary
from tests.support import shell as shells
from tests.support.patience import PATIENCE_S
from tests.support.shell import COMMAND, Shell

alone = shells.alone


def test_a_guardian_that_a_command_starts_ends_with_it(alone: Shell) -> None:
    done = alone.run("status", "--json")
    assert "--keep" in done.stderr
    assert alone.json("stop") == {"stopped": False, "pid": 0}
    first = alone.json("status", "--keep")["guardian"]
    again = alone.run("status", "--json")
    assert again.stderr == "" and json.loads(again.stdout)["guardian"]["pid"] == first["pid"]
    assert alone.json("stop") == {"stopped": True, "pid": first["pid"]}


def test_a_change_in_the_background_wants_a_guardian_that_stays(alone: Shell) -> None:
    (alone.paths.data / "c.py").write_text((shipped("data") / "genome" / "recall.py").read_text() + "\n# new\n")
    words = ("evolve", "recall", "--from", str(alone.paths.data / "c.py"), "--no-wait")
    with ensure_guardian(alone.paths):
        assert "no guardian stays that would finish it" in alone.run(*words, code=2).stderr
        begun = alone.json(*words, "--keep")["evolution"]
    assert alone.json("status")["guardian"]["stays"] is True
    assert alone.run("reject", begun, "--reason", "enough", code=None).returncode in (0, 4)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
def test_a_command_that_is_ended_ends_the_guardian_that_it_started(alone: Shell, number: signal.Signals) -> None:
    (alone.paths.data / "c.py").write_text((shipped("data") / "genome" / "recall.py").read_text() + "\n# new\n")
    words = [*COMMAND, "evolve", "recall", "--from", str(alone.paths.data / "c.py"), "--json"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=alone.environment) as running:
        assert running.stdout is not None and running.stdout.readline()
        guardian = holder(alone.paths)
        assert guardian is not None
        pidfd = os.pidfd_open(guardian.pid)
        running.send_signal(number)
        running.communicate(timeout=PATIENCE_S)
    assert running.returncode == (-9 if number == signal.SIGKILL else 130)
    assert select.select([pidfd], [], [], PATIENCE_S)[0], "its guardian is still there"
    os.close(pidfd)


def serve(shell: Shell, **environment: str) -> tuple[subprocess.Popen[str], dict[str, Any]]:
    process = subprocess.Popen(
        [*COMMAND, "serve", "--json"], stdout=subprocess.PIPE, text=True, env=shell.environment | environment
    )
    assert process.stdout is not None
    return process, json.loads(process.stdout.readline())


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
def test_serve_until_a_signal(number: signal.Signals, code: int, alone: Shell) -> None:
    process, said = serve(alone)
    assert said["pid"] == process.pid == alone.json("status")["guardian"]["pid"]
    second = alone.run("serve", code=75)
    assert re.search(f"pid {process.pid}", second.stderr) and second.stderr.count("\n") == 1
    process.send_signal(number)
    assert process.wait(PATIENCE_S) == code
    assert not alone.paths.socket.exists()


def test_serve_ends_when_stop_is_said(alone: Shell) -> None:
    process, _ = serve(alone)
    assert alone.json("stop") == {"stopped": True, "pid": process.pid}
    assert process.wait(PATIENCE_S) == 0


def test_serve_speaks_with_systemd(alone: Shell, folder: Path) -> None:
    import socket

    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(folder / "n"))
        listener.settimeout(PATIENCE_S)
        process, _ = serve(alone, NOTIFY_SOCKET=str(folder / "n"), WATCHDOG_USEC="200000")
        assert listener.recv(200).startswith(b"READY=1"), "before any sign of life, however long the start takes"
        while listener.recv(200) != b"WATCHDOG=1":
            pass
        process.terminate()
        while listener.recv(200) != b"STOPPING=1":
            pass
        assert process.wait(PATIENCE_S) == 0


def test_interrupting_a_command_ends_the_guardian_that_it_started(
    alone: Shell, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt(client: Client, method: str, **_: Any) -> Any:
        assert client.started and holder(alone.paths) is not None
        monkeypatch.undo()
        raise KeyboardInterrupt

    monkeypatch.setattr(Client, "call", interrupt)
    assert main(["status", "--data-dir", str(alone.paths.data)]) == 130
    assert holder(alone.paths) is None
    assert capsys.readouterr().out == ""


def test_doctor_sees_what_lets_nothing_start(alone: Shell) -> None:
    alone.run("status")
    assert alone.json("doctor")["ok"] is True
    alone.paths.config_file.write_text("[brain]\nmodle = 'x'\n")
    wrong = [check for check in alone.json("doctor", code=1)["checks"] if not check["ok"]]
    assert [check["name"] for check in wrong] == ["config"] and "did you mean brain.model?" in wrong[0]["detail"]
    alone.paths.config_file.unlink()
    shutil.rmtree(alone.paths.genome / ".git" / "objects")
    wrong = [check for check in alone.json("doctor", code=1)["checks"] if not check["ok"]]
    assert [check["name"] for check in wrong] == ["genome"]


def test_doctor_looks_at_what_may_only_be_read(alone: Shell) -> None:
    alone.run("memory", "add", "a boat")
    data = shlex.quote(str(alone.paths.data))
    shut = f"mount --bind {data} {data} && mount -o remount,bind,ro {data}"  # as Linux does after errors of a disk
    doctor = f"exec {sys.executable} -m o_tui doctor --json --data-dir {data}"
    command = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", f"{shut} && {doctor}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S)
    if done.stderr.startswith(("unshare:", "mount:")):
        pytest.skip(done.stderr)
    details = {check["name"]: check["detail"] for check in json.loads(done.stdout)["checks"]}
    assert done.returncode == 1 and details["folder"] == f"{alone.paths.data} is read-only"
    assert details["head"].startswith("entry ")


def test_a_pipe_in_place_of_settings_or_database_is_one_line_and_not_waited_for(alone: Shell) -> None:
    alone.run("memory", "add", "kept")
    os.mkfifo(alone.paths.config_file)
    assert "config.toml is not a file (mend the file" in alone.run("status", code=2).stderr
    alone.paths.config_file.unlink()
    kept = alone.paths.database.rename(alone.paths.data / "away")
    os.mkfifo(alone.paths.database)
    wrong = {check["name"]: check["detail"] for check in alone.json("doctor", code=1)["checks"] if not check["ok"]}
    assert wrong["database"].endswith("o.db is not a file")
    assert "o.db is not a file (move it away" in alone.run("status", code=4).stderr
    kept.replace(alone.paths.database)
    head = alone.paths.mirror / "head"
    for make in (os.mkfifo, os.mkdir):
        head.unlink()
        make(head)
        assert "head is no file (move it away" in alone.run("status", code=4).stderr
        head.rename(alone.paths.data / make.__name__)
        assert "kept" in str(alone.json("memory", "list"))


def test_what_a_start_mended_is_told(alone: Shell) -> None:
    alone.run("memory", "add", "one")
    head = alone.paths.mirror / "head"
    head.write_bytes(b"\xff" * head.stat().st_size)
    said = [line for line in alone.run("status").stderr.splitlines() if line.startswith(("warning: ", "error: "))]
    assert said and "head" in said[0]
    assert any("head" in row["text"] for row in alone.json("events", "--filter", "level:warning")["events"])


def test_a_locked_database_is_an_error_and_no_hang(alone: Shell) -> None:
    alone.run("status")
    with contextlib.closing(sqlite3.connect(alone.paths.database, isolation_level=None)) as other:
        other.execute("begin exclusive")
        done = alone.run("status", code=75)
        assert done.stderr.count("\n") == 1 and "locked" in done.stderr
        other.execute("rollback")
    alone.run("status")


def test_a_workspace_that_cannot_be_made_is_refused(alone: Shell) -> None:
    blocked = alone.paths.data / "file"
    blocked.write_text("in the way")
    done = alone.run("status", "--data-dir", str(blocked / "w"), code=4)
    assert done.stderr.count("\n") == 1 and "--data-dir" in done.stderr


@pytest.mark.parametrize(("words", "most"), [(["status"], 1), (["status"], 3), (["sandbox", "probe"], 1)])
def test_with_no_process_left_for_the_user_it_is_said_what_to_do(folder: Path, words: list[str], most: int) -> None:
    """By an ordinary user: root has no limit."""
    folder.chmod(0o777)
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(folder), "XDG_RUNTIME_DIR": str(folder)}
    limit = f"import os, resource, sys; resource.setrlimit(resource.RLIMIT_NPROC, ({most}, {most}))"
    start = f"{limit}; os.execv(sys.executable, [sys.executable, '-m', 'o_tui', *sys.argv[1:]])"
    command = [sys.executable, "-c", start, *words]
    if os.geteuid() == 0:
        if not Path(ordinary.SYSTEM_PYTHON).exists():
            pytest.skip("no Python that an ordinary user can run")
        command[0] = ordinary.SYSTEM_PYTHON
        packages = next(path for path in sys.path if path.endswith("site-packages"))
        environment["PYTHONPATH"] = f"{packages}:{Path(__file__).parents[2]}"
        command = [sys.executable, "-m", ordinary.__name__, str(ordinary.USER), *command]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=PATIENCE_S)
    assert done.returncode in (5, 69), done
    assert "raise the limit (ulimit -u)" in done.stderr and "defect" not in done.stderr
