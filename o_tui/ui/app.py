"""The view: one Textual app over the guardian's public API. It paints first and connects then."""

from __future__ import annotations

import asyncio
import gc
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, cast

import msgspec
from textual.binding import BindingType
from textual.filter import LineFilter
from textual.screen import Screen

from o_tui import paths as workspace
from o_tui.config import Config
from o_tui.protocol import messages as wire
from o_tui.protocol.errors import OError
from o_tui.ui import actions, keymap, snapshot_model
from o_tui.ui.app_actions import AppActions
from o_tui.ui.appearance import Appearance
from o_tui.ui.borders import Borders
from o_tui.ui.frame import Frame
from o_tui.ui.link.link import Link
from o_tui.ui.messages import LinkChanged, NoticesReceived, SnapshotReceived
from o_tui.ui.panes.chat import ChatPane
from o_tui.ui.snapshot_model import EVERYTHING, Model, Part
from o_tui.ui.text import LAST_DOOR, safe, safe_line

if TYPE_CHECKING:
    from o_tui.ui.terminal.driver import SafeDriver

FOLDER = Path(__file__).parent
PRESENT_S, PRESENT_REMOTE_S = 0.1, 0.25
"""Panes are told of changes at most this often."""
TOAST_S = 4
StartGuardian = Callable[[], object]


