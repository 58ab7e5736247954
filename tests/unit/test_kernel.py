"""The kernel: genes step by step, operations, the broker, reloads, roles; whatever a gene does, the kernel goes on."""

from __future__ import annotations

import pytest

from o_tui import _native
from o_tui.agent.memory import View
from o_tui.agent.tasks import STEPS_LIMIT
from o_tui.protocol import messages, operations
from tests.support.agents import ECHO, HEAD, Stage, block, entries, genome, stage
from tests.support.nursery_driver import genome_files


def test_an_answer_that_ends_at_once_is_one_message() -> None:
    made = stage("yield Say('a')\nyield Say(request.text)")
    made.ask("b")
    assert [type(message) for message, _meta in made.sent] == [messages.Done]
    assert made.done() == messages.Done(ok=True, text="ab")


def test_text_streams_while_a_request_waits_and_nothing_is_lost() -> None:
    made = stage("yield Say('one ')\nyield Record('user', 'x')\nyield Say('two')")
    made.ask("")
    made.commit()
    texts = [m.data["text"] for m, _meta in made.sent if isinstance(m, messages.Event)]
    assert texts == ["one ", "two"]
    assert made.done().text == "one two"


def test_a_step_goes_on_when_its_operation_is_committed() -> None:
    made = stage("ids = yield Remember('the demo', 'chat')\nyield Say(f'{ids} {context.state.count()}')")
    made.ask("")
    assert not any(isinstance(message, messages.Done) for message, _meta in made.sent)
    assert made.commit() == 1
    assert made.done() == messages.Done(ok=True, text="['r1.0'] 1", operations=1)


def test_several_are_durable_together() -> None:
    made = stage(
        "parts = [Record('user', 'x'), Remember('y', 's'), Apply(StateUpdate(key='k', value=1))]\n"
        "result = yield Together(parts)\nyield Say(str(result))"
    )
    made.ask("")
    (message,) = [m for m, _meta in made.sent if isinstance(m, messages.OperationProposals)]
    assert [item.position for item in message.items] == [0, 1, 2]
    made.commit()
    assert made.done().text == "[None, ['r1.1'], None]"
    assert made.state.value("k") == 1


def test_a_request_that_comes_again_does_not_repeat_what_is_committed() -> None:
    made = stage("for n in range(3):\n    yield Record('user', str(n))\nyield Say('end')")
    made.ask("", committed=2, attempt=2)
    assert [item.position for _request, item in made.proposals()] == [2]
    made.commit()
    assert made.done() == messages.Done(ok=True, text="end", operations=3)


def test_requests_wait_beside_each_other() -> None:
    made = stage("yield Record('user', request.text)\nyield Say(request.text)")
    for number in range(5):
        made.ask(str(number), f"r{number}")
    assert len(made.kernel.tasks) == 5
    made.commit()
    answers = {meta.request_id: m.text for m, meta in made.sent if isinstance(m, messages.Done)}
    assert answers == {f"r{number}": str(number) for number in range(5)}


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ("yield Say('x')\n1 / 0", "ZeroDivisionError: division by zero (respond.py:6 in respond)"),
        ("raise SystemExit(3)\nyield", "SystemExit: 3"),
        ("raise KeyboardInterrupt\nyield", "KeyboardInterrupt"),
        ("raise GeneratorExit\nyield", "GeneratorExit"),
        ("def f(): return f()\nyield Say(f())", "RecursionError: maximum recursion depth exceeded"),
        ("yield 'text'", "a gene yielded str, which is not a step"),
        ("yield Say(5)", "what Say says is a int, not text"),
        ("yield Record('nobody', 'x')", "a turn's role is one of user, assistant, tool"),
        ("yield Remember('x', 's', kind='odd')", "a memory's kind is one of"),
        ("yield Together([Say('x')])", "Say changes nothing"),
        ("yield Apply(5)", "Apply takes an operation"),
        ("while True:\n    yield Say('')", f"more than {STEPS_LIMIT} steps"),
        ("while True:\n    yield Say('x' * 1000000)", "an answer of more than"),
        ("yield Remember(chr(55296), 's', importance=float('nan'))", "an importance is a number"),
        ("class E(Exception):\n    def __str__(self): raise self\nraise E\nyield", "E: (its text cannot be had)"),
        ("raise ValueError('a\\nb\\x1b[31m\\u202e')\nyield", "ValueError: a␊b␛[31m<U+202E>"),
        ("yield AskModel([{'role': object()}])", "TypeError"),
    ],
)
def test_what_a_gene_does_wrong_ends_its_request_only(body: str, error: str) -> None:
    made = stage(body)
    made.ask("")
    done = made.done()
    assert not done.ok
    assert done.error.startswith(error), done.error
    assert "\n" not in done.error
    made.give(messages.HotReload(revision="b" * 40, version="2", files=genome_files(ECHO)))
    made.take(messages.Reloaded)
    made.ask("still here", "r2")
    assert made.done().text == "still here"


