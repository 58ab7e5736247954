"""The slash commands of the chat: what they are called, what can follow, and how a line is taken apart. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from o_tui.paths import expanded, open_foreign
from o_tui.protocol.errors import OError

FILE_LIMIT_BYTES = 256 * 1024
SHOWN = 8
"""Completions that are offered at once."""
ROLES = ("main", "standby", "nursery", "broker")


@dataclass(frozen=True, slots=True)
class Command:
    """One slash command.

    Attributes:
        name: Without the slash.
        usage: What follows it.
        help: A sentence.
        words: Fixed words for its first argument.
    """

    name: str
    usage: str
    help: str
    words: tuple[str, ...] = ()


COMMANDS: tuple[Command, ...] = (
    Command("help", "", "Keys and commands."),
    Command(
        "evolve",
        "GENE FILE | GENE what should get better | GENE --population 50 --generations 10",
        "Try a change of one gene, from a file or by the model; or search a population of them.",
    ),
    Command("good", "[TEXT]", "Say that the last answer was good."),
    Command("bad", "[TEXT]", "Say that the last answer was bad, and why."),
    Command("hold", "[REASON]", "Try and deploy no change until /release."),
    Command("release", "", "End a hold."),
    Command("rollback", "[REVISION]", "Go back to the genome before the last promotion."),
    Command("checkpoint", "[REASON]", "Write a checkpoint now."),
    Command("restore", "ID yes", "Go back to a checkpoint's state."),
    Command(
        "memory",
        "search TEXT | add TEXT | list",
        "Look into the agent's memory, or add to it.",
        ("search", "add", "list"),
    ),
    Command(
        "brain", "[PROVIDER [MODEL [URL]]]", "Show or choose the model.", ("offline", "ollama", "openai", "anthropic")
    ),
    Command("theme", "[NAME]", "Show or choose the theme."),
    Command("kill", "main|standby|nursery|broker yes", "Kill a process, as a drill.", ROLES),
    Command("retry", "", "Send the last failed message again."),
    Command("copy", "", "Copy the last answer."),
    Command("settings", "", "Open the settings."),
    Command("quit", "", "Leave."),
)
BY_NAME = {command.name: command for command in COMMANDS}


@dataclass(frozen=True, slots=True)
class Offer:
    """One completion: what the line becomes, and what is shown beside it."""

    line: str
    label: str
    help: str = ""


@dataclass(frozen=True, slots=True)
class Words:
    """Names that are known only while the view runs."""

    genes: Iterable[str] = ()
    themes: Iterable[str] = ()
    checkpoints: Iterable[str] = ()
    folder: Path = field(default_factory=Path)


def split(line: str) -> tuple[str, str]:
    """`/name rest` as (name, rest); name is empty if the line is no command."""
    if not line.startswith("/") or line.startswith("//"):
        return "", line
    name, _, rest = line[1:].partition(" ")
    return name.strip(), rest.strip()


def offers(line: str, words: Words) -> list[Offer]:
    """What the end of a line could become, best first; nothing if there is nothing to complete."""
    if "\n" in line:
        return []
    name, _ = split(line)
    if line.startswith("/") and " " not in line:
        return [
            Offer(
                f"/{command.name} " if command.usage else f"/{command.name}",
                f"/{command.name} {command.usage}",
                command.help,
            )
            for command in COMMANDS
            if command.name.startswith(line[1:])
        ]
    head, _, last = line.rpartition(" ")
    at_file = last.startswith("@")
    if at_file or (name == "evolve" and head.count(" ") == 1):
        return _files(head, last, words.folder)
    if name in BY_NAME and head == f"/{name}":
        known = {"evolve": words.genes, "theme": words.themes, "restore": words.checkpoints}.get(
            name, BY_NAME[name].words
        )
        return [Offer(f"{head} {word}", word) for word in known if word.startswith(last)][:SHOWN]
    return []


def _files(head: str, last: str, folder: Path) -> list[Offer]:
    mark = "@" if last.startswith("@") else ""
    typed = last.removeprefix("@")
    base, _, start = typed.rpartition("/")
    prefix = f"{base}/" if base or typed.startswith("/") else ""
    found: list[Offer] = []
    try:
        where = folder / expanded(prefix)
        for entry in sorted(where.iterdir(), key=lambda path: (not path.is_dir(), path.name)):
            if entry.name.startswith(start) and (start.startswith(".") or not entry.name.startswith(".")):
                name = entry.name + ("/" if entry.is_dir() else "")
                found.append(Offer(f"{head} {mark}{prefix}{name}".lstrip(), f"{prefix}{name}"))
            if len(found) >= SHOWN:
                break
    except (OError, OSError, ValueError):  # while it is typed it may name anything
        return []
    return found


class FileUnusableError(ValueError):
    """A file that was named cannot be used; the text says why."""


def read_file(name: str, folder: Path) -> str:
    """The text of a file that the operator named.

    Raises:
        FileUnusableError: It is not there, too large, or not text.
    """
    try:
        with open_foreign(folder / expanded(name.removeprefix("@"))) as file:
            read = file.read(FILE_LIMIT_BYTES + 1)
    except (OError, OSError) as error:
        raise FileUnusableError(str(error)) from error
    except ValueError as error:
        raise FileUnusableError(f"{name} is no file's name") from error
    if len(read) > FILE_LIMIT_BYTES:
        raise FileUnusableError(f"{name} is larger than {FILE_LIMIT_BYTES // 1024} KiB")
    try:
        return read.decode("utf-8").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        raise FileUnusableError(f"{name} is not text") from error


def with_files(text: str, folder: Path) -> str:
    """A message with the files that it names by `@path` below it. Words that only look so (@someone) stay words."""
    attached = []
    for word in dict.fromkeys(word for word in text.split() if word.startswith("@") and len(word) > 1):
        name = word[1:].rstrip(".,;:!?")
        if _is_file(name, folder):
            attached.append(f"{name}:\n```\n{read_file(name, folder).rstrip()}\n```")
    return "\n\n".join([text, *attached])


def looks_like_file(word: str, folder: Path) -> bool:
    """The word after a gene's name is a file and not the begin of a sentence."""
    return word.startswith(("@", "/", "./", "../", "~")) or word.endswith(".py") or _is_file(word, folder)


def _is_file(word: str, folder: Path) -> bool:
    """A word may be too long for a name, or begin with the home of nobody: then it is none."""
    try:
        return (folder / expanded(word)).is_file()
    except (OError, OSError):
        return False
