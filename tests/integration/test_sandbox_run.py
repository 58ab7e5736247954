"""`o-tui sandbox run`: a program's own output, what it was refused by name, and no verdict without a control."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from o_tui import _native
from o_tui.agent.sandbox_run import Stream
from o_tui.paths import Paths
from o_tui.protocol.refusals import in_words
from tests.support import ordinary
from tests.support.guardian_process import Link
from tests.support.guardians import running
from tests.support.patience import PATIENCE_S

REPOSITORY = Path(__file__).parents[2]
COMMAND = [sys.executable, "-m", "o_tui", "sandbox"]

pytestmark = pytest.mark.skipif(_native.probe()["tier"] == "X", reason="nothing confines on this machine")


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[bytes]]:
    def run(source: str, *words: str) -> subprocess.CompletedProcess[bytes]:
        file = tmp_path / "program.py"
        file.write_text(source)
        return subprocess.run([*COMMAND, "run", str(file), *words], capture_output=True, timeout=PATIENCE_S)

    return run


X86 = os.uname().machine == "x86_64"
SHMGET, CHROOT = (29, 161) if X86 else (194, 51)

Run = Callable[..., subprocess.CompletedProcess[bytes]]


def judged(run: Run, source: str, *words: str, code: int = 1) -> Any:
    done = run(source, "--json", *words)
    assert done.returncode == code, done
    return json.loads(done.stdout)


OURS = f"987.{os.getpid()}"
"""For how long a program of this run sleeps, by which it is known."""


def wait_until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def called(*endings: bytes) -> list[bytes]:
    """The command lines of processes that end so."""
    running = []
    for place in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            running.append(place.read_bytes())
    return [line for line in running if line.endswith(endings)]


def whats(verdict: Any) -> list[str]:
    return [f"{each['layer']}: {each['what']}" for each in verdict["violations"]]


def test_a_sound_programs_output_comes_unchanged(run: Run) -> None:
    done = run("import sys, json\nsys.stdout.buffer.write(b'\\x1b[31m\\xff\\x00')\nprint(json.dumps({'a': 1}))")
    assert (done.returncode, done.stdout, done.stderr) == (0, b'\x1b[31m\xff\x00{"a": 1}\n', b"")


def test_what_it_was_refused_is_named_with_its_layer(run: Run) -> None:
    source = """
import socket
for attempt in (lambda: open('/etc/passwd'), socket.socket, lambda: open('/tmp/x', 'w')):
    try:
        attempt()
    except OSError:
        print('refused')
"""
    verdict = judged(run, source)
    assert verdict["stdout"] == "refused\n" * 3 and verdict["exit"] == 0
    assert "seccomp: socket" in whats(verdict)
    assert sum("/etc/passwd" in what for what in whats(verdict)) == 1
    talk = run(source)
    assert talk.returncode == 1 and talk.stdout == b"refused\n" * 3
    assert b"refused by seccomp: socket\n" in talk.stderr


async def test_what_a_tool_was_refused_is_a_row_and_an_event_of_the_guardian_that_runs(workspace: Paths) -> None:
    (file := workspace.data / "spy.py").write_text(
        "import socket\ntry:\n    socket.socket()\nexcept OSError:\n    pass"
    )
    words = ["run", str(file), "--profile", "tool", "--json", "--data-dir", str(workspace.data)]
    async with running(workspace):
        process = await asyncio.create_subprocess_exec(*COMMAND, *words, stdout=asyncio.subprocess.PIPE)
        said, _ = await process.communicate()
        client = await Link.connect(workspace)
        rows = await client.call("violations.list")
        events = await client.call("events.list")
        await client.close()
    refused = [(each["layer"], each["what"]) for each in json.loads(said)["violations"]]
    assert ("seccomp", "socket") in refused
    assert [(row["layer"], row["what"]) for row in reversed(rows)] == refused
    assert {(row["instance"], row["role"]) for row in rows} == {("spy.py", "tool")}
    told = f"spy.py: sandbox: {in_words([what for _, what in refused])}"
    assert [event["text"] for event in events if event["kind"] == "violation"] == [told]


def test_a_call_that_kills_is_named(run: Run) -> None:
    verdict = judged(run, "import ctypes\nctypes.CDLL(None).syscall(425, 1, 0)")
    assert verdict["ended"] == "killed by SIGSYS"
    assert whats(verdict) == ["seccomp: io_uring_setup"]


def test_a_call_of_no_name_goes_by_its_number(run: Run) -> None:
    for profile in ("agent", "tool"):
        verdict = judged(run, "import ctypes\nctypes.CDLL(None).syscall(9999)", "--profile", profile)
        assert whats(verdict) == ["seccomp: system call 9999"]


def test_refusals_are_not_hidden_behind_others(run: Run) -> None:
    source = """
