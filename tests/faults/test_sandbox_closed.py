"""Kernels that lack a part of the sandbox: the tier says so, and what it cannot hold is not run."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from o_tui.guardian.fleet.confinement import lacks
from o_tui.paths import Paths
from o_tui.protocol.errors import RefusedError
from tests.faults.test_sandbox_corpus import USERS, attack
from tests.support.guardian_process import Link, Process
from tests.support.ordinary import SYSTEM_PYTHON, USER
from tests.support.patience import PATIENCE_S
from tests.support.sandboxed import REPOSITORY, Program, run

READ = Program(attack("open(secret).read()"))
PYTHON = Program(attack("import os; open(os.__file__).read()"))
SOCKET = Program(attack("import socket; socket.socket()"))
PROBE = Program("from o_tui import _native; import json; print(json.dumps(_native.probe()))", [])
HIDING = "from tests.support.hiding import hide; hide({hidden!r})"


@pytest.mark.parametrize("user", USERS)
def test_without_landlock_no_file_can_be_opened(user: int | None) -> None:
    read, python, connect, probe = run([READ, PYTHON, SOCKET, PROBE], user, hidden=["landlock_create_ruleset"])
    assert [read.tier, read.succeeded, python.succeeded, connect.succeeded] == ["C", False, False, False]
    assert ("seccomp", "openat", 1) in [row[:3] for row in python.violations]
    assert '"tier": "C"' in probe.out
    assert '{"name": "landlock", "on": false, "why": "Landlock: ' in probe.out


@pytest.mark.parametrize("user", USERS)
def test_without_seccomp_it_is_not_called_confined(user: int | None) -> None:
    read, connect, probe = run([READ, SOCKET, PROBE], user, hidden=["seccomp"])
    assert (read.tier, read.succeeded) == ("X", False)
    assert (connect.tier, connect.succeeded) == ("X", True)
    assert '"tier": "X"' in probe.out
    assert '"name": "seccomp", "on": false' in probe.out


@pytest.mark.parametrize("user", USERS)
@pytest.mark.parametrize("hidden", ["unshare", "mount", "open_tree", "mount_setattr", "move_mount", "pivot_root"])
def test_without_namespaces_or_rights_in_them_the_base_holds(user: int | None, hidden: str) -> None:
    """AppArmor lets a user make a namespace, and do nothing in it."""
    read, connect, probe = run([READ, SOCKET, PROBE], user, hidden=[hidden])
    assert [read.tier, read.succeeded, connect.succeeded] == ["B", False, False]
    assert '"tier": "B"' in probe.out
    assert '"name": "namespaces", "on": false, "why": "' in probe.out


@pytest.mark.parametrize("user", USERS)
def test_rules_that_cannot_be_put_on_are_none(user: int | None) -> None:
    (read,) = run([READ], user, hidden=["landlock_restrict_self"])
    assert [read.tier, read.succeeded] == ["C", False]
    (read,) = run([READ], user, hidden=["capset"])
    assert not read.succeeded and "could not give up its rights" in read.out, "it must end"
    tool, agent = run([Program(READ.source, profile="tool"), READ], user, hidden=["close_range"])
    assert [tool.succeeded, agent.succeeded, tool.tier == agent.tier] == [False, False, True]


@pytest.mark.parametrize("user", USERS)
@pytest.mark.parametrize(
    ("lies", "found"),
    [("seccomp!", "a socket"), ("landlock_restrict_self!", "a list of /"), ("capset!", "a capability")],
)
def test_a_layer_that_only_seems_to_be_on_is_found_out(user: int | None, lies: str, found: str) -> None:
    (read,) = run([READ], user, hidden=[lies])
    if lies == "capset!" and (read.tier == "B" or not (os.geteuid() or user)):
        pytest.skip("who becomes another user, or has no namespace, has no capability left")
    assert not read.tier and f"its self-test failed: {found}" in read.out, read


@pytest.mark.skipif(os.geteuid() != 0, reason="only root becomes somebody else")
def test_root_that_cannot_become_somebody_else_is_not_called_confined() -> None:
    (read,) = run([READ], hidden=["setresuid"])
    assert (read.tier, read.succeeded) == ("X", False)


def test_without_proc_it_is_said(tmp_path: Path) -> None:
    command = [
        "unshare",
        "--user",
        "--map-root-user",
        "--mount",
        "sh",
        "-c",
        'mount -t tmpfs o /proc && exec "$@"',
        "sh",
    ]
    done = subprocess.run(
        [*command, sys.executable, "-m", "o_tui", "sandbox", "probe"], capture_output=True, text=True, cwd=REPOSITORY
    )
    if done.stderr.startswith(("unshare:", "mount:")):
        pytest.skip(done.stderr)
    assert done.returncode == 69 and "/proc is not mounted" in done.stderr, done


@pytest.mark.parametrize("user", USERS)
def test_a_probe_of_a_whole_kernel(user: int | None) -> None:
    (probe,) = run([PROBE], user)
    assert '"tier": "A"' in probe.out or '"tier": "B"' in probe.out, probe
    assert probe.out.count('"on": true') >= 4


@pytest.mark.parametrize("started", ["exec", "mount -o remount,bind,ro / && exec"])
def test_a_container_without_root_or_with_nothing_to_write_to_confines_too(started: str) -> None:
    inner = ["unshare", "--user", "--map-user=1000", "--map-group=1000", sys.executable, "-c", PROBE.source]
    before: list[str] = []
    environment = os.environ | {"TMPDIR": "/"}  # where the attacks would make files
    if os.geteuid() == 0:
        if not Path(SYSTEM_PYTHON).exists():
            pytest.skip("no Python that an ordinary user can run")
        inner[inner.index(sys.executable)] = SYSTEM_PYTHON
        before = [sys.executable, "-m", "tests.support.ordinary", str(USER)]
        environment["PYTHONPATH"] = ":".join(
            [*(path for path in sys.path if path.endswith("-packages")), str(REPOSITORY)]
        )
    outer = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", f"{started} {shlex.join(inner)}"]
    done = subprocess.run(
        [*before, *outer], capture_output=True, text=True, env=environment, cwd=REPOSITORY, timeout=PATIENCE_S
    )
    if done.stderr.startswith(("unshare:", "mount:")):
        pytest.skip(done.stderr)
    assert '"tier": "A"' in done.stdout or '"tier": "B"' in done.stdout, done


@pytest.mark.parametrize(("hidden", "tier"), [("seccomp", "X"), ("landlock_create_ruleset", "C"), ("unshare", "B")])
async def test_a_guardian_on_such_a_kernel(workspace: Paths, hidden: str, tier: str) -> None:
    process = Process(workspace, HIDING.format(hidden=[hidden]))
    try:
        assert (await process.start()).get("ok")
        link = await Link.connect(workspace)
        assert await link.call("say", text="hello")  # chat goes on whatever the tier is
        assert (await link.call("status"))["tier"] == tier
        source = (Path(__file__).parents[2] / "data" / "genome" / "recall.py").read_text()
        if tier == "X":
            with pytest.raises(RefusedError, match="no candidate is run") as refused:
                await link.call("evolve", gene="recall", source=source)
            assert refused.value.code == 4
        else:
            begun = await link.call("evolve", gene="recall", source=source + "\n# another version\n")
            row = await link.call("evolution.wait", id=begun["evolution"])
            assert row["state"] in ("pending", "rejected"), row  # it was measured, in confined shadows
            assert row["evidence"], row
    finally:
        process.close()


def test_the_guardian_does_not_believe_what_an_instance_says() -> None:
    assert lacks(1) in ("no filter of system calls", "it may gain rights")
    assert lacks(0x7FFF_FFF0) == ""
