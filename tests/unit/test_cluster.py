"""What of a cluster needs no cluster: addresses, what travels together, what an evaluator takes along."""

from __future__ import annotations

import asyncio
import importlib.util
import socket
import subprocess
import sys
from collections.abc import Generator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from distributed.scheduler import KilledWorker
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from o_tui import __version__
from o_tui.programs import bundle, orders
from o_tui.programs.cluster import client, link, silence
from o_tui.programs.cluster.batches import AHEAD, BATCH, LOSSES, Batches
from o_tui.programs.cluster.client import Courier
from o_tui.programs.cluster.parcels import Batch, Done
from o_tui.programs.convention import Result
from o_tui.programs.orders import Answer, Order, Ready, Told
from o_tui.protocol.errors import UsageError
from tests.support.user_programs import setup_of


@pytest.mark.parametrize(
    "address", ["tls://10.1.2.3:8786", "tls://s.example:1", "tcp://127.0.0.1:8786", "tcp://[::1]:1"]
)
def test_a_scheduler_is_reached_by_tls_or_on_this_machine(address: str) -> None:
    assert link.checked(address) == address


@pytest.mark.parametrize("address", ["tcp://10.1.2.3:8786", "tcp://s.example:8786", "tcp://127.0.0.1.example:8786"])
def test_a_plain_connection_to_another_machine_is_refused(address: str) -> None:
    with pytest.raises(UsageError, match="neither encrypted nor on this machine"):
        link.checked(address)


@pytest.mark.parametrize(
    "address", ["", "127.0.0.1:8786", "tls://host", "tls://:1", "ws://h:1", "tls://h:x", "inproc://1"]
)
def test_what_is_no_address_is_said(address: str) -> None:
    with pytest.raises(UsageError, match="is no address of a scheduler"):
        link.checked(address)


def test_without_dask_one_line_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    with pytest.raises(UsageError) as raised:
        link.checked("tcp://127.0.0.1:8786")
    assert raised.value.hint == "pip install 'o-tui[cluster]'"


