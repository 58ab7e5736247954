"""Runs hostile programs confined, and says what a supervisor sees of each.

    python -m tests.support.sandboxed < PROGRAMS

One process for many programs: each runs in a fork, with nothing but a pipe, against targets made for it alone. A
program says `SUCCEEDED` where its attack got through; `harm` is what has really happened to the targets.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

from o_tui import _native
from o_tui.agent import confinement
from tests.support import ordinary
from tests.support.hiding import hide

REPOSITORY = Path(__file__).parents[2]
LIMIT_S = 30.0
ALL = ("namespaces", "identity", "limits", "landlock", "seccomp")
NOBODY = 65_534
CANARY = "canary-7f3a"
QUOTA_BYTES = 64 * 1024
PROGRAMS = ("/usr", "/bin", "/lib", "/lib64", "/etc/ld.so.cache")


class Program(NamedTuple):
    """What is run: the source, the layers (None: all of them; empty: not confined), its wall-clock limit, as what.

    `concurrent`: as a candidate of a user's program, which may have threads.
    """

    source: str
    layers: Sequence[str] | None = None
    wall_s: float = LIMIT_S
    profile: str = "agent"
    concurrent: bool = False


class Seen(NamedTuple):
    """What a supervisor sees."""

    status: int
    tier: str
    out: str
    violations: list[tuple[str, str, int, str]]
    wall_s: float
    rss_grown: int
    harm: list[str]

    @property
    def succeeded(self) -> bool:
        """The attack got through."""
        return "SUCCEEDED" in self.out or bool(self.harm)

    def calls(self, *layers: str) -> set[str]:
        """The names of the calls that were refused."""
        return {call for by, call, _errno, _path in self.violations if not layers or by in layers}


def run(
    programs: Sequence[Program],
    user: int | None = None,
    *,
    environment: dict[str, str] | None = None,
    hidden: Sequence[str] = (),
) -> list[Seen]:
    """Runs programs one after the other, as whoever runs the tests or as an ordinary user.

    Args:
        programs: What is run.
        user: An ordinary user; None: whoever runs the tests.
        environment: What the supervisor has beside the usual.
        hidden: System calls that fail there, as on a system without them.
    """
    command = [sys.executable, "-m", __name__, *hidden]
    # as the guardian starts a nursery: nothing of the operator's environment
    base = {"PATH": "/usr/bin:/bin", "HOME": "/nonexistent", "LANG": "C.UTF-8", "MALLOC_ARENA_MAX": "1"}
    if user is not None:
        packages = next(path for path in sys.path if path.endswith("site-packages"))
        base["PYTHONPATH"] = f"{packages}:{REPOSITORY}"
        command = [sys.executable, "-m", ordinary.__name__, str(user), ordinary.SYSTEM_PYTHON, *command[1:]]
    done = subprocess.run(
        command,
        env=base | (environment or {}),
        cwd=REPOSITORY,
        input=json.dumps([program._asdict() for program in programs]).encode(),
        capture_output=True,
        timeout=300,
        check=False,
    )
    if done.returncode:
        raise AssertionError(done.stderr.decode())
    answers = json.loads(done.stdout)
    return [Seen(**answer | {"violations": [tuple(row) for row in answer["violations"]]}) for answer in answers]


@contextlib.contextmanager
def _targets() -> Iterator[dict[str, Any]]:
    """What is attacked; everything is there and can be reached by whoever is not confined."""
    folder = Path(tempfile.mkdtemp(prefix="o-sandbox-"))
    home, scratch = folder / "home", folder / "scratch"
    (home / ".ssh").mkdir(parents=True)
    scratch.mkdir()
    for path in (home / ".ssh" / "id_rsa", folder / "vault", folder / "evaluator.py"):
        path.write_text(CANARY)
    (folder / "slot").write_bytes(b"")
    if os.geteuid() == 0:  # what root becomes in the sandbox may write to these
        folder.chmod(0o755)
        for given in (scratch, folder / "slot"):
            os.chown(given, NOBODY, NOBODY)
    tcp, udp = socket.create_server(("127.0.0.1", 0)), socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    udp.bind(("127.0.0.1", 0))
    udp.setblocking(False)  # on loopback what was sent is there already
    named, abstract = socket.socket(socket.AF_UNIX), socket.socket(socket.AF_UNIX)
    named.bind(str(folder / "agent.sock"))
    abstract.bind("")
    for listening in (named, abstract):
        listening.listen()
    sibling = os.fork()
    if sibling == 0:
        time.sleep(600)
        os._exit(0)
    try:
        yield {
            "home": str(home),
            "scratch": str(scratch),
            "secret": str(home / ".ssh" / "id_rsa"),
            "vault": str(folder / "vault"),
            "evaluator": str(folder / "evaluator.py"),
            "slot": str(folder / "slot"),
            "folder": str(folder),
            "unique": folder.name,
            "port": tcp.getsockname()[1],
            "udp_port": udp.getsockname()[1],
            "udp": udp,
            "named": str(folder / "agent.sock"),
            "abstract": abstract.getsockname().decode("latin-1"),
            "sibling": sibling,
            "canary": CANARY,
        }
    finally:
        for opened in (tcp, udp, named, abstract):
            opened.close()
        os.kill(sibling, signal.SIGKILL)
        os.waitpid(sibling, 0)
        shutil.rmtree(folder)


def _harm(targets: dict[str, Any]) -> Iterator[str]:
    """What has happened, whatever the program says."""
    for name in ("vault", "evaluator", "secret"):
        path = Path(targets[name])
        if not path.exists() or path.read_text() != CANARY:
            yield f"{name} changed"
    if any(Path(targets["scratch"]).iterdir()):
        yield "a file in scratch"
    for path in (f"/tmp/pwn-{targets['unique']}", f"/var/tmp/pwn-{targets['unique']}", f"{targets['home']}/pwn"):
        if Path(path).exists():
            Path(path).unlink()
            yield f"{path} was made"
    if Path(targets["slot"]).stat().st_size > QUOTA_BYTES:
        yield "the slot is over its quota"
    with contextlib.suppress(OSError):
        yield f"a datagram came: {targets['udp'].recv(100)!r}"


def _kept(profile: str, targets: dict[str, Any]) -> dict[str, Any]:
    if profile == "agent":
        return {"read": confinement.readable(), "files": [targets["slot"]], "file_bytes": QUOTA_BYTES}
    port = targets["port"] if profile == "tool" else 0
    read = [*PROGRAMS, *confinement.readable()]
    return {"read": read, "write": [targets["scratch"]], "file_bytes": 1 << 20, "proxy_port": port}


def _child(program: Program, targets: dict[str, Any], ring: _native.ViolationRing, out: int) -> NoReturn:
    status = 70
    try:
        os.dup2(out, 1)
        os.dup2(out, 2)
        sys.stdout = open(1, "w", buffering=1, closefd=False)  # noqa: SIM115 - the process ends soon
        code = compile(program.source, "program", "exec")
        give = {name: value for name, value in targets.items() if name != "udp"} | {"parent": os.getppid()}
        if program.layers != []:
            tier = _native.confine(
                program.profile, **_kept(program.profile, targets), ring=ring, layers=program.layers,
                memory_bytes=1 << 30, parent=os.getppid(), death_signal=signal.SIGKILL,
                concurrent=program.concurrent,
            )  # fmt: skip
            sys.path[:] = [path for path in sys.path if path.startswith(confinement.readable())]
            print(f"tier {tier}")
        exec(code, {"__name__": "program", **give})
        status = 0
    except SystemExit as error:
        status = error.code if isinstance(error.code, int) else 1
    except BaseException as error:  # noqa: BLE001 - the program may raise anything
        with contextlib.suppress(OSError):
            os.write(1, f"{type(error).__name__}: {error}".encode())
        status = 1
    finally:
        os._exit(status)


def _supervise(program: Program) -> dict[str, Any]:
    ring = _native.ViolationRing()
    before = _native.process_rss(os.getpid())
    with _targets() as targets:
        reader, writer = os.pipe()
        started = time.monotonic()
        pid = os.fork()
        if pid == 0:
            _child(program, targets, ring, writer)
        os.close(writer)
        out = _output(reader, pid, started + program.wall_s)
        os.close(reader)
        _pid, status = os.waitpid(pid, 0)
        wall_s = time.monotonic() - started
        return {
            "status": os.waitstatus_to_exitcode(status),
            "tier": out.partition("tier ")[2][:1],
            "out": out,
            "violations": [row[1:5] for row in ring.read()],
            "wall_s": wall_s,
            "rss_grown": _native.process_rss(os.getpid()) - before,
            "harm": list(_harm(targets)),
        }


def _output(reader: int, pid: int, deadline: float) -> str:
    out = b""
    while len(out) < 1 << 20:
        if not select.select([reader], [], [], max(0.0, deadline - time.monotonic()))[0]:
            os.kill(pid, signal.SIGKILL)
            break
        data = os.read(reader, 65536)
        if not data:
            break
        out += data
    return out.decode("utf-8", "replace")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        hide(sys.argv[1:])
    print(json.dumps([_supervise(Program(**given)) for given in json.load(sys.stdin)]))
