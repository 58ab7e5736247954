"""The pane Chat: talk with the agent, watch its tools, stop it, try again."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.widget import Widget

from o_tui.protocol import messages as wire
from o_tui.protocol.errors import OError, UnreachableError
from o_tui.ui import outcome
from o_tui.ui.actions import Action
from o_tui.ui.chat import commands
from o_tui.ui.chat.commander import Commander
from o_tui.ui.chat.history import History
from o_tui.ui.chat.log import ChatLog
from o_tui.ui.chat.paint import paint_from
from o_tui.ui.chat.prompt import Offers, Prompt
from o_tui.ui.messages import CopyRequested
from o_tui.ui.panes.base import Pane
from o_tui.ui.snapshot_model import Model, Part, Row
from o_tui.ui.text import Text
from o_tui.ui.widgets.line import Line

SEARCH = "/memory search "
WELCOME = """Write a message and press Enter.

Without a model O remembers (remember that ...),
finds again (what did I say about ...?), calculates
and knows the date. With one it also talks.

/evolve  tries a change of its own code, and asks you
         before it counts: /evolve recall; or one of
         yours: /evolve recall candidate.py
/brain   chooses a model
/help    shows every key and command"""


class ChatPane(Pane):
    """Turns above, the prompt below."""

    pane_id = "chat"
    number = 1
    title = "Chat"
    empty = WELCOME
    about = (
        "Here you talk with the agent. Its answers appear while they are written; its tools are lines that open. "
        "Lines that begin with / are commands to O, not words to the agent; @path puts a file below your message."
    )
    parts = frozenset({"requests", "link", "brain"})
    actions = (
        Action("chat.cancel", ("escape",), "Cancel", "Stop the answer that is being written.", 1),
        Action(
            "chat.log",
            ("shift+tab",),
            "Messages",
            "Select messages: up and down, y copies, Enter opens.",
            200,
        ),
        Action("chat.copy", ("y",), "Copy", "Copy the selected message, or the last answer.", 3),
        Action("chat.retry", ("r",), "Retry", "Send the failed message again.", 4),
        Action("chat.good", ("g",), "Good", "Say that the selected answer was good.", 6),
        Action("chat.bad", ("b",), "Bad", "Say that the selected answer was bad; /bad says why too.", 7),
        Action("chat.open", ("enter",), "Open", "Open or close the selected tool block; show more of a long text.", 5),
        Action("chat.select_previous", ("up", "k"), "Up", "Select the message before.", 0),
        Action("chat.select_next", ("down", "j"), "Down", "Select the next message.", 0),
        Action("chat.follow", ("end",), "End", "Go to the newest line and follow it.", 0),
        Action("chat.page_up", ("pageup",), "Page up", "Scroll the messages up.", 0),
        Action("chat.page_down", ("pagedown",), "Page down", "Scroll the messages down.", 0),
    )
    _IN_LOG: ClassVar[frozenset[str]] = frozenset(
        {"copy", "retry", "good", "bad", "open", "select_previous", "select_next"}
    )

    def __init__(self) -> None:
        super().__init__()
        self._draft = ""
        self._local = 0
        self._begun: dict[str, str] = {}
        self._at: dict[str, str] = {}
        self._before_search = ""

    # --- parts

    def compose_content(self) -> ComposeResult:
        """Log, the line of new lines, completions, prompt."""
        paint = paint_from(self.view.theme_variables, self.view.glyphs)
        offers = Offers(self.view.role_style)
        offers.display = False
        yield ChatLog(paint, remote=self.view.remote)
        yield Line(id="chat-welcome")
        yield Line(id="chat-below", action="chat.follow")
        yield Line(id="chat-rule")
        yield offers
        with Horizontal(id="prompt-row"):
            yield Line(id="prompt-mark")
            yield Prompt(History(self.view.paths.data / "prompt-history"), offers)

    def on_mount(self) -> None:
        """What was being written before an error comes back."""
        self.commander = Commander(self)

    def on_resize(self) -> None:
        """The rule above the prompt is as wide as the pane."""
        self._draw_rule()

    def _draw_rule(self) -> None:
        if self.failure is not None or not self.query("#chat-rule"):
            return
        style, glyphs = self.view.role_style, self.view.glyphs
        width = self.content_size.width
        hint = "" if width < 46 else " Enter send  Alt+Enter newline "
        line = Text(no_wrap=True, end="")
        line.append(glyphs.line * max(0, width - len(hint) - 2), style("border-blurred"))
        line.append(hint, style("muted"))
        line.append(glyphs.line * 2, style("border-blurred"))
        self.query_one("#chat-rule", Line).show(line)
        self.query_one("#prompt-mark", Line).show(Text(glyphs.prompt, style("key")))

    @property
    def log_view(self) -> ChatLog:
        """The turns."""
        return self.query_one(ChatLog)

    @property
    def prompt(self) -> Prompt:
        """Where the operator writes."""
        return self.query_one(Prompt)

    def focus_target(self) -> Widget | None:
        """The prompt."""
        return self.prompt if self.query(Prompt) else super().focus_target()

    def heading(self, model: Model) -> str:
        """Which model answers."""
        provider = model.brain.get("provider") or "offline"
        return "offline, no model" if provider == "offline" else str(model.brain.get("model") or provider)

    def badge(self, model: Model) -> str:
        """How many answers are being written."""
        return str(len(model.running) or "")

    # --- data down

    def update(self, model: Model, changed: frozenset[Part]) -> None:
        """Takes the requests of the model."""
        log = self.log_view
        for row in model.requests.values():
            turn = log.turn(row["request_id"])
            if is_chat(row) and (turn is None or turn.row != row):
                log.put(row)
        if changed == self.parts:  # a snapshot: this view, or the guardian, was not there before
            for row in model.evolutions.values():
                if row.get("state") in outcome.ACTIVE:
                    self._follow_evolution(row)
        self._show_log()

    def _show_log(self) -> None:
        log, welcome = self.log_view, self.query_one("#chat-welcome", Line)
        welcome.display = not log.turns
        log.display = bool(log.turns)
        if not log.turns:
            welcome.show(Text(self.empty, self.view.role_style("muted")))

    def notices(self, notices: list[wire.Notice]) -> None:
        """Events of running requests, straight from the link: the log itself says how often it draws."""
        if self.failure is not None or not self.query(ChatLog):
            return
        for notice in notices:
            if notice.topic == "chat.event":
                data = notice.data
                self.log_view.event(str(data.get("request_id")), str(data.get("kind")), data.get("data") or {})
            elif notice.topic in ("chat.request", "chat.done") and is_chat(notice.data):
                self.log_view.put(notice.data)
                self._show_log()
            elif notice.topic == "evolution":
                if outcome.began_by_itself(notice.data):
                    self._follow_evolution(notice.data)
                if notice.data.get("id") in self._begun or notice.data.get("state") == "rolled_back":
                    self._tell_outcome(str(notice.data["id"]))

    def repaint(self) -> None:
        """Another theme."""
        if self.failure is None and self.query(ChatLog):
            self.log_view.set_paint(paint_from(self.view.theme_variables, self.view.glyphs))
            self._draw_rule()

    # --- what the operator writes

    def on_prompt_submitted(self, message: Prompt.Submitted) -> None:
        """A command, or words for the agent."""
        message.stop()
        text = message.text
        name, rest = commands.split(text)
        if name:
            self.commander.run(name, rest)
            return
        if self.view.link.state != "connected":
            self.prompt.give_back(text)
            why = "The guardian does not answer" if self.view.link.state == "silent" else "There is no guardian"
            self.view.tell(f"{why} at the moment. Your text is kept; send it again when it is back.", "warning")
            return
        try:
            whole = commands.with_files(text.removeprefix("/") if text.startswith("//") else text, Path.cwd())
        except commands.FileUnusableError as problem:
            self.view.tell(str(problem), "error")
            self.prompt.give_back(text)
            return
        self.say(whole)

    def say(self, text: str) -> None:
        """Sends a text to the agent; the turn appears when the guardian has it."""
        self.log_view.follow()
        self.run_worker(self._say(text), exit_on_error=False)

    async def _say(self, text: str) -> None:
        try:
            await self.call("say", text=text)
        except UnreachableError:
            self.view.tell("The connection was lost while O was answering. What was accepted goes on.", "warning")
        except OError as error:
            self.view.tell_error(error)
            self.prompt.give_back(text)

    def on_prompt_edited(self, message: Prompt.Edited) -> None:
        """Offers completions for the line."""
        message.stop()
        self._draft = message.line
        self.query_one(Offers).offer(commands.offers(message.line, self.commander.words()))

    def on_prompt_scrolled(self, message: Prompt.Scrolled) -> None:
        """Scrolls the messages while the operator writes."""
        message.stop()
        {"pageup": self.action_page_up, "pagedown": self.action_page_down, "end": self.action_follow}[message.key]()

    def say_local(self, text: str, answer: str) -> str:
        """An answer of the view itself, for a command; without one, what it tells by itself. Returns whose turn."""
        self._local += 1
        identity, time_ns = f"local-{self._local}", self.view.now_ns()
        self.log_view.put({"request_id": identity, "text": text, "answer": answer, "state": "done", "time_ns": time_ns})
        self.log_view.follow()
        self._show_log()
        return identity

    def await_outcome(self, identity: str, turn: str = "") -> None:
        """The end of an evolution that was begun here is told here; a rollback of any: the code has changed.

        `turn`: where its beginning was said; how far it is stands there.
        """
        self._begun.setdefault(identity, "")
        if turn:
            self._at[identity] = turn
        self._tell_outcome(identity)

    def _follow_evolution(self, row: Row) -> None:
        """One that was not begun in this chat is told here too, once: how far it is, and how it ends."""
        identity = str(row.get("id") or "")
        if identity and identity not in self._begun:
            self.await_outcome(identity, self.say_local("", outcome.under_way(row)))

    def _tell_outcome(self, identity: str) -> None:
        row = self.view.model.evolutions.get(identity) or {}
        state, text = str(row.get("state") or ""), outcome.told(row)
        if identity in self._at and (now := outcome.progress(row) or outcome.ending(row).replace("_", " ")):
            self.log_view.tell_now(self._at[identity], now)
        if text and self._begun.get(identity) != state:
            self._begun[identity] = state
            self.say_local("", text)

    def on_chat_log_moved(self, message: ChatLog.Moved) -> None:
        """Says how much is new below what is seen."""
        message.stop()
        line = self.query_one("#chat-below", Line)
        line.display = message.below >= 0
        words = f"{message.below} new lines below" if message.below else "more below"
        line.show(Text(f"-- {words}, End to follow --", self.view.role_style("warning" if message.below else "muted")))

    # --- actions

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Keys of the message list are keys of the prompt's text elsewhere."""
        in_log = bool(self.query(ChatLog)) and self.log_view.has_focus
        if action in self._IN_LOG:
            return in_log
        if action == "cancel":
            return in_log or self._searching or any(is_chat(row) for row in self.view.model.running)
        return True

    def action_cancel(self) -> None:
        """Stops the newest running request; from the message list back to the prompt."""
        running = [row for row in self.view.model.running if is_chat(row)]
        if running:
            self.ask("cancel", request_id=running[-1]["request_id"])
        elif self.log_view.has_focus:
            self.prompt.focus()
        elif self._searching:
            self.prompt.write(self._before_search)

    def action_log(self) -> None:
        """To the messages, or back."""
        if self.log_view.has_focus or not self.log_view.turns:
            self.prompt.focus()
            return
        self.log_view.focus()
        if self.log_view.selected is None:
            self.log_view.move(0)

    def action_select_previous(self) -> None:
        """Selects the message before."""
        self.log_view.move(-1)

    def action_select_next(self) -> None:
        """Selects the next message."""
        self.log_view.move(1)

    def action_open(self) -> None:
        """Opens or closes a tool block, shows more of a long message."""
        self.log_view.toggle()

    def action_follow(self) -> None:
        """To the newest line."""
        self.log_view.follow()

    def action_page_up(self) -> None:
        """Scrolls the messages, wherever the keys are."""
        self.log_view.scroll_page_up(animate=False)

    def action_page_down(self) -> None:
        """Scrolls the messages, wherever the keys are."""
        self.log_view.scroll_page_down(animate=False)

    def action_copy(self) -> None:
        """Copies the selected message."""
        found = self.log_view.copied()
        if found is not None:
            self.post_message(CopyRequested(*found))

    def action_retry(self) -> None:
        """Sends the selected failed message again, or the last one that failed."""
        selected = self.log_view.selected
        turns = (
            [selected[0]] if selected and selected[0].failed else [turn for turn in self.log_view.turns if turn.failed]
        )
        if turns:
            self.say(str(turns[-1].row["text"]))
        else:
            self.view.tell("Nothing has failed.")

    def action_good(self) -> None:
        """The agent learns which answers help."""
        self._rate("good")

    def action_bad(self) -> None:
        """And which do not."""
        self._rate("bad")

    def _rate(self, verdict: str) -> None:
        turn = self.log_view.rated()
        if turn is None:
            self.view.tell("There is no answer to be rated yet.")
            return
        row: Row = {"request_id": turn.request_id, "feedback": verdict}

        def done(_value: Any) -> None:
            self.log_view.put(row)
            if verdict == "bad":
                self.view.tell("Noted. /bad and a few words say what was wrong with it.")

        self.ask("feedback", done, verdict=verdict, request_id=turn.request_id)

    def find(self) -> None:
        """The chat has no filter of its own: its memory has a search. Esc brings back what was being written."""
        if not self._searching:
            self._before_search = self.prompt.text
            self.prompt.write(SEARCH)
        self.prompt.focus()

    @property
    def _searching(self) -> bool:
        return bool(self.query(Prompt)) and self.prompt.text.startswith(SEARCH)


def is_chat(row: dict[str, Any]) -> bool:
    """A request that belongs to the conversation, and not to a command."""
    return str(row.get("kind") or "chat") == "chat" and row.get("session", "main") != "memory"
