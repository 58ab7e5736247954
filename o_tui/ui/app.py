"""The view: one Textual app over the guardian's public API. It paints first and connects then."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

from textual import events
from textual.app import App
from textual.binding import BindingType
from textual.screen import Screen

from o_tui import paths as workspace
from o_tui.config import Config
from o_tui.protocol import messages as wire
from o_tui.protocol.errors import OError
from o_tui.ui import actions, boundary, snapshot_model, themes
from o_tui.ui.app_actions import AppActions
from o_tui.ui.frame import PANES, Frame
from o_tui.ui.glyphs import Glyphs, glyphs
from o_tui.ui.link.link import Link
from o_tui.ui.messages import LinkChanged, NoticesReceived, SnapshotReceived
from o_tui.ui.snapshot_model import EVERYTHING, Model, Part
from o_tui.ui.widgets.banner import Banner
from o_tui.ui.widgets.footer import Footer, Tabs
from o_tui.ui.widgets.header import Header

FOLDER = Path(__file__).parent
PRESENT_S = 0.1
"""Panes are told of changes at most this often."""
StartGuardian = Callable[[], object]


class OApp(AppActions, App[int], inherit_bindings=False):
    """One operator's view."""

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
    ) -> None:
        super().__init__()
        self.paths = paths
        self.config = config
        self.embedded = embedded
        self.now_ns = now_ns
        self.remote = remote
        self.model = Model()
        self._start_guardian = start_guardian
        for theme in themes.find([workspace.shipped("themes"), paths.user_themes]).themes.values():
            self.register_theme(theme)
        self.theme = themes.DARK
        self._changed: set[Part] = set()
        self._due = False
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
        """The first frame goes out, then the link starts."""
        self.call_after_refresh(self._begin)
        self.set_interval(1.0, self._tick)

    def _begin(self) -> None:
        self.run_worker(self.link.run(), name="link", exit_on_error=True)

    async def _start(self) -> None:
        assert self._start_guardian is not None
        await asyncio.to_thread(self._start_guardian)

    async def on_unmount(self) -> None:
        """Nothing of the link outlives the view."""
        await self.link.close()

    # --- what the link says

    def on_link_changed(self, message: LinkChanged) -> None:
        """The connection has another state."""
        stopped = message.state == "lost" and self.link.stopping
        self.model.link = "stopped" if stopped else message.state
        self.model.link_detail = message.detail
        if message.state == "connected" and self.link.welcome is not None:
            self.model.placement = self.link.welcome.placement
        self.present(frozenset({"link"}))

    def on_snapshot_received(self, message: SnapshotReceived) -> None:
        """Everything anew, shown at once."""
        snapshot_model.load(self.model, message.snapshot.seq, message.snapshot.data)
        self._changed.clear()
        self.present(EVERYTHING)

    def on_notices_received(self, message: NoticesReceived) -> None:
        """Changes: into the model now, on the screen within `PRESENT_S`."""
        for notice in message.notices:
            self._changed |= snapshot_model.apply(self.model, notice.seq, notice.topic, notice.data)
        if self._changed and not self._due:
            self._due = True
            self.set_timer(PRESENT_S, self._present_changes)

    def _present_changes(self) -> None:
        self._due = False
        changed, self._changed = frozenset(self._changed), set()
        self.present(changed)

    # --- what is shown

    @property
    def frame(self) -> Frame:
        """The screen with the panes, whatever is above it."""
        return next(screen for screen in self.screen_stack if isinstance(screen, Frame))

    @property
    def glyphs(self) -> Glyphs:
        """The characters to draw with."""
        return glyphs(self.config.screen.ascii)

    def role_style(self, role: str) -> str:
        """A Rich style for a role of the theme (`muted`, `success`, ...)."""
        bold = "bold " if role in ("brand", "tab", "key", "warning", "error") else ""
        name = {"brand": "accent", "tab": "primary", "key": "primary", "": "foreground"}.get(role, role)
        return bold + self.theme_variables.get(name, "")

    def get_theme_variable_defaults(self) -> dict[str, str]:
        """Roles of ours have a value even before a theme of ours is chosen."""
        return themes.variables(themes.read(workspace.shipped("themes") / f"{themes.DARK}.toml").colors)

    def present(self, changed: frozenset[Part]) -> None:
        """Hands the model to everything that shows a part of it."""
        self.frame.present(self.model, changed)

    def _tick(self) -> None:
        self.refresh_lines()

    def refresh_lines(self) -> None:
        """Header, tabs, banner and footer, where their text has changed."""
        frame = self.frame
        if not frame.is_mounted:
            return
        width = self.size.width
        frame.query_one(Header).present(self.model, self.now_ns(), self.glyphs, self.role_style, self.remote)
        tabs = [(pane.pane_id, pane.number, pane.title, pane.badge(self.model)) for pane in frame.panes.values()]
        frame.query_one(Tabs).present(tabs, frame.active, width, self.role_style)
        frame.query_one(Banner).present(self.model, self.glyphs)
        frame.query_one(Footer).present(self.footer_actions(), width, self.role_style)

    def footer_actions(self) -> list[tuple[actions.Action, str]]:
        """Actions for the footer, those of the pane in front first, each with its key."""
        pane = self.frame.panes[self.frame.active]
        own = sorted((action for action in pane.actions if action.footer), key=lambda action: action.footer)
        everywhere = sorted((action for action in actions.APP if action.footer), key=lambda action: action.footer)
        return [(action, self.key_of(action)) for action in (*own, *everywhere)]

    def key_of(self, action: actions.Action) -> str:
        """The first key of an action as it is bound now; empty: none."""
        return action.keys[0] if action.keys else ""

    def all_actions(self) -> tuple[actions.Action, ...]:
        """The whole registry."""
        return (*actions.APP, *(action for pane in PANES for action in pane.actions))

    # --- what goes wrong

    def tell(self, text: str, severity: str = "information", title: str = "") -> None:
        """A toast. The text is data: never markup."""
        self.notify(text, title=title, severity=severity, markup=False)  # type: ignore[arg-type]

    def tell_error(self, error: OError) -> None:
        """A toast with the error and what can be done."""
        self.tell(f"{error}" + (f"\n{error.hint}" if error.hint else ""), "error")

    def _handle_exception(self, error: Exception) -> None:
        pane = boundary.owner(error)
        if pane is not None and not self._exit:
            pane.fail(error)
            return
        super()._handle_exception(error)

    async def _dispatch_action(self, namespace: Any, action_name: str, params: Any) -> bool:
        try:
            return await super()._dispatch_action(namespace, action_name, params)
        except Exception as error:  # noqa: BLE001 the boundary: a key's mistake belongs to its pane
            self._handle_exception(error)
            return True


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
    paths: workspace.Paths, config: Config, *, embedded: bool = False, start_guardian: StartGuardian | None = None
) -> int:
    """Shows the view until the operator leaves; returns the exit code.

    Args:
        paths: The workspace.
        config: Settings.
        embedded: The guardian lives in this process and ends with it.
        start_guardian: Called in a thread when nobody listens on the workspace's socket; returns when somebody does,
            or raises OError.
    """
    app = OApp(paths, config, embedded=embedded, start_guardian=start_guardian)
    result = app.run()
    return result if result is not None else app.return_code or 0


__all__ = ["OApp", "events", "run"]
