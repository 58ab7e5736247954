"""Which key goes where: from its source, to its own endpoint, and from no file that others can read."""

from __future__ import annotations

import os
import sys
import types
from pathlib import Path

import pytest

from o_tui.broker.keys import Key, Keys, KeysFileError
from o_tui.broker.redact import Redactor

HOME = "https://api.openai.com/v1"
OTHER = "https://other.test/v1"


@pytest.fixture(autouse=True)
def ring(monkeypatch: pytest.MonkeyPatch) -> dict[tuple[str, str], str]:
    """A keyring of the test's own."""
    passwords: dict[tuple[str, str], str] = {}
    module = types.ModuleType("keyring")
    module.__spec__ = types.SimpleNamespace()  # type: ignore[assignment]
    module.get_password = lambda service, name: passwords.get((service, name))  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "keyring", module)
    return passwords


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "keys.toml"


def write(file: Path, text: str, mode: int = 0o600) -> None:
    file.write_text(text)
    file.chmod(mode)


def keys(file: Path, **environment: str) -> Keys:
    return Keys(environment, file, Redactor())


def test_the_environments_key_goes_to_its_own_endpoint_only(file: Path) -> None:
    found = keys(file, OPENAI_API_KEY="sk-env")
    assert found.find("openai", HOME) == Key("sk-env", "environment OPENAI_API_KEY")
    assert found.find("openai", OTHER) == Key()
    assert found.find("ollama", "http://127.0.0.1:11434/v1") == Key()
    assert keys(file, OPENAI_API_KEY="sk-env", OPENAI_BASE_URL=OTHER).find("openai", OTHER).value == "sk-env"


def test_a_key_for_any_endpoint_must_be_named_so(file: Path) -> None:
    assert keys(file, O_TUI_API_KEY="k1").find("openai", OTHER).value == "k1"


def test_the_file_has_keys_for_providers_and_endpoints(file: Path) -> None:
    write(file, f'openai = "sk-file"\n[endpoints]\n"{OTHER}/" = "sk-other"\n')
    found = keys(file)
    assert found.find("openai", HOME) == Key("sk-file", "keys.toml")
    assert found.find("openai", OTHER) == Key("sk-other", "keys.toml")
    assert keys(file, OPENAI_API_KEY="sk-env").find("openai", HOME).value == "sk-env"


def test_the_keyring_comes_last(file: Path, ring: dict[tuple[str, str], str]) -> None:
    ring["o-tui", "openai"] = "sk-ring"
    ring["o-tui", OTHER] = "sk-ring-other"
    found = keys(file)
    assert found.find("openai", HOME) == Key("sk-ring", "keyring")
    assert found.find("openai", OTHER) == Key("sk-ring-other", "keyring")
    assert keys(file, OPENAI_API_KEY="sk-env").find("openai", HOME).value == "sk-env"


def test_a_broken_keyring_is_as_none(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(service: str, name: str) -> str:
        raise RuntimeError("no D-Bus")

    monkeypatch.setattr(sys.modules["keyring"], "get_password", fail)
    assert keys(file).find("openai", HOME) == Key()


def test_keys_leave_the_environment(file: Path) -> None:
    environment = {"OPENAI_API_KEY": "sk-1", "ANTHROPIC_AUTH_TOKEN": "t", "O_TUI_API_KEY": "k", "PATH": "/bin"}
    Keys(environment, file, Redactor())
    assert environment == {"PATH": "/bin"}


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644, 0o660])
def test_a_file_that_others_can_read_is_refused(file: Path, mode: int) -> None:
    write(file, 'openai = "sk-file"', mode)
    with pytest.raises(KeysFileError, match=r"can be read by others.*chmod 600"):
        keys(file).find("openai", HOME)
    assert keys(file, OPENAI_API_KEY="sk-env").find("openai", HOME).value == "sk-env"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("openai = sk-secret", "not TOML"),
        ("openai = 1", "every key is a text"),
        ("endpoints = 1", "every key is a text"),
        ('opnai = "sk-secret"', "unknown name 'opnai'"),
        ("x" * 70_000, "larger than"),
    ],
)
def test_a_wrong_file_is_refused_in_one_line_without_its_content(file: Path, text: str, says: str) -> None:
    write(file, text)
    with pytest.raises(KeysFileError, match=says) as caught:
        keys(file).find("openai", HOME)
    assert "sk-secret" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_not_text_or_no_file_is_refused(file: Path, tmp_path: Path) -> None:
    file.write_bytes(b"\xff\xfe")
    file.chmod(0o600)
    with pytest.raises(KeysFileError, match="UTF-8"):
        keys(file).read_file()
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe, 0o600)
    with pytest.raises(KeysFileError, match="is not a file"):
        keys(pipe).read_file()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_another_users_file_is_refused(file: Path) -> None:
    write(file, 'openai = "sk-file"')
    os.chown(file, 12345, -1)
    with pytest.raises(KeysFileError, match="belongs to uid 12345"):
        keys(file).read_file()


def test_a_key_is_not_in_its_repr() -> None:
    assert "sk-1" not in repr(Key("sk-1", "x"))
