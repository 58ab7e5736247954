"""What the sandbox of this machine holds, asked of a process apart: a probe forks, and this one has threads."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

from o_tui.guardian.fleet.nursery import ENVIRONMENT
from o_tui.protocol.errors import PeerError

PROBE_S = 30.0
HINT = "o-tui sandbox probe"
_PROGRAM = "import json; from o_tui import _native; print(json.dumps(_native.probe()))"


def probe() -> dict[str, Any]:
    """{tier, layers: [{name, on, why}]}, found by attacks. Blocking: about 0.1 s.

    Raises:
        PeerError: It could not be tried.
    """
    command = [sys.executable, "-I", "-X", "utf8", "-c", _PROGRAM]
    try:
        done = subprocess.run(command, capture_output=True, env=ENVIRONMENT, timeout=PROBE_S, check=True)
        found: dict[str, Any] = json.loads(done.stdout)
    except subprocess.CalledProcessError as error:
        last = error.stderr.decode("utf-8", "replace").strip().rpartition("\n")[2]
        raise PeerError(f"the sandbox could not be tried: {last[:200]}", hint=HINT) from error
    except (OSError, subprocess.SubprocessError, ValueError) as error:
        raise PeerError(f"the sandbox could not be tried: {error}", hint=HINT) from error
    return found