def test_who_needs_no_cluster_does_not_load_dask() -> None:
    code = (
        "import sys, o_tui.cli.programs, o_tui.programs.starting, o_tui.programs.cluster.link\n"
        "sys.exit(bool({'dask', 'distributed', 'tornado'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


class Delivery(RuleBasedStateMachine):
    """Workers that answer, and workers that die, in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.batches = Batches(2)
        self.out: list[tuple[Order, ...]] = []
        self.given: set[int] = set()
        self.ended: dict[int, str] = {}
        self.losses: dict[int, int] = {}

    @rule(count=st.integers(1, 40))
    def add(self, count: int) -> None:
        for _ in range(count):
            number = len(self.given) + 1
            self.given.add(number)
            self.batches.add(Order(number=number, source=b""))

    @rule(threads=st.integers(0, 5))
    def workers_come_and_go(self, threads: int) -> None:
        self.batches.threads = threads

    @rule()
    def take(self) -> None:
        while batch := self.batches.take():
            assert 1 <= len(batch) <= BATCH
            assert len(batch) == 1 or not any(each.number in self.losses for each in batch), "what was lost goes alone"
            self.out.append(batch)
        assert len(self.out) >= AHEAD or self.in_hand() == set(), "nothing waits while somebody could do it"

    @precondition(lambda self: self.out)
    @rule(data=st.data(), each_s=st.floats(0.001, 100.0))
    def answered(self, data: st.DataObject, each_s: float) -> None:
        batch = self.out.pop(data.draw(st.integers(0, len(self.out) - 1)))
        self.batches.done(batch, [each_s] * len(batch))
        self.end(batch, "answered")

    @precondition(lambda self: self.out)
    @rule(data=st.data())
    def worker_dies(self, data: st.DataObject) -> None:
        batch = self.out.pop(data.draw(st.integers(0, len(self.out) - 1)))
        over = self.batches.lost(batch)
        for each in batch:
            self.losses[each.number] = self.losses.get(each.number, 0) + 1
        assert {each.number for each in over} == {each.number for each in batch if self.losses[each.number] >= LOSSES}
        self.end(over, "given up")

    def end(self, batch: tuple[Order, ...], how: str) -> None:
        for each in batch:
            assert each.number not in self.ended, "evaluated twice"
            self.ended[each.number] = how

    def in_hand(self) -> set[int]:
        return self.given - set(self.ended) - {each.number for batch in self.out for each in batch}

    @invariant()
    def each_is_out_once(self) -> None:
        numbers = [each.number for batch in self.out for each in batch]
        assert len(numbers) == len(set(numbers)) and not set(numbers) & set(self.ended)

    def teardown(self) -> None:
        self.batches.threads = 1
        while True:
            while batch := self.batches.take():
                self.out.append(batch)
            if not self.out:
                break
            batch = self.out.pop()
            self.batches.done(batch, [])
            self.end(batch, "answered")
        assert set(self.ended) == self.given, "all come back"


def test_all_come_back_once_whoever_dies() -> None:
    run_state_machine_as_test(Delivery, settings=settings(max_examples=60, stateful_step_count=30))


class Workers:
    """Dask's client, of two workers, one of which a certain candidate kills or freezes."""

    def __init__(self) -> None:
        self.lost = self.looks = 0
        self.keys: set[str] = set()
        self.held: list[str] = []
        self.frozen = False

    @property
    def scheduler(self) -> Workers:
        return self

    async def identity(self) -> dict[str, Any]:
        self.looks += 1
        beats = {"tcp://one": 0.0 if self.frozen else float(self.looks), "tcp://two": float(self.looks)}
        return {"workers": {name: {"nthreads": 1, "last_seen": seen} for name, seen in beats.items()}}

    async def processing(self) -> dict[str, list[str]]:
        return {"tcp://one": list(self.held), "tcp://two": ["another one's"]}

    async def run(self, *_arguments: object, workers: list[str], **_named: object) -> dict[str, tuple[str, str]]:
        return dict.fromkeys(workers, (__version__, "A"))

    def submit(self, _function: object, data: bytes, **named: Any) -> Task:
        return Task(self, data, **named)

    async def evaluate(self, data: bytes, *, key: str, retries: int, workers: list[str] | None) -> bytes:
        assert key not in self.keys and retries == 0, "Dask would give the old answer again"
        self.keys.add(key)
        batch = msgspec.msgpack.decode(data, type=Batch)
        if any(order.source == b"kills" for order in batch.orders):
            self.lost += 1
            raise KilledWorker(key, SimpleNamespace(address="tcp://one"), 0)
        self.frozen = self.frozen or any(order.source == b"freezes" for order in batch.orders)
        if self.frozen and workers != ["tcp://two"]:
            self.held.append(key)
            await asyncio.Event().wait()
        result = Result(metrics={"combined_score": 1.0})
        answers = tuple(Answer(number=order.number, result=result, wall_ms=1.0) for order in batch.orders)
        return msgspec.msgpack.encode(Done(answers=answers))


class Task:
    """Dask's future."""

    def __init__(self, dask: Workers, data: bytes, **named: Any) -> None:
        self._task = asyncio.create_task(dask.evaluate(data, **named))

    def __await__(self) -> Generator[Any, None, bytes]:
        return self._task.__await__()

    async def cancel(self) -> None:
        self._task.cancel()


async def test_what_a_silent_worker_has_goes_to_the_others(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(silence, "SILENT_S", 0.2)
    monkeypatch.setattr(client, "LOOK_S", 0.02)
    ours, theirs = socket.socketpair()
    reader, writer = await asyncio.open_connection(sock=theirs)
    workers = Workers()
    courier = Courier(workers, reader, writer, setup_of(folder / "p"))
    await courier.begin()
    serving = asyncio.create_task(courier.serve())
    for number in range(1, 21):
        orders.send(ours, Order(number=number, source=b"freezes" if number == 3 else b""))
    await asyncio.to_thread(orders.receive, ours, Ready)
    found, heard = list[int](), list[int]()
    while len(found) < 20:
        told, _ = await asyncio.to_thread(orders.receive, ours, Told)
        if told.answer is not None:
            assert told.answer.result.metrics, told.answer.result
            found.append(told.answer.number)
        heard += [told.workers] if told.workers is not None else []
    assert sorted(found) == [*range(1, 21)] and workers.held and heard == [2, 1]
    ours.close()
    assert await serving == ""


def test_who_is_heard_of_is_not_silent_whatever_the_scheduler_s_clock_says() -> None:
    known = silence.Silence()
    assert known.look({"one": 9e9, "two": 5.0}, 0.0) == set()
    assert known.look({"one": 1.0, "two": 5.0}, silence.SILENT_S) == set()
    assert known.look({"one": 2.0, "two": 5.0}, silence.SILENT_S + 1) == {"two"}
    assert known.look({"one": 2.0, "two": 6.0}, silence.SILENT_S + 2) == set()
    assert known.look({"one": 2.0}, 2 * silence.SILENT_S + 2) == {"one"}


async def test_who_loses_three_workers_has_failed_and_its_neighbours_have_not(folder: Path) -> None:
    ours, theirs = socket.socketpair()
    reader, writer = await asyncio.open_connection(sock=theirs)
    workers = Workers()
    courier = Courier(workers, reader, writer, setup_of(folder / "p"))
    await courier.begin()
    serving = asyncio.create_task(courier.serve())
    for number in range(1, 21):
        orders.send(ours, Order(number=number, source=b"kills" if number == 7 else b""))
    ready, _ = await asyncio.to_thread(orders.receive, ours, Ready)
    assert ready.depth == 2 * AHEAD * BATCH
    found: dict[int, Answer] = {}
    while len(found) < 20:
        told, _ = await asyncio.to_thread(orders.receive, ours, Told)
        if told.answer is not None:
            assert told.answer.number not in found
            found[told.answer.number] = told.answer
    assert found.pop(7).result.error == "the worker that evaluated it was lost, 3 times"
    assert workers.lost == LOSSES and all(answer.result.metrics for answer in found.values())
    ours.close()
    assert await serving == "", "it ends with the run"


def test_short_evaluations_travel_together_and_long_ones_alone() -> None:
    for each_s, size in ((0.01, BATCH), (10.0, 1)):
        batches = Batches(1)
        batches.add(Order(number=0, source=b""))
        batches.done(batches.take(), [each_s])
        for number in range(1, 100):
            batches.add(Order(number=number, source=b""))
        assert len(batches.take()) == size


def test_an_evaluator_takes_its_folder_along_but_what_is_hidden(folder: Path) -> None:
    home, there = folder / "home", folder / "there"
    setup = setup_of(home)
    (home / "data").mkdir()
    (home / "data" / "ü.json").write_bytes(b"{}")
    (home / ".secret").write_bytes(b"x")
    (home / ".git").mkdir()
    (home / ".git" / "config").write_bytes(b"x")
    (home / "evaluator.py").write_bytes(b"changed meanwhile")
    there.mkdir()
    packed = bundle.packed(setup)
    unpacked = bundle.unpacked(packed, there)
    found = {str(path.relative_to(there)): path.read_bytes() for path in there.rglob("*") if path.is_file()}
    program = (home / "program.py").read_bytes()
    assert found == {"evaluator.py": setup.source, "program.py": program, "data/ü.json": b"{}"}
    assert unpacked == msgspec.structs.replace(setup, evaluator=str(there / "evaluator.py"))
    assert bundle.digest(packed) == bundle.digest(bundle.packed(setup)) != bundle.digest(setup)


def test_a_folder_that_is_too_much_to_send_is_one_line(folder: Path) -> None:
    setup = setup_of(folder / "home")
    with (folder / "home" / "big").open("wb") as file:
        file.truncate(bundle.FILES_BYTES + 1)
    with pytest.raises(UsageError, match="too much to send"):
        bundle.packed(setup)


def test_no_name_leads_out_of_the_evaluators_folder(folder: Path) -> None:
    setup = msgspec.structs.replace(setup_of(folder / "home"), beside={"../out": b"x"})
    (folder / "there").mkdir()
    with pytest.raises(UsageError, match="leads out"):
        bundle.unpacked(setup, folder / "there")
    assert not (folder / "out").exists()
