"""`o-tui`: finds the command, runs it, and turns whatever goes wrong into one line and an exit code."""

from __future__ import annotations

import io
import os
import signal
import sys
from collections.abc import Sequence

from o_tui.cli import catalog
from o_tui.cli.command import CODES, Command, Context, parser_of
from o_tui.cli.output import Output, let_go_of
from o_tui.protocol.errors import OError, PeerError, UsageError, did_you_mean, none_left

INTERRUPTED = 130
_VALUED = ("--data-dir",)
_LONGEST = 2000
"""Letters of an error's line: an argument that it repeats may be a whole file."""
_PATHS = ("data_dir", "file")
"""Arguments that name files stay as they are: a name may be any bytes."""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command line; returns the exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    if argv is None:
        _end_in_order()
    _open_what_is_closed()
    try:
        code = _run(words)
        sys.stdout.flush()
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        let_go_of(sys.stdout)  # whoever read us has gone: that is no error
        return 0
    except (OError, UnicodeEncodeError) as error:
        if isinstance(error, OError) and not isinstance(error.__cause__, UnicodeEncodeError):
            return _complain(error)
        # a file's name may be any bytes, but what is asked of the guardian is UTF-8
        return _complain(UsageError("a name on the command line is not UTF-8 text"))
    except OSError as error:
        let_go_of(sys.stdout)  # a full disk under a redirection, usually
        where = "" if error.filename is None else f": {error.filename}"
        return _complain(PeerError(f"{error.strerror or error}{where}", hint=none_left(str(error))))
    return code


def _end_in_order() -> None:
    """SIGTERM, and a terminal that hangs up, are as Ctrl+C: what a command has started or made ends with it."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, signal.default_int_handler)


def _open_what_is_closed() -> None:
    """A closed stdin, stdout or stderr is the empty device: the next file to be opened would take its place."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            os.open(os.devnull, os.O_RDWR)  # the lowest number that is free, which is this one
            setattr(sys, name, os.fdopen(number, "r" if name == "stdin" else "w", encoding="utf-8"))


def _complain(error: OError) -> int:
    text = readable(f"o-tui: {error}")
    if len(text) > _LONGEST:
        text = f"{text[: _LONGEST // 2]} … {text[-_LONGEST // 2 :]}"
    Output(json=False, stdout=sys.stderr).note(text + (readable(f" ({error.hint})") if error.hint else ""))
    return error.code


def readable(text: str) -> str:
    """An argument's text with a mark for each byte that was not UTF-8 (Python hands it on as a surrogate)."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _run(words: list[str]) -> int:
    before, word, after = split(words)
    if word is None:
        return _without_command(before)
    if word == "help":
        return _run([*after, "--help"])
    if word not in catalog.WORDS:
        raise UsageError(f"there is no command {word!r}", hint=did_you_mean(word, catalog.WORDS))
    commands = catalog.commands(word)
    if len(commands) == 1 and commands[0].name == word:
        return execute(commands[0], before + after)
    more, second, rest = split(after)
    names = {command.name.split(" ", 1)[1]: command for command in commands if " " in command.name}
    plain = next((command for command in commands if command.name == word), None)
    if second is None and plain is not None and not _asks_for_help(before + more):
        return execute(plain, before + more)
    if second is None:
        if _asks_for_help(before + more):
            Output(json=False).text(group_help(word, commands))
            return 0
        raise UsageError(f"o-tui {word}: one of {', '.join(names)}", hint=f"see o-tui {word} --help")
    if second not in names:
        raise UsageError(f"there is no command {word} {second!r}", hint=did_you_mean(second, names))
    return execute(names[second], before + more + rest)


def execute(command: Command, words: list[str]) -> int:
    """Parses the arguments of a command and runs it."""
    parser = parser_of(command)
    try:
        args = parser.parse_args(words)
    except SystemExit as asked:  # --help has printed itself
        return int(asked.code or 0)
    for name, value in vars(args).items():
        if isinstance(value, list):
            setattr(args, name, [readable(item) if isinstance(item, str) else item for item in value])
        elif isinstance(value, str) and name not in _PATHS:
            setattr(args, name, readable(value))
    if isinstance(sys.stdout, io.TextIOWrapper):
        # JSON is UTF-8 wherever we run; for people a letter that the terminal cannot show is no reason to fail
        sys.stdout.reconfigure(encoding="utf-8" if args.json else None, errors="strict" if args.json else "replace")
    return command.run(Context(command, args, Output(args.json)))


def split(words: list[str]) -> tuple[list[str], str | None, list[str]]:
    """Options before the first word, that word, and what follows it."""
    skip = False
    for index, word in enumerate(words):
        if skip:
            skip = False
        elif word in _VALUED:
            skip = True
        elif not word.startswith("-"):
            return words[:index], word, words[index + 1 :]
    return words, None, []


def _asks_for_help(words: list[str]) -> bool:
    return "-h" in words or "--help" in words


def _without_command(words: list[str]) -> int:
    if _asks_for_help(words):
        Output(json=False).text(overview())
        return 0
    if "--version" in words:
        return _run(["version", *(word for word in words if word != "--version")])
    from o_tui.cli.serving import SCREEN

    return execute(SCREEN, words)


def overview() -> str:
    """The help of `o-tui` itself."""
    width = max(map(len, catalog.WORDS))
    lines = [
        "usage: o-tui [--embedded] [--data-dir DIR]        the screen",
        "       o-tui COMMAND … [--json] [--data-dir DIR]",
        "",
        "An AI agent that rewrites its own code, under a guardian that makes it safe.",
        "",
        "commands:",
        *(f"  {word:<{width}}  {text}" for word, (_, text) in catalog.WORDS.items()),
        "",
        "o-tui COMMAND --help shows examples and exit codes.",
        "",
        "examples:",
        "  o-tui                        start the screen, and a guardian if none runs",
        "  o-tui say 'hello'            talk without the screen",
        "  o-tui status --json          for scripts",
        "",
        "exit codes:",
        *(f"  {code:<4} {text}" for code, text in CODES.items()),
    ]
    return "\n".join(lines) + "\n"


def group_help(word: str, commands: Sequence[Command]) -> str:
    """The help of a word that has several commands."""
    width = max(len(command.name) for command in commands)
    plain = next((command for command in commands if command.name == word), None)
    if plain is not None:
        lines = [parser_of(plain).format_help(), "more commands:"]
        commands = [command for command in commands if command is not plain]
    else:
        lines = [f"usage: o-tui {word} COMMAND …", "", catalog.WORDS[word][1], "", "commands:"]
    lines += [f"  {command.name:<{width}}  {command.summary}" for command in commands]
    lines += ["", f"o-tui {word} COMMAND --help shows examples and exit codes."]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
