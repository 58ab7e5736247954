"""Runs one program confined, and says what a supervisor sees of it.

    python -m tests.support.sandboxed SPECIFICATION

The specification and the answer are JSON. The program runs in a fork of this process, with nothing but a pipe; it says
`SUCCEEDED` where an attack got through.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

from o_tui import _native
from o_tui.agent import confinement
from tests.support import ordinary

REPOSITORY = Path(__file__).parents[2]
LIMIT_S = 10.0
ALL = ("namespaces", "identity", "limits", "landlock", "seccomp")


class Seen(NamedTuple):
    """What a supervisor sees."""

    status: int
    tier: str
    out: str
    violations: list[tuple[str, str, int, str]]
    wall_s: float
    rss_grown: int

    @property
    def succeeded(self) -> bool:
        """The attack got through."""
        return "SUCCEEDED" in self.out

    def calls(self, layer: str = "") -> set[str]:
        """The names of the calls that were refused."""
        return {call for by, call, _errno, _path in self.violations if layer in ("", by)}


def run(
    program: str,
    layers: Sequence[str] | None = None,
    *,
    user: int | None = None,
    environment: dict[str, str] | None = None,
    **settings: Any,
) -> Seen:
    """Runs a program as root or whoever runs the tests (`user` None), or as an ordinary user."""
    specification = json.dumps({"program": program, "layers": layers, **settings})
    command = [sys.executable, "-m", __name__, specification]
    # exactly what the guardian gives a nursery, and who the modules are for a user who cannot enter root's folders
    base = {"PATH": "/usr/bin:/bin", "HOME": "/nonexistent", "LANG": "C.UTF-8", "MALLOC_ARENA_MAX": "1"}
    if user is not None:
        packages = Path(_native.__file__).parents[1], *map(Path, sys.path)
        base["PYTHONPATH"] = ":".join(str(path) for path in packages if path.name in ("site-packages", REPOSITORY.name))
        command = [sys.executable, "-m", "tests.support.ordinary", str(user), ordinary.SYSTEM_PYTHON, *command[1:]]
    done = subprocess.run(
        command,
        env=base | (environment or {}),
        cwd=REPOSITORY,
        capture_output=True,
        timeout=60,
        check=False,
    )
    if done.returncode:
        raise AssertionError(done.stderr.decode())
    answer = json.loads(done.stdout)
    return Seen(**answer | {"violations": [tuple(row) for row in answer["violations"]]})


def _child(specification: dict[str, Any], ring: _native.ViolationRing, out: int) -> NoReturn:
    status = 70
    try:
        os.dup2(out, 1)
        os.dup2(out, 2)
        program = compile(specification.pop("program"), "program", "exec")
        kept = {name: specification.pop(name) for name in ("give", "wall_s") if name in specification}
        parent = os.getppid()
        if specification["layers"] != []:
            tier = _native.confine("agent", read=specification.pop("read", confinement.readable()), ring=ring,
                                   memory_bytes=1 << 30, parent=parent, death_signal=signal.SIGKILL,
                                   **specification)  # fmt: skip
            os.write(1, f"tier {tier}\n".encode())
        exec(program, {"__name__": "program", **kept.get("give", {})})
        status = 0
    except SystemExit as error:
        status = error.code if isinstance(error.code, int) else 1
    except BaseException as error:  # noqa: BLE001 - the program may raise anything
        with contextlib.suppress(OSError):
            os.write(1, f"{type(error).__name__}: {error}".encode())
        status = 1
    finally:
        os._exit(status)


def _supervise(specification: dict[str, Any]) -> dict[str, Any]:
    ring = _native.ViolationRing()
    reader, writer = os.pipe()
    before = _native.process_rss(os.getpid())
    started = time.monotonic()
    deadline = started + specification.get("wall_s", LIMIT_S)
    pid = os.fork()
    if pid == 0:
        _child(specification, ring, writer)
    os.close(writer)
    out = b""
    while len(out) < 1 << 20:
        if not select.select([reader], [], [], max(0.0, deadline - time.monotonic()))[0]:
            os.kill(pid, signal.SIGKILL)
            break
        data = os.read(reader, 65536)
        if not data:
            break
        out += data
    os.close(reader)
    _pid, status = os.waitpid(pid, 0)
    text = out.decode("utf-8", "replace")
    return {
        "status": os.waitstatus_to_exitcode(status),
        "tier": text.partition("tier ")[2][:1],
        "out": text,
        "violations": [row[1:5] for row in ring.read()],
        "wall_s": time.monotonic() - started,
        "rss_grown": _native.process_rss(os.getpid()) - before,
    }


if __name__ == "__main__":
    print(json.dumps(_supervise(json.loads(sys.argv[1]))))
