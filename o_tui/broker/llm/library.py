"""Models by way of pydantic-ai: its model classes and `direct`, nothing else of it.

Importing this module costs a second and some 60 MB: only with a provider, and in a thread (docs/adr/).
"""

from __future__ import annotations

import array
import asyncio
import sys
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from pydantic_ai.direct import model_request_stream
from pydantic_ai.exceptions import ModelAPIError
from pydantic_ai.messages import ModelResponse, PartDeltaEvent, PartStartEvent, TextPart, TextPartDelta, ToolCallPart
from pydantic_ai.models import ModelRequestParameters

from o_tui.broker import endpoints
from o_tui.broker.calls import CallError
from o_tui.broker.llm import convert, errors
from o_tui.broker.llm.http import WIRE, Client, Wire
from o_tui.broker.llm.types import Answer, ChatRequest, Embeddings, Emit

CALL_S = 1800.0
"""A call ends after so long, even if bytes still trickle in."""
_MODELS = 1000
_DIMENSIONS = 16_384
_FLOAT32 = 3.4e38
_TOKENS = 10**12
T = TypeVar("T")


def open_model(provider: str, name: str, base_url: str, key: str, timeout_s: float) -> LibraryModel:
    """A model at an endpoint. Nothing is connected yet."""
    client = Client(base_url, timeout_s, keyless=not key)
    make = _anthropic if provider == "anthropic" else _compatible
    sdk, model = make(provider, name, base_url, key, client)
    return LibraryModel(sdk, model, base_url, client, timeout_s)


def _compatible(provider: str, name: str, base_url: str, key: str, client: Client) -> tuple[Any, Any]:
    from openai import AsyncOpenAI
    from pydantic_ai.models.openai import OpenAIChatModel
    from pydantic_ai.profiles.openai import OpenAIModelProfile

    sdk = AsyncOpenAI(**_settings(key, base_url, client))
    home: Any
    if provider == "ollama":
        from pydantic_ai.providers.ollama import OllamaProvider

        home = OllamaProvider(openai_client=sdk)
    elif base_url == endpoints.OFFICIAL["openai"]:
        from pydantic_ai.providers.openai import OpenAIProvider

        home = OpenAIProvider(openai_client=sdk)
    else:
        from pydantic_ai.providers.openai_compatible import OpenAICompatibleProvider

        home = OpenAICompatibleProvider(endpoints.place(base_url), openai_client=sdk)
    # An answer that ends without a reason is an error then, not "stop": so a cut is seen (see `_complete`).
    profile = OpenAIModelProfile(
        openai_chat_streaming_requires_finish_reason=True,
        # `max_tokens` is what every compatible server knows; only OpenAI's own wants the newer name.
        openai_chat_supports_max_completion_tokens=base_url == endpoints.OFFICIAL["openai"],
    )
    return sdk, OpenAIChatModel(name, provider=home, profile=profile)


def _anthropic(provider: str, name: str, base_url: str, key: str, client: Client) -> tuple[Any, Any]:
    from anthropic import AsyncAnthropic
    from pydantic_ai.models.anthropic import AnthropicModel
    from pydantic_ai.providers.anthropic import AnthropicProvider

    sdk = AsyncAnthropic(**_settings(key, base_url, client))
    return sdk, AnthropicModel(name, provider=AnthropicProvider(anthropic_client=sdk))


def _settings(key: str, base_url: str, client: Client) -> dict[str, Any]:
    # The timeout is the client's, said again: else the libraries set ten minutes of their own for every request.
    # A key that is not needed must still be a text, or they look into the environment; the client takes it out.
    return {
        "api_key": key or "none",
        "base_url": base_url,
        "http_client": client,
        "timeout": client.timeout,
        "max_retries": 0,
    }


