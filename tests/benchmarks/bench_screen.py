"""The screen on a pty of 120x40: first paint, key to echo while an answer streams, memory, bytes.

`python -m tests.benchmarks.bench_screen`; the guardian is the scripted one in a process of its own, so that only the
view is measured.
"""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import pty
import select
import signal
import statistics
import struct
import subprocess
import sys
import tempfile
import termios
import time
from pathlib import Path
from typing import Any

import pytest

from o_tui._native import process_cpu_ns, process_rss
from o_tui.paths import shipped
from o_tui.ui import themes
from o_tui.ui.chat.paint import paint_from
from o_tui.ui.chat.turn import Turn
from o_tui.ui.glyphs import UNICODE
from tests.benchmarks import report
from tests.benchmarks.report import ROOT, Figure
from tests.support.scripted_link import ScriptedGuardian

VIEW = (
    "import sys; from o_tui.paths import locate; from o_tui.config import load; from o_tui.ui.app import run;"
    "p = locate(sys.argv[1]); p.prepare(); sys.exit(run(p, load(p.config_file)))"
)
CHUNK = "the **agent** writes "
ANSWERS = (b"\x1b]11;rgb:1111/1111/1111\x1b\\", b"\x1b[?62;c")


class Terminal:
    """A view on a pty; what it writes is read, counted and kept at its end."""

    def __init__(self, folder: Path, *, environment: dict[str, str] | None = None) -> None:
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.chdir(ROOT)
            os.environ.update({"TERM": "xterm-256color", "COLORTERM": "truecolor", **(environment or {})})
            os.environ.pop("NO_COLOR", None)
            os.execv(sys.executable, [sys.executable, "-c", VIEW, str(folder)])
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("4H", 40, 120, 0, 0))
        self.started = time.perf_counter()
        self.bytes = 0
        self.tail = b""

    def read(self, seconds: float) -> bytes:
        """What comes within some time, at once when something has come; answers the terminal's questions."""
        if not select.select([self.fd], [], [], seconds)[0]:
            return b""
        try:
            data = os.read(self.fd, 1 << 16)
        except OSError:
            return b""
        if b"\x1b]11;?" in data:
            os.write(self.fd, b"".join(ANSWERS))
        self.bytes += len(data)
        self.tail = (self.tail + data)[-200_000:]
        return data

    def until(self, text: bytes, seconds: float = 10.0) -> float:
        """Reads until a text has come; the time that took."""
        start = time.perf_counter()
        self.tail = b""
        while text not in self.tail:
            if time.perf_counter() - start > seconds:
                raise TimeoutError(f"{text!r} did not come")
            self.read(0.2)
        return time.perf_counter() - start

    def drain(self, seconds: float) -> int:
        """Reads for some time; the bytes that came."""
        before, until = self.bytes, time.perf_counter() + seconds
        while (left := until - time.perf_counter()) > 0:
            self.read(left)
        return self.bytes - before

    def close(self) -> int:
        """Ends the view; its exit status."""
        os.kill(self.pid, signal.SIGTERM)
        for _ in range(100):
            self.read(0.02)
            done, status = os.waitpid(self.pid, os.WNOHANG)
            if done:
                break
        else:
            os.kill(self.pid, signal.SIGKILL)
            _, status = os.waitpid(self.pid, 0)
        os.close(self.fd)
        return os.waitstatus_to_exitcode(status)


def first_paint(folder: Path, runs: int) -> list[tuple[float, float]]:
    """Milliseconds from exec to the first frame without a guardian, and the processor's share of them."""
    found = []
    for _ in range(runs):
        terminal = Terminal(folder)
        while b"Chat" not in terminal.tail:
            terminal.read(0.5)
        wall = time.perf_counter() - terminal.started
        found.append((wall * 1000, process_cpu_ns(terminal.pid) / 1e6))
        terminal.close()
    return found


async def _stream(path: Path, chunks: int, per_second: float, ready: Any) -> None:
    """The scripted guardian: one answer of many chunks, telemetry at 2 Hz, 8 shadows."""
    from tests.support import scripted_data

    async with ScriptedGuardian(path) as guardian:
        ready()
        await guardian.connected.wait()
        await asyncio.sleep(1.5)
        row = scripted_data.request("rq-stream", "write a lot", state="running")
        guardian.notify("chat.request", row)
        start = time.perf_counter()
        for number in range(chunks):
            text = CHUNK + ("\n\n" if number % 12 == 11 else "")
            guardian.notify("chat.event", {"request_id": "rq-stream", "kind": "text", "data": {"text": text}})
            if number % 50 == 0:
                guardian.notify("telemetry", scripted_data.telemetry(12_404 + number))
                for shadow in range(8):
                    shadow_row = {"id": f"S-{shadow}", "evolution": "ev-17", "role": "shadow", "requests": number}
                    guardian.notify("shadow", shadow_row | {"state": "running", "trend": [1.0, 2.0, 1.0 + number % 3]})
            await asyncio.sleep(max(0.0, start + (number + 1) / per_second - time.perf_counter()))
        guardian.notify("chat.done", row | {"state": "done", "answer": ""})
        await asyncio.sleep(60)


def serve(path: str, chunks: str, per_second: str) -> None:
    """Runs in a process of its own."""
    asyncio.run(_stream(Path(path), int(chunks), float(per_second), lambda: print("listening", flush=True)))


