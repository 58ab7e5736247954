"""What a profile leaves: fixed files to an agent, programs and one folder to a tool and a build, a proxy to a tool."""

from __future__ import annotations

import pytest

from tests.faults.test_sandbox_corpus import SYSCALL, USERS, X86, attack
from tests.support.sandboxed import QUOTA_BYTES, Program, run

SHELL = """
import subprocess, sys
done = subprocess.run(["/bin/sh", "-c", {command!r}], cwd=scratch, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
print(done.stdout.decode())
if done.returncode == 0: print("SUCCEEDED")
"""
WORKS = {
    "run a program": SHELL.format(command="echo 6 > n && cat n && rm n"),
    "make and leave a folder": SHELL.format(command="mkdir a && mv a b && rmdir b"),
    "limits of its own": attack("import resource; resource.setrlimit(resource.RLIMIT_CORE, (0, 0))"),
    "a processor of its own": attack("import os; os.sched_setaffinity(0, os.sched_getaffinity(0))"),
    "a pipe": SHELL.format(command="echo x | cat"),
    "a thread": attack("import threading; t = threading.Thread(target=print); t.start(); t.join()"),
}
REFUSED = {
    "read a key": attack("open(secret).read()"),
    "list the home": attack("import os; os.listdir(home)"),
    "write outside": attack("open(vault, 'w')"),
    "write to tmp": attack("open('/tmp/pwn-' + unique, 'w')"),
    "write to usr": attack("open('/usr/bin/o-pwn', 'w')"),
    "its parent's environment": attack("open(f'/proc/{parent}/environ').read()"),
    "UDP": attack("import socket; socket.socket(2, 2)"),
    "a named socket": attack("import socket; socket.socket(1).connect(named)"),
    "an abstract socket": attack("import socket; socket.socket(1).connect(abstract.encode('latin-1'))"),
    "listen": attack("import socket; s = socket.socket(); s.bind(('127.0.0.1', 0)); s.listen()"),
    "another port": attack("import socket; socket.create_connection(('127.0.0.1', port + 1))"),
    "signal its parent": attack("import os; os.kill(parent, 0)"),
    "limit its parent": attack("import resource; resource.prlimit(parent, resource.RLIMIT_CORE, (0, 0))"),
    "pin its parent": attack("import os; os.sched_setaffinity(parent, os.sched_getaffinity(parent))"),
    "schedule its parent": attack("import os; os.sched_setscheduler(parent, os.SCHED_OTHER, os.sched_param(0))"),
    "ptrace": f"{SYSCALL}\ncall({101 if X86 else 117}, 16, sibling, 0, 0)",
    "a large file": attack("open(scratch + '/big', 'wb').write(bytes(4 << 20))"),
    "sudo": SHELL.format(command="mount -t tmpfs o /mnt"),
    "a user namespace": f"""
import ctypes, os
made = ctypes.CDLL(None).syscall({56 if X86 else 220}, 0x10000000 | 17, 0, 0, 0, 0)
if made == 0: os._exit(0)
if made > 0: print("SUCCEEDED")
""",
    "a file in memory that no limit counts": attack("import os; os.memfd_create('x')"),
    "a signal by a descriptor": attack("import fcntl, os; fcntl.fcntl(os.pipe()[0], fcntl.F_SETOWN, parent)"),
}
UNMEDIATED = {
    "a mode": attack("import os; os.chmod(vault, 0o777)"),
    "a mode of what may be read": attack("import os; os.chmod(open(os.__file__).fileno(), 0o777)"),
    "an owner": attack("import os; os.chown(vault, os.getuid(), -1)"),
    "times": attack("import os; os.utime(vault)"),
    "an attribute": attack("import os; os.setxattr(vault, 'user.o', b'1')"),
    "what happens in a folder": attack(
        "import ctypes; l = ctypes.CDLL(None); assert l.inotify_add_watch(l.inotify_init(), home.encode(), 0x100) >= 0"
    ),
}
"""What Landlock lets everybody do whose file it is."""
BASE = ("identity", "limits", "landlock", "seccomp")
PROXY = attack("import socket; socket.create_connection(('127.0.0.1', port))")


