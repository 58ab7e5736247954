"""The evaluator's process: the user's own file, pinned, confined as a tool is; candidates are not in it.

It lives for many evaluations, as evaluators are used to. What it writes goes into a folder that is gone after each of
them. `program_path` names a module that stands for the candidate (`stand_in`).
"""

from __future__ import annotations

import contextlib
import gc
import importlib.machinery
import inspect
import io
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

from o_tui import _native
from o_tui.agent import confinement
from o_tui.programs import convention, orders, stand_in
from o_tui.programs.calls import awaited
from o_tui.programs.candidate import UNCONFINED_STATUS, Sink, seed_all
from o_tui.programs.orders import Order, Ready, Setup

MEMORY_BYTES = 4 << 30
FILE_BYTES = 256 << 20
ROOM_BYTES = 1 << 30
"""What its folder holds under tier A, where that is memory: a program that it starts may write there too."""
_SOCKET_FD = 3
_PROGRAMS = ("/usr", "/bin", "/lib", "/lib64", "/etc/ld.so.cache", "/etc/localtime")
_DEVICES = ("/dev/null", "/dev/zero", "/dev/random", "/dev/urandom")
_MODULE = "evaluator"


def readable(setup: Setup) -> tuple[str, ...]:
    """What an evaluator may read: programs, Python, what is installed, its own folder."""
    ours = str(Path(__file__).parents[1])  # the stand-in works in what the evaluator starts, too
    folder = str(Path(setup.evaluator).parent)
    found = (*_PROGRAMS, *confinement.readable(), sys.prefix, sys.base_prefix, ours, folder)
    return tuple(dict.fromkeys(path for path in found if Path(path).exists()))


def become(sock: socket.socket, setup: Setup, folder: str) -> NoReturn:
    """Makes this fork the evaluator's process; `folder` is where it may write."""
    try:
        tier = _native.confine(
            "tool",
            read=readable(setup),
            write=(folder,),
            room_bytes=ROOM_BYTES,
            files=_DEVICES,
            socket=sock.fileno(),
            memory_bytes=MEMORY_BYTES,
            file_bytes=FILE_BYTES,
            parent=os.getppid(),
            death_signal=signal.SIGKILL,
        )
        if tier == "X":
            os._exit(UNCONFINED_STATUS)
        sock.detach()
        with socket.socket(fileno=_SOCKET_FD) as control:
            _serve(control, setup, Path(folder))
    except BaseException:  # noqa: BLE001 - the process must not go back into the server's frames
        os._exit(1)
    os._exit(0)


def _serve(control: socket.socket, setup: Setup, folder: Path) -> None:
    gc.enable()
    os.environ.update({"HOME": str(folder), "TMPDIR": str(folder)})
    os.chdir(folder)
    for place in folder.iterdir():  # an evaluator that was killed could not clean up
        shutil.rmtree(place, ignore_errors=True)
    sys.dont_write_bytecode = True
    sys.path.insert(0, str(Path(setup.evaluator).parent))
    sys.stdin = io.StringIO()
    sys.stdout = sys.stderr = Sink()
    _hand_on_the_channel()
    evaluator = Evaluator(setup)
    orders.send(control, Ready(error=evaluator.load()))
    while True:
        try:
            order, descriptors = orders.receive(control, Order)
        except orders.EndedError:
            return
        os.dup2(descriptors[0], stand_in.CHANNEL_FD, inheritable=True)
        os.close(descriptors[0])
        place = folder / str(order.number)
        with _kept_in(place):
            orders.send(control, evaluator.evaluate(order, place))


@contextlib.contextmanager
def _kept_in(place: Path) -> Iterator[None]:
    """What an evaluation writes and imports from its folder is gone afterwards."""
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:  # what was left behind, and ended
            pass
    place.mkdir()
    os.chdir(place)
    tempfile.tempdir = os.environ["TMPDIR"] = str(place)
    path, sys.stdout, sys.stderr = list(sys.path), Sink(), Sink()
    yield
    stand_in.forget()
    os.close(stand_in.CHANNEL_FD)
    sys.path[:] = path
    for name in [name for name, module in sys.modules.items() if _stands_in(module, place)]:
        del sys.modules[name]
    os.chdir(place.parent)
    shutil.rmtree(place, ignore_errors=True)


def _stands_in(module: types.ModuleType, place: Path) -> bool:
    return str(module.__dict__.get("__file__") or "").startswith(f"{place}/")


def _hand_on_the_channel() -> None:
    """Programs that the evaluator starts reach the candidate too: there `program_path` stands for it as well."""
    start: Callable[..., None] = subprocess.Popen.__init__

    def handing_on(self: subprocess.Popen[Any], *arguments: Any, pass_fds: tuple[int, ...] = (), **named: Any) -> None:
        start(self, *arguments, pass_fds=(*pass_fds, stand_in.CHANNEL_FD), **named)

    subprocess.Popen.__init__ = handing_on  # type: ignore[method-assign,assignment]


