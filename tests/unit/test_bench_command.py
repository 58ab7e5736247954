"""`o-tui bench`: every command has its module, and what it prints is complete."""

from __future__ import annotations

import importlib
import inspect
import json
import subprocess
import sys

import pytest

from o_tui.bench.report import Report, median, percentile
from o_tui.cli.bench import COMMANDS
from tests.support.patience import PATIENCE_S


@pytest.mark.parametrize("name", [command.name.split(" ")[1] for command in COMMANDS])
def test_each_benchmark_has_its_module(name: str) -> None:
    module = importlib.import_module(f"o_tui.bench.{name}")
    assert list(inspect.signature(module.run).parameters) == ["arguments"]


def test_a_report_names_the_machine() -> None:
    row = Report(results={"p50_ms": 1.0}).row()
    assert row["results"] == {"p50_ms": 1.0}
    assert row["machine"]["cores"] >= 1 and row["machine"]["memory_bytes"] > 1 << 20
    assert (median([3, 1, 2]), percentile([1, 2, 3, 4], 0.99), percentile([1], 0.5)) == (2, 4, 1)


def test_the_sandbox_measured_as_a_script_would() -> None:
    command = [sys.executable, "-m", "o_tui", "bench", "sandbox", "--forks", "2", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=True)
    value = json.loads(done.stdout)
    assert set(value) >= {"results", "peers", "ratios", "machine"}
    assert value["results"]["confined_fork_to_ready_ms"] > 0
