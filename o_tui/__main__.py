"""`python -m o_tui` is `o-tui`."""

from __future__ import annotations

import sys

from o_tui.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
