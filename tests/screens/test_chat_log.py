"""The chat: turns, streaming, tools, selection, copying, retry, cancel."""

from __future__ import annotations

import asyncio
import base64

from o_tui.protocol.errors import PeerError, RefusedError
from tests.support import scripted_data
from tests.support.screen import View, view

EMPTY = scripted_data.snapshot() | {"requests": []}


def stream(v: View, text: str, request_id: str = "rq-x") -> None:
    v.guardian.notify("chat.event", {"request_id": request_id, "kind": "text", "data": {"text": text}})


def begin(v: View, text: str = "question", request_id: str = "rq-x", **more: object) -> None:
    v.guardian.notify("chat.request", scripted_data.request(request_id, text, state="running", **more))


def finish(v: View, answer: str = "", request_id: str = "rq-x", **more: object) -> None:
    v.guardian.notify("chat.done", scripted_data.request(request_id, "question", answer, **more))


async def test_a_fresh_chat_says_what_can_be_done() -> None:
    async with view(snapshot=EMPTY) as v:
        await v.sees("Write a message and press Enter", "/evolve")
        v.guardian.answer = "Hello."
        await v.write("hi")
        await v.press("enter")
        await v.sees("you", "hi", "Hello.")
        await v.misses("Write a message and press Enter")


async def test_an_answer_appears_while_it_is_written() -> None:
    async with view(snapshot=EMPTY) as v:
        begin(v)
        stream(v, "## Pl")
        await v.sees("answering", "Pl")
        stream(v, "an\n\nfirst **bo")
        await v.sees("Plan", "first **bo")
        stream(v, "ld** word")
        await v.sees("first bold word")
        finish(v, "## Plan\n\nfirst **bold** word", elapsed_ms=840.0)
        await v.sees("840 ms")
        await v.misses("answering")
        assert v.text().count("first bold word") == 1


async def test_what_was_missed_while_reconnecting_comes_with_the_end() -> None:
    async with view(snapshot=EMPTY) as v:
        begin(v)
        finish(v, "the whole answer", recovered=True)
        await v.sees("the whole answer", "recovered")


async def test_tools_are_lines_that_open() -> None:
    async with view(snapshot=EMPTY) as v:
        begin(v)
        stream(v, "Let me look.")
        event = {"request_id": "rq-x", "kind": "tool_call"}
        v.guardian.notify("chat.event", event | {"data": {"name": "read", "arguments": {"path": "genome/core.py"}}})
        await v.sees("[+] read", "genome/core.py", "running")
        event["kind"] = "tool_result"
        v.guardian.notify("chat.event", event | {"data": {"name": "read", "ok": True, "text": "line one\nline two"}})
        await v.sees("ok")
        assert "line two" not in v.text()
        finish(v, "Let me look.")
        await v.press("shift+tab")
        await v.press("enter")
        await v.sees("[-] read", "line two")
        await v.press("enter")
        await v.misses("line two")


async def test_a_tool_whose_result_never_came_does_not_run_for_ever() -> None:
    async with view(snapshot=EMPTY) as v:
        begin(v)
        data = {"name": "read", "arguments": {}}
        v.guardian.notify("chat.event", {"request_id": "rq-x", "kind": "tool_call", "data": data})
        await v.sees("running")
        finish(v, error="cancelled", state="failed")
        await v.sees("ended")
        assert not [line for line in v.text().split("\n") if "[+] read" in line and "running" in line]


async def test_new_lines_below_are_counted_and_end_follows() -> None:
    async with view((80, 24)) as v:
        begin(v)
        stream(v, "\n\n".join(f"line {number}" for number in range(30)))
        await v.sees("line 29")
        await v.press("pageup")
        await v.sees("End to follow")
        stream(v, "\n\nmore\n\nand more")
        await v.sees("4 new lines below")
        assert "and more" not in v.text()
        await v.press("end")
        await v.sees("and more")
        await v.misses("End to follow")


async def test_scrolling_up_shows_the_oldest_turn() -> None:
    rows = [scripted_data.request(f"rq-{n}", f"question {n}", f"answer {n}", time_ns=n + 1) for n in range(100)]
    async with view((80, 24), snapshot=EMPTY | {"requests": rows}) as v:
        await v.sees("answer 99")
        await v.until(lambda: v.app.chat.log_view._first == 0)
        await v.sees("answer 99")
        await v.press("shift+tab")
        v.app.chat.log_view.scroll_home(animate=False)
        await v.sees("question 0", "answer 0")


async def test_a_resize_keeps_the_line_that_is_read() -> None:
    rows = [scripted_data.request(f"rq-{n}", f"question {n}", "word " * 60, time_ns=n + 1) for n in range(60)]
    async with view((120, 40), snapshot=EMPTY | {"requests": rows}) as v:
        await v.sees("question 59")
        await v.until(lambda: v.app.chat.log_view._first == 0)
        log = v.app.chat.log_view
        log.scroll_to(y=log._start(log.turns[30]), animate=False, immediate=True)
        await v.sees("question 30")
        await v.pilot.resize_terminal(84, 30)
        await v.sees("question 30")
        await v.until(lambda: log._first == 0)
        await v.sees("question 30")


async def test_hostile_text_is_harmless_everywhere() -> None:
    evil = "\x1b[31mred\x1b]0;title\x07 \u202egnp.exe [bold]x[/] [link=a]"
    rows = [scripted_data.request("rq-e", evil, evil + "\n\n```\n" + evil + "\n```\n&#x202e;", error=evil)]
    async with view(snapshot=EMPTY | {"requests": rows}) as v:
        await v.sees("[bold]x[/]", "gnp.exe")
        v.guardian.notify("event", scripted_data.event(99, evil, evil, "error"))
        await v.pilot.pause()
        assert not set("\x1b\x07\u202e\x9b") & set(v.text())


