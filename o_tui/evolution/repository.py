"""The little of git that the genome needs, on pygit2: trees of text files, commits that survive a power cut.

Nothing of the operator's own git settings is read, so the same trees give the same commits and diffs everywhere.
"""

from __future__ import annotations

import contextlib
import functools
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from o_tui.protocol.contracts import FILE_LIMIT_BYTES, FILES_LIMIT
from o_tui.protocol.errors import CorruptError, NotFoundError, RefusedError

if TYPE_CHECKING:
    import pygit2

MAIN = "refs/heads/main"
AUTHOR = ("O", "o@localhost")
MAX_TOTAL_BYTES = 4 * 1024 * 1024


@functools.cache
def git() -> ModuleType:
    """pygit2, imported when it is first needed (13 ms, 5 MB), deaf to the settings outside of a repository."""
    with _without_certificates():
        import pygit2
    from pygit2.enums import ConfigLevel

    for level in (ConfigLevel.PROGRAMDATA, ConfigLevel.SYSTEM, ConfigLevel.XDG, ConfigLevel.GLOBAL):
        pygit2.settings.search_path[level] = ""
    return pygit2


@contextlib.contextmanager
def _without_certificates() -> Iterator[None]:
    """pygit2 loads the machine's certificates at once, for a network that O's git never uses; it is shown none.

    Where there are none (a small container), or SSL_CERT_FILE names a file that holds none, it could not be imported.
    """
    none = {"SSL_CERT_FILE": "", "SSL_CERT_DIR": str(Path(__file__).parent)}
    before = {name: os.environ.get(name) for name in none}
    os.environ.update(none)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


@contextlib.contextmanager
def repository_errors(path: Path) -> Iterator[None]:
    """Whatever git says about a damaged repository becomes a CorruptError that names it."""
    try:
        yield
    except (git().GitError, KeyError, ValueError, OSError) as error:
        text = str(error.args[0]) if error.args else type(error).__name__
        raise CorruptError(
            f"the genome's repository {path} is damaged: {text}",
            hint="restore a backup with `o-tui restore`, or move the folder away: the shipped genome is used then",
        ) from error


def open_repository(path: Path) -> pygit2.Repository:
    """Opens the repository in exactly this folder; raises CorruptError where it cannot be used."""
    with repository_errors(path):
        repo: pygit2.Repository = git().Repository(str(path), git().enums.RepositoryOpenFlag.NO_SEARCH)
        repo.references[MAIN].peel(git().Commit).tree  # noqa: B018  main, its commit and its tree can be read
    return repo


def commit(repo: pygit2.Repository, tree: pygit2.Oid, parents: list[str], message: str, time_s: int) -> str:
    """Writes a commit object (no reference moves); its objects are on disk when this returns."""
    author = git().Signature(*AUTHOR, time_s, 0)
    oid = repo.create_commit(None, author, author, message, tree, [git().Oid(hex=parent) for parent in parents])
    base = repo[parents[0]].peel(git().Commit).tree if parents else None
    _sync_objects(repo, [oid, *_new_objects(repo, repo[tree].peel(git().Tree), base)])
    return str(oid)


def set_reference(repo: pygit2.Repository, name: str, revision: str) -> None:
    """Creates or moves a reference; it is on disk when this returns."""
    repo.references.create(name, git().Oid(hex=revision), force=True)
    file = Path(repo.path) / name
    if file.exists():
        sync(file)
        sync(file.parent)


def build_tree(repo: pygit2.Repository, base: pygit2.Tree | None, changes: Mapping[str, bytes]) -> pygit2.Oid:
    """A tree like `base` with some files replaced or added."""
    index = git().Index()
    if base is not None:
        index.read_tree(base)
    for path, content in changes.items():
        index.add(git().IndexEntry(path, repo.create_blob(content), git().enums.FileMode.BLOB))
    oid: pygit2.Oid = index.write_tree(repo)
    return oid


