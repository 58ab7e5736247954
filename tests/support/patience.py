"""How long a test waits for what must come.

Only a test that hangs waits to the end of it, so it is long enough for any machine: no test fails because the one that
it runs on is slow.
"""

from __future__ import annotations

PATIENCE_S = 120.0
