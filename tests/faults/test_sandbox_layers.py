"""What each layer does with the others off, and no attack shows because something else stops it too."""

from __future__ import annotations

import ctypes
import json
import os
import resource
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from o_tui import _native
from tests.support.patience import PATIENCE_S

CONFINED = """
import json, os, resource, socket, sys
from o_tui import _native
from o_tui.agent import confinement
layers, kept, code = json.loads(sys.argv[1])
read = [*confinement.readable(), *kept.pop("more", [])]
_native.confine(kept.pop("profile", "agent"), read=read, layers=layers, **kept)
exec(code)
"""
needs_namespaces = pytest.mark.skipif(not _native.probe()["layers"][0]["on"], reason="no namespaces")


def inside(code: str, *layers: str, before: tuple[str, ...] = (), **kept: Any) -> Any:
    """What `code` prints, as JSON, in a process with these layers."""
    command = [*before, sys.executable, "-c", CONFINED, json.dumps([layers, kept, code])]
    done = subprocess.run(command, stdout=subprocess.PIPE, timeout=PATIENCE_S, check=True)
    return json.loads(done.stdout)


def test_every_limit_is_set_for_good() -> None:
    names = ("CORE", "NOFILE", "NPROC", "FSIZE", "MEMLOCK", "MSGQUEUE", "AS", "DATA", "CPU")
    code = f"print(json.dumps({{n: resource.getrlimit(getattr(resource, 'RLIMIT_' + n, 12)) for n in {names}}}))"
    limits = inside(code, "limits", memory_bytes=1 << 30, file_bytes=4096, cpu_s=7)
    assert all(soft == hard for soft, hard in limits.values()), limits
    assert {name: hard for name, (_soft, hard) in limits.items() if name not in ("AS", "DATA")} == {
        "CORE": 0, "NOFILE": 64, "NPROC": 0, "FSIZE": 4096, "MEMLOCK": 0, "MSGQUEUE": 0, "CPU": 7,
    }  # fmt: skip
    for name in ("AS", "DATA"):
        assert 1 << 30 < limits[name][1] < 3 << 30, limits
    tool = inside(code, "limits", profile="tool", memory_bytes=1 << 30, file_bytes=4096, cpu_s=7)
    assert (tool["NPROC"], tool["NOFILE"]) == ([512, 512], [1024, 1024])


STATUS = """
fields = dict(line.split(":\\t") for line in open("/proc/self/status").read().splitlines() if ":\\t" in line)
kept = {name: fields[name] for name in ("Uid", "Gid", "Groups", "CapBnd", "CapEff", "CapPrm", "NoNewPrivs")}
kept["oom"], kept["umask"] = open("/proc/self/oom_score_adj").read().strip(), os.umask(0)
print(json.dumps(kept))
"""


def test_the_identity_of_nobody_in_particular() -> None:
    found = inside(STATUS, "identity")
    assert (found["oom"], found["umask"], found["NoNewPrivs"]) == ("500", 0o077, "1")
    assert int(found["CapEff"], 16) == int(found["CapPrm"], 16) == 0
    if os.geteuid() == 0:
        assert found["Uid"].split() == found["Gid"].split() == ["65534"] * 4
        assert found["Groups"].strip() == "" and int(found["CapBnd"], 16) == 0


EXEC = """
again = "import os, sys; sys.exit(any(os.path.exists(f'/proc/self/fd/{n}') for n in range(3, 64)))"
pid = os.fork()
if pid == 0:
    os.execv(sys.executable, [sys.executable, "-I", "-c", again])
os.write(3, str(os.waitpid(pid, 0)[1]).encode())
"""


def test_its_socket_does_not_survive_an_exec() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        arguments = json.dumps([["limits"], {"socket": theirs.fileno(), "profile": "tool"}, EXEC])
        command = [sys.executable, "-c", CONFINED, arguments]
        subprocess.run(command, timeout=PATIENCE_S, pass_fds=(theirs.fileno(),), check=True)
        assert ours.recv(10) == b"0"


def test_a_socket_is_all_that_an_instance_keeps() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        code = "os.write(3, bytes(os.fstat(n).st_rdev == os.stat('/dev/null').st_rdev for n in range(3)))"
        command = [sys.executable, "-c", CONFINED, json.dumps([["limits"], {"socket": theirs.fileno()}, code])]
        subprocess.run(command, timeout=PATIENCE_S, pass_fds=(theirs.fileno(),), check=True)
        assert ours.recv(10) == b"\1\1\1"


def test_another_parent_than_expected_is_none() -> None:
    command = [sys.executable, "-c", CONFINED, json.dumps([[], {"parent": 1 << 30}, "print('ran')"])]
    done = subprocess.run(command, capture_output=True, timeout=PATIENCE_S)
    assert done.returncode and not done.stdout and b"could not end with its parent" in done.stderr


def test_a_file_that_may_be_written_may_not_be_run(tmp_path: Path) -> None:
    tmp_path.chmod(0o711)
    slot = tmp_path / "slot"
    slot.write_bytes(Path("/bin/true").read_bytes())
    slot.chmod(0o777)
    code = f"""
import subprocess
found = []
for program in ("/bin/true", {str(slot)!r}):
    try: found.append(subprocess.run([program]).returncode)
    except OSError as error: found.append(type(error).__name__)
print(json.dumps(found))
"""
    kept = {"profile": "tool", "files": [str(slot), "/dev/null"], "more": PROGRAMS}
    assert inside(code, **kept) == [0, 0]
    assert inside(code, "landlock", **kept) == [0, "PermissionError"]


