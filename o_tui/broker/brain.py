"""The model that is configured: opened in the background, watched, closed when nobody uses it any more."""

from __future__ import annotations

import asyncio
import importlib.util
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from msgspec import structs

from o_tui.broker import background, endpoints
from o_tui.broker.calls import CallError
from o_tui.broker.keys import ANY_ENDPOINT, VARIABLES, Key, Keys, KeysFileError
from o_tui.broker.llm.types import Model
from o_tui.broker.redact import Redactor, mask
from o_tui.protocol.messages import BrainState, Configure

INSTALL = "pip install 'o-tui[llm]'"
PROVIDERS = ("openai", "anthropic", "ollama")
OFFLINE = BrainState(provider="offline", model="", ok=True, detail="offline")
_KEYRING_S = 3.0
_PROBE_S = 5.0
_AGAIN_S = (2.0, 5.0, 15.0, 60.0)
"""Pauses between looks at an endpoint that does not answer; the last one for ever."""
_DOWN = ("refused", "timeout", "auth")
"""Failures of a call that say something about the endpoint, not about the call."""


class Brain:
    """Which model answers, and whether it can be reached.

    Attributes:
        keys: Where keys are looked up.
        redactor: What takes keys out of texts.
        state: As it was last sent.
        embedding_model: The endpoint's model that embeds texts; empty: none is chosen.
    """

    def __init__(self, keys: Keys, redactor: Redactor, on_state: Callable[[BrainState], None]) -> None:
        self.keys = keys
        self.redactor = redactor
        self.state = OFFLINE
        self.embedding_model = ""
        self._on_state = on_state
        self._opened: asyncio.Task[_Opened] | None = None
        self._watch: asyncio.Task[None] | None = None

    def configure(self, wanted: Configure) -> None:
        """Changes the model. Running calls end with the old one; new ones wait until the new one is open."""
        self.cancel()
        self.embedding_model = wanted.embedding_model
        if wanted.provider == "offline":
            self._say(OFFLINE, always=True)
            return
        state = BrainState(provider=wanted.provider, model=wanted.model, ok=False, detail="connecting")
        self._say(state, always=True)
        self._opened = asyncio.create_task(self._open(wanted))
        self._watch = asyncio.create_task(self._look_after(self._opened, state))

    def cancel(self) -> None:
        """Forgets the model; whoever still uses it closes it."""
        if self._watch is not None:
            self._watch.cancel()
        if self._opened is not None:
            self._opened.cancel()
            if self._opened.done() and not self._opened.cancelled() and self._opened.exception() is None:
                self._opened.result().retire()
        self._opened = self._watch = None

    @asynccontextmanager
    async def model(self) -> AsyncIterator[Model]:
        """The model, for one call. What the call ends with tells about the endpoint.

        Raises:
            CallError: There is none: offline, no library, no key, a wrong address.
        """
        task = self._opened
        if task is None:
            raise CallError("no model is configured: O is offline", "setup")
        await asyncio.wait([task])
        if task.cancelled():
            raise CallError("the model was changed meanwhile", "setup", retryable=True)
        opened = task.result()
        async with opened.use():
            try:
                yield opened.model
            except CallError as error:
                if error.kind in _DOWN and task is self._opened:
                    self._tell(opened, ok=False, detail=str(error))
                raise
            if task is self._opened:
                self._tell(opened, ok=True, detail="ready")

    async def _open(self, wanted: Configure) -> _Opened:
        if wanted.provider not in PROVIDERS:
            raise CallError(f"unknown provider {wanted.provider!r}", "setup")
        try:
            own = endpoints.own(wanted.provider, self.keys.environment)
            base_url = endpoints.normalise(wanted.provider, wanted.base_url) if wanted.base_url else own
        except ValueError as error:
            raise CallError(str(error), "setup") from error
        if not wanted.model:
            raise CallError("no model is chosen (setting brain.model)", "setup")
        model, key = await self.open_model(wanted.provider, wanted.model, base_url, wanted.timeout_s)
        return _Opened(model, wanted, mask(key.value), _note(wanted.provider, base_url, key))

    async def find_key(self, provider: str, base_url: str) -> Key:
        """The key for an endpoint; raises CallError if one is needed and there is none."""
        try:
            async with asyncio.timeout(_KEYRING_S):
                key = await background.run(lambda: self.keys.find(provider, base_url))
        except TimeoutError:
            key = Key()
        except KeysFileError as error:
            raise CallError(str(error), "setup") from error
        if key.value or provider == "ollama" or endpoints.is_local(base_url):
            return key
        if base_url == endpoints.own(provider, self.keys.environment):
            raise CallError(f"no key for {provider}: set {VARIABLES[provider]}, or put one into keys.toml", "setup")
        return key  # a server in one's own network may need none

    async def open_model(self, provider: str, name: str, base_url: str, timeout_s: float) -> tuple[Model, Key]:
        """Opens a model; the first time this imports the library, in a thread. Raises CallError."""
        if importlib.util.find_spec("pydantic_ai") is None:
            raise CallError(f"models need a library that is not installed: {INSTALL}", "setup")
        key = await self.find_key(provider, base_url)

        def load() -> Model:
            from o_tui.broker.llm.library import open_model

            return open_model(provider, name, base_url, key.value, timeout_s)

        try:
            return await background.run(load), key
        except ImportError as error:
            text = f"the library for models does not work ({error}): {INSTALL} --upgrade"
            raise CallError(self.redactor.line(text), "setup") from error

    async def _look_after(self, task: asyncio.Task[_Opened], state: BrainState) -> None:
        """Says whether the endpoint answers; asks again only while it does not."""
        try:
            opened = await task
        except CallError as error:
            self._say(structs.replace(state, detail=self.redactor.line(str(error))))
            return
        while True:
            failures = 0
            while (again := await self._probe(opened)) is not None:
                if not again:
                    break
                await asyncio.sleep(_AGAIN_S[min(failures, len(_AGAIN_S) - 1)])
                failures += 1
            await opened.down.wait()
            opened.down.clear()

    async def _probe(self, opened: _Opened) -> bool | None:
        """Asks for the list of models. None: it answers. True: look again soon. False: only the operator can help."""
        try:
            async with opened.use(), asyncio.timeout(_PROBE_S):
                names = await opened.model.models()
        except TimeoutError:
            self._tell(opened, ok=False, detail=f"no answer came for {_PROBE_S:g} s")
            return True
        except CallError as error:
            if error.kind == "http" and 400 <= error.status < 500:
                self._tell(opened, ok=True, detail="ready; the endpoint does not list its models")
                return None
            self._tell(opened, ok=False, detail=str(error))
            return error.kind != "auth"
        listed = not names or any(name.partition(":")[0] == opened.wanted.model.partition(":")[0] for name in names)
        self._tell(opened, ok=True, detail="ready" if listed else "ready; the endpoint does not list this model")
        return None

    def _tell(self, opened: _Opened, *, ok: bool, detail: str) -> None:
        wanted = opened.wanted
        if ok and opened.note:
            detail = f"ready; {opened.note}"
        elif ok and detail == "ready" and self.state.ok and self.state.detail.startswith("ready"):
            detail = self.state.detail  # a call that went well says nothing against what was seen before
        detail = self.redactor.line(detail)
        if not ok:
            opened.down.set()
        self._say(BrainState(provider=wanted.provider, model=wanted.model, ok=ok, detail=detail, key=opened.shown))

    def _say(self, state: BrainState, *, always: bool = False) -> None:
        if always or state != self.state:
            self.state = state
            self._on_state(state)


class _Opened:
    """An open model, and how many calls use it."""

    def __init__(self, model: Model, wanted: Configure, shown: str, note: str) -> None:
        self.model = model
        self.wanted = wanted
        self.shown = shown
        self.note = note
        self.down = asyncio.Event()
        self._users = 0
        self._retired = False
        self._closing: asyncio.Task[None] | None = None

    @asynccontextmanager
    async def use(self) -> AsyncIterator[None]:
        """Keeps the model open meanwhile."""
        self._users += 1
        try:
            yield
        finally:
            self._users -= 1
            self._close_if_done()

    def retire(self) -> None:
        """Closes the model when its last call is over."""
        self._retired = True
        self._close_if_done()

    def _close_if_done(self) -> None:
        if self._retired and self._users == 0 and self._closing is None:
            self._closing = asyncio.get_running_loop().create_task(self.model.close())


def _note(provider: str, base_url: str, key: Key) -> str:
    if endpoints.is_local(base_url) or provider == "ollama":
        return ""
    if not key.value:
        return f"no key is sent (if one is needed: {ANY_ENDPOINT}, or keys.toml [endpoints])"
    return "the key travels unencrypted (http)" if base_url.startswith("http:") else ""