@pytest.mark.parametrize("name", ["genome_switch", "lifecycle_change", "state_restore", "skip"])
def test_what_is_the_guardians_cannot_be_proposed(name: str) -> None:
    made = stage("from o_tui.agent.dsl import Apply\nyield Apply(context.state.value('op'))")
    samples = {
        "genome_switch": operations.GenomeSwitch(revision="x", version="1"),
        "lifecycle_change": operations.LifecycleChange(state="running"),
        "state_restore": operations.StateRestore(checkpoint_id="x", checkpoint_seq=1),
        "skip": operations.Skip(digest="", reason=""),
    }
    made.kernel._view = _Values({"op": samples[name]})  # type: ignore[assignment]
    made.ask("")
    assert made.done().error.startswith(f"{name} is the guardian's")


class _Values:
    def __init__(self, values: dict[str, object]) -> None:
        self._values = values

    def value(self, key: str, default: object = None) -> object:
        return self._values.get(key, default)


def test_lone_surrogates_do_not_break_the_answer() -> None:
    made = stage("yield Say('a\\ud800b')\nyield Notice('\\udfff')")
    made.ask("")
    assert made.done().text == "a?b"


def test_an_answer_larger_than_a_frame_arrives_whole() -> None:
    made = stage("yield Say('é' * 400000)")
    made.ask("")
    assert made.done().text == "é" * 400_000


CUT = """
ids = yield Remember('the demo', 'chat')
yield Together([Record('user', request.text), Remember('on Friday', 'chat'), Apply(StateUpdate(key='k', value=1))])
hits = yield Recall('demo friday', 5)
yield Record('assistant', f'{ids} {len(hits)} {len(context.turns)}')
yield Say(f'{ids} {len(hits)}')
"""


@pytest.mark.parametrize("durable", range(6))
def test_a_request_cut_anywhere_and_delivered_again_leaves_the_same_state(durable: int) -> None:
    first = stage(CUT)
    first.ask("x", time_ns=7)
    log: list[bytes] = []
    while first.proposals():
        log += first.pack()
        first.commit()
    assert len(log) == 5
    second = stage(CUT)
    second.give(messages.Committed(entries=log[:durable], digest=b""))
    second.seq = durable
    second.ask("x", time_ns=7, committed=durable, attempt=2)
    while second.proposals():
        second.commit()
    assert second.done() == first.done()
    assert second.state.logical_digest() == first.state.logical_digest()


# --- the broker


def test_a_models_text_streams_and_its_answer_resumes() -> None:
    made = stage("a = yield AskModel([{'role': 'user', 'content': request.text}])\nyield Say('|' + a.text)")
    made.ask("hi", brain="m")
    (call,) = made.take(messages.BrokerRequest)
    assert (call.call_id, call.kind) == ("r1:0", "llm.chat")
    for piece in ("Hel", "lo"):
        made.give(messages.BrokerReply(call_id="r1:0", state="delta", data={"text": piece}))
    assert [m.data["text"] for m in made.take(messages.Event)] == ["Hel", "lo"]
    made.give(messages.BrokerReply(call_id="r1:0", state="done", data={"text": "Hello", "usage": {"input_tokens": 1}}))
    assert made.done().text == "Hello|Hello"


def test_an_answer_without_deltas_is_said_too() -> None:
    made = stage("yield AskModel([])")
    made.ask("")
    made.give(messages.BrokerReply(call_id="r1:0", state="done", data={"text": "Hello"}))
    assert made.done().text == "Hello"


def test_a_models_failure_is_raised_where_it_was_asked() -> None:
    caught = "yield Say(f'{error.kind} {error.retryable} {error}')"
    body = f"try:\n    yield AskModel([])\nexcept BrainError as error:\n    {caught}"
    made = stage(body)
    made.ask("")
    why = {"error": "too slow", "kind": "timeout", "retryable": True}
    made.give(messages.BrokerReply(call_id="r1:0", state="error", data=why))
    assert made.done().text == "timeout True too slow"


def test_a_failure_that_nobody_catches_is_the_answers_error() -> None:
    made = stage("yield AskModel([])")
    made.ask("")
    made.give(messages.BrokerReply(call_id="r1:0", state="delta", data={"text": "Once upon"}))
    made.give(messages.BrokerReply(call_id="r1:0", state="error", data={"error": "the connection was cut"}))
    done = made.done()
    assert (done.ok, done.text, done.error) == (False, "Once upon", "the connection was cut")


