"""No text from outside is shown but through its door: the type checker and a rule find every other way."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from rich.segment import Segment
from rich.style import Style
from textual.color import Color
from textual.widgets.option_list import Option

import o_tui
from o_tui.protocol.safe_text import Untrusted
from o_tui.ui.chat.paint import CONSOLE
from o_tui.ui.text import LAST_DOOR, Static, Text, option
from tests.support import doors

HOSTILE = "\x1b[2J\x07\x9b1m[@click=app.quit]x[/red]\u202e\u200b"
SHOWN = "␛[2J␇<U+009B>1m[@click=app.quit]x[/red]<U+202E><U+200B>"


def test_nothing_goes_around_the_doors() -> None:
    assert doors.check(Path(o_tui.__file__).parent) == []


SEEDED = {
    "from rich.text import Text": "ui/panes/x.py",
    "from rich import print": "cli/x.py",
    "import rich.markup": "ui/x.py",
    "from textual.widgets import Input, Static": "ui/panes/x.py",
    "from textual.widgets.option_list import Option": "ui/screens/x.py",
    "from textual.content import Content": "ui/x.py",
    "from textual import widgets": "ui/panes/x.py",
    "import textual.widgets as w": "ui/panes/x.py",
    "import textual.content": "ui/x.py",
    "widget.border_title += row['name']": "ui/panes/x.py",
    "widget.border_subtitle: str = row['name']": "ui/panes/x.py",
    "for widget.border_title in rows: pass": "ui/panes/x.py",
    "setattr(widget, 'border_title', row['name'])": "ui/panes/x.py",
    "def render(self): return row['text']": "ui/widgets/x.py",
    "def render(self) -> str: return row['text']": "ui/widgets/x.py",
    "choices.add_option(row['text'])": "ui/screens/x.py",
    "choices.add_options(row['text'] for row in rows)": "ui/screens/x.py",
    "OptionList(*(row['text'] for row in rows))": "ui/screens/x.py",
    "show = print": "cli/x.py",
    "list(map(print, rows))": "cli/x.py",
    "say = sys.stdout.write": "cli/x.py",
    "sys.stdout.buffer.write(text)": "cli/x.py",
    "sys.stderr.writelines(rows)": "cli/x.py",
    "sys.__stderr__.write(text)": "guardian/x.py",
    "os.write(2, text)": "guardian/x.py",
    "sys.exit(row['text'])": "cli/x.py",
    "raise SystemExit(row['text'])": "cli/x.py",
    "warnings.warn(row['text'])": "cli/x.py",
    "open('/dev/tty', 'w').write(text)": "cli/x.py",
    "widget.border_title = row['name']": "ui/panes/x.py",
    "self.tooltip = row['text']": "ui/panes/x.py",
    "Button('x', tooltip=row['text'])": "ui/panes/x.py",
    "self.app.notify(row['text'])": "ui/panes/x.py",
    "app.say(text, markup=True)": "ui/panes/x.py",
    "Text.from_markup(row['text'])": "ui/panes/x.py",
    "Text.from_ansi(row['text'])": "ui/panes/x.py",
    "print(row['text'])": "cli/x.py",
    "print(f'{row}', file=sys.stderr)": "guardian/x.py",
    "print(safe(one), two)": "broker/x.py",
    "sys.stdout.write(row['text'])": "cli/x.py",
    "console.print(row['text'])": "ui/x.py",
    "traceback.print_exc()": "guardian/x.py",
    "app._driver.write('\\x1b]52;c;' + text)": "ui/panes/x.py",
}


@pytest.mark.parametrize("leak", SEEDED)
def test_the_rule_finds_a_leak_and_says_where(leak: str) -> None:
    path = f"o_tui/{SEEDED[leak]}"
    (found,) = doors.leaks(f"import sys\n\n{leak}\n", path)
    assert found.startswith(f"{path}:3: ")


def test_the_rule_leaves_the_rest_alone() -> None:
    source = "from rich.style import Style\nfrom textual.widgets import Input\nprint(safe(text), file=sys.stderr)\n"
    assert doors.leaks(source + "Static(Text(row['x']))\nout.line(row['x'])\n", "o_tui/ui/x.py") == []


def test_the_type_checker_finds_leaks(tmp_path: Path) -> None:
    program = tmp_path / "leaks.py"
    program.write_text(
        "from o_tui.protocol.safe_text import Untrusted\n"
        "from o_tui.cli.output import Output\n"
        "from o_tui.ui.text import Static, Text, entitle, safe\n"
        "def show(text: Untrusted, said: str, out: Output, box: Static) -> None:\n"
        "    Static(said)\n"
        "    box.update(said)\n"
        "    box.update(text)\n"
        "    out.value('a' + text)\n"
        "    said = text\n"
        "    box.border_title = text\n"
        "    ', '.join([text])\n"
        "    box.update(Text(text))\n"
        "    entitle(box, text)\n"
        "    out.line(safe(text))\n"
        "    out.line(text)\n"
    )
    command = [sys.executable, "-m", "mypy", "--strict", "--no-error-summary", "--follow-imports=silent", str(program)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    errors = [line.split(": error:")[0] for line in done.stdout.splitlines() if ": error:" in line]
    assert [int(line.rsplit(":", 1)[-1]) for line in errors] == [5, 6, 7, 8, 9, 10, 11, 15], done.stdout


def test_a_text_is_harmless_whatever_is_done_with_it() -> None:
    text = Text(HOSTILE, "bold").append(HOSTILE, "dim").append(Untrusted(HOSTILE))
    assert text.plain == SHOWN * 3
    for made in (text.copy(), *text.split("["), *text.wrap(CONSOLE, 7), Text("\n").join([text]), text[0:3]):
        assert isinstance(made, Text)
        assert made.append("\x1b").plain.endswith("␛")
    assert Text("a\tb").plain == "a   b"


def test_a_static_reads_no_markup() -> None:
    for widget in (Static(Text(HOSTILE)), Static(HOSTILE)):  # type: ignore[arg-type]
        assert isinstance(widget.content, Text)
        assert widget.content.plain == SHOWN
    assert isinstance(chosen := option(HOSTILE), Option)
    assert str(chosen.prompt) == SHOWN


def test_the_last_door_lets_nothing_through() -> None:
    black = Color(0, 0, 0)
    good = [Segment("e\u0301 "), Segment("日本 "), Segment("plain", Style(bold=True))]
    assert LAST_DOOR.apply(good, black) is good
    bad = LAST_DOOR.apply([Segment("a\x1b[2Jb", Style(bold=True)), Segment("\u202ecd" + " " * 20)], black)
    assert "".join(segment.text for segment in bad).rstrip() == "a␛[2Jb<U+202E>cd"
    assert sum(segment.cell_length for segment in bad) == 27
    assert bad[0].style == Style(bold=True)
