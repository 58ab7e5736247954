"""A view under test: the real app and its real link, headless, against the scripted guardian."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from textual.pilot import Pilot

from o_tui.config import Config, ScreenConfig
from o_tui.paths import Paths, locate
from o_tui.ui.app import OApp
from tests.support import scripted_data
from tests.support.patience import PATIENCE_S
from tests.support.scripted_link import ScriptedGuardian


@dataclass
class View:
    """What a test drives."""

    app: OApp
    pilot: Pilot[Any]
    guardian: ScriptedGuardian
    paths: Paths

    async def press(self, *keys: str) -> None:
        """Presses keys and lets the app settle."""
        await self.pilot.press(*keys)
        await self.pilot.pause()

    async def write(self, text: str) -> None:
        """Types a text."""
        names = {" ": "space", "/": "slash", "\n": "alt+enter", "@": "at", ".": "full_stop", "-": "minus"}
        await self.press(*[names.get(letter, letter) for letter in text])

    async def until(self, condition: Callable[[], Any], what: str = "") -> None:
        """Lets the app run until something holds."""
        async with asyncio.timeout(PATIENCE_S):
            while not condition():
                await self.pilot.pause()
                await asyncio.sleep(0.005)

    def text(self) -> str:
        """What the screen shows, without colours."""
        strips = self.app.screen._compositor.render_strips(self.app.size)
        return "\n".join(strip.text.rstrip() for strip in strips)

    async def sees(self, *words: str) -> None:
        """Waits until the screen shows all words."""
        try:
            await self.until(lambda: all(word in self.text() for word in words))
        except TimeoutError:
            raise AssertionError(f"{words} not on the screen:\n{self.text()}") from None

    async def misses(self, word: str) -> None:
        """Waits until the screen does not show a word."""
        await self.until(lambda: word not in self.text())

    @property
    def toasts(self) -> str:
        """All toasts as one text."""
        return "\n".join(notification.message for notification in self.app._notifications)


@asynccontextmanager
async def view(
    size: tuple[int, int] = (120, 40),
    *,
    config: Config | None = None,
    snapshot: dict[str, Any] | None = None,
    connected: bool = True,
    prepare: Callable[[Paths], None] | None = None,
    **options: Any,
) -> AsyncIterator[View]:
    """An app that has shown its first snapshot."""
    with tempfile.TemporaryDirectory(prefix="o-") as name:
        paths = locate(str(Path(name) / "w"))
        paths.prepare()
        if prepare is not None:
            prepare(paths)
        config = config or Config(screen=ScreenConfig(theme="night"))
        guardian = ScriptedGuardian(paths.socket, snapshot)
        if connected:
            await guardian.start()
        app = OApp(paths, config, now_ns=lambda: scripted_data.NOW, **options)
        try:
            async with app.run_test(size=size, notifications=True) as pilot:
                found = View(app, pilot, guardian, paths)
                if connected:
                    await found.until(lambda: app.model.link == "connected" and app.model.status)
                    await pilot.pause()
                yield found
        finally:
            await guardian.stop()
