"""Validation in a process apart: no source can crash the guardian's parser, or hold its interpreter's lock."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys

from o_tui import _native
from o_tui.evolution.validation import STAGES, Stage, Validation, validate
from o_tui.protocol.safe_text import safe

TIMEOUT_S = 10.0
_MEMORY_BYTES = 1024**3
_CPU_S = 8


async def validate_apart(gene: str, source: str | bytes) -> Validation:
    """Like `validation.validate`; a source that crashes or stalls the compiler fails at that stage.

    Raises:
        ValueError: There is no such gene.
        OSError: No process could be started.
    """
    raw = source if isinstance(source, bytes) else source.encode("utf-8", "surrogateescape")
    if len(raw) > 16 * 1024**2:  # the size stage answers without reading it
        return await asyncio.to_thread(validate, gene, raw)
    return await asyncio.to_thread(_run, gene, raw)


def _run(gene: str, raw: bytes) -> Validation:
    command = [sys.executable, "-I", "-X", "utf8", "-m", __name__, gene]
    try:
        done = subprocess.run(
            command, input=raw, capture_output=True, timeout=TIMEOUT_S, check=False, env={"PATH": "/usr/bin:/bin"}
        )
    except subprocess.TimeoutExpired:
        return _failed(f"the compiler did not end within {TIMEOUT_S:.0f} s", TIMEOUT_S * 1000)
    if done.returncode < 0:
        return _failed(f"the compiler died of it ({signal.Signals(-done.returncode).name})", 0)
    if done.returncode == 2:
        raise ValueError(done.stderr.decode("utf-8", "replace").strip())
    if done.returncode:
        lines = done.stderr.decode("utf-8", "replace").strip().splitlines() or ["no word"]
        return _failed(f"it cannot be compiled: {lines[-1][:200]}", 0)
    return Validation(tuple(Stage(**row) for row in json.loads(done.stdout)))


def _failed(text: str, ms: float) -> Validation:
    return Validation((Stage(STAGES[2], "fail", ms, text),))


def main() -> int:
    """The program: the gene is the argument, the source comes on stdin, the stages go to stdout as JSON."""
    raw = sys.stdin.buffer.read()
    _native.confine("agent", memory_bytes=_MEMORY_BYTES, cpu_s=_CPU_S)
    try:
        result = validate(sys.argv[1], raw)
    except ValueError as error:
        print(safe(str(error)), file=sys.stderr)
        return 2
    json.dump(result.rows(), sys.stdout)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
