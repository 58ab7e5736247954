"""`o-tui demo`: the whole story with real processes, in a workspace of its own, and what it measured."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from o_tui.cli.output import Output
from o_tui.client import Client, connect, ensure_guardian, running, stop_guardian
from o_tui.config import Config, set_value
from o_tui.paths import Paths, locate, shipped
from o_tui.protocol.errors import OError

NOTES = (
    "remember the spare key is under the blue flower pot",
    "remember Ada's birthday is on the tenth of December",
    "remember the boiler was serviced in March by Hughes and Sons",
)
QUESTION = "where is the spare key?"
PAUSE_S = 2.5
"""Between the steps of a story that somebody watches."""
CHANGED = "# A candidate: what was recalled is ranked as before; only this line is new.\n"


@dataclass(slots=True)
class Step:
    """One step of the story."""

    name: str
    ok: bool
    ms: float
    detail: str


@dataclass(slots=True)
class Story:
    """What happened, and what was measured."""

    say: Callable[[str], None]
    pause: Callable[[], None] = lambda: None
    steps: list[Step] = field(default_factory=list)
    lost: int = 0
    recovery_ms: float = 0.0

    @contextlib.contextmanager
    def step(self, name: str) -> Iterator[list[str]]:
        """Times a step; what is put into the list becomes its detail."""
        details: list[str] = []
        started = time.perf_counter()
        ok = True
        try:
            yield details
        except OError as error:
            ok = False
            details.append(f"{error} {error.hint}".strip())
        finally:
            step = Step(name, ok, round((time.perf_counter() - started) * 1000, 1), "; ".join(details))
            self.steps.append(step)
            self.say(f"{'ok ' if ok else 'NO '} {step.ms:9.1f} ms  {name}: {step.detail}")
        if not ok:
            raise StepFailedError
        self.pause()

    @property
    def ok(self) -> bool:
        """Every step went well and nothing was lost."""
        return bool(self.steps) and all(step.ok for step in self.steps) and not self.lost


class StepFailedError(Exception):
    """A step failed, or nobody looks any more; the story ends there."""


def run(*, as_json: bool, keep: bool = False) -> int:
    """Plays the story; returns the exit code. With `keep` the workspace stays."""
    folder = Path(tempfile.mkdtemp(prefix="o-demo-"))
    paths = locate(str(folder / "w"))
    story = Story((lambda _line: None) if as_json else _print)
    try:
        with contextlib.suppress(StepFailedError):
            _play(story, paths)
    finally:
        if keep:
            Output(as_json).note(f"the workspace is kept: --data-dir {paths.data}")
        else:
            shutil.rmtree(folder, ignore_errors=True)
    _conclude(story, as_json)
    return 0 if story.ok else 1


def run_on_screen(settings: Config, *, as_json: bool, keep: bool = False) -> int:
    """Plays the story behind the view of its workspace, slowly; ends with the view. Returns the exit code."""
    from o_tui.cli.serving import show

    folder = Path(tempfile.mkdtemp(prefix="o-demo-"))
    paths = locate(str(folder / "w"))
    gone = threading.Event()

    def pause() -> None:
        if gone.wait(PAUSE_S):
            raise StepFailedError

    # the view has the terminal: what was measured is printed when it has ended
    lines: list[str] = []
    story = Story(lines.append, pause)

    def play() -> None:
        with contextlib.suppress(StepFailedError, OError):
            pause()
            _play(story, paths, stop=False)

    def start() -> None:
        ensure_guardian(paths, keep=True).close()

    player = threading.Thread(target=play, daemon=True, name="story")
    try:
        paths.prepare()
        set_value(paths.config_file, "brain.onboarded", True)  # no first questions: the story speaks
        start()
        player.start()
        code = show(paths, settings, start_guardian=start)
    finally:
        gone.set()
        _end(paths)
        if player.ident is not None:
            player.join(10.0)
        _end(paths)  # the story may have been starting one anew just then
        if keep:
            Output(as_json).note(f"the workspace is kept: --data-dir {paths.data}")
        else:
            shutil.rmtree(folder, ignore_errors=True)
    if not as_json:
        _print("\n".join(lines))
    _conclude(story, as_json)
    return code


def _end(paths: Paths) -> None:
    with contextlib.suppress(OError):
        client = running(paths)
        if client is not None:
            stop_guardian(client)


def _play(story: Story, paths: Paths, *, stop: bool = True) -> None:
    with story.step("start a guardian") as told:
        ensure_guardian(paths, keep=True)
        client = connect(paths)
        status = client.call("status")
        told.append(f"pid {status['guardian']['pid']}, main {_pid(status, 'main')}")
    try:
        _tell(story, client)
        _evolve(story, client)
        _lose(story, client, "main")
        client = _lose_guardian(story, client, paths)
        _roll_back(story, client)
        _restore(story, client)
        with story.step("verify the log") as told:
            report = client.call("wal.verify")
            if not report["ok"]:
                raise OError(f"the log is damaged at {report['first_bad_seq']}")
            told.append(f"{report['entries']} entries, every digest right")
    finally:
        if stop:
            with contextlib.suppress(OError):
                client.call("stop")
                client.wait_closed(10.0)


def _tell(story: Story, client: Client) -> None:
    with story.step("talk") as told:
        for note in NOTES:
            client.call("say", text=note)
        answer = client.call("say", text=QUESTION)
        told.append(_short(answer["text"]))
        if "flower pot" not in answer["text"]:
            raise OError("the agent does not remember what it was told")


def _evolve(story: Story, client: Client) -> None:
    with story.step("hand it a change of its gene recall") as told:
        source = (shipped("data") / "genome" / "recall.py").read_text("utf-8")
        evolution = client.call("evolve", gene="recall", source=source + "\n\n" + CHANGED)["evolution"]
        row = client.call("evolution.wait", id=evolution)
        evidence = row.get("evidence") or {}
        told.append(f"{row['state']} after {evidence.get('pairs', 0)} pairs in a shadow: {row.get('reason', '')}")
        if row["state"] != "pending":
            raise OError(f"the candidate is {row['state']}: {row.get('reason', '')}")
    with story.step("approve the exact diff") as told:
        approved = client.call("approve", id=evolution, digest=row["diff_sha256"])
        told.append(f"v{approved.get('version', '?')}, diff {row['diff_sha256'][:12]}")
    with story.step("the new code answers") as told:
        told.append(_short(client.call("say", text=QUESTION)["text"]))


def _lose(story: Story, client: Client, role: str) -> None:
    with story.step(f"kill -9 {role}") as told:
        pid = client.call("kill", role=role)["pid"]
        answer = client.call("say", text=QUESTION)
        story.recovery_ms = client.call("status")["recovery_ms"]
        told.append(f"pid {pid} gone, the next one served after {story.recovery_ms:.1f} ms")
        if "flower pot" not in answer["text"]:
            story.lost += 1


def _lose_guardian(story: Story, client: Client, paths: Paths) -> Client:
    import os
    import signal

    with story.step("kill -9 the guardian itself") as told:
        before = client.call("status")
        os.kill(before["guardian"]["pid"], signal.SIGKILL)
        client.wait_closed(10.0)
        ensure_guardian(paths, keep=True)
        client = connect(paths)
        after = client.call("status")
        blocks = client.call("memory.list", limit=100)["blocks"]
        missing = [note for note in NOTES if not any(note.partition(" ")[2] in block["text"] for block in blocks)]
        story.lost += len(missing) + max(0, before["wal"]["seq"] - after["wal"]["seq"])
        told.append(f"epoch {before['guardian']['epoch']} -> {after['guardian']['epoch']}, lost {story.lost}")
    return client


def _roll_back(story: Story, client: Client) -> None:
    with story.step("roll the genome back") as told:
        told.append(f"v{client.call('rollback').get('version', '?')}")
        client.call("say", text=QUESTION)


def _restore(story: Story, client: Client) -> None:
    with story.step("restore a checkpoint") as told:
        row = client.call("checkpoint.create", reason="demo")
        client.call("say", text="remember this note is written after the checkpoint")
        client.call("checkpoint.restore", id=row["id"])
        blocks = client.call("memory.list", limit=100)["blocks"]
        told.append(f"{row['id'][:8]}: {len(blocks)} memories, as at entry {row['seq']}")
        if any("written after the checkpoint" in block["text"] for block in blocks):
            raise OError("the state is not the checkpoint's")


def _conclude(story: Story, as_json: bool) -> None:
    if as_json:
        result = {
            "steps": [asdict(step) for step in story.steps],
            "lost": story.lost,
            "recovery_ms": round(story.recovery_ms, 2),
            "ok": story.ok,
        }
        Output(as_json).value(result)
        return
    _print(f"\nlost: {story.lost}   recovery: {story.recovery_ms:.1f} ms   {'all is well' if story.ok else 'NOT well'}")


def _pid(status: dict[str, Any], role: str) -> int:
    return next((int(row["pid"]) for row in status["instances"] if row["role"] == role), 0)


def _short(text: str) -> str:
    from o_tui.protocol.safe_text import safe_line

    return safe_line(" ".join(text.split()), 100)


def _print(line: str) -> None:
    out = Output(json=False)
    out.text(line)
    out.flush()
