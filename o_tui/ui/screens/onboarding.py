"""The first run: O works already; which brain shall it have? One screen, one key to skip it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal, cast

from textual import events
from textual.app import ComposeResult
from textual.widgets import Input, OptionList

from o_tui.protocol.errors import OError
from o_tui.ui.format import shown
from o_tui.ui.screens.dialog import Dialog
from o_tui.ui.text import Static, Text, entitle, option

if TYPE_CHECKING:
    from o_tui.ui.app import OApp

MOST_MODELS = 5
NAMES = {"openai": "OpenAI", "anthropic": "Anthropic", "ollama": "Ollama"}
Kind = Literal["offline", "found", "key", "endpoint"]
Step = Literal["choose", "model", "key", "url"]
QUESTIONS: dict[Step, str] = {
    "choose": "",
    "url": "The endpoint's address, up to /v1:",
    "key": "Paste the key. It goes to the broker, into a file that only you can read; empty: none is needed.",
    "model": "The model's name:",
}


@dataclass(frozen=True, slots=True)
class Choice:
    """One answer to the question."""

    kind: Kind
    text: str
    provider: str = "offline"
    model: str = ""
    base_url: str = ""


OFFLINE = Choice("offline", "Stay offline")


class OnboardingScreen(Dialog[None]):
    """Lists what was found; a number or Enter chooses, Esc skips for good."""

    about = (
        "O works without a model; with one it also talks and writes changes. What is chosen here can be "
        "changed in the settings (F2) or by /brain."
    )
    keys_help = (("1 to 9, Enter", "Choose."), ("Esc", "Skip; it does not ask again."))

    DEFAULT_CSS = """
    OnboardingScreen OptionList {
        height: auto; max-height: 14; border: none; padding: 0; margin: 1 0 0 0; overflow-y: hidden;
    }
    OnboardingScreen #answer { display: none; }
    """
    BINDINGS: ClassVar = []
    box_title = "Welcome"
    keys_line = "number or Enter choose   Esc skip"

    def __init__(self) -> None:
        super().__init__()
        self._choices: list[Choice] = []
        self._choice = Choice("offline", "")
        self._step: Step = "choose"
        self._base_url = ""

    @property
    def view(self) -> OApp:
        """The app, typed."""
        return cast("OApp", self.app)

    def compose_box(self) -> ComposeResult:
        """Question, choices, field, error line."""
        text = Text()
        text.append("O works offline now. Give it a brain?\n", "bold")
        text.append(
            "Offline it remembers, finds, calculates and runs its tools, and never pretends to be a model. "
            "With a model it also talks. You can change this at any time with F2."
        )
        yield Static(text)
        yield OptionList(id="brains")
        yield Static(id="question")
        yield Input(id="answer", select_on_focus=False)
        yield Static(classes="error")

    def on_mount(self) -> None:
        """Offline can be chosen at once; what else there is comes when it is found."""
        # numbers must not change under the operator's finger: offline is 1 from the start, the rest comes at once
        self._show([OFFLINE], "looking for keys and a local Ollama ...")
        self.run_worker(self._detect(), exclusive=True, exit_on_error=False)

    async def _detect(self) -> None:
        try:
            found = await self.view.link.call("brain.detect")
        except OError as error:
            self._show(choices({}), f"What is there could not be found out: {error}")
            return
        problems = [shown(problem, 200) for problem in found.get("problems") or ()]
        nothing = "" if found.get("found") else "No key was found in the environment, and no local Ollama."
        self._show(choices(found), "\n".join(problems) or nothing)

    def _show(self, found: list[Choice], note: str) -> None:
        options = self.query_one("#brains", OptionList)
        at = options.highlighted or 0
        self._choices = found
        options.clear_options()
        options.add_options(option(f"{number}  {choice.text}") for number, choice in enumerate(found, 1))
        options.highlighted = min(at, len(found) - 1)
        if self._step == "choose":
            options.focus()
            self.query_one("#question", Static).update(Text(f"\n{note}" if note else ""))

    # --- choosing

    def on_key(self, event: events.Key) -> None:
        """A digit chooses."""
        if self._step == "choose" and event.character and event.character.isdigit():
            index = int(event.character) - 1
            if 0 <= index < len(self._choices):
                event.stop()
                self._choose(self._choices[index])

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        """Enter or a click chooses."""
        event.stop()
        self._choose(self._choices[event.option_index])

    def _choose(self, choice: Choice) -> None:
        self._choice = choice
        self._base_url = choice.base_url
        if choice.kind == "endpoint":
            self._ask("url", "http://127.0.0.1:8080/v1")
        elif choice.kind == "key":
            self._ask("key")
        elif choice.kind == "found" and not choice.model:
            self._ask("model")
        else:
            self._set(choice.model)

    def _ask(self, step: Step, placeholder: str = "") -> None:
        self._step = step
        self.complain("")
        self.query_one("#question", Static).update(Text(f"\n{QUESTIONS[step]}"))
        field = self.query_one("#answer", Input)
        field.value = ""
        field.password = step == "key"
        field.placeholder = placeholder
        field.display = True
        field.focus()
        entitle(self.query_one(".box"), self.heading(), "Enter go on   Esc back")

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """The next question, or the end."""
        event.stop()
        text = event.value.strip()
        if self._step == "url":
            if not text.startswith(("http://", "https://")):
                self.complain("an address begins with http:// or https://")
                return
            self._base_url = text
            self._ask("key")
        elif self._step == "key":
            if not text and self._choice.kind == "key":
                self.complain("paste a key, or Esc to go back")
            elif text:
                self._keep_key(text)
            else:
                self._ask("model")
        elif self._step == "model":
            if text:
                self._set(text)
            else:
                self.complain("name a model")

    def _keep_key(self, key: str) -> None:
        async def work() -> None:
            self.query_one("#answer", Input).value = ""
            try:
                extra = {"base_url": self._base_url} if self._choice.kind == "endpoint" else {}
                await self.view.link.call("brain.key", provider=self._choice.provider, key=key, **extra)
            except OError as error:
                self.complain(f"The key was not kept: {error}")
                return
            self._ask("model")

        self.run_worker(work(), exclusive=True, exit_on_error=False)

    def _set(self, model: str) -> None:
        choice, base_url = self._choice, self._base_url

        async def work() -> None:
            try:
                await self.view.link.call("brain.set", provider=choice.provider, model=model, base_url=base_url)
                await self.view.link.call("config.set", key="brain.onboarded", value=True)
            except OError as error:
                self.complain(f"{error}" + (f" ({error.hint})" if error.hint else ""))
                return
            self.dismiss(None)
            said = (
                "O stays offline." if choice.provider == "offline" else f"{NAMES[choice.provider]} {model} answers now."
            )
            self.view.tell(f"{said} F2 changes it.")

        self.run_worker(work(), exclusive=True, exit_on_error=False)

    def action_leave(self) -> None:
        """Back to the choices, or skip."""
        if self._step != "choose":
            self._step = "choose"
            self.complain("")
            self.set_focus(self.query_one("#brains"))
            self.query_one("#answer").display = False
            self.query_one("#question", Static).update()
            entitle(self.query_one(".box"), self.heading(), self.keys())
            return
        self.dismiss(None)
        link, view = self.view.link, self.view

        async def work() -> None:
            try:
                await link.call("config.set", key="brain.onboarded", value=True)
            except OError as error:
                view.tell_error(error)

        view.run_worker(work(), exit_on_error=False)


def choices(detected: Mapping[str, Any]) -> list[Choice]:
    """The answers, from what `brain.detect` found: offline first, an endpoint of one's own last."""
    found = [OFFLINE]
    rows: Sequence[Mapping[str, Any]] = detected.get("found") or ()
    for row in rows:
        provider = str(row.get("provider"))
        if provider not in NAMES:
            continue
        base_url, source = str(row.get("base_url") or ""), shown(row.get("source"), 60)
        models = [str(model) for model in row.get("models") or ()][:MOST_MODELS]
        if provider == "ollama":
            texts = [(model, f"Ollama {shown(model, 40)}   {source}") for model in models]
            found += [Choice("found", text, provider, model, base_url) for model, text in texts]
            if not models:
                found.append(Choice("found", f"Ollama, no model pulled yet   {source}", provider, "", base_url))
        else:
            key = shown(row.get("key_masked"), 30)
            text = f"{NAMES[provider]}   key {key}   {source}"
            found.append(Choice("found", text, provider, str(row.get("model") or ""), base_url))
    keyed = {str(row.get("provider")) for row in rows}
    for provider in ("anthropic", "openai"):
        if provider not in keyed:
            found.append(Choice("key", f"{NAMES[provider]}: paste a key", provider))
    found.append(Choice("endpoint", "Another OpenAI-compatible endpoint: address, key, model", "openai"))
    return found[:9]
