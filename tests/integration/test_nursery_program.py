"""The fork server as a real process: states, forks, checkpoints, ends."""

from __future__ import annotations

import os
import select
import signal
import socket
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from o_tui._native import process_rss_pss
from o_tui.agent import reducers
from o_tui.agent.state import State
from o_tui.protocol import checkpoint, messages, operations
from tests.support.agents import ECHO, SEED, block, entries
from tests.support.nursery_driver import NurseryProcess, Peer, genome_files
from tests.support.patience import PATIENCE_S

LOOPING = """
def respond(request, context):
    while True:
        pass
    yield
"""


@pytest.fixture
def nursery() -> Iterator[NurseryProcess]:
    process = NurseryProcess(heartbeat_s=0.2)
    yield process
    process.close()


def load(peer: Peer, files: dict[str, str], revision: str = "a" * 40) -> messages.Ready:
    peer.send(messages.LoadGenome(revision=revision, version="1", files=files))
    while True:
        ready = peer.expect(messages.Ready)
        assert isinstance(ready, messages.Ready)
        if ready.revision:
            return ready


def ended(pidfd: int, limit_s: float = PATIENCE_S) -> bool:
    return bool(select.select([pidfd], [], [], limit_s)[0])


def logged(count: int, start: int = 1) -> list[bytes]:
    return entries([block(f"b{n}", f"memory number {n}") for n in range(start, start + count)], start)


def committed(packed: list[bytes], digest: bytes = operations.GENESIS) -> messages.Committed:
    for entry in packed:
        digest = operations.chain(digest, entry)
    return messages.Committed(entries=packed, digest=digest)


def wait_for_seq(peer: Peer, seq: int) -> None:
    while peer.expect(messages.Heartbeat).seq < seq:
        pass


def test_a_fork_has_the_state_and_answers(nursery: NurseryProcess) -> None:
    ready = nursery.restore()
    assert (ready.seq, ready.digest) == (0, operations.GENESIS)
    nursery.stream.send(committed(logged(5)))
    wait_for_seq(nursery.stream, 5)
    peer, forked, _pidfd = nursery.fork()
    assert forked.seq == 5
    started = peer.expect(messages.Ready)
    assert (started.pid, started.seq) == (forked.pid, 5) and started.tier in "AB"
    assert load(peer, genome_files(ECHO)).seq == 5
    assert peer.ask("hello").text == "hello"
    assert '"count":5' in peer.ask("{}", "q", kind="memory.list").text