class LibraryModel:
    """One model at one endpoint (`types.Model`)."""

    def __init__(self, sdk: Any, model: Any, base_url: str, client: Client, timeout_s: float) -> None:
        self._sdk = sdk
        self._model = model
        self._base_url = base_url
        self._client = client
        self._timeout_s = timeout_s

    async def chat(self, request: ChatRequest, emit: Emit) -> Answer:
        """Sends the request once and emits the text as it comes; raises CallError. Cancelling closes the stream."""
        wire = Wire()
        token = WIRE.set(wire)
        said = False

        async def watch(text: str) -> None:
            nonlocal said
            said = True
            await emit(text)

        try:
            async with asyncio.timeout(CALL_S):
                return await self._stream(request, watch, wire)
        except TimeoutError as error:
            raise CallError(f"the answer took longer than {CALL_S:g} s; it was stopped", "timeout") from error
        except Exception as error:  # the border: a library raises what it likes on what a stranger sends
            place = endpoints.place(self._base_url)
            raise errors.classify(error, wire, place, said=said, timeout_s=self._timeout_s) from error
        finally:
            WIRE.reset(token)

    async def _stream(self, request: ChatRequest, emit: Emit, wire: Wire) -> Answer:
        parameters = ModelRequestParameters(function_tools=[convert.tool(tool) for tool in request.tools])
        settings: dict[str, Any] = {}
        if request.max_tokens is not None:
            settings["max_tokens"] = request.max_tokens
        if request.temperature is not None:
            settings["temperature"] = request.temperature
        async with model_request_stream(
            self._model,
            convert.messages(request.messages),
            model_settings=settings,
            model_request_parameters=parameters,
        ) as stream:
            try:
                async for event in stream:
                    if isinstance(event, PartStartEvent) and isinstance(event.part, TextPart):
                        await emit(event.part.content)
                    elif isinstance(event, PartDeltaEvent) and isinstance(event.delta, TextPartDelta):
                        await emit(event.delta.content_delta)
            except ModelAPIError:
                # Some servers never give a reason; the end of their stream is marked all the same.
                if not (wire.ended and stream.finish_reason is None):
                    raise
            return self._complete(stream.get(), stream.finish_reason, wire)

    def _complete(self, response: ModelResponse, finish: str | None, wire: Wire) -> Answer:
        calls = [part for part in response.parts if isinstance(part, ToolCallPart)]
        if finish is None and not wire.ended:
            place = endpoints.place(self._base_url)
            if not wire.is_stream:
                raise CallError(f"{place} sent no stream of events but {wire.content_type or 'nothing'}", "garbage")
            raise CallError(f"the connection to {place} was cut before the answer was complete", "cut", retryable=True)
        return Answer(
            tool_calls=[convert.call(part) for part in calls],
            input_tokens=_tokens(response.usage.input_tokens),
            output_tokens=_tokens(response.usage.output_tokens),
            model=str(response.model_name or ""),
            finish="tool_calls" if finish == "tool_call" else finish or "stop",
        )

    async def embed(self, name: str, texts: list[str]) -> Embeddings:
        """The embeddings of texts by the endpoint's model `name`; raises CallError."""
        table = getattr(self._sdk, "embeddings", None)
        if table is None:
            raise CallError("this provider has no embeddings: empty brain.embedding_model", "setup")

        async def ask() -> Embeddings:
            answer = await table.create(model=name, input=texts, encoding_format="float")
            return _embeddings(answer, len(texts))

        return await self._whole(ask)

    async def models(self) -> list[str]:
        """The names of the endpoint's models; raises CallError."""

        async def ask() -> list[str]:
            return _names(await self._sdk.models.list())

        return await self._whole(ask)

    async def _whole(self, ask: Callable[[], Awaitable[T]]) -> T:
        """One question whose answer is no stream; raises CallError."""
        wire = Wire()
        token = WIRE.set(wire)
        place = endpoints.place(self._base_url)
        try:
            async with asyncio.timeout(self._timeout_s):
                return await ask()
        except TimeoutError as error:
            raise CallError(f"{place}: no answer came for {self._timeout_s:g} s", "timeout", retryable=True) from error
        except Exception as error:  # the border, as in `chat`
            raise errors.classify(error, wire, place, said=False, timeout_s=self._timeout_s) from error
        finally:
            WIRE.reset(token)

    async def close(self) -> None:
        """Closes the connections."""
        await self._client.aclose()


def _names(page: Any) -> list[str]:
    rows = getattr(page, "data", None)
    if not isinstance(rows, list):
        raise CallError("the endpoint's list of models is not one", "garbage")
    names = [row.id for row in rows if isinstance(getattr(row, "id", None), str)]
    return sorted(names[:_MODELS])


def _embeddings(answer: Any, count: int) -> Embeddings:
    rows = getattr(answer, "data", None)
    if not isinstance(rows, list) or len(rows) != count:
        raise CallError(f"the endpoint was given {count} texts and did not send as many embeddings", "garbage")
    # by their index, as not every server keeps the order
    rows = sorted(rows, key=lambda row: int(getattr(row, "index", 0) or 0))
    vectors = [_vector(getattr(row, "embedding", None)) for row in rows]
    if len({len(vector) for vector in vectors}) != 1:
        raise CallError("the endpoint sent embeddings of different sizes", "garbage")
    tokens = getattr(getattr(answer, "usage", None), "prompt_tokens", 0)
    model = str(getattr(answer, "model", "") or "")
    return Embeddings(vectors=vectors, input_tokens=_tokens(tokens), model=model)


def _tokens(count: Any) -> int:
    """What an endpoint says that it counted, which may be anything: no answer is lost for it."""
    return int(min(count, _TOKENS)) if isinstance(count, int | float) and count > 0 else 0


def _vector(numbers: Any) -> bytes:
    if not isinstance(numbers, list) or not 0 < len(numbers) <= _DIMENSIONS:
        raise CallError("the endpoint sent an embedding that is not a list of numbers", "garbage")
    if not all(isinstance(number, int | float) and abs(number) <= _FLOAT32 for number in numbers):
        raise CallError("the endpoint sent an embedding with something in it that is no number", "garbage")
    packed = array.array("f", numbers)
    if sys.byteorder == "big":
        packed.byteswap()
    return packed.tobytes()
