"""`brain.detect`: which models this machine could use: keys that are there, an Ollama that runs."""

from __future__ import annotations

import asyncio
import json
import re
from typing import Any
from urllib.parse import urlsplit

from o_tui.broker import background, endpoints
from o_tui.broker.calls import Call
from o_tui.broker.keys import VARIABLES, Keys, KeysFileError
from o_tui.broker.redact import mask

OLLAMA_S = 0.3
_KEYRING_S = 2.0
_RESPONSE_BYTES = 1024 * 1024


async def run(call: Call) -> dict[str, Any]:
    """Answers {found: [{provider, model, base_url, key_masked, source, models?}], problems: [text, …]}."""
    keys = call.brain.keys
    found: list[dict[str, Any]] = []
    problems: list[str] = []
    ollama, ring = await asyncio.gather(_ollama(keys), _keyring(keys))
    for provider in ("anthropic", "openai"):
        if value := keys.environment.get(VARIABLES[provider], "").strip():
            found.append(_row(keys, provider, value, f"environment {VARIABLES[provider]}"))
    try:
        table = keys.read_file()
    except KeysFileError as error:
        problems.append(call.brain.redactor.line(str(error)))
        table = {}
    found += [_row(keys, name, table[name], "keys.toml") for name in ("anthropic", "openai") if table.get(name)]
    for address, value in table.get("endpoints", {}).items():
        found.append(_row(keys, "openai", value, "keys.toml") | {"base_url": address})
    found += [_row(keys, name, value, "keyring") for name, value in ring.items()]
    return {"found": found + ollama, "problems": problems}


def _row(keys: Keys, provider: str, value: str, source: str) -> dict[str, Any]:
    try:
        base_url = endpoints.own(provider, keys.environment)
    except ValueError:
        base_url = ""
    return {"provider": provider, "model": "", "base_url": base_url, "key_masked": mask(value), "source": source}


async def _keyring(keys: Keys) -> dict[str, str]:
    def ask() -> dict[str, str]:
        return {name: value for name in ("anthropic", "openai") if (value := keys.from_keyring(name))}

    try:
        async with asyncio.timeout(_KEYRING_S):
            return await background.run(ask)
    except TimeoutError:
        return {}


async def _ollama(keys: Keys) -> list[dict[str, Any]]:
    base_url = endpoints.own("ollama", keys.environment)
    try:
        async with asyncio.timeout(OLLAMA_S):
            models = await _tags(base_url)
    except (OSError, TimeoutError, ValueError):
        return []
    first = models[0] if models else ""
    row = {"provider": "ollama", "model": first, "base_url": base_url, "key_masked": "", "models": models}
    return [row | {"source": f"running at {endpoints.place(base_url)}"}]


async def _tags(base_url: str) -> list[str]:
    """The models of an Ollama, by plain HTTP/1.0: this must work without the extra `llm`, and fast."""
    parts = urlsplit(base_url)
    secure = parts.scheme == "https"
    port = parts.port or (443 if secure else 80)
    reader, writer = await asyncio.open_connection(parts.hostname, port, ssl=secure or None, limit=_RESPONSE_BYTES)
    try:
        path = parts.path.removesuffix("/v1") + "/api/tags"
        writer.write(f"GET {path} HTTP/1.0\r\nHost: {parts.netloc}\r\nAccept: application/json\r\n\r\n".encode())
        head = await reader.readuntil(b"\r\n\r\n")
        if b" 200" not in head.split(b"\r\n", 1)[0]:
            raise ValueError("not Ollama")
        body = await _body(reader, head)
    except (asyncio.IncompleteReadError, asyncio.LimitOverrunError) as error:
        raise ValueError("not HTTP") from error
    finally:
        writer.close()
    tags = json.loads(body)
    rows = tags.get("models") if isinstance(tags, dict) else None
    if not isinstance(rows, list):
        raise ValueError("not Ollama")
    return [row["name"][:200] for row in rows[:200] if isinstance(row, dict) and isinstance(row.get("name"), str)]


async def _body(reader: asyncio.StreamReader, head: bytes) -> bytes:
    """As long as the head says, else to the end; never more than the limit."""
    found = re.search(rb"content-length:\s*(\d+)", head, re.IGNORECASE)
    if found is not None:
        return await reader.readexactly(min(int(found[1]), _RESPONSE_BYTES))
    body = b""
    while len(body) < _RESPONSE_BYTES and (part := await reader.read(65536)):
        body += part
    return body