def test_replies_that_nobody_waits_for_are_ignored() -> None:
    made = stage("yield Say('x')")
    made.give(messages.BrokerReply(call_id="gone", state="done", data={"text": 5}))
    assert not made.sent
    assert not made.stopped


@pytest.mark.parametrize("data", [{"text": 5}, {"text": "x", "tool_calls": [{"id": 1}]}, {}])
def test_a_brokers_garbage_is_an_error(data: dict[str, object]) -> None:
    made = stage("yield AskModel([])")
    made.ask("")
    made.give(messages.BrokerReply(call_id="r1:0", state="done", data=data))
    assert "cannot be read" in made.done().error


# --- tools

TOOLS = f"""{HEAD}
@tool
def add(a: int, b: int = 1) -> str:
    \"\"\"Adds.\"\"\"
    return str(a + b)

@tool
def fails() -> str:
    \"\"\"Fails.\"\"\"
    raise ValueError("on purpose")

@tool
def refuses() -> str:
    \"\"\"Refuses.\"\"\"
    raise ToolError("not today")

@tool
def exits() -> str:
    \"\"\"Exits.\"\"\"
    raise SystemExit

@tool
def keeps(text: str, context: Context) -> Steps:
    \"\"\"Keeps.\"\"\"
    yield Remember(text, context.session)
    inner = yield CallTool("add", {{"a": 1}})
    return f"kept, {{inner.text}}"

@tool
def forever() -> Steps:
    \"\"\"Calls itself.\"\"\"
    result = yield CallTool("forever")
    return result.text
"""


@pytest.mark.parametrize(
    ("call", "result"),
    [
        ("'add', {'a': 1, 'b': 2}", "True 3"),
        ("'add', {'a': '4'}", "True 5"),
        ("'add', {'a': 'x'}", "False wrong arguments for add"),
        ("'add', {'a': 1, 'c': 2}", "False wrong arguments for add"),
        ("'add'", "False wrong arguments for add"),
        ("'fails'", "False ValueError: on purpose (tools/some.py:"),
        ("'refuses'", "False not today"),
        ("'exits'", "False SystemExit"),
        ("'none'", "False there is no tool none; there are: add, exits, fails"),
        ("'forever'", "True tools that call tools"),
    ],
)
def test_a_tools_failure_is_a_result(call: str, result: str) -> None:
    made = stage(f"r = yield CallTool({call})\nyield Say(f'{{r.ok}} {{r.text}}')", tools__some=TOOLS)
    made.ask("")
    assert made.done().text.startswith(result)


def test_a_tool_may_take_steps_of_its_own() -> None:
    made = stage("r = yield CallTool('keeps', {'text': 'x'})\nyield Say(r.text)", tools__some=TOOLS)
    made.ask("", session="s")
    made.commit()
    assert [m.kind for m, _meta in made.sent if isinstance(m, messages.Event)][:2] == ["tool_call", "tool_call"]
    assert made.done().text == "kept, 2"
    assert View(made.state).blocks()[0].source == "s"


def test_when_idle_tools_are_made_known_and_memory_is_consolidated() -> None:
    body = "yield Together([Remember(str(n), 's') for n in range(40)])"
    remember = genome_files(ECHO)["remember.py"].replace(
        "return []", "return [Change(b.id, kind='long_term') for b in blocks]"
    )
    made = stage(body, tools__some=TOOLS, remember=remember)
    made.kernel.beat()
    assert made.commit() == 6
    assert set(made.state.tools()) == {"add", "exits", "fails", "forever", "keeps", "refuses"}
    made.ask("")
    made.commit()
    made.sent.clear()
    made.kernel.beat()
    assert made.commit() == 40
    assert {found.kind for found in View(made.state).blocks()} == {"long_term"}
    assert made.take(messages.Done) == []


def test_a_standby_does_no_idle_work() -> None:
    made = stage("yield Say('x')", "standby", tools__some=TOOLS)
    made.kernel.beat()
    assert not made.proposals()


# --- the guardian's orders


def test_a_cancelled_request_ends_and_its_commit_is_still_applied() -> None:
    made = stage("try:\n    yield Record('user', 'x')\nfinally:\n    raise ValueError('in the way')")
    made.ask("")
    made.give(messages.CancelRequest(), "r1")
    assert [m.error for m, _meta in made.sent if isinstance(m, messages.Done)] == ["cancelled"]
    assert made.commit() == 1
    assert made.state.seq == 1
    assert not made.kernel.tasks


