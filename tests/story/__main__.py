"""`just story [FILE]`: O improves its own `recall` on conversations, on its own, with proof.

In a workspace of its own: the gene begins as a plain search for words; built-in operators (no model) change it; each
candidate is validated, confined and measured beside what runs, on questions about three conversations. The best one is
measured again on two conversations that nobody has looked at. It is approved, serves as a canary, is watched. Then a
change is approved that behaves on trial and turns slow in service. What was measured goes into the README.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import os
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from o_tui import config
from o_tui.client import Client, connect, ensure_guardian, stop_guardian
from o_tui.evolution.genome import Genome
from o_tui.paths import Paths, locate, shipped
from tests.story import conversations, report
from tests.story.report import Figures
from tests.story.workload import write_workload

UNSEEN = 2
"""Conversations that only the proof is made on."""
CANDIDATES = 48
LIMIT_S = 15 * 60
WATCHED_S = 120.0
"""What a canary has not seen, the watch after the promotion has to see in so many seconds of talk."""
QUESTIONS = ["where did we go in May?", "what did you say about the garden?", "who plays the piano?"]
GAIN = 0.08
"""What recall@5 must rise by on the unseen conversations."""
BAD = '''

_calls: list[int] = []
_recall = recall


def recall(query: str, search: Search, k: int, now_ns: int) -> list[Hit]:  # noqa: F811
    """Behaves while it is tried, and turns slow in service."""
    _calls.append(1)
    if len(_calls) > 25:
        for _ in range(60):
            _recall(query, search, k, now_ns)
    return _recall(query, search, k, now_ns)
'''


class Story:
    """Steps with their times; a step that fails ends it."""

    def __init__(self) -> None:
        self.began_s = time.monotonic()

    @contextlib.contextmanager
    def step(self, name: str) -> Iterator[Callable[[str], None]]:
        """One line when it is done."""
        start = time.monotonic()
        details: list[str] = []
        yield details.append
        print(f"{time.monotonic() - start:7.1f} s  {name}: {'; '.join(details)}", flush=True)


def begin(paths: Paths, seed: Path) -> None:
    """The workspace: a genome whose `recall` is plain, the settings of this story."""
    shutil.copytree(shipped("data") / "genome", seed)
    shutil.copyfile(shipped("data") / "story" / "recall_baseline.py", seed / "recall.py")
    paths.prepare()
    Genome.open(paths.genome, seed)
    for key, value in (("evolution.pairs", 800), ("evolution.intents_per_day", 0), ("brain.onboarded", True)):
        config.set_value(paths.config_file, key, value)


def evolve(client: Client, candidates: int, figures: Figures) -> dict[str, Any]:
    """One evolution by the operators alone; what it was like on the way goes into the figures."""
    goal = "find the turns that answer a question among the first five"
    budget = {"requests": 0, "cpu_s": 0}
    begun = client.call(
        "evolve", gene="recall", origin="operators", goal=goal, metric="quality", candidates=candidates, budget=budget
    )["evolution"]
    answer = client.stream("evolution.wait", id=begun)
    for notice in answer:
        if notice.topic == "evolution" and notice.data.get("id") == begun:
            figures.race(notice.data.get("race") or [], time.monotonic())
    row: dict[str, Any] = answer.value
    return row


@contextlib.contextmanager
def asking(paths: Paths, questions: list[str]) -> Iterator[None]:
    """Somebody talks with the agent meanwhile."""
    over = threading.Event()

    def ask() -> None:
        client = connect(paths)
        for question in itertools.cycle(questions):
            if over.is_set():
                break
            client.call("say", text=question)
        client.close()

    asker = threading.Thread(target=ask, daemon=True)
    asker.start()
    try:
        yield
    finally:
        over.set()
        asker.join(30)


def approve(client: Client, row: dict[str, Any]) -> dict[str, Any]:
    """An operator's yes; returns when the canary has passed, or the row as it has ended."""
    row = client.call("evolution.show", id=row["id"])
    with contextlib.suppress(Exception):  # that it did not work is in the row
        client.call("approve", id=row["id"], digest=row["diff_sha256"])
    found: dict[str, Any] = client.call("evolution.show", id=row["id"])
    return found


def play(paths: Paths, seed: Path, file: Path | None, candidates: int) -> Figures:
    """The story; raises AssertionError where it does not go as it should."""
    story, figures = Story(), Figures()
    talks, figures.data = conversations.load(file)
    with story.step("a genome whose recall is a plain search for words") as told:
        begin(paths, seed)
        seen, unseen = write_workload(paths.data / "workloads" / "recall.jsonl", talks, UNSEEN)
        told(f"{figures.data}: {seen} questions to learn from, {unseen} that nobody looks at before the proof")
    ensure_guardian(paths, keep=True).close()
    client = connect(paths, follow=True)
    with story.step("evolve recall, operators only, no model") as told:
        row = evolve(client, candidates, figures)
        figures.proof(row)
        told(f"{row['state']}: {row['reason']}")
        assert row["state"] == "pending", row["reason"]
        told(f"recall@5 on unseen conversations {figures.before:.3f} -> {figures.after:.3f}")
    with story.step("approve, canary") as told:
        row = approve(client, row)
        told(f"{row['state']} v{row.get('version')}")
        assert row["state"] == "promoted", row["reason"]
    figures.improved_s = time.monotonic() - story.began_s
    with story.step("the agent remembers a conversation") as told:
        (talk := paths.data / "talk.json").write_text(json.dumps(talks[:1]), "utf-8")
        told(f"{client.call('memory.import', path=str(talk), format='locomo')['blocks']} turns")
    with story.step("a bad change is approved, and undone by itself") as told:
        source = client.call("genome.show", revision="head", path="recall.py")["text"]
        begun = client.call("evolve", gene="recall", source=source + BAD, goal="a promotion that should not be")
        row = client.call("evolution.wait", id=begun["evolution"])
        with asking(paths, QUESTIONS):
            bad = approve(client, row)
            until_s = time.monotonic() + WATCHED_S
            while bad["state"] == "promoted" and time.monotonic() < until_s:
                bad = client.call("evolution.show", id=bad["id"])
                time.sleep(0.2)
        figures.undone = str(bad["reason"])
        told(f"{bad['state']}: {bad['reason']}")
        assert bad["state"] == "rolled_back", (bad["reason"], bad["canary"])
    figures.took_s = time.monotonic() - story.began_s
    stop_guardian(client)
    return figures


def main() -> int:
    """Plays it; 0 if every step went as it should and the numbers hold."""
    parser = argparse.ArgumentParser(prog="just story")
    parser.add_argument("file", nargs="?", type=Path, help="a LoCoMo file; without it O_TUI_LOCOMO, or made talks")
    parser.add_argument("--candidates", type=int, default=CANDIDATES)
    parser.add_argument("--write", action="store_true", help="into the README and docs/story.svg")
    arguments = parser.parse_args()
    named = arguments.file or (Path(os.environ["O_TUI_LOCOMO"]) if os.environ.get("O_TUI_LOCOMO") else None)
    folder = Path(tempfile.mkdtemp(prefix="o-story-"))
    paths = locate(str(folder / "w"))
    try:
        figures = play(paths, folder / "seed", named, arguments.candidates)
    finally:
        with contextlib.suppress(Exception):
            stop_guardian(connect(paths))
        shutil.rmtree(folder, ignore_errors=True)
    print(report.sentence(figures))
    if arguments.write:
        report.write(figures)
    return 0 if figures.gain >= GAIN and figures.improved_s <= LIMIT_S else 1


if __name__ == "__main__":
    sys.exit(main())
