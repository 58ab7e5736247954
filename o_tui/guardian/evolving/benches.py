"""Forks that run cases: one clean process, a confined fork for each side, observations over a pipe.

What a case does costs that case only: a fork that hangs is killed, one that ends is replaced, and the next case runs.
Runs in the prober's process (probing.py), which is exec'd, has one thread, and never runs what it judges.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import io
import os
import random
import select
import signal
import sys
import time
import types
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, NoReturn

import msgspec

from o_tui import _native
from o_tui.evolution.probe import grow
from o_tui.evolution.probe.case import Case
from o_tui.evolution.probe.execute import Bench
from o_tui.evolution.probe.harvest import Harvest
from o_tui.evolution.probe.world import World
from o_tui.protocol import contracts

MEMORY_BYTES = 512 * 1024**2
TESTS_S = 5.0
LATE_S = 15.0
"""Wall clock for one case, however little CPU it uses."""
_POLL_MS = 20
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder().decode


class UnconfinedError(Exception):
    """Nothing can be run here: the text says why."""


@dataclass(frozen=True, slots=True)
class Subject:
    """What is put on the bench: a module's source, or a gene within the files of its genome."""

    name: str
    source: str
    gene: str = ""
    files: Mapping[str, str] | None = None

    def code(self) -> types.CodeType:
        """The module compiled, once for all forks. Nothing of it is run by that."""
        return _compiled(self.source, self.name)


@cache
def _compiled(source: str, name: str) -> types.CodeType:
    return compile(source, name, "exec", dont_inherit=True)


@dataclass(frozen=True, slots=True)
class Seen:
    """One case's observation, and the CPU seconds that it took; `ended` says how, where it did not come to an end."""

    observation: Any
    cpu_s: float
    ended: str = ""
    went: tuple[int, ...] = ()
    case: Case | None = None


def preload() -> None:
    """Everything that a module may want, before the first fork: no file can be opened afterwards."""
    for name in sorted(
        {*contracts.ALLOWED_IMPORTS, "asyncio", "asyncio.base_events", "queue", "threading", "uuid", "logging"}
    ):
        importlib.import_module(name)
    for name in (contracts.DSL_MODULE, "o_tui.agent.genome_loader"):
        importlib.import_module(name)
    hooks: Any = importlib.import_module("o_tui.agent.fork_hooks")
    hooks.lighten()
    gc.freeze()


def run(
    subject: Subject,
    cases: Sequence[Case],
    salt: int = 0,
    limits: Callable[[int], float] = lambda _index: 0.4,
    *,
    harvest: Harvest | None = None,
    as_given: bool = False,
    ahead: int = 0,
) -> Generator[Seen, None, None]:
    """The observations in order. `limits` are CPU seconds for each case; the fork is replaced after one that ends it.

    With a harvest each case is grown first (grow.py) unless it is to be run `as_given`, and where it went is seen. The
    fork runs at most `ahead` cases further than they are asked for; 0: all of them.

    Raises:
        UnconfinedError: The fork could not be confined.
    """
    at = 0
    while at < len(cases):
        done = False
        plan = _Plan(subject, cases[at:], salt, harvest, as_given, at, ahead)
        for seen in _fork(plan, lambda index, at=at: limits(at + index)):  # type: ignore[misc]
            yield seen
            at += 1
            done = True
        if not done:  # it did not even load
            return


@dataclass(frozen=True, slots=True)
class _Plan:
    """What one fork is to do; see `run`."""

    subject: Subject
    cases: Sequence[Case]
    salt: int
    harvest: Harvest | None
    as_given: bool
    at: int
    ahead: int

    def go(self, index: int) -> bytes:
        """One sign for each case that may be begun when this one is asked for."""
        if any(case.kind == "large" for case in self.cases):
            return b"."  # one at a time, so that its time is its own
        if not self.ahead:
            return b"" if index else b"." * len(self.cases)
        place = (self.at + index) % self.ahead
        return b"" if index and place else b"." * (self.ahead - place)


