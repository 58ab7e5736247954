"""Which word is in which module: only the module of the command that runs is imported."""

from __future__ import annotations

import importlib

from o_tui.cli.command import Command

WORDS: dict[str, tuple[str, str]] = {
    "serve": ("serving", "run the guardian in the foreground, without a screen"),
    "attach": ("serving", "show the screen of a guardian that runs, here or over ssh"),
    "stop": ("serving", "end the guardian"),
    "status": ("status", "what runs, where the log and the checkpoints stand"),
    "say": ("chat", "say something to the agent and print its answer"),
    "cancel": ("chat", "stop a request"),
    "checkpoint": ("checkpoints", "list, create, restore and move checkpoints"),
    "wal": ("log", "look at the log of operations and verify it"),
    "events": ("log", "what happened: starts, repairs, deaths, decisions"),
    "evolve": ("evolution", "try a change of a gene: shadow, evidence, decision"),
    "pending": ("changes", "changes that wait for a yes or no"),
    "show": ("changes", "one change with its diff and evidence"),
    "approve": ("changes", "approve the exact diff of a change"),
    "shadow": ("changes", "measure a change that waits once more"),
    "reject": ("changes", "reject a change, with a reason"),
    "rollback": ("changes", "go back to an earlier revision of the genome"),
    "history": ("evolving", "all changes and how they ended"),
    "hold": ("evolving", "hold every change until it is released"),
    "release": ("evolving", "end a hold"),
    "policy": ("evolving", "what may happen to a gene without asking"),
    "feedback": ("evolving", "say what you think of an answer"),
    "genome": ("genome", "the genome's versions, diffs and files"),
    "memory": ("memory", "add to the agent's memory, search and list it"),
    "kill": ("drills", "kill a process of O, for drills"),
    "doctor": ("upkeep", "check everything and say what is wrong"),
    "backup": ("upkeep", "write the whole workspace into one file"),
    "restore": ("upkeep", "put a backup into an empty workspace"),
    "validate": ("validate", "one module judged as a candidate is, beside its reference"),
    "arbiter": ("arbiter", "what the judge of changes does where the truth is known"),
    "sandbox": ("sandbox", "one program confined as an instance is; what this machine's sandbox holds"),
    "bench": ("bench", "measure this machine"),
    "config": ("settings", "settings: get, set, list"),
    "brain": ("brain", "which model answers; choose another"),
    "demo": ("story", "the whole story with real processes, and what it measured"),
    "version": ("status", "the version of O and of its parts"),
}


def commands(word: str) -> tuple[Command, ...]:
    """The commands that begin with a word; imports their module."""
    module = importlib.import_module(f"o_tui.cli.{WORDS[word][0]}")
    found: tuple[Command, ...] = module.COMMANDS
    return tuple(command for command in found if command.name.split(" ")[0] == word)


def all_commands() -> list[Command]:
    """Every command; imports every module."""
    return [command for word in WORDS for command in commands(word)]