import socket
try:
    socket.socket()
except OSError:
    pass
for n in range(500):
    try:
        open({path})
    except OSError:
        pass
"""
    verdict = judged(run, source.format(path="f'/x{n}'"))
    assert verdict["unnamed"] + len(verdict["violations"]) == 501
    done = run(source.format(path="__file__"))
    assert done.returncode == 1 and b"more, of which no name is left" in done.stderr


def test_an_exit_code_that_is_too_large_is_no_success(run: Run) -> None:
    assert judged(run, "raise SystemExit(2 ** 70)")["exit"] == 255


def test_an_endless_program_ends_in_time(run: Run) -> None:
    for source in ("while True: pass", "import time, signal\nsignal.signal(15, signal.SIG_IGN)\ntime.sleep(999)"):
        verdict = judged(run, f"print('begun', flush=True)\n{source}", "--timeout", "2")
        assert verdict["ended"] == "killed by SIGKILL" and verdict["stdout"] == "begun\n"
        assert whats(verdict) == ["limits: wall clock 2 s"]
        assert verdict["wall_ms"] >= 2_000


def test_output_is_capped_and_the_rest_counted(run: Run) -> None:
    verdict = judged(run, "line = 'x' * 9999\nfor _ in range(10_000): print(line)", "--timeout", "100", code=0)
    assert len(verdict["stdout"]) == 1 << 20
    assert verdict["dropped_bytes"] == 100_000_000 - (1 << 20)


def test_what_a_program_leaves_in_its_pipe_counts_too() -> None:
    """It may end before the last of its output is read."""
    reading, writing = os.pipe()
    os.write(writing, b"x" * 40_000)
    stream = Stream(reading, limit=10)
    stream.rest()
    assert (bytes(stream.kept), stream.dropped) == (b"x" * 10, 39_990)
    stream.rest()  # nothing more is there, and the other end is open
    assert stream.dropped == 39_990
    os.close(writing)
    os.close(reading)


def test_memory_is_limited(run: Run) -> None:
    verdict = judged(run, "held = bytearray(2 << 30)")
    assert verdict["exit"] == 1 and "MemoryError" in verdict["stderr"]
    assert whats(verdict) == ["limits: memory 1024 MiB"]


@pytest.mark.parametrize(
    ("source", "status", "said"),
    [
        ("raise SystemExit(3)", 3, ""),
        ("import sys; sys.exit('no')", 1, "no\n"),
        ("import os; os._exit(0)", 0, ""),
        ("import os; os.abort()", -6, ""),
        ("def f(:", 1, "SyntaxError"),
        ("x = 1\nx.y", 1, "AttributeError"),
    ],
)
def test_it_ends_as_under_python(run: Run, source: str, status: int, said: str) -> None:
    verdict = judged(run, source, code=1 if status else 0)
    assert verdict["exit"] == status and said in verdict["stderr"]
    assert verdict["violations"] == []  # not even by the traceback's look for the source
    if "AttributeError" in said:
        assert "x.y" in verdict["stderr"]


def test_nothing_of_the_operators_is_in_reach(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_API_KEY", "canary-9a")
    source = """
import os
print([name for name in os.environ if 'KEY' in name])
def is_open(number):
    try:
        os.fstat(number)
    except OSError:
        return False
    return True
print([number for number in range(3, 256) if is_open(number)], os.read(0, 10), os.getuid() != 0)
"""
    verdict = judged(run, source, code=0)
    assert verdict["stdout"] == "[]\n[] b'' True\n"


def test_what_is_not_there_and_not_python_is_said(run: Run, tmp_path: Path) -> None:
    missing = subprocess.run([*COMMAND, "run", str(tmp_path / "none.py")], capture_output=True)
    assert missing.returncode == 3
    assert run("print(1)", "--timeout", "0").returncode == 2


PROGRAMS = f"""
import os, subprocess
def sh(command):
    return subprocess.run(["/bin/sh", "-c", command], capture_output=True, text=True)
