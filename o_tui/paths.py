"""Where O keeps things: a workspace (the data folder) and a config folder, after the XDG base directories."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from o_tui.protocol.errors import NotFoundError, RefusedError, UsageError


@dataclass(frozen=True, slots=True)
class Paths:
    """The files of one workspace."""

    data: Path
    config: Path

    @property
    def database(self) -> Path:
        """The one SQLite file."""
        return self.data / "o.db"

    @property
    def checkpoints(self) -> Path:
        """`.ckpt` files, the redundant copies of the vault."""
        return self.data / "checkpoints"

    @property
    def mirror(self) -> Path:
        """Segments of the WAL in the seeds' form, and the head."""
        return self.data / "wal"

    @property
    def genome(self) -> Path:
        """The genome's git repository."""
        return self.data / "genome"

    @property
    def programs(self) -> Path:
        """The runs of users' programs, a folder each."""
        return self.data / "programs"

    @property
    def run(self) -> Path:
        """Lock, socket, pid: what only a running guardian has."""
        return self.data / "run"

    @property
    def socket(self) -> Path:
        """Where views connect."""
        return self.run / "guardian.sock"

    @property
    def lock(self) -> Path:
        """The lock that says who is guardian."""
        return self.run / "guardian.lock"

    @property
    def log(self) -> Path:
        """What the processes write to stderr."""
        return self.data / "o.log"

    @property
    def config_file(self) -> Path:
        """Settings."""
        return self.config / "config.toml"

    @property
    def keys_file(self) -> Path:
        """Provider keys, 0600; read by the broker only."""
        return self.config / "keys.toml"

    @property
    def user_themes(self) -> Path:
        """The operator's own themes."""
        return self.config / "themes"

    def prepare(self) -> None:
        """Makes the folders (0700).

        Raises:
            RefusedError: The data folder belongs to another user or cannot be written.
        """
        for folder in (self.data, self.config, self.checkpoints, self.mirror, self.run):
            try:
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            except OSError as error:
                raise RefusedError(
                    f"cannot make the folder {folder}: {error.strerror}", hint="choose another with --data-dir"
                ) from error
        owner = self.data.stat().st_uid
        if owner != os.geteuid():
            raise RefusedError(
                f"the data folder {self.data} belongs to uid {owner}, you are {os.geteuid()}",
                hint="choose another with --data-dir",
            )
        for folder in (self.data, self.run):
            try:
                if folder.stat().st_mode & 0o777 != 0o700:
                    folder.chmod(0o700)
            except OSError as error:
                raise RefusedError(
                    f"cannot keep others out of {folder}: {error.strerror}", hint="choose another with --data-dir"
                ) from error


def locate(data_dir: str | None = None) -> Paths:
    """The workspace: `data_dir`, else O_TUI_DATA_DIR, else the XDG folders.

    A workspace that is chosen explicitly keeps its settings inside, in `config/`.

    Raises:
        UsageError: `~` begins a path of somebody who is not known here.
    """
    chosen = data_dir or os.environ.get("O_TUI_DATA_DIR")
    if chosen:
        data = named(chosen)
        return Paths(data, data / "config")
    home = expanded("~")
    data_home = Path(os.environ.get("XDG_DATA_HOME") or home / ".local" / "share")
    config_home = Path(os.environ.get("XDG_CONFIG_HOME") or home / ".config")
    # absolute: the guardian lives in another folder
    return Paths(data_home.absolute() / "o-tui", config_home.absolute() / "o-tui")


def expanded(path: str | Path) -> Path:
    """A path that an operator wrote, with the folder that `~` or `~somebody` stands for.

    Raises:
        UsageError: Nobody is called so, or this user has no home folder.
    """
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        first = Path(path).parts[0]
        if first != "~":
            raise UsageError(f"there is no home folder {first}", hint=f"a file of that name is ./{path}") from error
        text = f"uid {os.geteuid()} has no home folder here"
        raise UsageError(text, hint="set HOME, or choose the workspace with --data-dir") from error


def named(path: str | Path) -> Path:
    """The path that an operator wrote, in full; raises UsageError as `expanded` does."""
    return expanded(path).absolute()


def shipped(name: str) -> Path:
    """A folder that comes with O: `themes` or `data`."""
    return Path(__file__).parent / name


def open_foreign(path: Path, *, pipes: bool = False) -> IO[bytes]:
    """Opens a file that the operator named: a regular one, and never waiting for somebody to open a pipe's other end.

    With `pipes` a pipe is a file too; one that nobody writes to is empty.

    Raises:
        NotFoundError, RefusedError: It is not there, not a file, or may not be read.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError as error:
        raise NotFoundError(f"there is no file {path}") from error
    except OSError as error:
        raise RefusedError(f"{path} cannot be read: {error.strerror}") from error
    mode = os.fstat(descriptor).st_mode
    if not stat.S_ISREG(mode) and not (pipes and stat.S_ISFIFO(mode)):
        os.close(descriptor)
        raise RefusedError(f"{path} is not a file")
    os.set_blocking(descriptor, True)
    return os.fdopen(descriptor, "rb")


def source_of(path: Path, most_bytes: int, *, pipes: bool = False) -> bytes:
    """The whole of a source file that a command was given, with `pipes` what a shell's `<(…)` gives, too.

    Raises:
        NotFoundError: It is not there.
        UsageError: It is no such file, too large, or cannot be read.
    """
    path = expanded(path)
    try:
        with open_foreign(path, pipes=pipes) as file:
            source = file.read(most_bytes + 1)
            piped = stat.S_ISFIFO(os.fstat(file.fileno()).st_mode)
    except RefusedError as error:
        raise UsageError(str(error)) from error
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from error
    if piped and not source:
        raise UsageError(f"{path} is a pipe that nobody has written to")
    if len(source) > most_bytes:
        raise UsageError(f"{path} has more than {most_bytes >> 20} MiB")
    return source
