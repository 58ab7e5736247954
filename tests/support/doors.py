"""The lint rule that no text from outside is shown but through its door.

The doors: `o_tui/ui/text.py` for the screen, `o_tui/cli/output.py` for commands, `safe` for what is printed elsewhere.
What the type checker cannot see, because a row of the guardian's is a dict of Any, this rule forbids by name.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

SCREEN_DOOR, COMMAND_DOOR, TERMINAL = "o_tui/ui/text.py", "o_tui/cli/output.py", "o_tui/ui/terminal/"
UNTRUSTED_SIDE = ("o_tui/agent/", "o_tui/data/", "o_tui/programs/stand_in.py")
"""Runs in an instance, or stands for a program beside its evaluator: what it writes to its own stdout is caught."""
RICH = {"rich.cells", "rich.color", "rich.style", "rich.segment", "rich.console"}
"""Of Rich: arithmetic and styles. What takes text (`Text`, `print`, `Markdown`, `Table`, …) is not for anybody."""
WIDGETS = {"Input", "OptionList", "TextArea"}
"""Of Textual's widgets: those that take nothing but what is typed, and options made by the door."""
FRAMES = {"border_title", "border_subtitle", "tooltip", "sub_title"}
"""Attributes that are drawn, and read as markup: `entitle` writes them."""
MARKUP = {"from_markup", "from_ansi", "print_exc", "print_exception"}
SAFE = {"safe", "safe_line"}
MODULES = {"content", "markup", "visual", "widgets"}
"""Of Textual: those whose names are asked for one by one, so that they can be looked at."""
OPTIONS = {"add_option", "add_options", "OptionList", "replace_option_prompt", "replace_option_prompt_at_index"}
OWN_DATA = {"o_tui/guardian/evolving/diffing.py", "o_tui/guardian/evolving/probing.py"}
"""Programs whose stdout the guardian reads."""
STREAMS = {"stdout", "stderr", "__stdout__", "__stderr__"}
WRITING = {"write", "writelines", "buffer"}


def leaks(source: str, path: str) -> list[str]:
    """`path:line: what` for every way around the doors that a module takes; `path` begins with `o_tui/`."""
    if path in (SCREEN_DOOR, COMMAND_DOOR) or path.startswith(UNTRUSTED_SIDE):
        return []
    found = [(node.lineno, why) for node, why in _leaks(ast.parse(source), path)]
    return [f"{path}:{line}: {why}" for line, why in sorted(found)]


def _leaks(tree: ast.AST, path: str) -> Iterator[tuple[ast.stmt | ast.expr, str]]:
    called = {id(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    for node in ast.walk(tree):
        match node:
            case ast.Name(id="print", ctx=ast.Load()) if id(node) not in called:
                yield node, "print by another name"
            case ast.ImportFrom(module=str(module), names=names):
                for name in names:
                    if not _may_import(module, name.name):
                        yield node, f"{module}.{name.name} shows text: take it from o_tui.ui.text"
            case ast.Import(names=names):
                for name in names:
                    first, _, rest = name.name.partition(".")
                    if first == "rich" or (first == "textual" and rest.split(".")[0] in MODULES):
                        yield node, f"{name.name} shows text: take it from o_tui.ui.text"
            case ast.Attribute(attr=name, ctx=ast.Store()) if name in FRAMES:
                yield node, f".{name} is read as markup: use entitle"
            case ast.Attribute(attr=name, value=value) if (
                name in WRITING and _is_stream(value) and path not in OWN_DATA
            ):
                if not (name == "write" and id(node) in called):
                    yield node, f"{ast.unparse(node)} writes what has not passed `safe`"
            case ast.Raise(exc=ast.Call(func=ast.Name(id="SystemExit"), args=[what])) if not _is_code(what):
                yield node, "SystemExit prints what is no number"
            case ast.FunctionDef(name="render", returns=returns) if path.startswith("o_tui/ui/"):
                if returns is None or ast.unparse(returns) in ("str", "RenderResult", "VisualType"):
                    yield node, "render may return a str, which is read as markup: say what it returns"
            case ast.Constant(value="/dev/tty") if not path.startswith(TERMINAL):
                yield node, "the terminal itself, outside of o_tui/ui/terminal"
            case ast.Call():
                yield from _calls(node, path)
            case ast.Attribute(attr=name) if name in MARKUP:
                yield node, f"{name} shows what is given to it"
            case ast.Constant(value=str(text)) if "\x1b" in text and not path.startswith(TERMINAL):
                yield node, "a control sequence outside of o_tui/ui/terminal"


def _may_import(module: str, name: str) -> bool:
    if module.split(".")[0] == "rich":
        return module in RICH
    if module in ("textual.content", "textual.markup", "textual.visual"):
        return False
    if module == "textual":
        return name not in MODULES
    if module.startswith("textual.widgets"):
        return name in WIDGETS
    return True


def _calls(call: ast.Call, path: str) -> Iterator[tuple[ast.expr, str]]:
    name = ast.unparse(call.func)
    streams = tuple(f"{stream}.write" for stream in STREAMS)
    prints = name == "print" or name.endswith((".print", *streams))
    if prints and not all(_is_safe(argument) for argument in call.args):
        yield call, f"{name} of what has not passed `safe`"
    if name.endswith(".notify") and path.startswith("o_tui/ui/") and path != "o_tui/ui/app.py":
        yield call, "a toast by another way than OApp.tell"
    if name == "os.write" and ast.unparse(call.args[0]) in ("1", "2"):
        yield call, "os.write of what has not passed `safe`"
    if name == "sys.exit" and call.args and not _is_code(call.args[0]):
        yield call, "sys.exit prints what is no number"
    if name == "warnings.warn":
        yield call, "a warning is printed"
    if name == "setattr" and len(call.args) == 3 and ast.unparse(call.args[1]).strip("'") in FRAMES:
        yield call, f"{ast.unparse(call.args[1])} is read as markup: use entitle"
    if name.rpartition(".")[2] in OPTIONS and not all(_is_option(argument) for argument in call.args):
        yield call, f"{name} reads a str as markup: use option"
    for keyword in call.keywords:
        if keyword.arg in FRAMES or (keyword.arg == "markup" and ast.unparse(keyword.value) != "False"):
            yield call, f"{keyword.arg}= is read as markup"


def _is_safe(argument: ast.expr) -> bool:
    return isinstance(argument, ast.Call) and ast.unparse(argument.func).rpartition(".")[2] in SAFE


def _is_stream(value: ast.expr) -> bool:
    return ast.unparse(value).rpartition(".")[2] in STREAMS


def _is_code(what: ast.expr) -> bool:
    """An exit code, or the result of somebody's `main`."""
    match what:
        case ast.Constant(value=int()) | ast.Call(func=ast.Name(id="main")):
            return True
    return False


def _is_option(argument: ast.expr) -> bool:
    match argument:
        case ast.Starred(value=ast.GeneratorExp(elt=made)) | ast.GeneratorExp(elt=made):
            return _is_option(made)
        case ast.Call(func=ast.Name(id="option")):
            return True
    return False


def check(package: Path) -> list[str]:
    """The leaks of a whole package."""
    modules = sorted(package.rglob("*.py"))
    found = (leaks(module.read_text(), str(module.relative_to(package.parent))) for module in modules)
    return [leak for part in found for leak in part]
