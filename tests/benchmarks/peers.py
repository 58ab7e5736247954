"""Peers that a benchmark measures beside us: each set in a virtual environment of its own, in the cache folder."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path


def python_with(name: str, *packages: str) -> Path | None:
    """The interpreter of the environment `name` with these packages; None, and a line, where they cannot be had."""
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "o-tui-bench" / name
    python, installed = folder / "bin" / "python", folder / "installed"
    try:
        if not installed.exists() or installed.read_text() != " ".join(packages):
            subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True, capture_output=True, timeout=120)
            install = [str(python), "-m", "pip", "install", "-q", "--disable-pip-version-check", *packages]
            subprocess.run(install, check=True, capture_output=True, timeout=600)
            installed.write_text(" ".join(packages))
    except (OSError, subprocess.SubprocessError) as error:
        print(f"skipped: {', '.join(packages)} could not be installed ({error})", file=sys.stderr)
        return None
    return python
