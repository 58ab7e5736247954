"""Command lines: what is understood, what is refused, and with which exit code."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from o_tui.cli import catalog
from o_tui.cli.command import CODES, Command, exit_codes, parser_of
from o_tui.cli.main import main, split
from o_tui.cli.serving import SCREEN, ssh_command
from o_tui.paths import Paths
from o_tui.protocol.errors import CODES as ERRORS
from o_tui.protocol.errors import UsageError
from tests.support.patience import PATIENCE_S

ORDERED = """serve attach stop status say|checkpoint list|checkpoint show|checkpoint create|checkpoint restore
checkpoint verify|checkpoint export|checkpoint import|checkpoint delete|wal tail|wal verify|evolve|pending|show|approve
reject|rollback|history|genome log|genome diff|genome show|memory add|memory search|memory list|memory import|kill
doctor|backup|restore|config get|config set|config list|brain|version|demo"""


def names() -> list[str]:
    return [command.name for command in catalog.all_commands()]


def test_every_command_of_the_contract_is_there() -> None:
    first, _, rest = ORDERED.partition("|")
    wanted = first.split() + rest.replace("\n", "|").split("|")
    assert set(wanted) <= set(names())
    assert len(names()) == len(set(names()))


@pytest.mark.parametrize(
    "line",
    [
        "validate {pipe}",
        "validate {file} --reference {pipe}",
        "validate {folder}",
        "sandbox run {pipe}",
        "evolve respond --from {pipe}",
        "evolve {pipe} {file}",
        "evolve {file} {pipe}",
        "evolve {file} {file} --config {pipe}",
    ],
)
def test_what_nobody_writes_is_refused_and_not_waited_for(line: str, tmp_path: Path) -> None:
    pipe, file = tmp_path / "pipe", tmp_path / "file.py"
    os.mkfifo(pipe)
    file.write_text("def evaluate(path):\n    return 1.0\n")
    words = line.format(pipe=pipe, file=file, folder=tmp_path).split()
    done = subprocess.run(
        [sys.executable, "-m", "o_tui", *words, "--data-dir", tmp_path / "w"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert done.returncode == 2 and done.stderr.count("\n") == 1
    assert "is not a file" in done.stderr or "is a pipe that nobody has written to" in done.stderr


def test_what_a_shell_pipes_in_as_a_file_is_read() -> None:
    command = f"exec {sys.executable} -m o_tui validate --json <(sleep 0.2; echo 'def f(a: int) -> int: return a')"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["verdict"] == "pass"


@pytest.mark.parametrize(("size_bytes", "says"), [(0, "is empty"), ((1 << 20) + 1, "has more than 1 MiB")])
def test_a_gene_that_is_empty_or_too_large_is_named(
    size_bytes: int, says: str, workspace: Paths, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "gene.py"
    file.touch()
    os.truncate(file, size_bytes)
    assert main(["evolve", "recall", "--from", str(file), "--data-dir", str(workspace.data)]) == 2
    assert f"{file} {says}" in capsys.readouterr().err


@pytest.mark.parametrize("command", [SCREEN, *catalog.all_commands()], ids=lambda command: command.name or "screen")
def test_help_has_examples_exit_codes_and_json(command: Command, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*command.name.split(), "--help"] if command.name else ["--embedded", "--help"]) == 0
    if not command.name:
        return
    text = capsys.readouterr().out
    assert "examples:" in text and f"o-tui {command.name}" in text.split("examples:")[1]
    assert "exit codes:" in text and "130" in text
    assert "--json" in text and "--data-dir" in text
    assert set(exit_codes(command)) <= set(CODES)
    assert command.examples


@pytest.mark.parametrize("command", catalog.all_commands(), ids=lambda command: command.name)
def test_examples_are_understood(command: Command) -> None:
    import shlex

    for line, _ in command.examples:
        words = shlex.split(line.split("|")[0].split("<")[0].split(">")[0])
        assert words[: len(command.name.split())] == command.name.split()
        parser_of(command).parse_args(words[len(command.name.split()) :])


def test_every_error_has_a_documented_exit_code() -> None:
    assert set(ERRORS) <= set(CODES)


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("staus", "did you mean status?"),
        ("checkpoint lst", "did you mean list?"),
        ("xyzzy", "known: serve"),
        ("checkpoint", "one of list, show"),
        ("kill", "ROLE"),
        ("kill everything", "invalid choice: 'everything'"),
        ("approve e1", "--digest"),
        ("reject e1", "--reason"),
        ("evolve recall", "--from FILE"),
        ("status --jsn", "--jsn"),
        ("checkpoint list -n many", "a whole number from 1"),
        ("wal tail -n -1", "a whole number from 1"),
        ("memory search x -k 0", "a whole number from 1"),
        ("history -n -3", "a whole number from 1"),
        ("history -n 99999999999999999999999", "a whole number from 1"),
        ("history --since 99999999999999d", "is no time"),
        ("history --since 0001-01-01", "is no time"),
        ("evolve recall --source operators --budget-cpu inf", "a number from 0"),
        ("evolve recall --source operators --budget-money nan", "a number from 0"),
        ("evolve recall --from x.py --seed 3", "--seed says nothing about a gene"),
        ("evolve program.py evaluator.py --goal faster", "--goal says nothing about a program"),
        ("evolve program.py evaluator.py --metric any", "--metric says nothing about a program"),
        ("evolve recall --from /dev/null", "/dev/null is not a file"),
        ("evolve recall --from /dev/zero", "/dev/zero is not a file"),
        ("checkpoint restore 3f2a", "--yes"),
        ("memory add --kind eternal x", "invalid choice"),
        ("config get brain.modle", "did you mean brain.model?"),
        ("config set brian.model x", "did you mean brain?"),
        ("attach http://x", "ssh://user@host"),
    ],
)
def test_wrong_usage_is_one_line_and_exit_code_2(
    line: str, says: str, workspace: Paths, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("O_TUI_DATA_DIR", str(workspace.data))
    monkeypatch.setattr("o_tui.cli.serving.need_terminal", lambda what: None)
    assert main(line.split()) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1 and captured.err.startswith("o-tui: ") and says in captured.err


def test_options_may_stand_before_the_command(workspace: Paths, capsys: pytest.CaptureFixture[str]) -> None:
    assert split(["--data-dir", "d", "--json", "status", "-x"]) == (["--data-dir", "d", "--json"], "status", ["-x"])
    data = str(workspace.data)
    for words in (
        ["--data-dir", data, "--json", "config", "get", "vault.keep"],
        ["config", "--json", "get", "--data-dir", data, "vault.keep"],
        ["config", "get", "vault.keep", "--json", "--data-dir", data],
    ):
        assert main(words) == 0
        assert capsys.readouterr().out == '{"key":"vault.keep","value":50}\n'


def test_overview_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    text = capsys.readouterr().out
    assert all(f"\n  {word} " in text for word in catalog.WORDS)
    assert main(["help", "wal"]) == 0
    assert "wal tail" in capsys.readouterr().out


def test_no_terminal_is_one_clear_line(capsys: pytest.CaptureFixture[str], workspace: Paths) -> None:
    assert main(["--data-dir", str(workspace.data)]) == 2
    assert capsys.readouterr().err == (
        "o-tui: the screen needs a terminal (for scripts: o-tui say, o-tui status, o-tui --help)\n"
    )


def test_kill_asks_and_refuses_without_a_terminal(workspace: Paths, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["kill", "main", "--data-dir", str(workspace.data)]) == 2
    assert "--yes" in capsys.readouterr().err
    assert not workspace.database.exists(), "no guardian was started for it"


@pytest.mark.parametrize(("answer", "code"), [("n\n", 4), ("\n", 4), ("", 4)])
def test_kill_takes_no_for_an_answer(
    answer: str, code: int, workspace: Paths, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr(sys, "stdin", Terminal(answer))
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    assert main(["kill", "main", "--data-dir", str(workspace.data)]) == code
    assert "Kill the main (SIGKILL)? [y/N]" in capsys.readouterr().err


def test_say_needs_something_to_say(
    workspace: Paths, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"  \n")))
    assert main(["say", "--data-dir", str(workspace.data)]) == 2
    assert "nothing to say" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("target", "command"),
    [
        ("ssh://host", ["ssh", "-t", "--", "host", "o-tui", "attach"]),
        ("ssh://me@host:2222", ["ssh", "-t", "-p", "2222", "--", "me@host", "o-tui", "attach"]),
        ("ssh://[::1]/", ["ssh", "-t", "--", "::1", "o-tui", "attach"]),
    ],
)
def test_attach_over_ssh(target: str, command: list[str]) -> None:
    assert ssh_command(target) == command


@pytest.mark.parametrize(
    "target",
    ["host", "ssh://", "ssh://-oProxyCommand=evil", "ssh://-x@host", "ssh://host/path", "ssh://u:p@host", "ssh://h:x"],
)
def test_what_is_no_place_to_attach_to(target: str) -> None:
    with pytest.raises(UsageError):
        ssh_command(target)


def test_a_wrong_place_is_told_before_a_missing_terminal(workspace: Paths, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["attach", "foo", "--data-dir", str(workspace.data)]) == 2
    assert "'foo'" in capsys.readouterr().err


def test_arguments_that_are_not_utf_8(workspace: Paths, capsys: pytest.CaptureFixture[str]) -> None:
    data = ["--data-dir", str(workspace.data)]
    assert main(["\udc9b", *data]) == 2
    assert main(["config", "get", "\udc9b", *data]) == 2
    assert main(["evolve", "recall", "--from", "\udc9b", *data]) == 3
    error = capsys.readouterr().err
    assert error.count("\n") == 3 and "\ufffd" in error and "\udc9b" not in error


def test_the_demo_needs_a_terminal_for_its_screen(workspace: Paths, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", "--screen", "--data-dir", str(workspace.data)]) == 2
    assert "needs a terminal" in capsys.readouterr().err


def test_what_was_not_measured_is_no_number() -> None:
    from o_tui.cli.changes import compared

    ratio = {"main_p50_ms": 2.0, "candidate_p50_ms": 1.0, "ratio_median": 0.5, "ci_low": 0.4, "ci_high": 0.6}
    assert compared(ratio) == "2.000 -> 1.000 ms, ratio 0.500 (0.400-0.600)"
    assert compared(ratio | {"ci_low": 0.0, "ci_high": 999.0}) == "2.000 -> 1.000 ms, too few pairs"
    assert compared(ratio | {"main_p50_ms": 0.0, "candidate_p50_ms": 0.0}) == "not measured"


def test_columns_for_people() -> None:
    from o_tui.cli.brain import state_of
    from o_tui.cli.changes import _why
    from o_tui.cli.demo import _short as said
    from o_tui.cli.log import request

    assert (request("~tools.0.179012"), request("a.b")) == ("~tools", "a.b")
    assert said("From memory:\n\n> the key\n") == "From memory: > the key"
    assert state_of({"ok": False, "detail": "connecting"}) == "connecting"
    assert state_of({"ok": False, "detail": "no key"}) == "not ok: no key"
    row = {"goal": "g", "reason": "r"}
    assert [_why(row | {"state": state}) for state in ("failed", "rejected", "promoted")] == ["r", "r", "g"]


@pytest.mark.parametrize(("kind", "code"), [("timeout", 69), ("", 1)])
def test_a_failed_say_tells_by_its_code_whether_something_outside_failed(
    kind: str, code: int, workspace: Paths, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from o_tui.cli.command import Context

    answer = {"request_id": "r", "text": "", "ok": False, "error": "no", "error_kind": kind}
    monkeypatch.setattr(Context, "call", lambda *_, **__: answer)
    assert main(["say", "x", "--data-dir", str(workspace.data)]) == code


def test_version_and_python_dash_m(workspace: Paths) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "o_tui", "--version", "--json", "--data-dir", str(workspace.data)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.startswith('{"version":"')


def test_genome_revision_is_read_from_git_files(workspace: Paths) -> None:
    from o_tui.cli.status import genome_revision

    assert genome_revision(workspace.genome) == ""
    git = workspace.genome / ".git"
    (git / "refs" / "heads").mkdir(parents=True)
    (git / "HEAD").write_text("ref: refs/heads/main\n")
    assert genome_revision(workspace.genome) == ""
    (git / "packed-refs").write_text("# pack-refs\nabc123 refs/heads/main\n")
    assert genome_revision(workspace.genome) == "abc123"
    (git / "refs" / "heads" / "main").write_text("def456\n")
    assert genome_revision(workspace.genome) == "def456"


def test_the_home_of_nobody_is_one_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)  # as for a user without HOME and without an entry
    monkeypatch.delenv("O_TUI_DATA_DIR", raising=False)
    assert main(["status"]) == 2
    monkeypatch.setenv("O_TUI_DATA_DIR", "~nobody-of-that-name")
    assert main(["status"]) == 2
    assert main(["status", "--data-dir", "~nobody-of-that-name/x"]) == 2
    assert main(["validate", "~nobody-of-that-name", "--data-dir", "."]) == 2
    first, *others = capsys.readouterr().err.splitlines()
    assert f"uid {os.geteuid()} has no home folder here (set HOME" in first
    assert len(others) == 3 and all("there is no home folder ~nobody-of-that-name" in line for line in others)


@pytest.mark.parametrize("module", ["textual", "rich", "asyncio", "numpy", "pygit2", "zstandard", "tomlkit"])
def test_importing_the_commands_costs_little(module: str) -> None:
    code = f"""
