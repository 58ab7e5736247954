"""The screen that holds header, tabs, the five panes and footer, and arranges them by its size."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from textual import events
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.reactive import var
from textual.screen import Screen
from textual.widget import Widget

from o_tui.ui import arrangement, boundary, outcome
from o_tui.ui.actions import APP, Action
from o_tui.ui.messages import PaneRequested
from o_tui.ui.panes.base import Pane, Waiting
from o_tui.ui.panes.chat import ChatPane
from o_tui.ui.snapshot_model import Model, Part
from o_tui.ui.text import Text, safe_line
from o_tui.ui.widgets.banner import Banner
from o_tui.ui.widgets.error_card import ErrorCard
from o_tui.ui.widgets.footer import Footer, Tabs
from o_tui.ui.widgets.header import Header
from o_tui.ui.widgets.line import Line

if TYPE_CHECKING:
    from o_tui.ui.app import OApp


OPEN = "   F4 open "


def pane_classes() -> tuple[type[Pane], ...]:
    """The panes besides the chat. Imported when the first frame is out: they need a quarter of the start's time."""
    from o_tui.ui.panes.events import EventsPane
    from o_tui.ui.panes.review import ReviewPane
    from o_tui.ui.panes.shadows import ShadowsPane
    from o_tui.ui.panes.vault import VaultPane

    return (ShadowsPane, VaultPane, ReviewPane, EventsPane)


