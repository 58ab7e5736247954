"""What every test may use: a workspace in a short folder, and nothing from the operator's own environment."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from o_tui.paths import Paths, locate

KEY_VARIABLES = ("OPENAI_API_KEY", "OPENAI_BASE_URL", "ANTHROPIC_API_KEY", "OLLAMA_HOST")


def pytest_configure() -> None:
    """A shell has SIGINT ignored by what runs in the background, nohup SIGHUP: processes of tests hear them."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    # an example that a busy machine holds up for 200 ms is no fault of what is tested
    settings.register_profile("o", deadline=None, suppress_health_check=[HealthCheck.too_slow])
    settings.load_profile("o")


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test sees the keys, the settings or the home of whoever runs it."""
    for name in list(os.environ):
        if name.startswith("O_TUI_") and name != "O_TUI_MODELS":
            monkeypatch.delenv(name)
    for name in KEY_VARIABLES:
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder with a short path (a Unix socket's path has 107 bytes), removed afterwards."""
    path = Path(tempfile.mkdtemp(prefix="o-"))
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
def workspace(folder: Path) -> Paths:
    """An empty workspace."""
    paths = locate(str(folder / "w"))
    paths.prepare()
    return paths