class OApp(AppActions, Appearance, Borders, inherit_bindings=False):
    """One operator's view.

    Args:
        paths: The workspace.
        config: Settings.
        embedded: The guardian lives in this process and ends with it.
        start_guardian: Called in a thread when nobody listens on the socket.
        now_ns: The clock.
        remote: Fewer frames and no animation.
        dark: The terminal's background is dark.
        plain: The terminal is known not to draw more than ASCII.
    """

    TITLE = "O"
    ENABLE_COMMAND_PALETTE = False
    CSS_PATH = sorted(str(path) for path in FOLDER.rglob("*.tcss"))
    BINDINGS: ClassVar[list[BindingType]] = [*actions.bindings(actions.APP)]

    def __init__(
        self,
        paths: workspace.Paths,
        config: Config,
        *,
        embedded: bool = False,
        start_guardian: StartGuardian | None = None,
        now_ns: Callable[[], int] = time.time_ns,
        remote: bool = False,
        dark: bool = True,
        plain: bool = False,
        driver_class: type[SafeDriver] | None = None,
    ) -> None:
        super().__init__(driver_class=driver_class)
        self.paths = paths
        self.config = config
        self.embedded = embedded
        self.now_ns = now_ns
        self.remote = remote
        self._plain = plain
        self.model = Model()
        self.keys: dict[str, str] = {}
        self._start_guardian = start_guardian
        self._changed: set[Part] = set()
        self._due = False
        self._unsaid: list[tuple[str, str]] = []
        if remote:
            self.animation_level = "none"
        self.set_up_appearance(dark)
        self.link = Link(
            paths.socket,
            _Listener(self),
            metrics_hz=0.5 if remote else 2.0,
            start=self._start if start_guardian else None,
        )

    # --- life

    def get_default_screen(self) -> Screen[Any]:
        """The frame with the five panes."""
        return Frame()

    def on_mount(self) -> None:
        """The first frame goes out; then, in `first_frame_out`, the other panes are loaded and the link starts."""
        self.theme_changed_signal.subscribe(self, self._on_theme_changed, immediate=True)
        self.set_interval(1.0, self._tick)

    async def first_frame_out(self) -> None:
        """The other panes are loaded, then the link starts."""
        await self.frame.load_panes()
        self.set_up_keys()
        # what is here now stays: the collector need not look at it while somebody types
        gc.enable()
        gc.freeze()
        for problem in self.theme_problems():
            self.tell(problem, "warning")
        for text, severity in self._unsaid:
            self.tell(text, severity)
        self._unsaid.clear()
        self.run_worker(self.link.run(), name="link")

    async def _start(self) -> None:
        """Starts the guardian in a thread that nothing waits for: whoever leaves meanwhile leaves at once."""
        start, loop = self._start_guardian, asyncio.get_running_loop()
        assert start is not None
        done: asyncio.Future[None] = loop.create_future()

        def settle(error: BaseException | None) -> None:
            if not done.done():
                done.set_exception(error) if error else done.set_result(None)

        def work() -> None:
            problem: BaseException | None = None
            try:
                start()
            except BaseException as error:  # noqa: BLE001 a border: what the thread raises belongs to who awaits it
                problem = error
            try:
                loop.call_soon_threadsafe(settle, problem)
            except RuntimeError:
                return  # the view has gone

        threading.Thread(target=work, daemon=True, name="start").start()
        await done

    async def on_unmount(self) -> None:
        """Nothing of the link outlives the view."""
        await self.link.close()

    def set_up_keys(self) -> None:
        """Takes the operator's keys from the settings."""
        self.keys, problems = keymap.check(self.config.screen.keys, self.all_actions())
        self.set_keymap(self.keys)
        for problem in problems:
            self.tell(problem, "warning")

    # --- what the link says

    def on_link_changed(self, message: LinkChanged) -> None:
        """The connection has another state."""
        stopped = message.state == "lost" and self.link.stopping
        self.model.link = "stopped" if stopped else message.state
        self.model.link_detail = safe(message.detail)
        if message.state == "connected" and self.link.welcome is not None:
            self.model.placement = self.link.welcome.placement
        self.present(frozenset({"link"}))

    def on_snapshot_received(self, message: SnapshotReceived) -> None:
        """Everything anew, shown at once."""
        snapshot_model.load(self.model, message.snapshot.seq, message.snapshot.data)
        self._changed.clear()
        self.present(EVERYTHING)
        self.greet()

    def on_notices_received(self, message: NoticesReceived) -> None:
        """Changes: into the model now, on the screen within `PRESENT_S`; the chat's own go straight there."""
        for notice in message.notices:
            self._changed |= snapshot_model.apply(self.model, notice.seq, notice.topic, notice.data)
        if self.has_frame:
            self.chat.notices(message.notices)
        if self._changed and not self._due:
            self._due = True
            self.set_timer(PRESENT_REMOTE_S if self.remote else PRESENT_S, self._present_changes)

    def _present_changes(self) -> None:
        self._due = False
        changed, self._changed = frozenset(self._changed), set()
        if "config" in changed:
            self._take_config()
        self.present(changed)

    def _take_config(self) -> None:
        try:
            config = msgspec.convert(self.model.config, Config, strict=False)
        except msgspec.ValidationError as error:
            self.tell(f"The guardian's settings cannot be read: {error}", "warning")
            return
        before, self.config = self.config.screen, config
        if config.screen.theme != before.theme:
            self.use_theme(config.screen.theme)
        if config.screen.keys != before.keys:
            self.set_up_keys()

    # --- what is shown

    @property
    def ascii_only(self) -> bool:
        """Nothing but ASCII is drawn: wanted so, or the terminal knows no more."""
        return self._plain or self.config.screen.ascii

    @property
    def frame(self) -> Frame:
        """The screen with the panes, whatever is above it."""
        return next(screen for screen in self.screen_stack if isinstance(screen, Frame))

    @property
    def has_frame(self) -> bool:
        """The screen with the panes is there: not before the start, and not while the view ends."""
        return self._running and any(isinstance(screen, Frame) and screen.alive for screen in self.screen_stack)

    @property
    def chat(self) -> ChatPane:
        """The chat, wherever it is."""
        return cast(ChatPane, self.frame.panes["chat"])

    def present(self, changed: frozenset[Part]) -> None:
        """Hands the model to everything that shows a part of it."""
        if self.has_frame:
            self.frame.present(self.model, changed)

    def _tick(self) -> None:
        self.look_for_themes()
        self.refresh_lines()

    def _on_theme_changed(self, _theme: object) -> None:
        if self.has_frame:
            self.chat.repaint()
            self.frame.present_lines(force=True)

    def refresh_lines(self) -> None:
        """Header, tabs, banner and footer, where their text has changed."""
        if self.has_frame:
            self.frame.present_lines()

    def key_of(self, action: actions.Action) -> str:
        """The first key of an action as it is bound now; empty: none."""
        chosen = self.keys.get(action.id)
        if chosen:
            return chosen.split(",")[0]
        return action.keys[0] if action.keys else ""

    def all_actions(self) -> tuple[actions.Action, ...]:
        """The whole registry."""
        return (*actions.APP, *(action for pane in self.frame.panes.values() for action in pane.actions))

    # --- what is told

    def tell(self, text: str, severity: str = "information", title: str = "") -> None:
        """A toast. The text is data: never markup."""
        if not self._running:
            self._unsaid.append((text, severity))
            return
        self.notify(safe(text), title=safe_line(title), severity=severity, markup=False, timeout=TOAST_S)  # type: ignore[arg-type]

    def get_line_filters(self) -> Sequence[LineFilter]:
        """What every drawn line passes: Textual's filters, then the last door."""
        return (*super().get_line_filters(), LAST_DOOR)

    def tell_error(self, error: OError) -> None:
        """A toast with the error and what can be done."""
        self.tell(f"{error}" + (f"\n{error.hint}" if error.hint else ""), "error")


class _Listener:
    """Turns what the link hears into messages of the app."""

    def __init__(self, app: OApp) -> None:
        self._app = app

    def link_changed(self, state: str, detail: str) -> None:
        self._app.post_message(LinkChanged(state, detail))

    def link_snapshot(self, snapshot: wire.StateSnapshot) -> None:
        self._app.post_message(SnapshotReceived(snapshot))

    def link_notices(self, notices: list[wire.Notice]) -> None:
        self._app.post_message(NoticesReceived(notices))


def run(
    paths: workspace.Paths,
    config: Config,
    *,
    embedded: bool = False,
    start_guardian: StartGuardian | None = None,
) -> int:
    """Shows the view until the operator leaves; returns the exit code.

    Args:
        paths: The workspace.
        config: Settings.
        embedded: The guardian lives in this process and ends with it.
        start_guardian: Called in a thread when nobody listens on the workspace's socket; returns when somebody does,
            or raises OError.
    """
    from o_tui.ui.terminal import session

    return session.show(paths, config, embedded=embedded, start_guardian=start_guardian)