PROGRAMS = ["/usr", "/lib", "/lib64", "/bin"]
CHANGE = """
import subprocess
def attempt(what):
    try: what()
    except OSError as error: return type(error).__name__
    return "done"
print(json.dumps([
    attempt(lambda: open("old").read()),
    attempt(lambda: open("old", "a")),
    attempt(lambda: open("new", "w")),
    attempt(lambda: os.truncate("old", 0)),
    attempt(lambda: os.rename("old", "older")),
    attempt(lambda: os.unlink("older")),
    attempt(lambda: subprocess.run(["/bin/true"])),
]))
"""


@pytest.mark.parametrize("profile", ["agent", "tool"])
def test_what_may_be_read_may_not_be_changed_or_run_by_an_instance(tmp_path: Path, profile: str) -> None:
    """Though it is the user's own, and only Landlock stands before it."""
    (tmp_path / "old").write_text("x")
    code = f"os.chdir({str(tmp_path)!r})\n{CHANGE}"
    assert inside(code, profile=profile) == ["done"] * 7
    for name in ("new", "old", "older"):
        (tmp_path / name).unlink(missing_ok=True)
    (tmp_path / "old").write_text("x")
    refused = "PermissionError"
    # what it was not renamed to is not there to be removed, but who may remove nothing is told no more
    found = inside(code, "landlock", profile=profile, more=[str(tmp_path), *PROGRAMS])
    assert found[:5] == ["done", *[refused] * 4]
    assert found[5] in (refused, "FileNotFoundError")
    assert found[6] == ("done" if profile == "tool" else refused)


@needs_namespaces
def test_what_is_mounted_in_a_world_of_its_own(folder: Path) -> None:
    folder.chmod(0o777)
    code = (
        "flags = {p: os.statvfs(p).f_flag & (os.ST_RDONLY | os.ST_NODEV | os.ST_NOSUID)"
        f" for p in ('/', os.path.dirname(os.__file__), {str(folder)!r})}}; print(json.dumps(list(flags.values())))"
    )
    closed = os.ST_RDONLY | os.ST_NODEV | os.ST_NOSUID
    free = os.ST_NODEV | os.ST_NOSUID
    assert inside(code, "namespaces", profile="tool", write=[str(folder)]) == [closed, closed, free]
    assert inside(code, "namespaces", profile="tool", write=[str(folder)], room_bytes=1 << 20) == [closed, closed, free]


@needs_namespaces
def test_no_way_leads_up_to_the_old_root() -> None:
    """Which stood over the new one for a moment."""
    code = """
os.chdir("/..")
ways = ("/etc/passwd", "/../etc/passwd", "etc/passwd", "../etc/passwd")
print(json.dumps([os.path.exists(way) for way in ways]))
"""
    assert inside(code) == [True] * 4
    assert inside(code, "namespaces") == [False] * 4


@needs_namespaces
def test_a_system_v_object_of_the_users_is_not_there() -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    key = 0x6F000000 | os.getpid() & 0xFFFFFF
    made = libc.shmget(key, 4096, 0o1666)
    try:
        code = f"import ctypes; print(ctypes.CDLL(None).shmget({key}, 0, 0))"
        assert inside(code) >= 0, "without a sandbox it is found"
        assert inside(code, "namespaces") == -1
    finally:
        libc.shmctl(made, 0, None)


@needs_namespaces
@pytest.mark.skipif(os.geteuid() != 0, reason="only root may ask of another's namespaces")
def test_namespaces_are_its_own() -> None:
    arguments = json.dumps(
        [["namespaces"], {"profile": "tool", "apart": True}, "print(1, flush=True); sys.stdin.read()"]
    )
    command = [sys.executable, "-c", CONFINED, arguments]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stdout.readline() == b"1\n"
        names = ("mnt", "net", "ipc", "uts")
        for name in names:
            place = Path(f"/proc/{process.pid}/ns/{name}")
            assert place.readlink() != Path(f"/proc/self/ns/{name}").readlink(), name
        process.communicate(b"")


@needs_namespaces
def test_nothing_is_mounted_for_others() -> None:
    """Where mounts are handed on, as systemd has it, what is mounted for a confined process would be everybody's."""
    program = [sys.executable, "-c", CONFINED, json.dumps([["namespaces"], {}, "print(os.path.exists('/etc/passwd'))"])]
    script = """before=$(cat /proc/self/mountinfo)
    [ "$("$@")" = False ] && [ "$before" = "$(cat /proc/self/mountinfo)" ]"""
    world = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
    command = ["unshare", *world, "--mount", "--propagation", "shared", "sh", "-c", script, "sh", *program]
    done = subprocess.run(command, capture_output=True, timeout=PATIENCE_S)
    if done.stderr.startswith(b"unshare:"):
        pytest.skip(done.stderr.decode())
    assert done.returncode == 0


def test_a_limit_that_is_lower_already_stays() -> None:
    code = "print(json.dumps(resource.getrlimit(resource.RLIMIT_NOFILE)))"
    before = ("sh", "-c", 'ulimit -n 32; exec "$@"', "sh")
    assert inside(code, "limits", before=before) == [32, 32]
    assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] > 32