print(os.listdir("."), os.environ["HOME"] == os.getcwd())
print(sh("echo 6 > n && cat n && mv n m && echo x > /dev/null && cat /etc/passwd").stdout)
for call in "exit(syscall({SHMGET}, 0, 4096, 0) == -1)", "my $path = '/tmp/x'; syscall({CHROOT}, $path)":
    print(subprocess.run(["/usr/bin/perl", "-e", call]).returncode)
try:
    open("/etc/shadow")
except OSError:
    print("refused")
"""


@pytest.mark.skipif(not Path("/usr/bin/perl").exists(), reason="no Perl")
@pytest.mark.parametrize("profile", ["tool", "build"])
def test_what_other_programs_are_refused_is_named_too(run: Run, profile: str) -> None:
    verdict = judged(run, PROGRAMS, "--profile", profile)
    assert verdict["stdout"] == "[] True\n6\n\n1\n-9\nrefused\n" and verdict["recorded"], verdict
    assert whats(verdict) == ["seccomp: shmget", "seccomp: chroot /tmp/x", "landlock: openat /etc/shadow"]


def test_a_sound_build_is_refused_nothing(run: Run) -> None:
    source = "import subprocess\nsubprocess.run('echo a | sort > b && mv b c && cat c && rm c', shell=True, check=True)"
    done = run(source, "--profile", "build")
    assert (done.returncode, done.stdout, done.stderr) == (0, b"a\n", b"")


@pytest.mark.skipif(not Path("/usr/bin/perl").exists(), reason="no Perl")
def test_what_a_tool_leaves_behind_ends_with_it(run: Run) -> None:
    source = f"""
import os, subprocess, time
for command in (["/bin/sh", "-c", "setsid sleep {OURS} & setsid sleep {OURS} & wait"],
                ["/usr/bin/perl", "-e", "for (;;) {{ exit if fork() }} # {OURS}"]):
    subprocess.Popen(command, stdout=subprocess.DEVNULL)
time.sleep(0.2)
print(os.getcwd())
"""
    verdict = judged(run, source, "--profile", "tool", code=0)
    assert not called(f"sleep\0{OURS}\0".encode(), f"# {OURS}\0".encode())
    assert not Path(verdict["stdout"].strip()).exists()


@pytest.mark.skipif(_native.probe()["tier"] != "A", reason="no namespaces")
def test_who_runs_a_tool_may_be_killed_and_nothing_of_it_stays(tmp_path: Path) -> None:
    """Its processes have sessions of their own, and no death signal any more."""
    file = tmp_path / "program.py"
    file.write_text(
        "import ctypes, subprocess\n"
        f"subprocess.Popen(['/bin/sh', '-c', 'setsid sleep {OURS} & wait'])\n"
        "ctypes.CDLL(None).prctl(1, 0, 0, 0, 0)\n"
        f"subprocess.run(['/bin/sleep', '{OURS}'])\n"
    )
    sleeping = f"sleep\0{OURS}\0".encode()
    command = [*COMMAND, "run", str(file), "--profile", "tool", "--timeout", "100"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, start_new_session=True) as process:
        wait_until(lambda: len(called(sleeping)) == 2)
        process.kill()
    wait_until(lambda: not called(sleeping))


def test_a_tool_that_is_interrupted_leaves_no_folder(folder: Path) -> None:
    file, place = folder / "program.py", folder / "place"
    place.mkdir()
    folder.chmod(0o711)
    place.chmod(0o711)
    file.write_text(f"import subprocess\nopen('made', 'w')\nsubprocess.run(['/bin/sleep', '{OURS}'])\n")
    words = [*COMMAND, "run", str(file), "--profile", "tool", "--timeout", "100"]
    with subprocess.Popen(words, env={**os.environ, "TMPDIR": str(place)}, stderr=subprocess.DEVNULL) as process:
        wait_until(lambda: bool(called(f"sleep\0{OURS}\0".encode())))
        process.terminate()
    assert list(place.iterdir()) == []


FILLS = """
data, written = bytes(1 << 20), 0
try:
    while written < 2000:
        open(f"n{written}", "wb").write(data)
        written += 1
finally:
    print(written)
"""
FULL = "limits: disk 512 MiB or 65536 files"


def base(tmp_path: Path, source: str) -> Any:
    """A tool's verdict where there are no namespaces."""
    file = tmp_path / "program.py"
    file.write_text(source)
    return json.loads(hiding("unshare", "run", str(file), "--json", "--profile", "tool", "--timeout", "100").stdout)


