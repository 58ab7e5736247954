"""A view as a real process on a real pty: signals, a terminal that goes, freezes or changes its size all the time."""

from __future__ import annotations

import asyncio
import os
import random
import re
import signal
import sys
import termios
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from o_tui._native import process_cpu_ns, process_rss
from o_tui.ui.terminal.driver import RESET
from tests.support import scripted_data
from tests.support.patience import PATIENCE_S
from tests.support.scripted_link import ScriptedGuardian
from tests.support.terminal import ROOT, PtyView

LEAVE = b"\x1b[?1049l"


@pytest.fixture
async def guardian(folder: Path) -> AsyncIterator[ScriptedGuardian]:
    (folder / "run").mkdir()
    async with ScriptedGuardian(folder / "run" / "guardian.sock") as found:
        yield found


def assert_given_back(view: PtyView) -> None:
    """The terminal has its modes and its settings back, on both of its screens."""
    before, after = view.output.rsplit(LEAVE, 1)
    for mode in ("1000", "1003", "1006", "2004", "1004"):
        assert f"\x1b[?{mode}l".encode() in before[-400:]
    assert RESET.encode() in after
    assert b"\x1b[?25h" in after
    assert termios.tcgetattr(view.slave)[3] & termios.ECHO == view.before[3] & termios.ECHO != 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
async def test_signals_end_the_view_and_give_the_terminal_back(
    folder: Path, guardian: ScriptedGuardian, number: signal.Signals
) -> None:
    async with PtyView(folder) as view:
        await view.sees("Noted")
        os.kill(view.pid, number)
        assert await view.ended() == 128 + number
        await view.sees("\x1b[?25h")
        await asyncio.sleep(0)
        assert_given_back(view)
        assert [name for name, _ in guardian.calls if name == "stop"] == []


async def test_a_terminal_that_hangs_up_ends_the_view(folder: Path, guardian: ScriptedGuardian) -> None:
    async with PtyView(folder) as view:
        await view.sees("Noted")
        view.hang_up()
        assert await view.ended() == 128 + signal.SIGHUP


async def test_a_terminal_that_hangs_up_without_a_signal_ends_the_view_too(
    folder: Path, guardian: ScriptedGuardian
) -> None:
    async with PtyView(folder, extra="import signal; signal.signal(signal.SIGHUP, signal.SIG_IGN)") as view:
        await view.sees("Noted")
        view.hang_up()
        assert await view.ended() == 128 + signal.SIGHUP


async def test_quitting_by_key_gives_the_terminal_back(folder: Path, guardian: ScriptedGuardian) -> None:
    async with PtyView(folder) as view:
        await view.sees("Noted")
        view.type("\x11")
        await view.sees("Leave O")
        view.type("d")
        assert await view.ended() == 0
        assert_given_back(view)


async def test_a_storm_of_sizes_does_no_harm(folder: Path, guardian: ScriptedGuardian) -> None:
    async with PtyView(folder) as view:
        await view.sees("Noted")
        chance = random.Random(7)
        for number in range(300):
            view.resize(chance.randint(1, 250), chance.randint(1, 90))
            if number % 10 == 0:
                guardian.notify("telemetry", scripted_data.telemetry(number))
                await asyncio.sleep(0.01)
        view.resize(120, 40)
        view.forget()
        view.type("QZX")
        await view.sees("Z")
        os.kill(view.pid, signal.SIGTERM)
        assert await view.ended() == 143


async def test_a_frozen_terminal_blocks_nothing_and_sees_the_latest_when_it_reads_again(
    folder: Path, guardian: ScriptedGuardian
) -> None:
    async with PtyView(folder) as view:
        await view.sees("Noted")
        row = scripted_data.request("rq-f", "write", state="running")
        guardian.notify("chat.request", row)
        before = process_rss(view.pid)
        view.freeze()
        for number in range(400):
            data = {"text": f"line{number} " + "words and more words " * 3 + "\n\n"}
            guardian.notify("chat.event", {"request_id": "rq-f", "kind": "text", "data": data})
            await asyncio.sleep(0.01)
        # the view goes on reading: nothing of this waits in its socket
        async with asyncio.timeout(PATIENCE_S):
            while any(writer.transport.get_write_buffer_size() for writer in guardian._writers):
                await asyncio.sleep(0.01)
        async with asyncio.timeout(PATIENCE_S):  # one that spins never rests
            busy = True
            while busy:
                cpu = process_cpu_ns(view.pid)
                await asyncio.sleep(0.5)
                busy = process_cpu_ns(view.pid) - cpu > 0.15e9
        assert process_rss(view.pid) - before < 16 * 2**20
        view.forget()
        view.thaw()
        await view.sees("line399")