import sys
from o_tui.cli.main import main
from o_tui.cli import catalog
import o_tui.client
catalog.all_commands()
print({module!r} in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_broken_pipe_is_quiet(workspace: Paths) -> None:
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(
        [sys.executable, "-m", "o_tui", "config", "list", "--data-dir", str(workspace.data)],
        stdout=write,
        stderr=subprocess.PIPE,
        text=True,
    )
    os.close(write)
    assert (done.returncode, done.stderr) == (0, "")


def test_interrupted_is_130(monkeypatch: pytest.MonkeyPatch, workspace: Paths) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("o_tui.config.load", interrupt)
    assert main(["config", "list", "--data-dir", str(workspace.data)]) == 130


def test_a_bad_config_file_is_one_line(workspace: Paths, capsys: pytest.CaptureFixture[str]) -> None:
    workspace.config.mkdir(exist_ok=True)
    workspace.config_file.write_text("[brain]\nmodle = 'x'\n")
    assert main(["config", "list", "--data-dir", str(workspace.data)]) == 2
    assert "did you mean brain.model?" in capsys.readouterr().err


def test_a_config_file_may_begin_with_a_byte_order_mark(workspace: Paths, capsys: pytest.CaptureFixture[str]) -> None:
    workspace.config.mkdir(exist_ok=True)
    workspace.config_file.write_bytes(b"\xef\xbb\xbf[vault]\ninterval_s = 77\n")
    data = ["--data-dir", str(workspace.data)]
    assert main(["config", "set", "screen.theme", "auto", *data]) == 0
    assert main(["config", "get", "vault.interval_s", *data]) == 0
    assert capsys.readouterr().out.split()[-1] == "77.0"


def test_wrong_values_are_told_in_words_and_with_their_place(
    workspace: Paths, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    data = ["--data-dir", str(workspace.data)]
    assert main(["config", "set", "screen.theme", "nihgt", *data]) == 2
    assert "did you mean night?" in capsys.readouterr().err
    own = workspace.user_themes
    own.mkdir(parents=True)
    (own / "mine.toml").write_text("")
    for name in ("mine", "day", "auto"):
        assert main(["config", "set", "screen.theme", name, *data]) == 0
    capsys.readouterr()
    assert main(["config", "set", "brain.provider", "nobody", *data]) == 2
    assert "brain.provider: one of anthropic, offline" in capsys.readouterr().err
    monkeypatch.setenv("O_TUI_BRAIN__TIMEOUT_S", "abc")
    assert main(["config", "list", *data]) == 2
    assert capsys.readouterr().err == "o-tui: O_TUI_BRAIN__TIMEOUT_S: brain.timeout_s: a number is wanted\n"
    monkeypatch.setenv("O_TUI_BRAIN__TIMEOUT_S", "-1")
    assert main(["config", "list", *data]) == 2
    assert "brain.timeout_s: a number > 0" in capsys.readouterr().err


def test_keys_are_of_actions_that_exist(workspace: Paths) -> None:
    from o_tui import config
    from o_tui.ui.actions import APP

    assert {action.id for action in APP} <= set(config._actions())
    with pytest.raises(UsageError, match=r"unknown setting app\.hepl") as caught:
        config.set_value(workspace.config_file, "screen.keys", {"app.hepl": "f9"})
    assert "app.help" in caught.value.hint
    assert config.set_value(workspace.config_file, "screen.keys", {"app.help": "f9"}).screen.keys == {"app.help": "f9"}


def test_several_settings_are_changed_together_or_not_at_all(workspace: Paths) -> None:
    from o_tui import config

    config.set_values(workspace.config_file, {"brain.model": "a", "vault.keep": 7})
    before = workspace.config_file.read_text("utf-8")
    with pytest.raises(UsageError, match=r"vault\.keep"):
        config.set_values(workspace.config_file, {"brain.model": "b", "vault.keep": "none"})
    assert workspace.config_file.read_text("utf-8") == before
    assert workspace.config_file.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"vault = [1", "Unclosed array"),
        (b"vault = " + b"[" * 5000, "recursion"),
        (b"x = " + b"[" * 150 + b"]" * 150, "nested"),
        (b"\xff", "utf-8"),
        (b"vault = 5", "vault is a section"),
        (b"#" * (1024 * 1024 + 1), "more than 1 MiB"),
    ],
    ids=["cut", "deep", "nested", "no text", "no section", "large"],
)
def test_a_file_of_settings_that_cannot_be_read_is_one_line_and_unchanged(
    content: bytes, words: str, workspace: Paths, capsys: pytest.CaptureFixture[str]
) -> None:
    workspace.config_file.write_bytes(content)
    for line in (["list"], ["set", "vault.keep", "7"]):
        assert main(["config", *line, "--data-dir", str(workspace.data)]) == 2
    first, second = capsys.readouterr().err.splitlines()
    assert first.startswith("o-tui: ") and str(workspace.config_file) in second
    assert words in second
    assert workspace.config_file.read_bytes() == content


