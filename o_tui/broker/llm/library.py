"""Models by way of pydantic-ai: its model classes and `direct`, nothing else of it.

Importing this module costs a second and some 60 MB: only with a provider, and in a thread (docs/adr/).
"""

from __future__ import annotations

import asyncio
from typing import Any

from pydantic_ai.direct import model_request_stream
from pydantic_ai.exceptions import ModelAPIError
from pydantic_ai.messages import ModelResponse, PartDeltaEvent, PartStartEvent, TextPart, TextPartDelta, ToolCallPart
from pydantic_ai.models import ModelRequestParameters

from o_tui.broker import endpoints
from o_tui.broker.calls import CallError
from o_tui.broker.llm import convert, errors
from o_tui.broker.llm.http import WIRE, Client, Wire
from o_tui.broker.llm.types import Answer, ChatRequest, Emit

CALL_S = 1800.0
"""A call ends after so long, even if bytes still trickle in."""
_MODELS = 1000
_ANTHROPIC_VERSION = "2023-06-01"


def open_model(provider: str, name: str, base_url: str, key: str, timeout_s: float) -> LibraryModel:
    """A model at an endpoint. Nothing is connected yet."""
    client = Client(base_url, timeout_s)
    make = _anthropic if provider == "anthropic" else _compatible
    return LibraryModel(make(provider, name, base_url, key, client), provider, base_url, key, client, timeout_s)


def _compatible(provider: str, name: str, base_url: str, key: str, client: Client) -> Any:
    from openai import AsyncOpenAI
    from pydantic_ai.models.openai import OpenAIChatModel
    from pydantic_ai.profiles.openai import OpenAIModelProfile

    # Without a key the library would look into the environment, so a server that needs none gets a word.
    sdk = AsyncOpenAI(api_key=key or "none", base_url=base_url, http_client=client, max_retries=0)
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
    profile = OpenAIModelProfile(openai_chat_streaming_requires_finish_reason=True)
    return OpenAIChatModel(name, provider=home, profile=profile)


def _anthropic(provider: str, name: str, base_url: str, key: str, client: Client) -> Any:
    from anthropic import AsyncAnthropic
    from pydantic_ai.models.anthropic import AnthropicModel
    from pydantic_ai.providers.anthropic import AnthropicProvider

    sdk = AsyncAnthropic(api_key=key or "none", base_url=base_url, http_client=client, max_retries=0)
    return AnthropicModel(name, provider=AnthropicProvider(anthropic_client=sdk))


class LibraryModel:
    """One model at one endpoint (`types.Model`)."""

    def __init__(self, model: Any, provider: str, base_url: str, key: str, client: Client, timeout_s: float) -> None:
        self._model = model
        self._provider = provider
        self._base_url = base_url
        self._key = key
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
            input_tokens=max(0, int(response.usage.input_tokens or 0)),
            output_tokens=max(0, int(response.usage.output_tokens or 0)),
            model=str(response.model_name or ""),
            finish="tool_calls" if finish == "tool_call" else finish or "stop",
        )

    async def models(self) -> list[str]:
        """The names of the endpoint's models; raises CallError."""
        wire = Wire()
        token = WIRE.set(wire)
        place = endpoints.place(self._base_url)
        try:
            async with asyncio.timeout(self._timeout_s):
                response = await self._client.get(self._listing(), headers=self._headers())
            if response.status_code != 200:
                raise _listing_error(response)
            return _names(response.json())
        except TimeoutError as error:
            raise CallError(f"{place}: no answer came for {self._timeout_s:g} s", "timeout", retryable=True) from error
        except Exception as error:  # the border, as in `chat`
            raise errors.classify(error, wire, place, said=False, timeout_s=self._timeout_s) from error
        finally:
            WIRE.reset(token)

    def _listing(self) -> str:
        return self._base_url + ("/v1/models?limit=1000" if self._provider == "anthropic" else "/models")

    def _headers(self) -> dict[str, str]:
        if self._provider == "anthropic":
            return {"x-api-key": self._key, "anthropic-version": _ANTHROPIC_VERSION}
        return {"authorization": f"Bearer {self._key}"} if self._key else {}

    async def close(self) -> None:
        """Closes the connections."""
        await self._client.aclose()


def _listing_error(response: Any) -> CallError:
    try:
        body = response.json()
    except ValueError:
        body = None
    return errors.status_error(response.status_code, errors.message_in(body), None, False)


def _names(body: Any) -> list[str]:
    rows = body.get("data") if isinstance(body, dict) else None
    if not isinstance(rows, list):
        raise CallError("the endpoint's list of models is not one", "garbage")
    names = [row["id"] for row in rows if isinstance(row, dict) and isinstance(row.get("id"), str)]
    return sorted(names[:_MODELS])
