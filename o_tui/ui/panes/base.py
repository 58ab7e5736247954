"""What the five panes have in common: a frame with a title, an empty state, an error boundary, calls to the guardian.

A pane declares itself (`pane_id`, `title`, `empty`, `actions`), yields its widgets in `compose_content` and shows the
model in `update`. It is told only the model; what the operator does goes to the guardian by `call`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar, cast

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.compose import compose
from textual.containers import Vertical
from textual.widget import Widget
from textual.worker import Worker, WorkerState

from o_tui.protocol.errors import OError
from o_tui.ui import boundary
from o_tui.ui.actions import Action, bindings
from o_tui.ui.lists.filter_bar import FilterBar
from o_tui.ui.snapshot_model import EVERYTHING, Model, Part
from o_tui.ui.text import entitle
from o_tui.ui.widgets.error_card import ErrorCard

if TYPE_CHECKING:
    from o_tui.ui.app import OApp


class Pane(boundary.Guarded, Vertical):
    """Base of the panes."""

    pane_id: ClassVar[str] = ""
    number: ClassVar[int] = 0
    title: ClassVar[str] = ""
    empty: ClassVar[str] = ""
    """One or two lines that say what will be here, shown while there is nothing."""
    about: ClassVar[str] = ""
    """A few sentences for F1: what this pane is for."""
    actions: ClassVar[tuple[Action, ...]] = ()
    parts: ClassVar[frozenset[Part]] = EVERYTHING
    """The parts of the model that this pane shows: `update` is called only when one of them changed."""

    can_focus = False
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "show_all", show=False)]

    def __init_subclass__(cls, **options: Any) -> None:
        cls.BINDINGS = [*bindings(cls.__dict__.get("actions", ()))]
        super().__init_subclass__(**options)

    def __init__(self) -> None:
        super().__init__(id=self.pane_id, classes="pane")
        self.model = Model()
        self.failure: BaseException | None = None
        self._stale: set[Part] = set()
        entitle(self, f"{self.number} {self.title}")

    # --- what a pane declares

    def compose_content(self) -> ComposeResult:
        """The pane's widgets."""
        yield from ()

    def update(self, model: Model, changed: frozenset[Part]) -> None:
        """Shows the model. Called on the event loop, at most ten times a second, while the pane is seen."""

    def badge(self, model: Model) -> str:
        """A short count for the tab, like `2!`; empty: none."""
        return ""

    def heading(self, model: Model) -> str:
        """What stands beside the title in the frame; empty: nothing."""
        return ""

    def offers(self, action: Action) -> bool:
        """Whether the footer names an action now."""
        return self.check_action(action.method, ()) is not False

    def focus_target(self) -> Widget | None:
        """The widget that takes the keys when the operator comes to this pane."""
        return next((child for child in self.query("*") if child.focusable), None)

    def show_item(self, identity: str) -> None:
        """Puts the cursor on a row, if it is there (F4, links between panes)."""

    def find(self) -> None:
        """Opens the pane's filter (F3 and `/`)."""

    def show_all(self) -> None:
        """Esc where it means nothing else: what was filtered comes back."""
        for bar in self.query(FilterBar):
            bar.action_drop()

    def action_show_all(self) -> None:
        """A binding, not `on_key`: keys come up here before the bindings of what is inside, as the approval's Esc."""
        self.attempt(self.show_all)

    # --- what a pane may use

    @property
    def view(self) -> OApp:
        """The app, typed."""
        return cast("OApp", self.app)

    async def call(self, method: str, /, **params: Any) -> Any:
        """Calls the guardian; raises OError."""
        return await self.view.link.call(method, **params)

    def ask(self, method: str, /, done: Callable[[Any], None] | None = None, **params: Any) -> None:
        """Calls the guardian in the background: an error becomes a toast, the value goes to `done`."""

        async def work() -> None:
            try:
                value = await self.call(method, **params)
            except OError as error:
                self.view.tell_error(error)
                return
            if done is not None:
                done(value)

        self.run_worker(work(), exit_on_error=False)

    # --- the boundary

    def compose(self) -> ComposeResult:
        """Yields the content."""
        yield from self.compose_content()

    def present(self, model: Model, changed: frozenset[Part]) -> None:
        """Calls `update` inside the boundary, or remembers that it is due while the pane is hidden."""
        self.model = model
        self._stale |= changed & self.parts
        if not self._stale or self.failure is not None or not self.is_mounted or not self.displayed:
            return
        due, self._stale = frozenset(self._stale), set()
        try:
            heading = self.heading(model)
            entitle(self, f"{self.number} {self.title}" + (f" - {heading}" if heading else ""))
            self.update(model, due)
        except Exception as error:  # noqa: BLE001 the boundary: a pane's mistake ends only the pane
            self.fail(error)

    def attempt(self, function: Callable[..., object], *arguments: object) -> None:
        """Calls something of this pane for the frame or the app, inside the boundary."""
        if self.failure is not None:
            return
        try:
            function(*arguments)
        except Exception as error:  # noqa: BLE001 the boundary: a pane's mistake ends only the pane
            self.fail(error)

    @property
    def displayed(self) -> bool:
        """The layout shows this pane now."""
        return all(node.display for node in self.ancestors_with_self if isinstance(node, Widget))

    def fail(self, error: BaseException) -> None:
        """Shows an error card instead of the content; the rest of the view lives."""
        if self.failure is None:
            self.failure = error
            boundary.record(self.pane_id, error)
            self.call_later(self._show_failure)

    async def _show_failure(self) -> None:
        if self.failure is not None:
            had_focus = self.has_focus_within
            await self.remove_children()
            card = ErrorCard(self.title, self.failure)
            await self.mount(card)
            if had_focus or not self.app.focused:
                card.focus()

    async def on_error_card_retried(self, message: ErrorCard.Retried) -> None:
        """Builds the content anew."""
        message.stop()
        self.failure = None
        await self.remove_children()
        await self.mount_all(compose(self))
        self.present(self.view.model, EVERYTHING)
        target = self.focus_target()
        if target is not None:
            target.focus()

    def on_worker_state_changed(self, event: Worker.StateChanged) -> None:
        """A worker's exception belongs to its pane; an error that the guardian answered is told."""
        if event.state is WorkerState.ERROR and event.worker.error is not None:
            event.stop()
            if isinstance(event.worker.error, OError):
                # the guardian said no: that is an answer, not a mistake of the pane
                self.view.tell_error(event.worker.error)
            else:
                self.fail(event.worker.error)


class Waiting(Pane):
    """Stands in a pane's place until its module has been loaded, right after the first frame."""

    def __init__(self, pane_id: str, number: int) -> None:
        self.pane_id, self.title, self.number = pane_id, pane_id.capitalize(), number  # type: ignore[misc]
        super().__init__()
