"""The writer to the terminal, the clipboard, the question for the background: on real pipes and ptys."""

from __future__ import annotations

import base64
import os
import pty
import threading
from pathlib import Path

import pytest
from textual import events
from textual._xterm_parser import XTermParser

from o_tui.ui.terminal import background, clipboard
from o_tui.ui.terminal.driver import LoneEscape, translate
from o_tui.ui.terminal.paste import PasteGuard
from o_tui.ui.terminal.writer import BUSY_BYTES, LIMIT_BYTES, TerminalWriter, open_again
from tests.support.patience import PATIENCE_S


class Pipe:
    """A writer whose other end a test holds."""

    def __init__(self) -> None:
        self.read_fd, write_fd = os.pipe()
        os.set_blocking(write_fd, False)
        self.drained, self.gone = threading.Event(), threading.Event()
        self.writer = TerminalWriter(write_fd, drained=self.drained.set, gone=self.gone.set)
        self.writer.start()

    def read(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            piece = os.read(self.read_fd, size - len(data))
            if not piece:
                break
            data += piece
        return data


def test_text_arrives_in_order() -> None:
    pipe = Pipe()
    for number in range(1_000):
        pipe.writer.write(f"{number:04d}")
    assert pipe.read(4_000) == "".join(f"{number:04d}" for number in range(1_000)).encode()
    assert not pipe.writer.busy
    pipe.writer.stop()
    assert not pipe.writer.is_alive()


def test_a_terminal_that_does_not_read_never_blocks_and_gets_one_new_frame_later() -> None:
    pipe = Pipe()
    frame = "x" * 20_000
    for _ in range(200):
        pipe.writer.write(frame)
    assert pipe.writer.busy
    assert pipe.writer._backlog <= LIMIT_BYTES + len(frame)
    pipe.writer.skipped()
    assert not pipe.drained.is_set()
    reader = threading.Thread(target=pipe.read, args=(100_000_000,), daemon=True)
    reader.start()
    assert pipe.drained.wait(PATIENCE_S)
    assert not pipe.writer.busy
    pipe.writer.stop()
    reader.join(PATIENCE_S)


def test_a_frame_is_never_cut_in_the_middle() -> None:
    pipe = Pipe()
    frame = "<" + "x" * 30_000 + ">"
    for _ in range(100):
        pipe.writer.write(frame)
    pipe.writer.write("KEEP", keep=True)
    seen = b""
    while b"KEEP" not in seen:
        seen += os.read(pipe.read_fd, 65536)
    whole = seen.decode().removesuffix("KEEP")
    assert set(whole.split(frame)) == {""}
    pipe.writer.stop()


def test_stopping_does_not_wait_for_a_frozen_terminal() -> None:
    pipe = Pipe()
    pipe.writer.write("x" * 3 * BUSY_BYTES)
    pipe.writer.stop()
    assert not pipe.writer.is_alive()


def test_a_terminal_that_goes_is_told_once_and_writing_on_is_harmless() -> None:
    pipe = Pipe()
    os.close(pipe.read_fd)
    pipe.writer.write("hello")
    assert pipe.gone.wait(PATIENCE_S)
    pipe.writer.join(PATIENCE_S)
    pipe.writer.write("more")
    assert pipe.writer.busy


def test_a_terminals_second_descriptor_does_not_make_the_first_one_non_blocking() -> None:
    master, slave = pty.openpty()
    again, own = open_again(slave)
    assert own
    assert not os.get_blocking(again)
    assert os.get_blocking(slave)
    for fd in (master, slave, again):
        os.close(fd)


@pytest.mark.parametrize(
    ("typed", "parsed"),
    [
        ("\x1b\r", "\x1b[13;3u"),
        ("a\x1b2b", "a\x1b[50;3ub"),
        ("\x1b]11;rgb:1111/2222/3333\x1b\\x", "x"),
        ("\x1b]11;rgb:1111/2222/3333\x07", ""),
        ("\x1b[?62;22c", ""),
        ("\x1b[A", "\x1b[A"),
        ("\x1b", "\x1b"),
        ("\x1b\x1b", "\x1b\x1b"),
        ("\x1b/evolve", "\x1b[27u/evolve"),
        ("plain 1 2 3\r", "plain 1 2 3\r"),
    ],
)
def test_keys_that_textual_would_get_wrong(typed: str, parsed: str) -> None:
    assert translate(typed) == parsed


def keys_of(*pieces: str) -> list[str]:
    """The keys that pieces become, as `run_input_thread` reads them one soon after the other."""
    parser, escape, found = XTermParser(False), LoneEscape(), []
    for piece in pieces:
        found += list(parser.feed(escape.ended(piece) + translate(piece)))
    return [event.key for event in found if isinstance(event, events.Key)]


@pytest.mark.parametrize(
    ("pieces", "keys"),
    [
        (("\x1b", "3"), ["escape", "3"]),
        (("\x1b", "h", "i"), ["escape", "h", "i"]),
        (("x\x1b", "1\x1b", "2"), ["x", "escape", "1", "escape", "2"]),
        (("\x1b", "[A"), ["up"]),
        (("\x1b", "OP"), ["f1"]),
        (("\x1b3",), ["alt+3"]),
        (("\x1b6\x1b0",), ["alt+6", "alt+0"]),
        (("\x1b\x1b3",), ["escape", "alt+3"]),
    ],
)
def test_esc_and_a_key_soon_after_it_are_two_keys(pieces: tuple[str, ...], keys: list[str]) -> None:
    assert keys_of(*pieces) == keys


HOSTILE = "a\x1b[2Jb\x1b]52;c;QQ==\x07\x9b31m\x00é\n\tA\r\x1b"
PASTED = "a␛[2Jb␛]52;c;QQ==␇<U+009B>31m␀é\n\tA\r␛"


@pytest.mark.parametrize("size", [1, 2, 3, 5, 7, 1000])
def test_what_is_pasted_never_becomes_keys(size: int) -> None:
    typed = f"x\x1b[200~{HOSTILE}\x1b[201~y\x1b[200~\x1b[201~\x1b"
    guard, parser, told = PasteGuard(), XTermParser(False), []
    for start in range(0, len(typed), size):
        for _pasted, part in guard.feed(typed[start : start + size]):
            told += list(parser.feed(part))
    pasted = [event.text for event in told if isinstance(event, events.Paste)]
    assert pasted[0] == PASTED
    assert [event.key for event in told if isinstance(event, events.Key)] == ["x", "y"]


@pytest.mark.parametrize(
    ("answer", "environment", "dark"),
    [
        (b"\x1b]11;rgb:1111/1111/1111\x1b\\", {}, True),
        (b"\x1b]11;rgb:ffff/ffff/ffff\x07", {}, False),
        (b"\x1b]11;rgb:ff/ff/ee\x07", {}, False),
        (b"\x1b]11;rgba:0000/0000/0000/ffff\x07", {}, True),
        (b"", {}, True),
        (b"", {"COLORFGBG": "0;15"}, False),
        (b"", {"COLORFGBG": "15;0"}, True),
        (b"", {"COLORFGBG": "nonsense"}, True),
        (b"\x1b]11;rgb:zz/zz/zz\x07garbage", {}, True),
        (b"\x1b[?62c", {"COLORFGBG": "0;7"}, False),
    ],
)
def test_dark_or_light(answer: bytes, environment: dict[str, str], dark: bool) -> None:
    assert background.dark_of(answer, environment) is dark


def ask(reply: bytes | None) -> tuple[bool, bytes]:
    """Asks a terminal that replies so; the answer, and what is left to be read."""
    master, slave = pty.openpty()
    found: list[bool] = []
    asking = threading.Thread(target=lambda: found.append(background.is_dark(slave, slave, environment={})))
    asking.start()
    assert b"\x1b]11;?" in os.read(master, 100)
    if reply is not None:
        os.write(master, reply)
    asking.join(PATIENCE_S)
    os.close(master)
    os.close(slave)
    return found[0], b""


def test_a_terminal_is_asked_and_one_that_is_silent_is_not_waited_for() -> None:
    assert ask(b"\x1b]11;rgb:ffff/ffff/ffff\x1b\\\x1b[?62c")[0] is False
    assert ask(b"\x1b[?62c")[0] is True
    assert ask(None)[0] is True


def test_a_file_is_no_terminal(tmp_path: Path) -> None:
    with (tmp_path / "x").open("w+b") as file:
        assert background.is_dark(file.fileno(), file.fileno(), environment={}) is True
        assert file.tell() == 0


def test_copying_by_osc_52(tmp_path: Path) -> None:
    plain = clipboard.plan("héllo", tmp_path / "c", {"TERM": "xterm"})
    assert plain.sequence == "\x1b]52;c;" + base64.b64encode("héllo".encode()).decode() + "\x07"
    inside = clipboard.plan("x", tmp_path / "c", {"TMUX": "/tmp/tmux", "TERM": "tmux-256color"})
    assert inside.sequence.startswith("\x1bPtmux;\x1b\x1b]52;c;eA==\x07\x1b\\")
    assert "set-clipboard" in inside.sentence
    screen = clipboard.plan("x" * 200, tmp_path / "c", {"TERM": "screen"})
    assert screen.sequence.count("\x1bP") == screen.sequence.count("\x1b\\") > 1
    assert not (tmp_path / "c").exists()


def test_copying_too_much_goes_to_a_file_and_says_so(tmp_path: Path) -> None:
    large = clipboard.plan("x" * 60_000, tmp_path / "c{d}", {})
    assert large.sequence == ""
    assert str(tmp_path / "c{d}") in large.sentence.format(what="it")
    assert (tmp_path / "c{d}").stat().st_mode & 0o777 == 0o600
    nowhere = clipboard.plan("x" * 60_000, tmp_path / "no" / "c", {})
    assert "No such file" in nowhere.sentence