def test_what_an_instance_may_do_is_little(nursery: NurseryProcess) -> None:
    nursery.restore()
    peer, forked, _pidfd = nursery.fork()
    peer.expect(messages.Ready)
    status = dict(
        line.split(":\t", 1) for line in Path(f"/proc/{forked.pid}/status").read_text().splitlines() if ":\t" in line
    )
    assert status["NoNewPrivs"] == "1"
    assert status["Umask"] == "0077"
    assert status["Threads"] == "1"
    assert status["Seccomp"] == "2"
    assert {int(status[name], 16) for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")} == {0}
    assert "0" not in status["Uid"].split() + status["Gid"].split()
    if os.geteuid() == 0:
        assert status["Groups"].split() == []
    assert Path(f"/proc/{forked.pid}/mem").stat().st_uid == 0  # not to be looked into by others of the same user
    if os.geteuid() == 0:
        for world in ("mnt", "net", "ipc", "uts"):
            assert Path(f"/proc/{forked.pid}/ns/{world}").readlink() != Path(f"/proc/self/ns/{world}").readlink(), world
    assert Path(f"/proc/{forked.pid}/oom_score_adj").read_text() == "500\n"
    limits = Path(f"/proc/{forked.pid}/limits").read_text()
    hard = {line[:26].strip(): line[47:68].strip() for line in limits.splitlines()}
    nothing = ("core file size", "file size", "processes", "locked memory", "msgqueue size")
    assert {hard[f"Max {what}"] for what in nothing} == {"0"}
    assert hard["Max open files"] == "64"
    assert 1 << 30 < int(hard["Max address space"]) < 3 << 30
    assert 1 << 30 < int(hard["Max data size"]) < 3 << 30
    assert os.getsid(forked.pid) == forked.pid
    if os.geteuid() == 0:
        targets = {int(link.name): str(link.readlink()) for link in Path(f"/proc/{forked.pid}/fd").iterdir()}
        assert {targets.pop(standard) for standard in (0, 1, 2)} == {"/dev/null"}
        assert [target.partition(":")[0] for target in targets.values()] == ["socket"]


def test_children_are_reaped_and_told_of(nursery: NurseryProcess) -> None:
    nursery.restore()
    _peer, forked, pidfd = nursery.fork()
    signal.pidfd_send_signal(pidfd, signal.SIGKILL)
    exited, _ = nursery.answer()
    assert exited == messages.Exited(instance="main-1", pid=forked.pid, status=-signal.SIGKILL)


def test_an_instance_ends_with_its_guardian(nursery: NurseryProcess) -> None:
    nursery.restore()
    peer, _forked, _pidfd = nursery.fork()
    peer.expect(messages.Ready)
    peer.sock.close()
    assert nursery.answer()[0].status == 0


def test_even_a_gene_that_loops_ends_with_its_guardian(nursery: NurseryProcess) -> None:
    nursery.restore()
    peer, _forked, _pidfd = nursery.fork()
    load(peer, {**genome_files(ECHO), "respond.py": LOOPING})
    peer.send(messages.ProcessRequest(text="go"), "r1")
    peer.send(messages.ProcessRequest(text="unread"), "r2")
    peer.sock.close()
    assert nursery.answer()[0].status == 0


def test_children_survive_the_nursery_and_end_with_the_guardian() -> None:
    nursery = NurseryProcess()
    nursery.restore()
    peer, _forked, pidfd = nursery.fork()
    load(peer, genome_files(ECHO))
    nursery.process.kill()
    nursery.process.wait()
    assert peer.ask("still here").text == "still here"
    peer.sock.close()
    assert ended(pidfd)
    nursery.close()


def test_a_shadow_ends_with_the_nursery() -> None:
    nursery = NurseryProcess()
    nursery.restore()
    peer, _forked, pidfd = nursery.fork("shadow")
    peer.expect(messages.Ready)
    nursery.process.kill()
    nursery.process.wait()
    assert ended(pidfd)
    nursery.close()


def test_at_the_guardians_end_the_nursery_takes_its_children_along() -> None:
    nursery = NurseryProcess()
    nursery.restore()
    peer, _forked, pidfd = nursery.fork()
    peer.expect(messages.Ready)
    nursery.control.close()
    assert nursery.process.wait(PATIENCE_S) == 0
    assert ended(pidfd)
    nursery.close()


def test_a_shutdown_ends_it() -> None:
    nursery = NurseryProcess()
    nursery.restore()
    nursery.stream.send(messages.Shutdown(grace_s=1))
    assert nursery.process.wait(PATIENCE_S) == 0
    nursery.close()


def write(file: Path, state: State, **changes: object) -> None:
    header = checkpoint.Header(uuid.uuid4(), 1, state.seq, 0, 0, b"", state.digest)
    with file.open("wb") as opened:
        checkpoint.write(opened, state.sections(), header)


def test_a_checkpoint_is_written_by_a_fork_and_restores(nursery: NurseryProcess, tmp_path: Path) -> None:
    nursery.restore()
    packed = logged(30)
    nursery.stream.send(committed(packed))
    wait_for_seq(nursery.stream, 30)
    file, identity = tmp_path / "x.ckpt", str(uuid.uuid4())
    with file.open("wb") as opened:
        order = messages.Snapshot(instance="checkpoint-1", checkpoint_id=identity, time_ns=7, revision="ab" * 20)
        nursery.order(order, [opened.fileno()])
    assert nursery.answer()[0].seq == 30
    assert nursery.answer()[0].status == 0
    with file.open("rb") as opened:
        header, sections = checkpoint.read(opened)
    assert (str(header.checkpoint_id), header.time_ns, header.seq) == (identity, 7, 30)
    assert header.revision.hex() == "ab" * 20
    straight = State.empty()
    reducers.apply_all(straight, packed)
    assert State.from_sections(sections).logical_digest() == straight.logical_digest()
    assert header.chain_digest == straight.digest

    ready = nursery.restore(file)
    assert (ready.seq, ready.digest) == (30, straight.digest)
    peer, _forked, _pidfd = nursery.fork()
    load(peer, genome_files(ECHO))
    assert straight.logical_digest().hex() in peer.ask("{}", kind="state.digest").text


def test_an_older_checkpoint_stands_at_the_entry_that_restored_it(nursery: NurseryProcess, tmp_path: Path) -> None:
    state = State.empty()
    reducers.apply_all(state, logged(3))
    file = tmp_path / "old.ckpt"
    write(file, state)
    nursery.restore()
    ready = nursery.restore(file, seq=9, digest=b"\7" * 32)
    assert (ready.seq, ready.digest) == (9, b"\7" * 32)
    nursery.stream.send(committed(logged(1, 10), b"\7" * 32))
    wait_for_seq(nursery.stream, 10)


@pytest.mark.parametrize("damage", ["cut", "flip", "text"])
def test_a_damaged_checkpoint_is_refused_and_the_nursery_lives(
    nursery: NurseryProcess, tmp_path: Path, damage: str
) -> None:
    state = State.empty()
    reducers.apply_all(state, logged(3))
    file = tmp_path / "bad.ckpt"
    write(file, state)
    data = bytearray(file.read_bytes())
    if damage == "cut":
        del data[-10:]
    elif damage == "flip":
        data[-10] ^= 1
    file.write_bytes(b"hello" if damage == "text" else bytes(data))
    failed = nursery.restore(file)
    assert isinstance(failed, messages.Failed)
    assert failed.what == "restore"
    assert nursery.restore().seq == 0


def test_an_entry_that_cannot_be_applied_ends_it_and_is_named() -> None:
    nursery = NurseryProcess()
    nursery.restore()
    nursery.stream.send(messages.Committed(entries=logged(1, 5), digest=b""))
    failed = nursery.stream.expect(messages.Failed)
    assert (failed.what, failed.seq) == ("reduce", 5)
    assert nursery.process.wait(PATIENCE_S) == 70
    nursery.close()


def test_a_fork_before_a_state_is_refused(nursery: NurseryProcess) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        nursery.order(messages.Fork(instance="main-1", role="main"), [theirs.fileno()])
        refused, descriptors = nursery.answer()
    assert isinstance(refused, messages.Failed)
    assert not descriptors
    assert nursery.restore().seq == 0


def test_a_session_offline_with_the_seed(nursery: NurseryProcess) -> None:
    nursery.restore()
    peer, _forked, _pidfd = nursery.fork()
    load(peer, genome_files(SEED))
    first = peer.ask("remember that the demo is on Friday at ten", "r1")
    assert first.ok and "offline mode" in first.text
    peer.ask("Peter wants two servers less.", "r2")
    answer = peer.ask("what did I say about the demo?", "r3").text
    assert "> the demo is on Friday at ten" in answer
    assert "note, 20" in answer
    assert "offline mode" not in answer
    assert "two servers less" in peer.ask("who wants fewer servers?", "r4").text
    assert "nothing about that" in peer.ask("what is the capital of France?", "r5").text
    assert "**17*23 = 391**" in peer.ask("17*23", "r6").text
    found = peer.ask('{"text": "demo", "k": 1}', "r7", kind="memory.search")
    assert '"source":"note"' in found.text


def test_a_session_with_a_model_and_a_tool(nursery: NurseryProcess) -> None:
    nursery.restore()
    peer, _forked, _pidfd = nursery.fork()
    load(peer, genome_files(SEED))
    peer.ask("remember that the budget is 5000", "r1")
    asked: list[list[dict[str, str]]] = []

    def brain(call: dict[str, object]) -> list[messages.BrokerReply]:
        asked.append(call["messages"])  # type: ignore[arg-type]
        name = str(call["call_id"])
        if len(asked) == 1:
            tool_calls = [{"id": "c1", "name": "calculator", "arguments": {"expression": "5000/4"}}]
            return [messages.BrokerReply(call_id=name, state="done", data={"text": "", "tool_calls": tool_calls})]
        pieces = [
            messages.BrokerReply(call_id=name, state="delta", data={"text": text}) for text in ("It is ", "1250.")
        ]
        return [*pieces, messages.BrokerReply(call_id=name, state="done", data={"text": "It is 1250."})]

    done = peer.ask("a quarter of the budget?", "r2", answers=brain)
    assert (done.ok, done.text) == (True, "It is 1250.")
    assert '"the budget is 5000"' in asked[0][0]["content"]
    assert asked[1][-1]["content"] == "5000/4 = 1250"


def test_the_seeds_own_tests_pass_in_an_instance(nursery: NurseryProcess) -> None:
    nursery.restore()
    peer, _forked, _pidfd = nursery.fork(role="shadow")
    load(peer, genome_files(SEED))
    done = peer.ask("", kind="genome.tests")
    assert done.text.endswith('"failed":[]}'), done.text
    assert '"passed":0' not in done.text


def test_what_a_gene_prints_is_logged_within_limits(nursery: NurseryProcess) -> None:
    nursery.restore()
    peer, _forked, _pidfd = nursery.fork()
    respond = (
        "def respond(request, context):\n    for n in range(500):\n        print('line', n)\n    return\n    yield\n"
    )
    load(peer, {**genome_files(ECHO), "respond.py": respond})
    seen: list[object] = []
    peer.send(messages.ProcessRequest(text="go"), "r1")
    while not any(isinstance(message, messages.Log) and "dropped" in message.text.raw for message in seen):
        seen.append(peer.receive().data)
    lines = [message for message in seen if isinstance(message, messages.Log)]
    assert lines[0].text.raw == "line 0"
    assert len(lines) < 300


@pytest.mark.skipif(os.getuid() != 0, reason="only root may look into a confined process")
@pytest.mark.parametrize(("changed", "limit_bytes"), [("", 2_400_000), ("recall.py", 2_800_000)])
def test_a_shadow_at_rest_has_few_pages_of_its_own_the_first_one_too(
    nursery: NurseryProcess, changed: str, limit_bytes: int
) -> None:
    nursery.restore()
    files = genome_files(SEED)
    if changed:
        files[changed] += "\n# a candidate\n"
    peer, forked, _pidfd = nursery.fork(role="shadow", instance="s1")
    load(peer, files)
    assert peer.ask('{"text": "anything", "k": 3}', kind="memory.search").ok
    for _beat in range(3):  # it rests in the first, shares in the second
        peer.expect(messages.Heartbeat)
    assert process_rss_pss(forked.pid)[2] <= limit_bytes
    assert peer.ask('{"text": "anything", "k": 3}', kind="memory.search").ok