async def test_y_copies_the_selected_answer_through_the_terminal() -> None:
    async with view() as v:
        written: list[str] = []
        v.app._driver.write = written.append  # type: ignore[union-attr,method-assign]
        await v.press("shift+tab", "y")
        await v.until(lambda: "Sent the answer to the clipboard" in v.toasts)
        sequence = next(text for text in written if text.startswith("\x1b]52;c;"))
        packed = sequence.removeprefix("\x1b]52;c;").removesuffix("\x07")
        assert base64.b64decode(packed).decode() == scripted_data.MARKDOWN


async def test_an_answer_too_large_for_a_terminal_is_copied_into_a_file() -> None:
    rows = [scripted_data.request("rq-b", "much", "x" * 80_000)]
    async with view(snapshot=EMPTY | {"requests": rows}) as v:
        await v.press("shift+tab", "y")
        await v.until(lambda: "copied.txt" in v.toasts)
        file = v.paths.data / "copied.txt"
        assert file.read_text() == "x" * 80_000
        assert file.stat().st_mode & 0o777 == 0o600


async def test_escape_cancels_the_running_answer() -> None:
    async with view(snapshot=EMPTY) as v:
        v.guardian.chunk_s = 0.05
        v.guardian.answer = "word " * 200
        await v.write("go")
        await v.press("enter")
        await v.sees("answering", "word")
        await v.press("escape")
        await v.guardian.called("cancel")
        await v.sees("failed", "cancelled by the operator")


async def test_a_failed_message_is_sent_again() -> None:
    rows = [scripted_data.request("rq-f", "again please", error="the model refused", state="failed")]
    async with view(snapshot=EMPTY | {"requests": rows}) as v:
        v.guardian.answer = "now it works"
        await v.sees("! the model refused")
        await v.press("shift+tab", "r")
        assert (await v.guardian.called("say"))["text"] == "again please"
        await v.sees("now it works")


async def test_a_refused_message_comes_back_to_the_prompt() -> None:
    async with view() as v:

        def refuse(text: str) -> None:
            raise PeerError("the disk is full", hint="make room")

        v.guardian.handlers["say"] = refuse
        await v.write("keep me")
        await v.press("enter")
        await v.until(lambda: "make room" in v.toasts)
        await v.until(lambda: v.app.chat.prompt.text == "keep me")


async def test_requests_of_other_kinds_are_no_turns() -> None:
    rows = [scripted_data.request("rq-m", "{}", "{}", kind="memory.add", session="memory")]
    async with view(snapshot=EMPTY | {"requests": rows}) as v:
        await v.sees("Write a message and press Enter")
        v.guardian.notify("chat.request", rows[0])
        await v.sees("Write a message and press Enter")


async def test_the_mouse_selects_and_copies_lines() -> None:
    async with view() as v:
        log = v.app.chat.log_view
        assert await v.pilot.mouse_down(log, offset=(2, 2))
        assert await v.pilot.hover(log, offset=(12, 2))
        assert await v.pilot.mouse_up(log, offset=(12, 2))
        await v.until(lambda: v.app.screen.get_selected_text())
        assert v.app.screen.get_selected_text() == log.render_line(2).text[2:13]


async def test_two_answers_at_once_keep_to_their_turns() -> None:
    async with view(snapshot=EMPTY) as v:
        begin(v, "first", "rq-1", time_ns=scripted_data.NOW)
        begin(v, "second", "rq-2", time_ns=scripted_data.NOW + 1)
        for number in range(10):
            stream(v, f"a{number} ", "rq-1")
            stream(v, f"b{number} ", "rq-2")
        await v.sees("a8 a9", "b8 b9")
        lines = v.text()
        assert lines.index("first") < lines.index("a8 a9") < lines.index("second") < lines.index("b8 b9")


async def test_after_the_clock_was_set_back_turns_stay_in_the_order_of_the_log() -> None:
    hour = 3_600 * 10**9
    rows = [
        scripted_data.request(f"rq-{n}", f"question {n}", f"answer {n}", time_ns=scripted_data.NOW - n * hour)
        for n in range(3)
    ]
    async with view(snapshot=EMPTY | {"requests": rows}) as v:
        await v.sees("question 2")
        v.app.chat.say_local("/brain", "local answer")
        begin(v, "another question", "rq-9", time_ns=scripted_data.NOW - 9 * hour)
        await v.sees("another question")
        lines = v.text()
        places = [lines.index(text) for text in ("question 0", "question 1", "question 2", "/brain", "another")]
        assert places == sorted(places)


async def test_ten_thousand_chunks_stay_cheap() -> None:
    async with view(snapshot=EMPTY) as v:
        begin(v)
        for number in range(10_000):
            stream(v, f"word{number} and **more** " + ("\n\n" if number % 10 == 9 else ""))
            if number % 500 == 0:
                await asyncio.sleep(0)
        await v.sees("word9999")
        turn = v.app.chat.log_view.turns[0]
        assert len(turn.pieces) < 1_100
        kept = [piece for piece in turn.pieces if piece.strips is not None]
        await v.press("pageup", "pageup")
        assert len(v.app.chat.log_view.children) == 0
        assert kept


async def test_the_guardian_may_refuse_a_command() -> None:
    async with view() as v:

        def refuse(**_params: object) -> None:
            raise RefusedError("an evolution is running already", hint="wait for it")

        v.guardian.handlers["evolve"] = refuse
        await v.write("/evolve recall rank newer higher")
        await v.press("enter")
        await v.until(lambda: "already" in v.toasts and "wait for it" in v.toasts)