def _fork(plan: _Plan, limits: Callable[[int], float]) -> Iterator[Seen]:
    """One fork: what it says until its end, or until a case has ended it."""
    cases = plan.cases
    reading, writing = os.pipe()
    listening, going = os.pipe()
    if not plan.subject.gene:
        plan.subject.code()
    pid = os.fork()
    if pid == 0:
        _become(plan, writing, listening)
    os.close(writing)
    os.close(listening)
    frames = _Frames(reading, pid)
    try:
        hello = frames.next(3.0)
        if hello is None or hello[0] != "ready":
            raise UnconfinedError(str(hello[1]) if hello else "a fork ended before it was confined")
        for index in range(len(cases)):
            before = _native.process_cpu_ns(pid)
            with contextlib.suppress(BrokenPipeError):
                os.write(going, plan.go(index))
            found = frames.next(limits(index))
            spent = frames.cpu_s(before)
            if found is None:
                yield Seen(["calls", ["raises", "hang", True]], spent, frames.ended)
                return
            grown = msgspec.convert(found[2], Case) if found[2] else None
            yield Seen(found[0], spent, "", tuple(found[1]), grown)
    finally:
        for descriptor in (reading, going):
            os.close(descriptor)
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


class _Frames:
    """Length-prefixed MessagePack from one fork, until a limit of its CPU time."""

    def __init__(self, descriptor: int, pid: int) -> None:
        self._descriptor = descriptor
        self._pid = pid
        self._kept = bytearray()
        self._poll = select.poll()
        self._poll.register(descriptor, select.POLLIN)
        self._last = 0
        self.ended = ""

    def cpu_s(self, since_ns: int) -> float:
        """CPU seconds since then; as far as was seen, where it has ended."""
        with contextlib.suppress(OSError):
            self._last = _native.process_cpu_ns(self._pid)
        return max(0, self._last - since_ns) / 1e9

    def next(self, limit_s: float) -> Any:
        """The next frame; None: it ended, or its time is over (`ended` says which)."""
        start = time.monotonic()
        start_ns = _native.process_cpu_ns(self._pid)
        while True:
            if len(self._kept) >= 4 and len(self._kept) >= 4 + int.from_bytes(self._kept[:4], "big"):
                size = int.from_bytes(self._kept[:4], "big")
                payload = bytes(self._kept[4 : 4 + size])
                del self._kept[: 4 + size]
                try:
                    return _decode(payload)
                except msgspec.DecodeError:
                    self.ended = "what it said cannot be read"
                    return None
            if not self._poll.poll(_POLL_MS):
                if self.cpu_s(start_ns) > limit_s or time.monotonic() - start > LATE_S:
                    self.ended = "it does not end"
                    return None
                continue
            data = os.read(self._descriptor, 1 << 16)
            if not data:
                self.ended = "it ended its process"
                return None
            self._kept += data


def load_error(subject: Subject) -> str:
    """What a module raises when it is loaded; empty: nothing."""
    if (seen := next(run(subject, [Case("calls", [])], limits=lambda _index: 3.0), None)) is None or seen.ended:
        return "it does not load: its process ended, or it does not come to an end"
    said = seen.observation
    return str(said[1][1]) if len(said) > 1 and isinstance(said[1], list) and said[1][0] == "raises" else ""


def tests(subject: Subject) -> tuple[int, list[str]]:
    """The genome's own tests in one fork: how many passed, and the names of those that failed."""
    case = Case("tests", [])
    seen = next(run(subject, [case], limits=lambda _index: TESTS_S), None)
    if seen is None or seen.ended or seen.observation[0] != "tests":
        return 0, [f"the tests: {seen.ended if seen else 'the fork ended'}"]
    return int(seen.observation[1]), [str(name) for name in seen.observation[2]]


# --- in the fork


def _become(plan: _Plan, out: int, go: int) -> NoReturn:
    """The fork: confined before a byte of the subject is run."""
    try:
        for descriptor in range(3):
            with contextlib.suppress(OSError):
                os.close(descriptor)
        out, go = _placed(out, go)
        tier = _native.confine(
            "agent", memory_bytes=MEMORY_BYTES, cpu_s=30, parent=os.getppid(), death_signal=signal.SIGKILL
        )
        if tier == "X":
            _tell(out, ["no", "no filter of system calls is in force (tier X)"])
            os._exit(1)
        _tell(out, ["ready"])
        sys.stdout = sys.stderr = io.StringIO()
        _serve(plan, out, go)
    except OSError as error:
        _tell(out, ["no", str(error)])
    finally:
        os._exit(1)


