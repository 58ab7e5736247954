"""ruff and ty over a candidate's source, where they are installed: processes with a time limit.

The source is in memory only, a descriptor that they inherit: whoever is killed leaves no file behind.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from o_tui.evolution.validation import Stage, tools

TIMEOUT_S = 5.0


def stages(name: str, source: bytes) -> list[Stage]:
    """The stages `ruff` and `types`; the first that fails is the last."""
    done = []
    for stage, program, arguments, read in (
        ("ruff", "ruff", tools.RUFF, tools.ruff),
        ("types", "ty", tools.TY, tools.ty),
    ):
        done.append(_stage(stage, program, arguments, read, name, source))
        if done[-1].verdict == "fail":
            break
    return done


def _stage(
    stage: str,
    program: str,
    arguments: Sequence[str],
    read: Callable[[str], tuple[str, str]],
    name: str,
    source: bytes,
) -> Stage:
    found = _found(program)
    if found is None:
        return Stage(stage, "skip", 0.0, f"skipped: {program} is not installed (o-tui[validation])")
    start = time.perf_counter()
    try:
        output = _run([found, *arguments], source)
    except (OSError, subprocess.TimeoutExpired) as error:
        return Stage(stage, "skip", _ms(start), f"skipped: {program} did not answer ({type(error).__name__})")
    wrong, remarks = read(output)
    if wrong:
        return Stage(stage, "fail", _ms(start), f"{name}:{wrong}")
    return Stage(stage, "pass", _ms(start), remarks)


def _found(program: str) -> str | None:
    beside = Path(sys.executable).parent / program
    return str(beside) if beside.is_file() else shutil.which(program)


def _run(command: list[str], source: bytes) -> str:
    descriptor = os.memfd_create("o-tui-candidate", os.MFD_CLOEXEC)
    try:
        with open(descriptor, "wb", closefd=False) as file:
            file.write(source)
        done = subprocess.run(
            [*command, f"self/fd/{descriptor}"],
            cwd="/proc",  # no project of anybody's is there, whose settings would count
            pass_fds=(descriptor,),
            capture_output=True,
            timeout=TIMEOUT_S,
            check=False,
            env={"PATH": "/usr/bin:/bin", "HOME": "/nonexistent", "VIRTUAL_ENV": sys.prefix},
        )
    finally:
        os.close(descriptor)
    return done.stdout.decode("utf-8", "replace")


def _ms(start: float) -> float:
    return (time.perf_counter() - start) * 1000