@pytest.mark.skipif(_native.probe()["tier"] != "A", reason="no namespaces")
def test_a_tools_folder_holds_so_much(run: Run) -> None:
    verdict = judged(run, FILLS, "--profile", "tool", "--timeout", "100")
    assert whats(verdict) == [FULL] and verdict["exit"] == 1
    assert int(verdict["stdout"]) == 512
    verdict = judged(run, "for n in range(70_000): open(f'{n}', 'w')", "--profile", "tool", "--timeout", "100")
    assert whats(verdict) == [FULL] and verdict["exit"] == 1


def test_where_its_folder_is_on_the_disk_it_is_counted(tmp_path: Path) -> None:
    verdict = base(tmp_path, FILLS)
    assert verdict["tier"] == "B" and whats(verdict) == [FULL] and verdict["ended"] == "killed by SIGKILL"


HIDES = """
import os, time
print(os.getcwd(), flush=True)
os.mkdir("closed")
for n in range(1500):
    os.mkdir("d")
    os.chdir("d")
open("file", "w").write("x")
os.mkdir("unreadable", 0)
"""


def test_a_tree_that_nobody_can_walk_is_no_place_to_hide_and_is_removed(tmp_path: Path) -> None:
    verdict = base(tmp_path, HIDES)
    assert verdict["exit"] == 0 and not Path(verdict["stdout"].strip()).exists()
    verdict = base(tmp_path, f"{HIDES.replace('1500', '3000')}time.sleep(99)")
    assert whats(verdict) == [FULL] and not Path(verdict["stdout"].strip()).exists()


def test_memory_of_all_processes_of_a_tool_is_counted_together() -> None:
    program = """
import sys
from o_tui.agent import sandbox_run, tally
from o_tui.protocol.verdict import Order
tally.TOGETHER_BYTES = 256 << 20
source = b"import os, time\\nfor n in range(5): os.fork()\\nheld = b'x' * (32 << 20)\\ntime.sleep(99)"
verdict = sandbox_run.judge(Order(name="x", source=source, timeout_s=60.0, profile="tool"))
print(verdict.control, verdict.exit, [each.what for each in verdict.refused])
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == " -9 ['memory 256 MiB of all its processes']\n"


@pytest.mark.parametrize("number", [2, 6, 9, 11, 13, 15])
def test_a_tool_ends_as_under_python(run: Run, number: int) -> None:
    """Though it is two processes further away."""
    source = f"import os, signal\nif {number} != 9: signal.signal({number}, 0)\nos.kill(os.getpid(), {number})"
    assert judged(run, source, "--profile", "tool")["exit"] == -number


def test_with_no_process_left_it_is_said_what_to_do(tmp_path: Path) -> None:
    file = tmp_path / "program.py"
    file.write_text("print('ran')")
    limit = "import os, resource, sys; resource.setrlimit(resource.RLIMIT_NPROC, (0, 0))"
    program = f"{limit}; os.execv(sys.argv[1], sys.argv[1:])"
    command = [sys.executable, "-c", program, *COMMAND, "run", str(file), "--profile", "tool"]
    done = subprocess.run(command, capture_output=True, timeout=PATIENCE_S)
    assert done.returncode in (5, 69) and not done.stdout
    assert b"(the user has as many processes and threads as he may: raise the limit (ulimit -u)" in done.stderr


def test_with_somebody_listening_already_programs_are_refused_all_the_same(tmp_path: Path) -> None:
    """As in a container whose manager listens: refused, and said that there is no record."""
    file = tmp_path / "program.py"
    file.write_text("import socket\nsocket.socket()")
    command = [*COMMAND, "run", str(file), "--json", "--profile", "build"]
    program = f"from tests.support.hiding import listen; listen(); import os; os.execv({command[0]!r}, {command!r})"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, timeout=PATIENCE_S, cwd=REPOSITORY)
    verdict = json.loads(done.stdout)
    assert not verdict["recorded"] and verdict["violations"] == [] and "PermissionError" in verdict["stderr"]


def test_without_a_control_there_is_no_verdict() -> None:
    program = """
import dataclasses, sys
from o_tui.agent import sandbox_run
from o_tui.protocol.verdict import Order
sandbox_run.CONTROLS["agent"] = b"raise SystemExit(41)"
verdict = sandbox_run.judge(Order(name="x", source=b"print('ran')", timeout_s=60.0))
print(verdict.control, verdict.stdout)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "it ended with 41; sandbox clean b''\n"