class Frame(boundary.Guarded, Screen[None]):
    """The one screen of a view; others open above it and go again."""

    active: var[str] = var("chat")
    zoomed: var[bool] = var(False)

    def __init__(self) -> None:
        super().__init__(id="frame")
        titles = enumerate(arrangement.PANES, 1)
        self.panes: dict[str, Pane] = {name: Waiting(name, number) for number, name in titles if name != "chat"}
        self.panes = {"chat": ChatPane()} | self.panes
        self.mode: arrangement.Mode = "narrow"
        self._side, self._footer = Vertical(id="side"), Footer(id="footer")
        self._going = False

    @property
    def view(self) -> OApp:
        """The app, typed."""
        return cast("OApp", self.app)

    def compose(self) -> ComposeResult:
        """Everything, always mounted; `rearrange` shows what fits."""
        self.mode = arrangement.mode(*self.app.size)
        self._classify(self._shown())
        panes = self.panes
        yield Header(id="header")
        yield Tabs(id="tabs")
        yield Banner(id="banner")
        with Horizontal(id="body"):
            yield panes["chat"]
            with self._side:
                yield panes["shadows"]
                yield panes["vault"]
                yield panes["events"]
            yield panes["review"]
        yield Line(id="ready", action="app.review")
        yield self._footer
        yield Line(id="small")

    def on_mount(self) -> None:
        """Arranges for the size that the terminal has now."""
        self.rearrange()
        self.panes["chat"].call_after_refresh(self.focus_pane)

    def on_screen_resume(self, event: events.ScreenResume) -> None:
        """Before the first frame every style has just been applied: once is enough."""
        event.refresh_styles = event.refresh_styles and self.view.painted

    async def load_panes(self) -> None:
        """Puts the panes into their places."""
        with self.app.batch_update():
            for kind in pane_classes():
                old, new = self.panes[kind.pane_id], kind()
                parent = old.parent
                assert isinstance(parent, Widget)
                index = list(parent.children).index(old)
                new.display = old.display
                await old.remove()
                await parent.mount(new, before=index if index < len(parent.children) else None)
                self.panes[kind.pane_id] = new
        self.rearrange()

    def on_resize(self, event: events.Resize) -> None:
        """Arranges anew when the terminal has another size."""
        self.mode = arrangement.mode(*event.size)
        self.rearrange()

    @property
    def alive(self) -> bool:
        """Everything is mounted: not before the start, and not while the view ends. Asked at every change of focus."""
        return self.is_mounted and self._footer.is_attached and self._side.is_attached

    def _shown(self) -> frozenset[str]:
        return arrangement.visible(self.mode, self.active, self.zoomed)

    def _classify(self, shown: frozenset[str]) -> None:
        wanted = {f"-{self.mode}"} | ({"-single"} if len(shown) == 1 else set())
        ours = {"-small", "-narrow", "-medium", "-wide", "-single"}
        # in one go, and only what is another one: every change styles the whole tree anew
        gone, new = (ours & self.classes) - wanted, wanted - self.classes
        if gone or new:
            self.set_classes((self.classes - gone) | new)

    def watch_active(self) -> None:
        """Another pane is in front."""
        self.rearrange()

    def watch_zoomed(self) -> None:
        """One pane, or all that fit."""
        self.rearrange()

    def rearrange(self) -> None:
        """Shows the panes that fit, and hides the rest."""
        if not self.alive:
            return
        shown = self._shown()
        for pane_id, pane in self.panes.items():
            pane.display = pane_id in shown
            pane.set_class(pane_id == self.active, "-active")
        self._side.display = bool(shown & arrangement.SIDE)
        self._classify(shown)
        width, height = self.app.size
        self.query_one("#small", Line).show(
            Text(
                f"{width}x{height} is too small.\nO needs {arrangement.LEAST_WIDTH}x{arrangement.LEAST_HEIGHT}.",
                justify="center",
            )
        )
        self.present(self.view.model, frozenset())
        if self.focused is None or not _seen(self.focused):
            self.call_after_refresh(self.focus_pane)

    def focus_pane(self) -> None:
        """Gives the keys to the pane in front."""
        pane = self.panes[self.active]
        target = pane.focus_target() if pane.failure is None else next(iter(pane.query(ErrorCard)), None)
        if target is not None and self.is_current:
            self.set_focus(target)

    def uncover(self) -> None:
        """What is above the panes closes unanswered: who does something else below has not decided there."""
        while self.app.screen is not self and self in self.app.screen_stack:
            self.app.screen.dismiss(None)

    def go(self, pane_id: str, argument: str = "") -> None:
        """Brings a pane to the front and puts the keys there."""
        self.uncover()
        self._going = True
        self.active = pane_id
        pane = self.panes[pane_id]
        pane.present(self.view.model, frozenset())
        # at once: what is typed right behind the key that goes there is meant for it
        self.focus_pane()
        self.call_after_refresh(self._arrive)
        if argument:
            self.call_after_refresh(pane.attempt, pane.show_item, argument)

    def _arrive(self) -> None:
        self._going = False
        if not self.panes[self.active].has_focus_within:
            self.focus_pane()

    def on_descendant_focus(self, event: events.DescendantFocus) -> None:
        """The pane that has the keys is the one in front."""
        pane = next((node for node in event.widget.ancestors_with_self if isinstance(node, Pane)), None)
        # an older focus that is told late must not take a newer choice back
        if pane is not None and not self._going and self.focused is event.widget:
            self.active = pane.pane_id
        self.present_lines()

    def on_pane_requested(self, message: PaneRequested) -> None:
        """Another part of the view asks for a pane."""
        self.go(message.pane_id, message.argument)

    def on_click(self, event: events.Click) -> None:
        """A click is an answer to the leader, as a key is; one beside its letters only ends it."""
        if self.view.leading:
            self.app.call_later(self.view.lead, "")

    def on_line_pressed(self, message: Line.Pressed) -> None:
        """A tab, a key in the footer, or what a line says was clicked.

        The app performs it, as for a key: what an action posts goes no higher than whoever performs it, and copying
        is the app's.
        """
        self.app.call_later(self.view.perform, message.action_id)

    def present(self, model: Model, changed: frozenset[Part]) -> None:
        """Hands the model down."""
        for pane in self.panes.values():
            pane.present(model, changed)
        self.present_lines()

    def present_lines(self, *, force: bool = False) -> None:
        """Header, tabs, banner, ready line and footer; they draw themselves only when their text is another one."""
        if not self.alive:
            return
        view, width = self.view, self.app.size.width
        self.query_one(Header).present(view.model, view.now_ns(), view.glyphs, view.role_style, view.remote)
        tabs = [(pane.pane_id, pane.number, pane.title, pane.badge(view.model)) for pane in self.panes.values()]
        self.query_one(Tabs).present(tabs, self.active, width, view.role_style)
        self.query_one(Banner).present(view.model, view.glyphs)
        self._present_ready()
        self._footer.present(self.footer_actions(), width, view.role_style, wrap=view.leading)
        if force:
            for line in self.query(Line):
                line.refresh()

    def _present_ready(self) -> None:
        """What waits for the operator, where the review cannot be seen. Never in the way of the prompt."""
        line = self.query_one("#ready", Line)
        waiting = self.view.model.pending if not self.panes["review"].display else []
        line.display = bool(waiting) and self.mode != "small"
        if waiting:
            row = waiting[0]
            more = f", {len(waiting) - 1} more" if len(waiting) > 1 else ""
            text = Text(no_wrap=True)
            text.append(f" ! Review {safe_line(str(row['id']), 20)}", self.view.role_style("warning"))
            words = outcome.verdict(row) or "waits for your decision"
            text.append(f"  {safe_line(str(row.get('gene', '')), 30)}: {words}{more}")
            text.truncate(self.app.size.width - len(OPEN), overflow="ellipsis")
            text.append(OPEN, self.view.role_style("key"))
            line.show(text)

    def footer_actions(self) -> list[tuple[Action, str]]:
        """Actions for the footer, those of the pane in front first, each with its key."""
        view = self.view
        if view.leading:
            return view.leader_actions()
        pane = self.panes[self.active]
        own = [action for action in pane.actions if action.footer and pane.offers(action)]
        everywhere = [action for action in APP if action.footer]
        first, last = ([action for action in own if (action.footer > 100) is late] for late in (False, True))
        ranked = [*sorted(first, key=_rank), *sorted(everywhere, key=_rank), *last]
        return [(action, view.key_of(action)) for action in ranked]


def _rank(action: Action) -> int:
    return action.footer


def _seen(widget: Widget) -> bool:
    return all(node.display for node in widget.ancestors_with_self if isinstance(node, Widget))
