"""Where a provider is: addresses, and whose they are."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from urllib.parse import SplitResult, urlsplit

OFFICIAL = {"openai": "https://api.openai.com/v1", "anthropic": "https://api.anthropic.com"}
OLLAMA = "http://127.0.0.1:11434/v1"
_VARIABLES = {"openai": "OPENAI_BASE_URL", "anthropic": "ANTHROPIC_BASE_URL"}


def own(provider: str, environment: Mapping[str, str]) -> str:
    """The provider's endpoint where the settings name none."""
    if provider == "ollama":
        return ollama(environment.get("OLLAMA_HOST", ""))
    return normalise(provider, environment.get(_VARIABLES[provider], "") or OFFICIAL[provider])


def normalise(provider: str, url: str) -> str:
    """One spelling for one endpoint.

    Raises:
        ValueError: It is not an http(s) address.
    """
    url = url.strip().rstrip("/")
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"{_without_login(parts)[:80]!r} is not an address like https://host/v1")
    if parts.username or parts.password:
        raise ValueError("an address with a password in it is not accepted: put the key into keys.toml")
    if provider == "anthropic":
        url = url.removesuffix("/v1")  # its library appends /v1/messages
    if provider == "ollama" and not parts.path:
        url += "/v1"
    return url


def _without_login(parts: SplitResult) -> str:
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


def ollama(host: str) -> str:
    """Ollama's OpenAI-compatible address for a value of OLLAMA_HOST (all spellings that Ollama takes)."""
    host = host.strip().strip("\"'")
    if not host:
        return OLLAMA
    scheme, separator, rest = host.partition("://")
    if not separator:
        scheme, rest = "http", host
    rest, slash, path = rest.partition("/")
    if ":" in rest and rest.count(":") > 1 and not rest.startswith("["):
        rest = f"[{rest}]"  # an IPv6 address
    name, port = _split_port(rest)
    port = port or ({"http": "80", "https": "443"}[scheme] if separator and scheme in ("http", "https") else "11434")
    if name in ("", "0.0.0.0"):  # what a server binds; a client connects to the loopback
        name = "127.0.0.1"
    if name == "[::]":
        name = "[::1]"
    prefix = f"/{path.rstrip('/')}" if slash and path.strip("/") else ""
    return f"{scheme}://{name}:{port}{prefix}/v1"


def _split_port(rest: str) -> tuple[str, str]:
    if rest.startswith("["):
        name, _, port = rest.rpartition("]")
        return name + "]", port.removeprefix(":")
    name, _, port = rest.partition(":")
    return name, port


def is_local(url: str) -> bool:
    """True: the endpoint is on this machine, so no proxy is asked and a key may go unencrypted."""
    name = urlsplit(url).hostname or ""
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def place(url: str) -> str:
    """The endpoint as an error names it: `host:port`."""
    return urlsplit(url).netloc.rpartition("@")[2]