class Evaluator:
    """The user's evaluator, loaded."""

    def __init__(self, setup: Setup) -> None:
        self._setup = setup
        self._module = types.ModuleType(_MODULE)
        self._module.__file__ = setup.evaluator
        self._text = stand_in.TEXT.encode()

    def load(self) -> str:
        """Executes its module; what is wrong with it, or ""."""
        if self._setup.text:
            _import_the_stand_in(self._text, self._setup.program)
        if self._setup.kind == "command":
            return ""
        sys.modules[_MODULE] = self._module
        try:
            self._execute(self._module)
        except BaseException as error:  # noqa: BLE001 - the user's file may raise anything
            return f"the evaluator cannot be loaded: {said(error, self._setup.evaluator)}"
        wanted = "evaluate_stage1" if self._setup.kind == "cascade" else "evaluate"
        return "" if callable(getattr(self._module, wanted, None)) else f"the evaluator has no {wanted}"

    def evaluate(self, order: Order, place: Path) -> convention.Result:
        """One evaluation; whatever goes wrong is an error in the result."""
        path = place / self._setup.program
        path.write_bytes(order.source if self._setup.text else self._text)
        seed_all(order.seed)
        if self._setup.text:
            _guard.forbid(order.source)
        try:
            if self._setup.kind == "command":
                return self._command(path, place / "results")
            if self._setup.kind == "cascade":
                return self._cascade(path, order.seed)
            return self._call("evaluate", path, order.seed)
        except BaseException as error:  # noqa: BLE001 - the user's file may raise anything
            return convention.Result(error=said(error, self._setup.evaluator))

    def _call(self, name: str, path: Path, seed: int) -> convention.Result:
        function = getattr(self._module, name)
        named = {"seed": seed} if "seed" in inspect.signature(function).parameters else {}
        return convention.result_of(awaited(function(str(path), **named)), self._setup.settings.objective)

    def _cascade(self, path: Path, seed: int) -> convention.Result:
        result = self._call("evaluate_stage1", path, seed)
        for stage in range(2, convention.STAGES + 1):
            name = f"evaluate_stage{stage}"
            if not hasattr(self._module, name) or not convention.passes(result, self._setup.settings, stage - 1):
                break
            result = convention.merged(result, self._call(name, path, seed))
        return result

    def _command(self, path: Path, results: Path) -> convention.Result:
        results.mkdir()
        sys.argv = [self._setup.evaluator, "--program_path", str(path), "--results_dir", str(results)]
        main = types.ModuleType("__main__")
        main.__file__ = self._setup.evaluator
        sys.modules["__main__"] = main
        with contextlib.suppress(SystemExit):
            self._execute(main)
        metrics, correct = (_text(results / name) for name in ("metrics.json", "correct.json"))
        return convention.results_folder(metrics, correct, self._setup.settings.objective)

    def _execute(self, module: types.ModuleType) -> None:
        exec(compile(self._setup.source, self._setup.evaluator, "exec", dont_inherit=True), module.__dict__)


def said(error: BaseException, file: str) -> str:
    """An evaluator's exception in one line: its type, its text, the evaluator's line, the program's line."""
    line, step = 0, error.__traceback__
    while step is not None:
        if step.tb_frame.f_code.co_filename == file:
            line = step.tb_lineno
        step = step.tb_next
    try:
        text = " ".join(str(error).split())[:500]
    except Exception:  # noqa: BLE001 - an exception of the user's own
        text = "?"
    places = [f"line {line} of the evaluator"] if line else []
    places += [note for note in getattr(error, "__notes__", ()) if isinstance(note, str)][:2]
    what = f"{type(error).__name__}: {text}" if text else type(error).__name__
    return what + (f" ({', '.join(places)})" if places else "")


def _text(path: Path) -> str | None:
    try:
        return path.read_bytes()[: 1 << 20].decode("utf-8", "replace")
    except OSError:
        return None


def _import_the_stand_in(text: bytes, program: str) -> None:
    """Where the program's file holds the program's text, importing it gives the module that stands for it."""
    read = importlib.machinery.SourceFileLoader.get_data

    def get_data(self: Any, path: str) -> bytes:
        return text if Path(path).name == program else read(self, path)

    importlib.machinery.SourceFileLoader.get_data = get_data  # type: ignore[method-assign]


class _Guard:
    """Keeps the text of a candidate from being executed here: then it could change its own evaluator."""

    def __init__(self) -> None:
        self._parts: frozenset[tuple[str, bytes]] = frozenset()
        self._on = False

    def forbid(self, source: bytes) -> None:
        """From here on code with a function of this source, or just this code, is not executed."""
        if not self._on:
            sys.addaudithook(self._heard)
            self._on = True
        self._parts = frozenset()
        with contextlib.suppress(SyntaxError, ValueError):
            code = compile(source, "<candidate>", "exec", dont_inherit=True)
            self._parts = frozenset(_parts(code))

    def _heard(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event == "exec" and not self._parts.isdisjoint(_parts(arguments[0])):
            raise PermissionError(
                "the evaluator executes the program's text itself: let it import program_path, "
                "which runs in a process of its own"
            )


def _parts(code: Any) -> list[tuple[str, bytes]]:
    inner = [each for each in getattr(code, "co_consts", ()) if isinstance(each, types.CodeType)]
    return [("", code.co_code), *((each.co_name, each.co_code) for each in inner)]


_guard = _Guard()
