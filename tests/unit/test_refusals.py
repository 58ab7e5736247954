"""What was refused, in words: each thing once, the same everywhere, and nothing hidden."""

from __future__ import annotations

import os
import signal

from o_tui import _native
from o_tui.guardian.storage.violations import DISTINCT, Refused
from o_tui.protocol.refusals import Refusal, in_words, refusals, summary, wall_clock
from o_tui.ui.panes.evidence import evidence
from o_tui.ui.panes.evidence import summary as pane_summary


def test_each_thing_once_with_how_often() -> None:
    rows = [(1, "seccomp", "socket", 1, "", 5), (2, "landlock", "openat", 13, "/etc/passwd", 6)]
    found = refusals([*rows, (3, "seccomp", "socket", 1, "", 7)])
    assert found == [
        Refusal(layer="seccomp", what="socket", count=2),
        Refusal(layer="landlock", what="openat /etc/passwd"),
    ]
    assert summary(found) == "2 refused: socket, openat /etc/passwd"
    assert (summary([]), in_words(["a", "b", "c", "d", "e"])) == ("clean", "5 refused: a, b, c and 2 more")


def test_a_death_by_a_limit_is_one_and_other_deaths_are_not() -> None:
    for number, layer, word in ((signal.SIGXFSZ, "limits", "file size"), (signal.SIGXCPU, "limits", "CPU time")):
        assert [(each.layer, each.what.startswith(word)) for each in refusals([], -number)] == [(layer, True)]
    for status in (0, 1, -signal.SIGKILL, -signal.SIGSEGV):
        assert refusals([], status) == []
    named = (1, "seccomp", "bpf", 0, "", 5)
    assert [each.what for each in refusals([named], -signal.SIGSYS)] == ["bpf"]
    assert "SIGSYS" in refusals([], -signal.SIGSYS)[0].what
    assert wall_clock(0.5).what == "wall clock 0.5 s"


def test_an_instance_that_tries_everything_fills_no_table() -> None:
    shared = _native.SharedCounters().detach_fd()
    refused = Refused(_native.SharedReader(shared))
    os.close(shared)
    assert refused.look() == []
    tried = [Refusal(layer="landlock", what=f"openat /tmp/{number}") for number in range(1_000)]
    assert len(refused.add(tried)) == DISTINCT and refused.add(tried) == []
    assert refused.all == tried[:DISTINCT]


def test_review_shows_it() -> None:
    def lines(refused: list[str] | None) -> str:
        sandbox = {} if refused is None else {"sandbox": {"candidate": refused}}
        return "\n".join(text.plain for text in evidence({"evidence": {"pairs": 3, **sandbox}}, ()))

    assert "sandbox  clean" in lines([])
    assert "sandbox  2 refused: seccomp: socket, landlock: openat /a" in lines(
        ["seccomp: socket", "landlock: openat /a"]
    )
    assert "sandbox" not in lines(None)
    assert "\x1b" not in lines(["landlock: openat /\x1b[31m"])
    short = pane_summary({"evidence": {"pairs": 3, "sandbox": {"candidate": ["seccomp: socket"]}}}, ())
    assert "sandbox: 1 REFUSED" in short[0].plain
