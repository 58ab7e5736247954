"""Textual's app with the borders that a view needs: no exception and no terminal ends it by accident."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from textual import events
from textual.app import App
from textual.screen import Screen

from o_tui.ui import boundary

if TYPE_CHECKING:
    from o_tui.ui.terminal.driver import SafeDriver


class Borders(App[int], inherit_bindings=False):
    """What Textual does with exceptions, slow terminals and the key after the leader, done our way."""

    leading = False
    """The next key is a letter of the leader."""
    painted = False
    """The first frame is on its way to the terminal."""

    async def lead(self, key: str) -> None:
        """Takes the key after the leader."""

    async def first_frame_out(self) -> None:
        """The first frame is on its way to the terminal."""

    async def on_event(self, event: events.Event) -> None:
        """The key after the leader is not a key of whatever has the focus."""
        if self.leading and isinstance(event, events.Key) and not event.is_forwarded:
            await self.lead(event.key)
            return
        await super().on_event(event)

    def _handle_exception(self, error: Exception) -> None:
        pane = boundary.owner(error)
        if pane is not None and not self._exit:
            pane.fail(error)
            return
        boundary.record("view", error)
        super()._handle_exception(error)

    def _fatal_error(self) -> None:
        # Textual would print the values of variables here, keys among them; run() says in one line what happened
        self._close_messages_no_wait()

    async def _dispatch_action(self, namespace: Any, action_name: str, params: Any) -> bool:
        try:
            return await super()._dispatch_action(namespace, action_name, params)
        except Exception as error:  # noqa: BLE001 the boundary: a key's mistake belongs to its pane
            self._handle_exception(error)
            return True

    def _display(self, screen: Screen[Any], renderable: Any) -> None:
        driver = cast("SafeDriver", self._driver)
        if renderable is not None and getattr(driver, "busy", False):
            driver.skipped()
            return
        super()._display(screen, renderable)
        if not self.painted and renderable is not None:
            self.painted = True
            self.call_later(self.first_frame_out)

    def repaint_all(self) -> None:
        """The terminal reads again: everything is drawn once."""
        self.screen._compositor._dirty_regions.clear()
        self.screen.refresh(self.screen.region)

    @property
    def failure(self) -> Exception | None:
        """What has ended the view, if something has."""
        return self._exception
