"""`doctor`, `backup`, `restore`."""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from o_tui.cli.command import Command, Context
from o_tui.cli.output import size
from o_tui.paths import named
from o_tui.protocol.errors import BusyError, NotFoundError


def _doctor(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--repair", action="store_true", help="first mend what a second copy can; no guardian may run")


def _backup(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE", type=Path, help="a new file, usually .tar.zst")


def _restore(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE", type=Path, help="what `o-tui backup` wrote")
    parser.add_argument("--force", action="store_true", help="move a workspace that is there aside, whole")


def doctor(context: Context) -> int:
    """Checks everything, with the guardian if one runs, on the files if not; 1 if something is wrong."""
    from o_tui.client import running

    repaired = _repaired(context) if context.args.repair else []
    client = running(context.paths)
    if client is not None:
        with client:
            value: dict[str, Any] = client.call("doctor")
    else:
        # a damaged workspace must be examined even when no guardian can be started on it
        from o_tui.guardian import doctor as examination

        value = examination.examine(context.paths)
    if context.out.json:
        context.out.value(value | {"repaired": repaired})
        return 0 if value["ok"] else 1
    for line in repaired:
        context.out.line(f"mended {line}")
    for check in value["checks"]:
        line = f"{'ok   ' if check['ok'] else 'WRONG'}  {check['name']:<14} {check['detail']}"
        (context.out.line if check["ok"] else context.out.bad)(line.rstrip())
    context.out.line(f"tier   {value['tier']}")
    (context.out.good if value["ok"] else context.out.bad)("all is well" if value["ok"] else "something is wrong")
    return 0 if value["ok"] else 1


def _repaired(context: Context) -> list[str]:
    """Mends the files; a line for each thing that was found."""
    from o_tui.guardian import doctor as examination

    if not context.paths.data.is_dir():
        raise NotFoundError(f"there is no workspace {context.paths.data}")
    with _alone(context):
        return [finding.text for finding in examination.mend(context.paths)]


@contextlib.contextmanager
def _alone(context: Context) -> Iterator[None]:
    """The workspace, held for this command; no guardian may run."""
    from o_tui.guardian.lock import GuardianLock

    context.paths.prepare()
    try:
        lock = GuardianLock.acquire(context.paths)
    except BusyError as error:
        raise BusyError(str(error), hint="end it with `o-tui stop`, or choose another with --data-dir") from error
    try:
        yield
    finally:
        lock.release()


def backup(context: Context) -> int:
    """Writes the workspace into one file."""
    path = named(context.args.file)
    value = context.call("backup", path=str(path))
    if context.out.json:
        context.out.value(value)
    else:
        context.out.line(f"written to {value.get('path', path)}, {size(value.get('size_bytes'))}")
    return 0


def restore(context: Context) -> int:
    """Puts a backup into the workspace; no guardian may run."""
    from o_tui.guardian.storage.backup import restore as put_back

    path = named(context.args.file)
    if not path.is_file():
        raise NotFoundError(f"there is no file {path}")
    with _alone(context):
        value = put_back(path, context.paths, force=context.args.force)
    if context.out.json:
        context.out.value(value)
    else:
        context.out.line(f"{value.get('files')} files restored into {context.paths.data}")
        if value.get("replaced"):
            context.out.note(f"what was there is in {value['replaced']}")
    return 0


COMMANDS = (
    Command(
        "doctor",
        "Check files, database, log, checkpoints and genome, and say what is wrong.",
        doctor,
        _doctor,
        examples=(
            ("doctor", "with or without a guardian"),
            ("doctor --json | jq '.checks[] | select(.ok | not)'", ""),
            ("doctor --repair", "every entry, row and checkpoint, from the copy that is good"),
        ),
        codes=(1, 3, 4, 5, 69, 75),
        keys=("ok", "tier", "checks", "repaired"),
        keeps=False,
        notes=(
            "Works without a guardian too. One that starts mends what it needs: the end of the log, and files that "
            "are missing or cannot be read. --repair mends whatever a second copy can; what was damaged is kept "
            "in quarantine."
        ),
    ),
    Command(
        "backup",
        "Write the whole workspace into one file, while the guardian runs.",
        backup,
        _backup,
        examples=(("backup ~/o-backup.tar.zst", "database, checkpoints, genome, settings; no keys"),),
        codes=(2, 4, 5, 69),
        keys=("path", "size_bytes", "files"),
    ),
    Command(
        "restore",
        "Put a backup into an empty workspace.",
        restore,
        _restore,
        examples=(
            ("restore ~/o-backup.tar.zst --data-dir ~/other", "beside what is there"),
            ("restore ~/o-backup.tar.zst --force", "what is there is moved aside, whole"),
        ),
        codes=(1, 3, 4, 69, 75),
        keys=("files", "database", "replaced"),
        keeps=False,
    ),
)
