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

from tests.benchmarks.report import Figure

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
PAGE = ROOT / "docs" / "PERFORMANCE.md"
LIMIT_S = 900
HEAD = ("what", "ours", "limit", "beside it, in the same run", "ratio", "ok")
_INTRODUCTION = """# Performance

Written by `python -m tests.benchmarks`; each line is from one run of its benchmark in `tests/benchmarks/`, with what
stands beside it measured in the same run. Times are medians unless a percentile is named.
"""


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


def row(figure: Figure) -> str:
    """A figure as a line of the table."""
    limit = "" if figure.must is None else f"{'≤' if figure.sense == 'max' else '≥'} {_number(figure.must)}"
    peer = "" if figure.peer_value is None else f"{figure.peer}: {_number(figure.peer_value)}"
    ratio = f"{figure.ours / figure.peer_value:.2f}" if figure.peer_value else ""
    ok = "" if figure.must is None else "yes" if figure.ok else "**no**"
    return _line(figure.what, f"{_number(figure.ours)} {figure.unit}".strip(), limit, peer, ratio, ok)


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


def sections(page: str) -> dict[str, str]:
    """The parts of the page by benchmark, without their headings."""
    parts = page.split("\n## ")[1:]
    return {name.strip(): body.strip() for name, _, body in (part.partition("\n") for part in parts)}


def section(figures: list[Figure], problem: str, measured_on: str) -> str:
    """One benchmark's part of the page."""
    lines = [f"{time.strftime('%Y-%m-%d', time.gmtime())}, {measured_on}.", "", _line(*HEAD)]
    lines.append(_line("---", "---:", "---:", "---", "---:", "---"))
    lines += [row(figure) for figure in figures]
    if problem:
        lines.append(_line("**the benchmark did not end**", problem, "", "", "", "**no**"))
    return "\n".join(lines)


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
    measured_on = machine()
    for name in names:
        started = time.monotonic()
        figures, problem = run(name, quick=arguments.quick)
        print(f"{name} ({time.monotonic() - started:.0f} s)", *map(_told, figures), sep="\n  ", flush=True)
        if problem:
            print(f"  {problem}", flush=True)
        good = good and not problem and all(figure.ok for figure in figures)
        if not (arguments.quick or arguments.keep):
            write(name, section(figures, problem, measured_on), known)
    return 0 if good else 1


def write(name: str, text: str, known: list[str]) -> None:
    """Puts one benchmark's part into the page; those of benchmarks that are gone go too."""
    parts = sections(PAGE.read_text()) if PAGE.exists() else {}
    parts[name] = text
    body = "".join(f"\n## {part}\n\n{parts[part]}\n" for part in known if part in parts)
    PAGE.write_text(_INTRODUCTION + body)


def _told(figure: Figure) -> str:
    limit = "" if figure.must is None else f"  ({'≤' if figure.sense == 'max' else '≥'} {_number(figure.must)})"
    peer = "" if figure.peer_value is None else f"  [{figure.peer}: {_number(figure.peer_value)}]"
    return f"{'ok' if figure.ok else 'NO'}  {figure.what}: {_number(figure.ours)} {figure.unit}{limit}{peer}"


if __name__ == "__main__":
    sys.exit(main())
