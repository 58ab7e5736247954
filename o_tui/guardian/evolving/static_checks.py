"""The stages that only read (evolution/validation), in a confined process that imports little and ends at once.

python -I -X utf8 -m o_tui.guardian.evolving.static_checks GENE < SOURCE, REFERENCE > STAGES
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys

import msgspec

from o_tui import _native
from o_tui.evolution.validation import STAGES, Stage, Validation, validate
from o_tui.guardian.evolving.own_program import ENVIRONMENT, command_of, last_line
from o_tui.protocol.safe_text import safe

TIMEOUT_S = 10.0
_MEMORY_BYTES = 1024**3
_CPU_S = 8


def read(gene: str, raw: bytes, reference: bytes | None) -> Validation:
    """Those stages; a source that crashes or stalls the compiler fails at it. Raises ValueError: no such gene."""
    command = command_of(__name__, gene)
    given = msgspec.msgpack.encode([raw, reference])
    try:
        done = subprocess.run(
            command, input=given, capture_output=True, timeout=TIMEOUT_S, check=False, env=ENVIRONMENT
        )
    except subprocess.TimeoutExpired:
        return _failed(f"the compiler did not end within {TIMEOUT_S:.0f} s", TIMEOUT_S * 1000)
    if done.returncode < 0:
        return _failed(f"the compiler died of it ({signal.Signals(-done.returncode).name})", 0)
    if done.returncode == 2:
        raise ValueError(done.stderr.decode("utf-8", "replace").strip())
    if done.returncode:
        return _failed(f"it cannot be compiled: {last_line(done.stderr)}", 0)
    return Validation(tuple(Stage(**row) for row in json.loads(done.stdout)))


def _failed(text: str, ms: float) -> Validation:
    return Validation((Stage(STAGES[2], "fail", ms, text),))


def main() -> int:
    """The program: the gene is the argument, source and reference come on stdin, the stages go to stdout as JSON."""
    raw, reference = msgspec.msgpack.decode(sys.stdin.buffer.read(), type=tuple[bytes, bytes | None])
    _native.confine("agent", memory_bytes=_MEMORY_BYTES, cpu_s=_CPU_S)
    try:
        result = validate(sys.argv[1], raw, reference)
    except ValueError as error:
        print(safe(str(error)), file=sys.stderr)
        return 2
    json.dump(result.rows(), sys.stdout)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