def streaming(folder: Path, chunks: int, per_second: float, keys: int) -> dict[str, float]:
    """Key to echo while an answer streams, the view's CPU, and its memory at the end."""
    (folder / "run").mkdir(parents=True, exist_ok=True)
    module = "from tests.benchmarks.bench_screen import serve; import sys; serve(*sys.argv[1:])"
    socket = str(folder / "run" / "guardian.sock")
    command = [sys.executable, "-c", module, socket, str(chunks), str(per_second)]
    guardian = subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT)
    try:
        assert guardian.stdout is not None
        guardian.stdout.readline()
        terminal = Terminal(folder)
        terminal.until(b"Noted", 20)
        terminal.drain(2.5)
        echoes = []
        cpu, start, sent = process_cpu_ns(terminal.pid), time.perf_counter(), terminal.bytes
        for number in range(keys):
            # a letter that is in no answer: its echo is certain
            letter = "QZXJ"[number % 4].encode()
            os.write(terminal.fd, letter)
            echoes.append(terminal.until(letter) * 1000)
            terminal.drain(0.05 + (number % 7) * 0.01)
        wall = time.perf_counter() - start
        busy = (process_cpu_ns(terminal.pid) - cpu) / 1e9 / wall
        rate = (terminal.bytes - sent) / wall
        left = chunks / per_second - (time.perf_counter() - start) - 2.5
        terminal.drain(max(2.0, left + 2.0))
        rss = process_rss(terminal.pid) / 2**20
        idle = terminal.drain(5.0) / 5
        terminal.close()
    finally:
        guardian.terminate()
        guardian.wait()
    echoes.sort()
    return {
        "echo_p50_ms": round(statistics.median(echoes), 1),
        "echo_p95_ms": round(echoes[int(len(echoes) * 0.95)], 1),
        "echo_max_ms": round(echoes[-1], 1),
        "cpu_share": round(busy, 3),
        "bytes_per_s": round(rate),
        "rss_mib": round(rss, 1),
        "idle_bytes_per_s": round(idle, 1),
    }


def imports() -> dict[str, bool]:
    """What the view must not import."""
    code = "import sys, o_tui.ui.terminal.session; print([name in sys.modules for name in ('numpy', 'tree_sitter')])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True).stdout
    numpy, tree_sitter = json.loads(out.lower())
    return {"numpy": numpy, "tree_sitter": tree_sitter}


def measure(chunks: int = 10_000, per_second: float = 100.0, keys: int = 200, runs: int = 9) -> dict[str, Any]:
    """All figures."""
    with tempfile.TemporaryDirectory(prefix="o-") as name:
        folder = Path(name)
        paint = first_paint(folder / "a", runs)
        values: dict[str, Any] = {"imports": imports()}
        values["first_paint_ms"] = round(statistics.median(wall for wall, _ in paint), 1)
        values["first_paint_cpu_ms"] = round(statistics.median(cpu for _, cpu in paint), 1)
        slow = streaming(folder / "b", max(keys * 12, 600), per_second, keys)
        fast = streaming(folder / "c", chunks, 1_000.0, 10)
    return values | slow | {"rss_10000_chunks_mib": fast["rss_mib"]}


@pytest.mark.benchmark
def test_screen_budgets() -> None:
    """The numbers of docs/PERFORMANCE.md."""
    values = measure()
    assert values["first_paint_ms"] <= 400
    assert values["echo_p95_ms"] <= 30
    assert values["rss_10000_chunks_mib"] <= 80
    assert not values["imports"]["numpy"]


def long_answer_ms(runs: int = 7) -> float:
    """Making and laying out the turn of an answer of 960 kB in 60,000 lines, median."""
    theme = themes.build("night", themes.read(shipped("themes") / "night.toml"))
    paint = paint_from(theme.to_color_system().generate() | theme.variables, UNICODE)
    row = {"request_id": "r", "text": "q", "state": "done", "answer": "from a import (\n" * 60_000}
    found = []
    for _ in range(runs):
        started = time.perf_counter()
        Turn(row).measure(100, paint)
        found.append((time.perf_counter() - started) * 1000)
    return statistics.median(found)


def figures() -> list[Figure]:
    """The lines of docs/PERFORMANCE.md."""
    values = measure()
    return [
        Figure("view: exec to first paint, median", values["first_paint_ms"], "ms", 400),
        Figure("view: processor time until first paint", values["first_paint_cpu_ms"], "ms"),
        Figure("view: numpy imported", float(values["imports"]["numpy"]), "", 0),
        Figure("view: key to echo, 100 chunks/s, 8 shadows, p50", values["echo_p50_ms"], "ms"),
        Figure("view: key to echo, 100 chunks/s, 8 shadows, p95", values["echo_p95_ms"], "ms", 30),
        Figure("view: share of a core meanwhile", values["cpu_share"], "", 0.25),
        Figure("view: bytes written meanwhile", values["bytes_per_s"], "B/s"),
        Figure("view: bytes written while idle", values["idle_bytes_per_s"], "B/s", 50),
        Figure("view: resident after 10,000 chunks", values["rss_10000_chunks_mib"], "MiB", 80),
        Figure("view: laying out an answer of 960 kB in 60,000 lines", long_answer_ms(), "ms", 100),
    ]


if __name__ == "__main__":
    report.main(figures)