def test_a_refused_operation_ends_its_request() -> None:
    made = stage("yield Record('user', 'x')")
    made.ask("")
    made.give(messages.Refused(position=0, error="the disk is full"), "r1")
    assert made.done().error == "an operation was refused: the disk is full"


def test_a_reload_swaps_between_requests() -> None:
    made = stage("yield Record('user', 'x')\nyield Say('old')")
    made.ask("", "r1")
    made.give(messages.HotReload(revision="b" * 40, version="2", files=genome("yield Say('new')")))
    assert made.kernel.genome is not None
    made.ask("", "r2")
    made.commit()
    answers = {meta.request_id: m.text for m, meta in made.sent if isinstance(m, messages.Done)}
    assert answers == {"r1": "old", "r2": "new"}


def test_a_bad_reload_changes_nothing() -> None:
    made = stage("yield Say('old')")
    files = genome("yield Say('new')") | {"recall.py": "def recall(query): return []"}
    made.give(messages.HotReload(revision="b" * 40, version="2", files=files))
    (answer,) = made.take(messages.Reloaded)
    assert not answer.ok
    assert "recall: recall takes (query); it must take (query, search, k, now_ns)" in answer.error
    made.ask("")
    assert made.done().text == "old"


def test_going_back_needs_no_files() -> None:
    made = stage("yield Say(context.revision[:1])")
    made.give(messages.HotReload(revision="b" * 40, version="2", files=genome("yield Say(context.revision[:1])")))
    made.give(messages.HotReload(revision="a" * 40, version="1", files={}))
    assert [m.ok for m in made.take(messages.Reloaded)] == [True, True]
    made.ask("")
    assert made.done().text == "a"


def test_a_genome_that_cannot_be_loaded_at_the_start_is_the_end() -> None:
    made = Stage({"respond.py": "def respond(:"})
    (failed,) = made.take(messages.Failed)
    assert failed.what == "genome"
    assert made.stopped == [70]


def test_an_entry_that_cannot_be_applied_is_the_end_and_named() -> None:
    made = stage("yield Say('x')")
    made.give(messages.Committed(entries=entries([block("a", "x")], 5), digest=b""))
    (failed,) = made.take(messages.Failed)
    assert (failed.what, failed.seq) == ("reduce", 5)
    assert made.stopped == [70]


def test_a_standby_becomes_main_at_once() -> None:
    made = stage("yield Say('x')", role="standby")
    made.give(messages.RoleChange(role="main"))
    made.ask("")
    assert made.done().ok


def test_a_shadow_applies_its_operations_itself() -> None:
    made = stage(
        "yield Remember('the demo', 's')\nhits = yield Recall('demo', 3)\nyield Say(str(context.state.count()))",
        "shadow",
    )
    made.ask("")
    assert len(made.proposals()) == 1
    assert made.done().text == "1"
    made.give(messages.Committed(entries=entries([block("a", "x")], 9), digest=b""))
    assert not made.stopped


def test_a_suspended_agent_takes_no_requests() -> None:
    made = stage("yield Say('x')")
    suspended = entries([operations.LifecycleChange(state="suspended")])
    made.give(messages.Committed(entries=suspended, digest=b""))
    made.ask("")
    assert made.done().error == "the agent is suspended"


def test_without_a_genome_it_says_so() -> None:
    made = Stage()
    made.ask("hello")
    assert "safe mode" in made.done().error


def test_a_shutdown_waits_for_what_is_in_hand() -> None:
    made = stage("yield Record('user', 'x')")
    made.ask("")
    made.give(messages.Shutdown(grace_s=5))
    assert not made.stopped
    made.commit()
    assert made.stopped == [0]


def test_a_shutdown_does_not_wait_for_ever() -> None:
    made = stage("yield Record('user', 'x')")
    made.ask("")
    made.give(messages.Shutdown(grace_s=0))
    made.kernel.beat()
    assert made.stopped == [0]


@pytest.mark.parametrize(("role", "shares"), [("shadow", [0, 0, 0, 1, 1]), ("main", [0, 0, 0, 0, 0])])
def test_a_shadow_shares_its_pages_again_when_it_has_waited_after_work_and_not_at_its_start(
    monkeypatch: pytest.MonkeyPatch, role: messages.Role, shares: list[int]
) -> None:
    calls: list[bool] = []
    monkeypatch.setattr(_native, "share_again", lambda: calls.append(True))
    made = Stage(genome_files(ECHO), role=role)
    seen = []
    for beat in range(5):
        if beat == 2:
            made.ask('{"text": "anything"}', kind="memory.search")
        made.kernel.beat()
        seen.append(len(calls))
    assert seen == shares
