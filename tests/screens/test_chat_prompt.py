"""The prompt: lines, history, completion, paste, commands, files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from textual import events

from tests.support import scripted_data
from tests.support.screen import view


async def test_enter_sends_and_alt_enter_is_a_new_line() -> None:
    async with view() as v:
        await v.write("one\ntwo")
        assert v.app.chat.prompt.text == "one\ntwo"
        assert v.app.chat.prompt.size.height == 2
        await v.press("enter")
        assert (await v.guardian.called("say"))["text"] == "one\ntwo"
        assert v.app.chat.prompt.text == ""


async def test_what_is_typed_right_after_enter_is_the_next_message() -> None:
    async with view() as v:
        await v.pilot.press("a", "enter", "b", "c")
        await v.pilot.pause()
        assert v.app.chat.prompt.text == "bc"


async def test_nothing_is_not_sent() -> None:
    async with view() as v:
        await v.press("space", "enter", "enter")
        assert not [name for name, _ in v.guardian.calls if name == "say"]


async def test_a_paste_keeps_its_lines_and_sends_nothing() -> None:
    async with view() as v:
        v.app.post_message(events.Paste("first\nsecond\n[x] third"))
        await v.until(lambda: v.app.chat.prompt.text == "first\nsecond\n[x] third")
        assert not [name for name, _ in v.guardian.calls if name == "say"]


async def test_a_paste_that_no_message_can_hold_is_refused_with_a_line_and_the_draft_stays() -> None:
    async with view() as v:
        await v.write("draft")
        v.app.post_message(events.Paste("word " * 210_000))
        await v.until(lambda: "nothing was pasted" in " ".join(toast.message for toast in v.app._notifications))
        assert v.app.chat.prompt.text == "draft"
        v.app.post_message(events.Paste(" and more"))
        await v.until(lambda: v.app.chat.prompt.text == "draft and more")


async def test_history_walks_back_and_forth_and_keeps_the_draft(tmp_path: Path) -> None:
    async with view() as v:
        for text in ("one", "two"):
            await v.write(text)
            await v.press("enter")
        await v.write("draft")
        seen = []
        for key in ("up", "up", "up", "down", "down", "down"):
            await v.press(key)
            seen.append(v.app.chat.prompt.text)
        assert seen == ["two", "one", "one", "two", "draft", "draft"]
        file = v.paths.data / "prompt-history"
        assert file.read_text() == '"one"\n"two"\n'
        assert file.stat().st_mode & 0o777 == 0o600


async def test_history_survives_and_a_broken_file_does_no_harm() -> None:
    def prepare(paths) -> None:  # type: ignore[no-untyped-def]
        (paths.data / "prompt-history").write_text('"from before"\n{broken\n')

    async with view(prepare=prepare) as v:
        await v.press("up")
        assert v.app.chat.prompt.text == "from before"


async def test_commands_are_completed() -> None:
    async with view() as v:
        await v.write("/ev")
        await v.sees("/evolve GENE")
        await v.press("tab")
        assert v.app.chat.prompt.text == "/evolve "
        await v.sees("> respond", "recall", "remember")
        await v.press("down", "tab")
        assert v.app.chat.prompt.text == "/evolve recall"
        await v.press("escape")
        await v.misses("  respond")


async def test_enter_takes_the_offered_command() -> None:
    async with view() as v:
        await v.write("/che")
        await v.press("enter")
        assert v.app.chat.prompt.text == "/checkpoint "


async def test_files_are_completed_and_put_below_the_message(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "notes.txt").write_text("the text\n")
    async with view() as v:
        await v.write("read @no")
        await v.sees("notes.txt")
        await v.press("tab")
        assert v.app.chat.prompt.text == "read @notes.txt"
        await v.press("escape", "enter")
        assert (await v.guardian.called("say"))["text"] == "read @notes.txt\n\nnotes.txt:\n```\nthe text\n```"


@pytest.mark.parametrize("word", ["@~nobody-of-that-name", "@~nobody-of-that-name/x", f"@{'x' * 300}", "@/dev/zero"])
async def test_words_that_only_look_like_files_are_words(word: str) -> None:
    async with view() as v:
        await v.write(f"hello {word}")
        await v.press("escape", "enter")
        assert (await v.guardian.called("say"))["text"] == f"hello {word}"


@pytest.mark.parametrize(
    ("line", "method", "params"),
    [
        ("/checkpoint before lunch", "checkpoint.create", {"reason": "before lunch"}),
        ("/rollback", "rollback", {"revision": ""}),
        ("/bad it forgot my name", "feedback", {"verdict": "bad", "text": "it forgot my name"}),
        ("/hold a demo", "hold", {"reason": "a demo"}),
        ("/release", "release", {}),
        ("/evolve recall", "evolve", {"gene": "recall", "source": "", "origin": "auto", "goal": ""}),
        (
            "/evolve recall --population 16 --generations 4 rank newer higher",
            "evolve",
            {"gene": "recall", "source": "", "origin": "auto", "goal": "rank newer higher"}
            | {"population": 16, "generations": 4},
        ),
        (
            "/evolve recall --metric quality --source=operators --candidates 8 --goal find names",
            "evolve",
            {"gene": "recall", "source": "", "origin": "operators", "goal": "find names"}
            | {"metric": "quality", "candidates": 8},
        ),
        ("/rollback 9f3c", "rollback", {"revision": "9f3c"}),
        ("/restore c-0003 yes", "checkpoint.restore", {"id": "c-0003"}),
        ("/kill main yes", "kill", {"role": "main"}),
        ("/memory add the sky is blue", "memory.add", {"text": "the sky is blue"}),
        ("/memory search sky", "memory.search", {"text": "sky", "k": 8}),
        ("/memory list", "memory.list", {"limit": 20}),
        ("/brain ollama qwen3", "brain.set", {"provider": "ollama", "model": "qwen3", "base_url": ""}),
        (
            "/evolve recall rank newer higher",
            "evolve",
            {"gene": "recall", "source": "", "origin": "auto", "goal": "rank newer higher"},
        ),
    ],
)
async def test_commands_call_the_guardian(line: str, method: str, params: dict[str, object]) -> None:
    async with view() as v:
        v.guardian.handlers["status"] = lambda **_params: {}
        v.guardian.handlers[method] = lambda **_params: {}
        v.app.chat.prompt.write(line)
        # Esc closes what is offered; in a search it would take the search away
        await v.press(*(() if line.startswith("/memory search") else ("escape",)), "enter")
        assert await v.guardian.called(method) == params


async def test_evolve_reads_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "candidate.py").write_text("def recall(): ...\n")
    async with view() as v:
        v.guardian.handlers["evolve"] = lambda **_params: {"evolution": "ev-18"}
        v.app.chat.prompt.write("/evolve recall candidate.py newer first")
        await v.press("escape", "enter")
        assert await v.guardian.called("evolve") == {
            "gene": "recall", "source": "def recall(): ...\n", "origin": "file", "goal": "newer first",
        }  # fmt: skip
        await v.sees("ev-18", "has begun")


async def test_where_an_evolution_was_begun_stands_how_far_it_is() -> None:
    async with view() as v:
        v.guardian.handlers["evolve"] = lambda **_params: {"evolution": "ev-18"}
        v.app.chat.prompt.write("/evolve recall --population 12")
        await v.press("enter")
        await v.sees("has begun")
        row: dict[str, Any] = {"id": "ev-18", "gene": "recall", "state": "validate", "time_ns": 1}
        v.guardian.notify("evolution", row | {"work": {"doing": "validate", "at": 5, "of": 12, "failed": 0}})
        await v.sees("validate, step 4 of 6, validating candidate 5 of 12")
        v.guardian.notify("evolution", row | {"state": "shadow", "work": {"doing": "prove", "at": 1, "of": 2}})
        await v.sees("shadow, step 5 of 6, measuring again candidate 1 of 2")
        v.guardian.notify("evolution", row | {"state": "rejected", "work": {}, "reason": "none is better"})
        await v.sees("was rejected", "none is better")
        assert "step" not in v.text()


async def test_an_evolution_that_was_not_begun_here_is_followed_too() -> None:
    under_way: dict[str, Any] = {"id": "ev-30", "gene": "recall", "state": "validate", "time_ns": 1}
    snapshot = scripted_data.snapshot()
    async with view(snapshot=snapshot | {"evolutions": [*snapshot["evolutions"], under_way]}) as v:
        await v.sees("Evolution ev-30 of recall was begun elsewhere", "validate, step 4 of 6")
        v.guardian.notify("evolution", under_way | {"state": "rejected", "reason": "none is better"})
        await v.sees("ev-30 of recall was rejected", "none is better")
        itself = under_way | {"id": "ev-31", "why": {"metric": "latency"}, "hypothesis": "answers take longer"}
        for state in ("intent", "generate"):
            v.guardian.notify("evolution", itself | {"state": state})
        await v.sees("ev-31 of recall began by itself: answers take longer", "generate, step 3 of 6")
        assert v.text().count("began by itself") == 1
        v.guardian.notify("evolution", under_way | {"id": "ev-32"})  # somebody's else, and told in his view
        v.guardian.notify("evolution", itself | {"state": "failed", "reason": "enough of it"})
        await v.sees("enough of it")
        assert "ev-32 of recall" not in v.text()


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("/nonsense", "no command /nonsense"),
        ("/evolve", "GENE FILE"),
        ("/evolve recall missing.py", "there is no file"),
        ("/evolve recall ~nobody-of-that-name/x.py", "there is no home folder ~nobody-of-that-name"),
        (f"/evolve recall @{'x' * 300}", "File name too long"),
        ("/evolve recall /dev/zero", "/dev/zero is not a file"),
        ("/evolve recall --from", "--from of /evolve wants a value"),
        ("/evolve recall --speed 3", "/evolve has no --speed"),
        ("/evolve recall --population many", "--population of /evolve wants a number"),
        ("/restore c-0003", "/restore c-0003 yes"),
        ("/kill main", "/kill main yes"),
        ("/kill everything yes", "main|standby"),
        ("/memory", "search TEXT"),
        ("/theme nonsense", "no theme 'nonsense'"),
        ("/retry", "Nothing has failed"),
    ],
)
async def test_a_wrong_command_is_one_clear_line(line: str, words: str) -> None:
    async with view() as v:
        v.app.chat.prompt.write(line)
        await v.press("escape", "enter")
        await v.until(lambda: words in v.toasts)
        assert not [name for name, _ in v.guardian.calls if name != "say" and not name.startswith(("evol", "event"))]


async def test_memory_results_are_shown_in_the_chat() -> None:
    async with view() as v:
        rows = [{"text": "the demo is on [Thursday]", "source": "chat", "time_ns": 1_763_726_000_000_000_000}]
        v.guardian.handlers["memory.search"] = lambda text, k: {"results": rows}
        v.app.chat.prompt.write("/memory search demo")
        await v.press("enter")
        await v.sees("the demo is on [Thursday]", "chat, 10 m ago")


async def test_theme_command_changes_the_screen() -> None:
    async with view() as v:
        v.app.chat.prompt.write("/theme paper")
        await v.press("escape", "enter")
        await v.until(lambda: v.app.theme == "paper")


async def test_two_slashes_are_text() -> None:
    async with view() as v:
        v.app.chat.prompt.write("//etc is a folder")
        await v.press("enter")
        assert (await v.guardian.called("say"))["text"] == "/etc is a folder"


async def test_without_a_guardian_the_text_is_kept() -> None:
    async with view(connected=False) as v:
        await v.sees("You can write already")
        await v.write("hello")
        await v.press("enter")
        await v.until(lambda: "no guardian" in v.toasts)
        assert v.app.chat.prompt.text == "hello"
