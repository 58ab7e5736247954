"""Addresses of providers, in all the spellings that people write."""

from __future__ import annotations

import pytest

from o_tui.broker import endpoints


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("", "http://127.0.0.1:11434/v1"),
        ("0.0.0.0", "http://127.0.0.1:11434/v1"),
        ("0.0.0.0:8000", "http://127.0.0.1:8000/v1"),
        (":5000", "http://127.0.0.1:5000/v1"),
        ("example.test", "http://example.test:11434/v1"),
        ("http://example.test", "http://example.test:80/v1"),
        ("https://example.test/", "https://example.test:443/v1"),
        ("https://example.test:99/ollama/", "https://example.test:99/ollama/v1"),
        ("[::1]:7", "http://[::1]:7/v1"),
        ("::1", "http://[::1]:11434/v1"),
        ("::", "http://[::1]:11434/v1"),
        (" 'localhost' ", "http://localhost:11434/v1"),
    ],
)
def test_ollama_host_as_ollama_reads_it(host: str, url: str) -> None:
    assert endpoints.ollama(host) == url


def test_one_spelling_for_one_endpoint() -> None:
    assert endpoints.normalise("openai", " https://a.test/v1/ ") == "https://a.test/v1"
    assert endpoints.normalise("anthropic", "https://a.test/v1") == "https://a.test"
    assert endpoints.normalise("ollama", "http://a.test:1") == "http://a.test:1/v1"


@pytest.mark.parametrize("url", ["", "a.test/v1", "ftp://a.test", "https://", "https://user:secret@a.test/v1"])
def test_what_is_no_address_is_refused_without_showing_a_password(url: str) -> None:
    with pytest.raises(ValueError) as caught:
        endpoints.normalise("openai", url)
    assert "secret" not in str(caught.value)


def test_what_counts_as_this_machine() -> None:
    assert endpoints.is_local("http://127.0.0.1:1/v1")
    assert endpoints.is_local("http://[::1]:1/v1")
    assert endpoints.is_local("http://localhost/v1")
    assert not endpoints.is_local("https://api.openai.com/v1")
    assert not endpoints.is_local("http://127.0.0.1.evil.test/v1")


def test_own_endpoints_follow_the_environment() -> None:
    assert endpoints.own("openai", {}) == "https://api.openai.com/v1"
    assert endpoints.own("openai", {"OPENAI_BASE_URL": "http://a.test/v1/"}) == "http://a.test/v1"
    assert endpoints.own("anthropic", {}) == "https://api.anthropic.com"
