"""Where keys come from: the environment, the keyring, `keys.toml` (0600). Nothing else in O reads them.

```toml
openai = "sk-…"
anthropic = "sk-ant-…"

[endpoints]
"https://openrouter.ai/api/v1" = "sk-or-…"
```
"""

from __future__ import annotations

import importlib.util
import os
import stat
import threading
import tomllib
from collections.abc import MutableMapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from o_tui.broker import endpoints
from o_tui.broker.redact import Redactor

VARIABLES = {"openai": "OPENAI_API_KEY", "anthropic": "ANTHROPIC_API_KEY", "ollama": "OLLAMA_API_KEY"}
ANY_ENDPOINT = "O_TUI_API_KEY"
"""The key for whatever endpoint is configured; the providers' own variables go only to their own endpoint."""
KEYRING_SERVICE = "o-tui"
_FILE_LIMIT_BYTES = 64 * 1024
_OTHERS = ("OPENAI_ADMIN_KEY", "ANTHROPIC_AUTH_TOKEN", "OPENAI_WEBHOOK_SECRET")


class KeysFileError(Exception):
    """`keys.toml` is not read: others could read it too, or it is not what it should be."""


@dataclass(frozen=True, slots=True)
class Key:
    """A key and where it was found; `value` is empty if there is none."""

    value: str = field(default="", repr=False)
    source: str = ""


class Keys:
    """All keys of the operator. Every one that is seen goes to the redactor at once."""

    def __init__(self, environment: MutableMapping[str, str], file: Path, redactor: Redactor) -> None:
        self._file = file
        self._redactor = redactor
        self._writing = threading.Lock()
        self.environment = dict(environment)
        # Out of the environment: neither a library nor a child of this process gets them by accident.
        for name in (*VARIABLES.values(), ANY_ENDPOINT, *_OTHERS):
            self._redactor.add(environment.pop(name, "").strip())

    def find(self, provider: str, base_url: str) -> Key:
        """The key for an endpoint. Blocks (the keyring may talk to a daemon): call it in a thread.

        Raises:
            KeysFileError: There is a `keys.toml` that may not be read, and no other source has a key.
        """
        refused: KeysFileError | None = None
        try:
            table = self.read_file()
        except KeysFileError as error:
            refused, table = error, {}
        at_home = base_url == endpoints.own(provider, self.environment)
        found = self._first(provider, base_url, at_home, table)
        if not found.value and refused is not None:
            raise refused
        return found

    def _first(self, provider: str, base_url: str, at_home: bool, table: dict[str, Any]) -> Key:
        places = table.get("endpoints", {})
        for address, value in places.items():
            if address.rstrip("/") == base_url:
                return Key(value, "keys.toml")
        if value := self.environment.get(ANY_ENDPOINT, "").strip():
            return Key(value, f"environment {ANY_ENDPOINT}")
        if at_home and (value := self.environment.get(VARIABLES[provider], "").strip()):
            return Key(value, f"environment {VARIABLES[provider]}")
        if at_home and (value := table.get(provider, "")):
            return Key(value, "keys.toml")
        # Last, as it is the only place that may hang.
        if value := self.from_keyring(base_url) or (self.from_keyring(provider) if at_home else ""):
            return Key(value, "keyring")
        return Key()

    def read_file(self) -> dict[str, Any]:
        """The checked content of `keys.toml`; empty if there is none.

        Raises:
            KeysFileError: Its mode, owner or content is wrong.
        """
        try:
            descriptor = os.open(self._file, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise KeysFileError(f"{self._file} cannot be read: {error.strerror}") from error
        with os.fdopen(descriptor, "rb") as file:
            self._check(os.fstat(file.fileno()))
            content = file.read(_FILE_LIMIT_BYTES + 1)
        if len(content) > _FILE_LIMIT_BYTES:
            raise KeysFileError(f"{self._file} is larger than {_FILE_LIMIT_BYTES} bytes: it is not read")
        try:
            table = tomllib.loads(content.decode("utf-8"))
        except UnicodeDecodeError:
            # Not chained: the error carries the bytes.
            raise KeysFileError(f"{self._file} is not UTF-8: it is not read") from None
        except tomllib.TOMLDecodeError as error:
            raise KeysFileError(f"{self._file} is not TOML: {error}") from None
        return self._checked(table)

    def keep(self, provider: str, base_url: str, value: str) -> None:
        """Writes a key into `keys.toml` (0600), for the provider or, with `base_url`, for that endpoint. Blocks.

        Raises:
            KeysFileError: What is there may not be read; it is left as it is.
            OSError: The disk does not take it.
        """
        self._redactor.add(value)
        with self._writing:
            self._keep(provider, base_url, value)

    def _keep(self, provider: str, base_url: str, value: str) -> None:
        import tomlkit  # here, because keys are seldom written

        self.read_file()
        document = tomlkit.parse(self._file.read_text("utf-8") if self._file.exists() else "")
        table: Any = document.setdefault("endpoints", tomlkit.table()) if base_url else document
        table[base_url or provider] = value
        self._file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        temporary = self._file.with_suffix(".new")
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            os.fchmod(file.fileno(), 0o600)
            file.write(tomlkit.dumps(document))
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(self._file)

    def _check(self, status: os.stat_result) -> None:
        if not stat.S_ISREG(status.st_mode):
            raise KeysFileError(f"{self._file} is not a file: it is not read")
        if status.st_uid != os.geteuid():
            raise KeysFileError(f"{self._file} belongs to uid {status.st_uid}, you are {os.geteuid()}: it is not read")
        if status.st_mode & 0o077:
            raise KeysFileError(f"{self._file} can be read by others: it is not read (chmod 600 {self._file})")

    def _checked(self, table: dict[str, Any]) -> dict[str, Any]:
        places = table.get("endpoints", {})
        names = {name: value for name, value in table.items() if name != "endpoints"}
        unknown = sorted(set(names) - set(VARIABLES))
        if unknown:
            raise KeysFileError(f"{self._file}: unknown name {unknown[0]!r} (known: {', '.join(VARIABLES)}, endpoints)")
        if not isinstance(places, dict) or not all(isinstance(v, str) for v in (*names.values(), *places.values())):
            raise KeysFileError(f'{self._file}: every key is a text: openai = "…"')
        for value in (*names.values(), *places.values()):
            self._redactor.add(value)
        return table

    def from_keyring(self, name: str) -> str:
        """The keyring's password for service `o-tui` and this name; empty without a keyring. May block."""
        if importlib.util.find_spec("keyring") is None:
            return ""
        try:
            import keyring

            value = (keyring.get_password(KEYRING_SERVICE, name) or "").strip()
        except Exception:  # noqa: BLE001 - the border to whatever keyring this desktop has: a broken one is as none
            return ""
        self._redactor.add(value)
        return value