@pytest.mark.parametrize("user", USERS)
@pytest.mark.parametrize("profile", ["tool", "build"])
def test_programs_work_in_one_folder_and_reach_nothing_else(profile: str, user: int | None) -> None:
    sources = [*WORKS.values(), PROXY, *REFUSED.values()]
    found = run([Program(source, profile=profile) for source in sources], user)
    for name, seen in zip(WORKS, found, strict=False):
        assert "SUCCEEDED" in seen.out and seen.tier in "AB", (name, seen)
    assert ("SUCCEEDED" in found[len(WORKS)].out) == (profile == "tool"), found[len(WORKS)]
    for name, seen in zip(REFUSED, found[len(WORKS) + 1 :], strict=True):
        harm = [what for what in seen.harm if what != "a file in scratch"]  # it is its own
        assert "SUCCEEDED" not in seen.out and not harm, (name, seen)


@pytest.mark.parametrize("user", USERS)
def test_where_a_tool_has_no_root_of_its_own_the_filter_keeps_the_operators_files(user: int | None) -> None:
    """Its user's, whose guardian started it: Landlock has no say about modes, owners, times and attributes."""
    links = SHELL.format(command="cp /bin/true made && chmod 700 made && ./made && rm made")
    sources = [WORKS["run a program"], links, *UNMEDIATED.values()]
    works, linked, *found = run([Program(source, BASE, profile="tool") for source in sources], user)
    assert "SUCCEEDED" in works.out and "SUCCEEDED" in linked.out, (works, linked)
    for name, seen in zip(UNMEDIATED, found, strict=True):
        assert not seen.succeeded and seen.tier == "B", (name, seen)


@pytest.mark.parametrize("user", USERS)
def test_an_agent_keeps_to_its_files(user: int | None) -> None:
    write = f"f = open(slot, 'r+b'); f.write(b'x' * {QUOTA_BYTES}); f.close(); assert open(slot).read(1) == 'x'"
    kept, over, made, removed = run(
        [
            Program(attack(write)),
            Program(attack(f"f = open(slot, 'r+b', 0); f.seek({QUOTA_BYTES}); f.write(b'x')")),
            Program(attack("open(slot + '2', 'w')")),
            Program(attack("import os; os.unlink(slot)")),
        ],
        user,
    )
    assert kept.succeeded, kept
    assert not over.succeeded and "File too large" in over.out, over
    assert not made.succeeded and not removed.succeeded


THREADS = """
import threading
threading.stack_size(32768)
hold, started = threading.Event(), 0
try:
    while started < 1000:
        threading.Thread(target=hold.wait, daemon=True).start()
        started += 1
except RuntimeError:
    print("refused after", started)
"""


@pytest.mark.parametrize("user", USERS)
def test_a_candidate_of_a_program_has_threads_and_pairs_and_no_more(user: int | None) -> None:
    allowed = [
        attack("import threading; t = threading.Thread(target=print); t.start(); t.join()"),
        attack("import asyncio; asyncio.run(asyncio.to_thread(int))"),
    ]
    refused = {
        "fork": attack("import os; os.fork() or os._exit(0)"),
        "spawn": attack("import os; os.posix_spawn('/bin/true', ['true'], {})"),
        "socket": attack("import socket; socket.socket()"),
        "sendmsg": attack("import socket; a, b = socket.socketpair(); socket.send_fds(a, [b'x'], [b.fileno()])"),
    }
    found = run([Program(source, concurrent=True) for source in (*allowed, *refused.values(), THREADS)], user)
    for seen in found[:2]:
        assert "SUCCEEDED" in seen.out and not seen.violations, seen
    for name, seen in zip(refused, found[2:], strict=False):
        assert not seen.succeeded and seen.violations, (name, seen)
    assert "refused after" in found[-1].out and int(found[-1].out.split()[-1]) < 256, found[-1]
