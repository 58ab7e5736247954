"""Runs benchmarks and rewrites docs/PERFORMANCE.md: `python -m tests.benchmarks [NAME…] [--quick] [--keep]`.

NAME is that of a module without `bench_`; none: all that have `figures()`. Each runs in a process of its own, one after
another; lines of modules that were not run stay as they are. One that fails is a line that says so. With --keep (or
--quick, which measures little) the page is left alone. Exit code 1: a limit is not met, or a module failed.
"""

from __future__ import annotations

import argparse
import ast
import json
import os
import platform
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

from tests.benchmarks.report import ROOT, Figure

HERE = Path(__file__).parent
PAGE = ROOT / "docs" / "PERFORMANCE.md"
LIMIT_S = 900
HEAD = ("benchmark", "what", "ours", "limit", "peer in the same run", "ratio", "ok", "date")
_INTRODUCTION = """# Performance

Written by `python -m tests.benchmarks`: a line is a figure of `tests/benchmarks/bench_<benchmark>.py`, with what it is
compared with in the same run. Times are medians unless the line says otherwise; … goes on from the line above. Last run
on: """


def benchmarks() -> list[str]:
    """The names of the modules with `figures()`, without importing them."""
    found = []
    for path in sorted(HERE.glob("bench_*.py")):
        tree = ast.parse(path.read_text())
        if any(isinstance(node, ast.FunctionDef) and node.name == "figures" for node in tree.body):
            found.append(path.stem.removeprefix("bench_"))
    return found


def run(name: str, *, quick: bool) -> tuple[list[Figure], str]:
    """The figures of one benchmark, and in a few words what went wrong, if anything did."""
    command = [sys.executable, "-m", f"tests.benchmarks.bench_{name}", "--json", *(["--quick"] if quick else [])]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, start_new_session=True)
    try:
        out, _ = process.communicate(timeout=LIMIT_S)
    except subprocess.TimeoutExpired:
        return [], f"not done within {LIMIT_S} s"
    finally:
        _end_group(process)
    found = [Figure(**json.loads(line)) for line in out.splitlines() if line.startswith("{")]
    # exit code 1 is also that of a limit that is not met, which the lines themselves say
    broken = not found or process.returncode not in (0, 1)
    return found, f"failed with exit code {process.returncode}" if broken else ""


def _end_group(process: subprocess.Popen[str]) -> None:
    """A benchmark that was cut off leaves nothing behind of its own group."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def row(name: str, figure: Figure) -> str:
    """A figure as a line of the table."""
    limit = "" if figure.must is None else f"{'≤' if figure.sense == 'max' else '≥'} {_number(figure.must)}"
    peer = "" if figure.peer_value is None else f"{figure.peer}: {_number(figure.peer_value)}"
    ratio = f"{figure.ours / figure.peer_value:.2f}" if figure.peer_value else ""
    ok = "" if figure.must is None else "yes" if figure.ok else "**no**"
    return _line(name, figure.what, f"{_number(figure.ours)} {figure.unit}".strip(), limit, peer, ratio, ok, _today())


def _today() -> str:
    return time.strftime("%Y-%m-%d", time.gmtime())


def _line(*cells: str) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1_000 else f"{value:.4g}"


def machine() -> str:
    """What the figures were measured on; no names, no paths."""
    cpus = os.sched_getaffinity(0)
    models = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    model = models[0].partition(":")[2].strip() if models else platform.machine()
    kernel = platform.release().partition("-")[0]
    memory_gb = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    versions = f"Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}"
    return f"{model}, {len(cpus)} cores, {memory_gb:.0f} GB, Linux {kernel}, {versions}"


def rows(page: str, known: list[str]) -> dict[str, list[str]]:
    """The table's lines by benchmark."""
    found: dict[str, list[str]] = {}
    for line in page.splitlines():
        name = line.removeprefix("| ").partition(" |")[0]
        if line.startswith("| ") and name in known:
            found.setdefault(name, []).append(line)
    return found


def write(name: str, figures: list[Figure], problem: str, known: list[str]) -> None:
    """Puts one benchmark's lines into the table; those of benchmarks that are gone go too."""
    lines = rows(PAGE.read_text(), known) if PAGE.exists() else {}
    lines[name] = [row(name, figure) for figure in figures]
    if problem:
        lines[name].append(_line(name, f"**it did not end: {problem}**", "", "", "", "", "**no**", _today()))
    table = [_line(*HEAD), _line("---", "---", "---:", "---:", "---", "---:", "---", "---")]
    table += [line for each in known for line in lines.get(each, [])]
    PAGE.write_text(f"{_INTRODUCTION}{machine()}.\n\n" + "\n".join(table) + "\n")


def main() -> int:
    """The program."""
    known = benchmarks()
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"{', '.join(known)}; none: all")
    parser.add_argument("--quick", action="store_true", help="fewer rounds; leaves the page alone")
    parser.add_argument("--keep", action="store_true", help="leave the page alone")
    arguments = parser.parse_args()
    names = [name.removeprefix("bench_") for name in arguments.names] or known
    if unknown := sorted(set(names) - set(known)):
        parser.error(f"no benchmark {', '.join(unknown)}; there are {', '.join(known)}")
    good = True
    for name in names:
        started = time.monotonic()
        figures, problem = run(name, quick=arguments.quick)
        print(f"{name} ({time.monotonic() - started:.0f} s)", *map(_told, figures), sep="\n  ", flush=True)
        if problem:
            print(f"  {problem}", flush=True)
        good = good and not problem and all(figure.ok for figure in figures)
        if not (arguments.quick or arguments.keep):
            write(name, figures, problem, known)
    return 0 if good else 1


def _told(figure: Figure) -> str:
    limit = "" if figure.must is None else f"  ({'≤' if figure.sense == 'max' else '≥'} {_number(figure.must)})"
    peer = "" if figure.peer_value is None else f"  [{figure.peer}: {_number(figure.peer_value)}]"
    return f"{'ok' if figure.ok else 'NO'}  {figure.what}: {_number(figure.ours)} {figure.unit}{limit}{peer}"


if __name__ == "__main__":
    sys.exit(main())