def walk(tree: pygit2.Tree, prefix: str = "", depth: int = 0) -> Iterator[tuple[str, pygit2.Blob]]:
    """All files of a tree, by path, folders depth-first.

    Raises:
        CorruptError: A symbolic link, a submodule, or folders in folders in folders: a genome has none of these.
    """
    for item in tree:
        path = f"{prefix}{item.name}"
        if isinstance(item, git().Tree) and depth < 8:
            yield from walk(item, path + "/", depth + 1)
        elif isinstance(item, git().Blob) and item.filemode != 0o120000:
            yield path, item
        else:
            raise CorruptError(f"the genome holds {path}, which is neither a plain file nor a folder")


def read_tree(tree: pygit2.Tree) -> dict[str, bytes]:
    """All files of a tree; raises RefusedError beyond the limits on size and number."""
    files: dict[str, bytes] = {}
    total = 0
    for path, blob in walk(tree):
        total += blob.size
        if blob.size > FILE_LIMIT_BYTES or total > MAX_TOTAL_BYTES or len(files) >= FILES_LIMIT:
            raise RefusedError(
                f"the genome is too large at {path}: at most {FILES_LIMIT} files, {FILE_LIMIT_BYTES // 1024} KiB each, "
                f"{MAX_TOTAL_BYTES // 1024**2} MiB together"
            )
        files[path] = blob.data
    return files


def unified(repo: pygit2.Repository, old: str, new: str) -> str:
    """The unified diff between the trees of two commits, three lines of context, always as text."""
    trees = [repo[revision].peel(git().Commit).tree for revision in (old, new)]
    options = git().enums.DiffOption
    diff = trees[0].diff_to_tree(trees[1], flags=options.FORCE_TEXT | options.SHOW_BINARY, context_lines=3)
    return "".join(patch.data.decode("utf-8", "replace") for patch in diff if patch is not None)


def check_out(repo: Any) -> None:  # Any: pygit2 has no types for this one
    """Makes the work tree show HEAD, whatever was in it."""
    repo.checkout_head(strategy=git().enums.CheckoutStrategy.FORCE)


def resolve(repo: pygit2.Repository, name: str) -> str:
    """The full revision behind a tag, a version, a branch, `head` or the first digits of a revision.

    Raises:
        NotFoundError: There is none, or more than one.
    """
    if not name or name in ("head", "HEAD", "main"):
        return str(repo.references[MAIN].peel(git().Commit).id)
    for reference in (f"refs/tags/{name}", f"refs/tags/v{name}", f"refs/heads/{name}"):
        if git().reference_is_valid_name(reference) and reference in repo.references:
            return str(repo.references[reference].peel(git().Commit).id)
    hexadecimal = 4 <= len(name) <= 40 and all(digit in "0123456789abcdef" for digit in name.lower())
    try:
        found = repo.get(name.lower()) if hexadecimal else None
    except ValueError:  # several objects begin like this
        found = None
    if not isinstance(found, git().Commit):
        raise NotFoundError(f"the genome has no revision {name[:60]!r}", hint="`o-tui genome log` lists them")
    return str(found.id)


def sync(path: Path) -> None:
    """Waits until a file, or a folder's entries, are on disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_all(folder: Path) -> None:
    """The same for everything below a folder."""
    for parent, _, files in os.walk(folder):
        for name in files:
            sync(Path(parent) / name)
        sync(Path(parent))


def _new_objects(repo: pygit2.Repository, tree: pygit2.Tree, base: pygit2.Tree | None) -> Iterator[pygit2.Oid]:
    """The objects of a tree that are not in the same place of another one."""
    yield tree.id
    for item in tree:
        name = item.name or ""
        old = base[name] if base is not None and name in base else None
        if old is not None and old.id == item.id:
            continue
        if isinstance(item, git().Tree):
            yield from _new_objects(repo, item, old if isinstance(old, git().Tree) else None)
        else:
            yield item.id


def _sync_objects(repo: pygit2.Repository, oids: list[pygit2.Oid]) -> None:
    # not libgit2's own fsync option: that one waits for the disk with the interpreter's lock held
    folders = set()
    objects = Path(repo.path) / "objects"
    for oid in oids:
        name = str(oid)
        file = objects / name[:2] / name[2:]
        if file.exists():  # else it is in a pack, which is old
            sync(file)
            folders.add(file.parent)
    for folder in folders:
        sync(folder)
    sync(objects)