def test_the_probe_names_every_layer() -> None:
    done = subprocess.run([*COMMAND, "probe", "--json"], capture_output=True)
    value = json.loads(done.stdout)
    assert done.returncode == 0 and value["tier"] in "ABC"
    assert {layer["name"] for layer in value["layers"]} >= {"namespaces", "landlock", "seccomp", "limits", "identity"}
    assert all(layer["why"] for layer in value["layers"] if not layer["on"])


def hiding(call: str, *words: str) -> subprocess.CompletedProcess[bytes]:
    """The command on a kernel without a part of the sandbox."""
    program = (
        f"from tests.support.hiding import hide; hide([{call!r}]); import os, sys; os.execv(sys.argv[1], sys.argv[1:])"
    )
    return subprocess.run([sys.executable, "-c", program, *COMMAND, *words], capture_output=True, timeout=PATIENCE_S)


def test_where_nothing_confines_nothing_is_run(tmp_path: Path) -> None:
    file = tmp_path / "program.py"
    file.write_text("print('ran')")
    done = hiding("seccomp", "run", str(file))
    assert (done.returncode, done.stdout) == (4, b"")
    assert (
        b"cannot be confined on this machine: a filter of system calls, limits and an unprivileged user are not all in "
        b"force (tier X)" in done.stderr
    )
    probed = hiding("seccomp", "probe", "--json")
    assert probed.returncode == 4 and json.loads(probed.stdout)["tier"] == "X"


def test_a_tool_is_not_run_without_landlock(tmp_path: Path) -> None:
    file = tmp_path / "program.py"
    file.write_text("print('ran')")
    done = hiding("landlock_create_ruleset", "run", str(file), "--profile", "tool")
    assert (done.returncode, done.stdout) == (4, b"") and b"only Landlock keeps the files from a tool" in done.stderr


@pytest.mark.parametrize(("hidden", "tier"), [("unshare", "B"), ("landlock_create_ruleset", "C")])
def test_a_lower_tier_still_refuses(tmp_path: Path, hidden: str, tier: str) -> None:
    file = tmp_path / "program.py"
    file.write_text("import socket\nprint('ran', flush=True)\nsocket.socket()")
    verdict = json.loads(hiding(hidden, "run", str(file), "--json").stdout)
    assert (verdict["tier"], verdict["stdout"]) == (tier, "ran\n")
    assert "seccomp: socket" in whats(verdict) and "PermissionError" in verdict["stderr"]


@pytest.mark.skipif(os.geteuid() != 0, reason="runs as an ordinary user already")
def test_as_an_ordinary_user(tmp_path: Path) -> None:
    """With the system's Python, in an environment that others can read."""
    if not Path(ordinary.SYSTEM_PYTHON).exists():
        pytest.skip("no system Python")
    place = Path(tempfile.mkdtemp(prefix="o-user-"))
    try:
        place.chmod(0o755)
        subprocess.run([ordinary.SYSTEM_PYTHON, "-m", "venv", "--without-pip", str(place / "venv")], check=True)
        (packages,) = (place / "venv").glob("lib/python*/site-packages")
        ours = next(path for path in sys.path if path.endswith("site-packages"))
        (packages / "o.pth").write_text(f"{ours}\n{REPOSITORY}\n")
        file = place / "program.py"
        file.write_text("import os, socket\nprint(os.getuid(), flush=True)\nsocket.socket()")
        tool = place / "tool.py"
        tool.write_text(PROGRAMS)
        command = [str(place / "venv" / "bin" / "python"), "-m", "o_tui", "sandbox", "run", str(file), "--json"]
        become = [sys.executable, "-m", ordinary.__name__, str(ordinary.USER)]
        done = subprocess.run([*become, *command], capture_output=True, timeout=PATIENCE_S, cwd=REPOSITORY)
        verdict = json.loads(done.stdout)
        command[4:] = ["run", str(tool), "--json", "--profile", "tool"]
        done = subprocess.run([*become, *command], capture_output=True, timeout=PATIENCE_S, cwd=REPOSITORY)
        programs = json.loads(done.stdout)
    finally:
        shutil.rmtree(place)
    assert "seccomp: shmget" in whats(programs) and "seccomp: chroot /tmp/x" in whats(programs), programs
    assert verdict["tier"] in "AB" and verdict["stdout"] in (f"{ordinary.USER}\n", "65534\n"), verdict
    assert whats(verdict) == ["seccomp: socket"]
