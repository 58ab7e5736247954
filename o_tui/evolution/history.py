"""What has been deployed, and what a revision holds: the reading half of the genome."""

from __future__ import annotations

import contextlib
import hashlib
import re
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from o_tui.evolution import changelog, repository, versions
from o_tui.evolution.repository import MAIN, git, repository_errors
from o_tui.protocol import contracts
from o_tui.protocol.errors import CorruptError, NotFoundError, RefusedError, UsageError

if TYPE_CHECKING:
    import pygit2

_TRAILER = re.compile(r"(?m)^(Evolution|Gene|Base|Rollback-To|Rollback-Of): (\S+)$")
_NOT_LOADED = (changelog.CHANGELOG_FILE, "tests/", ".")
WHOLE = 100_000
"""More versions than a genome ever has."""


@dataclass(frozen=True, slots=True)
class Deployment:
    """A commit on main: its revision, version and tag."""

    revision: str
    version: str
    tag: str


def gene_path(gene: str) -> str:
    """The file of a gene; raises UsageError where no gene can have that name."""
    try:
        return contracts.path_of(gene)
    except ValueError as error:
        raise UsageError(str(error)) from error


class History:
    """A genome's repository, to read. All methods block on files; one instance may be used from several threads."""

    def __init__(self, path: Path, repo: pygit2.Repository) -> None:
        self.path = path
        self._repo = repo
        self._lock = threading.RLock()

    def head(self) -> str:
        """The deployed revision."""
        with self._git():
            return repository.resolve(self._repo, "head")

    def resolve(self, name: str) -> str:
        """The full revision behind a tag, a version, a branch, `head` or its first digits; raises NotFoundError."""
        with self._git():
            return repository.resolve(self._repo, name)

    def has(self, revision: str) -> bool:
        """Whether a revision is in it."""
        with contextlib.suppress(NotFoundError):
            return bool(self.resolve(revision))
        return False

    def version(self, revision: str) -> str:
        """What `genome.toml` says at a revision."""
        return versions.read(self.show(revision, versions.GENOME_FILE))

    def files(self, revision: str) -> dict[str, str]:
        """The files that an instance loads (not its tests, not the changelog), path -> text.

        Raises:
            RefusedError: Too many or too large files.
            CorruptError: One is not UTF-8, or git cannot read it.
        """
        with self._git():
            found = repository.read_tree(self._tree(revision))
        return {path: decode(path, data) for path, data in found.items() if not path.startswith(_NOT_LOADED)}

    def show(self, revision: str, path: str) -> str:
        """One file's text at a revision; raises NotFoundError."""
        with self._git():
            tree = self._tree(revision)
            entry = tree[path] if path and path in tree else None
            if not isinstance(entry, git().Blob):
                raise NotFoundError(f"the genome has no file {path[:80]!r} at {revision[:12]}")
            return decode(path, entry.data)

    def source(self, revision: str, gene: str) -> str:
        """A gene's module at a revision; empty for a tool, or a gene that need not be, that does not exist there."""
        path = gene_path(gene)
        with self._git():
            if (gene not in contracts.CONTRACTS or gene in contracts.OPTIONAL) and path not in self._tree(revision):
                return ""
        return self.show(revision, path)

    def genes(self, revision: str) -> list[str]:
        """The genes at a revision."""
        return [gene for path in self.files(revision) if (gene := contracts.gene_of(path))]

    def digest(self, revision: str) -> str:
        """SHA-256 over path and content of every file, without the changelog and the version's number."""
        with self._git():
            return digest_files(repository.read_tree(self._tree(revision)))

    def diff(self, old: str, new: str) -> str:
        """The unified diff between two revisions."""
        with self._git():
            pair = [repository.resolve(self._repo, name) for name in (old, new)]
            return repository.unified(self._repo, pair[0], pair[1])

    def changed_bytes(self, old: str, new: str) -> int:
        """The size of the files that differ between two revisions, on both sides together."""
        with self._git():
            pair = [dict(repository.walk(self._tree(name))) for name in (old, new)]
            sizes = 0
            for path in pair[0].keys() | pair[1].keys():
                sides = [files[path] for files in pair if path in files]
                if len(sides) == 1 or sides[0].id != sides[1].id:
                    sizes += sum(blob.size for blob in sides)
            return sizes

    def log(self, limit: int = 100) -> list[dict[str, Any]]:
        """What has been deployed, newest first: revision, version, tags, subject, time_ns, kind, evolution, gene."""
        with self._git():
            tags: dict[str, list[str]] = {}
            for name in self._repo.references:
                if name.startswith("refs/tags/"):
                    commit = self._repo.references[name].peel(git().Commit)
                    tags.setdefault(str(commit.id), []).append(name.removeprefix("refs/tags/"))
            return [self._row(commit, tags) for commit in self._ancestors(limit)]

    def verify(self) -> list[str]:
        """What is wrong with the deployed history, one line each; reads every object (git checks their hashes)."""
        problems = []
        for row in self.log(10_000):
            try:
                with self._git():
                    repository.read_tree(self._tree(row["revision"]))
            except (CorruptError, RefusedError) as error:
                problems.append(f"{row['revision'][:12]}: {error}")
        return problems

    def deployed(self, evolution: str) -> Deployment | None:
        """The commit on main that promoted an evolution, if there is one."""
        return self._find("Evolution", evolution)

    def effective(self) -> list[str]:
        """The evolutions whose code runs now, newest first: what was rolled back does not count."""
        found: list[str] = []
        with self._git():
            commit: pygit2.Commit = self._repo.references[MAIN].peel(git().Commit)
            while True:
                trailers = read_trailers(commit.message)
                if target := trailers.get("Rollback-To"):
                    commit = self._repo[target].peel(git().Commit)
                    continue
                if evolution := trailers.get("Evolution"):
                    found.append(evolution)
                if not commit.parents:
                    return found
                commit = commit.parents[0]

    def rolled_back(self, evolution: str) -> Deployment | None:
        """The commit on main that undid an evolution, if there is one."""
        return self._find("Rollback-Of", evolution)

    @contextlib.contextmanager
    def _git(self) -> Iterator[None]:
        """The repository's lock, and its errors made typed."""
        with self._lock, repository_errors(self.path):
            yield

    def _tree(self, revision: str) -> pygit2.Tree:
        tree: pygit2.Tree = self._repo[repository.resolve(self._repo, revision)].peel(git().Commit).tree
        return tree

    def _ancestors(self, limit: int) -> list[pygit2.Commit]:
        """Main, newest first, along first parents: candidates are second parents, and not deployed by that."""
        found: list[pygit2.Commit] = []
        commit = self._repo.references[MAIN].peel(git().Commit)
        while len(found) < limit:
            found.append(commit)
            if not commit.parents:
                break
            commit = commit.parents[0]
        return found

    def _find(self, trailer: str, value: str) -> Deployment | None:
        with self._git():
            for commit in self._ancestors(WHOLE):
                if read_trailers(commit.message).get(trailer) == value:
                    version = self.version(str(commit.id))
                    return Deployment(str(commit.id), version, f"v{version}")
        return None

    def _row(self, commit: pygit2.Commit, tags: Mapping[str, list[str]]) -> dict[str, Any]:
        trailers = read_trailers(commit.message)
        kinds = {"Evolution": "promotion", "Rollback-To": "rollback"}
        return {
            "revision": str(commit.id),
            "version": self.version(str(commit.id)),
            "tags": sorted(tags.get(str(commit.id), [])),
            "subject": commit.message.split("\n", 1)[0],
            "time_ns": commit.commit_time * 1_000_000_000,
            "kind": next((kind for name, kind in kinds.items() if name in trailers), "" if commit.parents else "seed"),
            "evolution": trailers.get("Evolution", trailers.get("Rollback-Of", "")),
            "gene": trailers.get("Gene", ""),
            "parent": str(commit.parents[0].id) if commit.parents else "",
        }


def digest_files(files: Mapping[str, bytes]) -> str:
    """What `History.digest` says of a revision with these files."""
    whole = hashlib.sha256()
    for path in sorted(files):
        content = files[path]
        if path == changelog.CHANGELOG_FILE:
            continue
        if path == versions.GENOME_FILE:
            content = versions.write(decode(path, content), "0.0.0").encode()
        name = path.encode()
        whole.update(b"%d %s %d " % (len(name), name, len(content)) + content)
    return whole.hexdigest()


def decode(path: str, data: bytes) -> str:
    """A file's text; raises CorruptError."""
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise CorruptError(f"the genome's {path} is not UTF-8 at byte {error.start}") from error


def read_trailers(message: str) -> dict[str, str]:
    """The trailers of a commit: only in its last paragraph, so that nobody's words can fake one."""
    return dict(_TRAILER.findall(message.rstrip().rpartition("\n\n")[2]))