def _placed(out: int, go: int) -> tuple[int, int]:
    """The two pipes as descriptors 1 and 0: all above 2 are closed by the confinement."""
    os.dup2(out, 1)
    os.dup2(go, 0)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    return 1, 0


def _serve(plan: _Plan, out: int, go: int) -> None:
    salt = plan.salt
    world = World()
    world.install()
    world.reset(salt)
    ballast = [bytearray(64 + 16 * number) for number in range(salt * 40)]  # other addresses, where they could show
    failed = ""
    bench: Any = None
    try:
        bench = loaded(plan.subject, world)
    except BaseException as error:  # noqa: BLE001 - the border to code under test, that may raise anything
        said = " ".join(str(error).split())[:200]
        failed = said if type(error).__name__ == "GenomeError" else f"{type(error).__name__}: {said}"
    for number, case in enumerate(plan.cases):
        os.read(go, 1)
        if failed:
            _tell(out, [["calls", ["raises", failed, True]], [], None])
            continue
        try:
            if case.kind == "tests":
                seen = [_tested(), [], None]
            else:
                seen = _grown(bench, case, plan, number) if plan.harvest else [bench.run(case, salt), [], None]
        except BaseException as error:  # noqa: BLE001 - SystemExit, KeyboardInterrupt, MemoryError from under test
            seen = [["calls", ["raises", type(error).__name__, True]], [], None]
        _tell(out, seen)
    del ballast
    os._exit(0)


def _grown(bench: Bench, case: Case, plan: _Plan, number: int) -> list[Any]:
    if case.kind != "calls":
        return [bench.run(case, 0), [], None]
    if plan.harvest is not None and not plan.as_given:
        case = grow.grown(bench, case, plan.harvest, random.Random(f"{number}/{case.unit}"))
    seen, went = bench.traced(case, 0)
    return [seen, went, msgspec.to_builtins(case)]


def _tested() -> list[Any]:
    genome = sys.modules["genome_" + "0" * 12].__loader__
    passed, failed = 0, []
    for name in getattr(genome, "tests")():  # noqa: B009 - the loader is known by its methods only
        module = importlib.import_module(f"genome_{'0' * 12}.{name.replace('/', '.')}")
        for test, function in list(vars(module).items()):
            if test.startswith("test_") and callable(function):
                try:
                    function()
                    passed += 1
                except BaseException as error:  # noqa: BLE001 - the border to the genome's own code
                    failed.append(f"{name.removeprefix('tests/')}::{test} ({type(error).__name__})")
    return ["tests", passed, failed]


def loaded(subject: Subject, world: World) -> Bench:
    """The module, executed."""
    words = vars(sys.modules[contracts.DSL_MODULE]) if subject.gene else {}
    if subject.gene:
        loader: Any = sys.modules["o_tui.agent.genome_loader"]
        files = {**(subject.files or {}), contracts.path_of(subject.gene): subject.source}
        genome = loader.Genome("0" * 40, "0.0.0", files)
        module = genome.module(subject.gene)
        filename = module.recall.__code__.co_filename if subject.gene == "recall" else f"/{subject.gene}.py"
        return Bench(vars(module), _filename(vars(module), filename), world, words)
    plain = types.ModuleType("subject")
    sys.modules["subject"] = plain
    exec(subject.code(), plain.__dict__)
    return Bench(plain.__dict__, subject.name, world, words)


def _filename(names: Mapping[str, Any], otherwise: str) -> str:
    own = [
        v.__code__.co_filename
        for v in names.values()
        if isinstance(v, types.FunctionType) and v.__module__ == names["__name__"]
    ]
    return own[0] if own else otherwise


def _tell(out: int, value: Any) -> None:
    payload = _encode(value)
    data = len(payload).to_bytes(4, "big") + payload
    while data:
        data = data[os.write(out, data) :]