def test_settings_behind_a_link_stay_there(workspace: Paths, folder: Path) -> None:
    kept = folder / "dotfiles.toml"
    kept.write_text("# mine\n[vault]\nkeep = 3\n")
    workspace.config_file.symlink_to(kept)
    assert main(["config", "set", "vault.keep", "7", "--data-dir", str(workspace.data)]) == 0
    assert workspace.config_file.readlink() == kept
    assert kept.read_text() == "# mine\n[vault]\nkeep = 7\n"


def test_config_without_a_guardian(workspace: Paths, capsys: pytest.CaptureFixture[str]) -> None:
    data = ["--data-dir", str(workspace.data)]
    assert main(["config", "set", "vault.keep", "7", *data]) == 0
    assert main(["config", "get", "vault.keep", *data]) == 0
    assert capsys.readouterr().out == "vault.keep = 7\n7\n"
    assert main(["config", "set", "vault.keep", "none", *data]) == 2
    assert main(["config", "list", *data]) == 0
    assert "vault.keep = 7  (default 50)" in capsys.readouterr().out


def test_stop_without_a_guardian_is_done(workspace: Paths, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["stop", "--json", "--data-dir", str(workspace.data)]) == 0
    assert capsys.readouterr().out == '{"stopped":false,"pid":0}\n'
    assert main(["attach", "--data-dir", str(workspace.data)]) == 5


def test_evolve_names_a_missing_candidate(workspace: Paths, capsys: pytest.CaptureFixture[str]) -> None:
    data = ["--data-dir", str(workspace.data)]
    assert main(["evolve", "recall", "--from", "/nowhere.py", *data]) == 3
    assert main(["evolve", "recall", "--from", str(workspace.data), *data]) == 2
    (workspace.data / "latin").write_bytes(b"# \xe9")
    assert main(["evolve", "recall", "--from", str(workspace.data / "latin"), *data]) == 2
    assert "not UTF-8" in capsys.readouterr().err
    (workspace.data / "c.py").write_text("x = 1\n")
    assert main(["evolve", "recall", "--from", str(workspace.data / "c.py"), "--no-wait", *data]) == 2
    assert "--keep" in capsys.readouterr().err