async def test_a_view_on_a_frozen_terminal_can_be_ended(folder: Path, guardian: ScriptedGuardian) -> None:
    async with PtyView(folder) as view:
        await view.sees("Noted")
        view.freeze()
        for number in range(200):
            view.resize(100 + number % 50, 40)
            await asyncio.sleep(0.005)
        os.kill(view.pid, signal.SIGTERM)
        assert await view.ended() == 143


async def test_what_native_code_writes_to_descriptor_2_goes_to_the_log(
    folder: Path, guardian: ScriptedGuardian
) -> None:
    word = folder / "word"
    os.mkfifo(word)
    noise = f"open({str(word)!r}).read() and os.write(2, b'NATIVE NOISE\\n')"
    extra = f"import os, threading; threading.Thread(target=lambda: {noise}).start()"
    async with PtyView(folder, extra=extra) as view:
        await view.sees("Noted")
        await asyncio.to_thread(word.write_text, "now")
        async with asyncio.timeout(PATIENCE_S):
            while b"NATIVE NOISE" not in (folder / "o.log").read_bytes():
                await asyncio.sleep(0.02)
        os.kill(view.pid, signal.SIGTERM)
        await view.ended()
        assert b"NATIVE NOISE" not in view.output


async def test_a_fatal_error_is_two_lines_on_the_normal_screen(folder: Path, guardian: ScriptedGuardian) -> None:
    extra = (
        "from o_tui.ui.app import OApp\n"
        "async def broken(self):\n    key = 'sk-secret'\n    raise RuntimeError('no luck')\n"
        "OApp.first_frame_out = broken"
    )
    async with PtyView(folder, extra=extra) as view:
        assert await view.ended() == 1
        await view.sees("the screen had to end: RuntimeError: no luck")
        after = view.output.rsplit(LEAVE, 1)[1].decode()
        assert len(re.findall(r"^.*\S.*$", after.replace(RESET, ""), re.MULTILINE)) <= 3
        assert b"sk-secret" not in view.output
        assert "sk-secret" not in (folder / "o.log").read_text().replace("key = 'sk-secret'", "")


async def test_without_a_terminal_it_says_so(folder: Path) -> None:
    code = (
        "import sys; from o_tui.paths import locate; from o_tui.config import Config; from o_tui.ui.app import run\n"
        "from o_tui.protocol.errors import OError\n"
        "p = locate(sys.argv[1]); p.prepare()\n"
        "try: run(p, Config())\n"
        "except OError as error: print(error, '|', error.hint); sys.exit(error.code)"
    )
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", code, str(folder / "w"), stdin=-3, stdout=-1, stderr=-1, cwd=ROOT
    )
    out, _err = await process.communicate()
    assert process.returncode == 2
    assert b"needs a terminal | without one: o-tui serve" in out


async def test_no_color_and_a_light_terminal(folder: Path, guardian: ScriptedGuardian) -> None:
    async with PtyView(folder, environment={"NO_COLOR": "1"}) as view:
        await view.sees("Noted")
        view.forget()
        view.type("Q")
        await view.sees("Q")
        assert not re.search(rb"\x1b\[[0-9;]*(?:38|48);[25];[0-9;]*m", view.output)


async def test_ssh_means_the_remote_profile(folder: Path, guardian: ScriptedGuardian) -> None:
    async with PtyView(folder, environment={"SSH_CONNECTION": "1 2 3 4"}) as view:
        await view.sees("ssh")
        assert b"\x1b[?1002h" in view.output
        assert b"\x1b[?1003h" not in view.output
