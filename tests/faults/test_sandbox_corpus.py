"""Hostile programs of the corpus, confined: what each gets, as a supervisor sees it.

Three times each: not confined (the attack must get through, or the rest proves nothing), in the whole sandbox, and
under each layer that is to stop it with the others off, so that a dead layer cannot hide behind another one. As whoever
runs the tests, and where that is root as an ordinary user too.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.support import ordinary
from tests.support.sandboxed import QUOTA_BYTES, Program, Seen, run

SYSCALL = """
import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long
def call(*arguments):
    result = libc.syscall(*arguments)
    if result == -1 and ctypes.get_errno() in (1, 2, 13, 38):
        raise PermissionError(ctypes.get_errno(), "refused")
    print("SUCCEEDED")
"""


class Case(NamedTuple):
    """An attack; the layers each of which stops it alone; the calls that are on record afterwards (one of them)."""

    source: str
    layers: tuple[str, ...]
    recorded: tuple[str, ...] = ()
    dies: bool = False


def attack(body: str) -> str:
    """Lines that count as a success if none of them raises."""
    return f"{body}\nprint('SUCCEEDED')"


FILES = ("landlock", "namespaces")
CHANGES = ("landlock", "namespaces", "seccomp")
RESOURCES = "identity+limits"
X86 = os.uname().machine == "x86_64"
CASES: Mapping[str, Case] = {
    "P01 read a key": Case(attack("assert open(secret).read() == canary"), FILES, ("openat",)),
    "P02 read passwd": Case(attack("open('/etc/passwd').read()"), FILES, ("openat",)),
    "P02 list the home": Case(attack("import os; os.listdir(home)"), FILES, ("openat",)),
    "P03 write to home": Case(attack("open(home + '/pwn', 'w')"), FILES, ("openat",)),
    "P03 write to tmp": Case(attack("open('/tmp/pwn-' + unique, 'w')"), FILES, ("openat",)),
    "P03 write to var": Case(attack("open('/var/tmp/pwn-' + unique, 'w')"), FILES, ("openat",)),
    "P04 overwrite": Case(attack("open(vault, 'r+b').write(b'x')"), FILES, ("openat",)),
    "P04 unlink": Case(attack("import os; os.unlink(vault)"), CHANGES, ("unlink",)),
    "P04 rename": Case(attack("import os; os.rename(vault, scratch + '/v')"), CHANGES, ("rename",)),
    "P04 truncate": Case(attack("import os; os.truncate(vault, 0)"), CHANGES, ("truncate",)),
    "P05 symlink": Case(
        attack("import os; os.symlink(secret, scratch + '/s'); open(scratch + '/s').read()"),
        CHANGES,
        ("symlink",),
    ),
    "P06 link": Case(
        attack("import os; os.link(secret, scratch + '/k')"),
        CHANGES,
        ("link", "linkat"),
    ),
    "P07 change the evaluator": Case(attack("open(evaluator, 'a').write('x')"), FILES, ("openat",)),
    "P07 read the answers": Case(attack("open(evaluator).read()"), FILES, ("openat",)),
    "P08 TCP": Case(
        attack("import socket; socket.create_connection(('127.0.0.1', port))"),
        ("seccomp", "landlock", "namespaces"),
        ("socket",),
    ),
    "P09 UDP": Case(
        attack("import socket; socket.socket(2, 2).sendto(b'x', ('127.0.0.1', udp_port))"),
        ("seccomp", "namespaces"),
        ("socket",),
    ),
    "P10 listen": Case(
        attack("import socket; s = socket.socket(); s.bind(('127.0.0.1', 0)); s.listen()"),
        ("seccomp", "landlock"),
        ("socket",),
    ),
    "P11 a named socket": Case(
        attack("import socket; socket.socket(1).connect(named)"), ("seccomp", "namespaces"), ("socket",)
    ),
    "P12 an abstract socket": Case(
        attack("import socket; socket.socket(1).connect(abstract.encode('latin-1'))"),
        ("seccomp", "landlock", "namespaces"),
        ("socket",),
    ),
    "P13 exec": Case(
        "import os; os.execv('/bin/echo', ['echo', 'SUCCEEDED'])", ("seccomp", "landlock", "namespaces"), ("execve",)
    ),
    "P13 subprocess": Case(
        "import subprocess; print(subprocess.run(['/bin/echo', 'SUCCEEDED'], stdout=subprocess.PIPE).stdout)",
        ("seccomp", "landlock", "namespaces", RESOURCES),
        ("clone",),
    ),
    "P14 fork": Case(
        "import os\nfor n in range(200):\n    if os.fork() == 0: os._exit(0)\n    print('SUCCEEDED'); break",
        ("seccomp", RESOURCES),
        ("clone",),
    ),
    "P14 threads": Case(
        attack("import threading; t = threading.Thread(target=print); t.start(); t.join()"),
        ("seccomp", RESOURCES),
        ("clone",) if sys.version_info >= (3, 12) else (),  # before, `confinement` has Python say it
    ),
    "P15 signal its supervisor": Case(attack("import os; os.kill(parent, 0)"), ("seccomp", "landlock"), ("kill",)),
    "P15 signal a sibling": Case(attack("import os; os.kill(sibling, 0)"), ("seccomp", "landlock"), ("kill",)),
    "P16 read its parent's environment": Case(attack("open(f'/proc/{parent}/environ').read()"), FILES, ("openat",)),
    "P16 read its parent's memory": Case(attack("open(f'/proc/{parent}/mem', 'rb')"), FILES, ("openat",)),
    "P16 ptrace": Case(
        f"{SYSCALL}\ncall({101 if X86 else 117}, 16, sibling, 0, 0)", ("seccomp", "landlock"), ("ptrace",), dies=True
    ),
    "P18 descriptors of others": Case(
        "import os\nfor fd in range(3, 256):\n    try: os.fstat(fd); print('SUCCEEDED')\n    except OSError: pass",
        ("seccomp",),
    ),
    # never written to, so that the attack without a sandbox takes no seconds on a busy machine
    "P19 memory": Case(attack("bytes(2 << 30)"), ("limits",)),
    "P19 a mapping": Case(attack("import mmap; mmap.mmap(-1, 2 << 30)"), ("limits",)),
    "P22 a gigabyte": Case(
        attack(f"f = open(slot, 'wb'); f.write(bytes(4 << 20)); f.flush(); assert f.tell() > {QUOTA_BYTES}"),
        ("limits",),
    ),
    "P26 io_uring": Case(f"{SYSCALL}\ncall(425, 1, 0)", ("seccomp",), ("io_uring_setup",), dies=True),
    "P26 bpf": Case(f"{SYSCALL}\ncall({321 if X86 else 280}, 99, 0, 0)", ("seccomp",), ("bpf",), dies=True),
    "P26 userfaultfd": Case(f"{SYSCALL}\ncall({323 if X86 else 282}, 1)", ("seccomp",), ("userfaultfd",), dies=True),
    "P26 unshare": Case(
        attack("import ctypes; assert ctypes.CDLL(None).unshare(0x10000000) == 0"),
        ("seccomp",),
        ("unshare",),
        dies=True,
    ),
    "P26 mount": Case(f"{SYSCALL}\ncall({165 if X86 else 40}, 0, 0, 0, 0, 0)", ("seccomp",), ("mount",), dies=True),
    "P28 raise a limit": Case(
        attack("import resource; resource.setrlimit(resource.RLIMIT_CORE, (1 << 20, 1 << 20))"),
        ("seccomp", RESOURCES),
        ("prlimit64",),
    ),
    "P28 become dumpable": Case(
        attack("import ctypes; assert ctypes.CDLL(None).prctl(4, 1, 0, 0, 0) == 0"), ("seccomp",), ("prctl",)
    ),
    "P28 undo the handler": Case(
        attack("import signal; signal.signal(signal.SIGSYS, signal.SIG_IGN)"), ("seccomp",), ("rt_sigaction",)
    ),
    "a hidden file": Case(attack("import os; os.memfd_create('x')"), ("seccomp",), ("memfd_create",)),
    "an openat2": Case(
        f"{SYSCALL}\ncall(437, -100, b'/etc/passwd', bytes(24), 24)", ("seccomp", "landlock", "namespaces")
    ),
    "change a mode": Case(
        attack("import os; os.chmod(vault, 0o777)"), ("seccomp", "namespaces"), ("chmod", "fchmodat")
    ),
    "an attribute": Case(attack("import os; os.utime(vault)"), ("seccomp", "namespaces"), ("utimensat",)),
}
USERS = [None, ordinary.USER] if os.geteuid() == 0 and Path(ordinary.SYSTEM_PYTHON).exists() else [None]


CONTROL = Program("print(6 * 7)")


CRASHES = {
    "P27 abort": (Program("import os; os.abort()"), -6),
    "P27 a segmentation fault": (Program("import ctypes; ctypes.string_at(0)"), -11),
    "P30 an exit": (Program("import os; os._exit(0)"), 0),
}


@cache
def seen(user: int | None) -> dict[tuple[str, str], Seen]:
    """All cases under all layers, once a user."""
    programs = {}
    for name, case in CASES.items():
        programs[name, "none"] = Program(case.source, [])
        programs[name, "all"] = Program(case.source)
        for layers in case.layers:
            programs[name, layers] = Program(case.source, layers.split("+"))
    control, *found = run([CONTROL, *programs.values()], user)
    assert "42" in control.out, f"in the sandbox not even an honest program runs, so nothing is proved: {control}"
    return dict(zip(programs, found, strict=True))


@pytest.mark.parametrize("user", USERS)
@pytest.mark.parametrize("name", CASES)
def test_an_attack_of_the_corpus(name: str, user: int | None) -> None:
    case, found = CASES[name], seen(user)
    control, confined = found[name, "none"], found[name, "all"]
    assert control.succeeded, f"the attack does not even work without a sandbox: {control}"
    assert not confined.succeeded, confined
    assert confined.tier in "AB", confined
    if case.recorded:
        assert confined.calls() & set(case.recorded), confined
    if case.dies:
        assert confined.status == -31, confined
        assert any(errno == 0 for _layer, _call, errno, _path in confined.violations), confined
    for layers in case.layers:
        assert not found[name, layers].succeeded, (layers, found[name, layers])


@pytest.mark.parametrize("user", USERS)
def test_a_crash_is_seen_as_one_and_leaves_nothing(user: int | None) -> None:
    programs = [program for program, _status in CRASHES.values()]
    *crashed, after = run([*programs, CONTROL], user)
    assert [found.status for found in crashed] == [status for _program, status in CRASHES.values()]
    assert not [found.violations for found in crashed if found.violations]
    assert "42" in after.out


@pytest.mark.parametrize("user", USERS)
def test_who_will_not_end_is_ended(user: int | None) -> None:
    deaf = "import signal\nfor n in {1, 2, 3, 14, 15}: signal.signal(n, signal.SIG_IGN)\n"
    programs = [
        Program(f"{deaf}while True: pass", wall_s=0.3),
        Program(f"{deaf}import time; time.sleep(9999)", wall_s=0.3),
    ]
    for found in run(programs, user):
        assert found.status == -9, found


@pytest.mark.parametrize("user", USERS)
def test_a_gigabyte_that_is_refused_is_nobodys(user: int | None) -> None:
    (found,) = run([Program("x = []\nwhile True: x.append(bytearray(64 << 20))")], user)
    assert "MemoryError" in found.out, found
    assert found.rss_grown < 16 << 20, found
