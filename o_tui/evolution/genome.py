"""The genome: the agent's evolvable code, a git repository in the workspace.

`main` is what has been deployed, one commit a version; a candidate is a commit on its own branch `evolution/<id>`.
What is deployed is, to the byte, what was tried in a shadow: `digest` is taken over all files except the two that
a promotion itself writes (CHANGELOG.md, and the version in genome.toml), and a promotion refuses to happen if the
digest of what it would deploy is not the candidate's.

All methods block on files, some on the disk: call them in a thread. One instance may be used from several.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from o_tui.evolution import changelog, repository, versions
from o_tui.evolution.history import (
    WHOLE,
    Deployment,
    History,
    decode,
    digest_files,
    gene_path,
    read_trailers,
)
from o_tui.evolution.repository import MAIN, git, repository_errors
from o_tui.protocol.errors import CorruptError, NotFoundError, RefusedError, UsageError

if TYPE_CHECKING:
    import pygit2

Part = Literal["minor", "patch"]
SEED_TIME_S = 1_735_689_600
"""Time of the first commit, so that the same seed has the same revision on every machine (2025-01-01)."""


class Genome(History):
    """The repository; see the module's text."""

    @classmethod
    def open(cls, path: Path, seed: Path) -> Genome:
        """Opens the genome in `path`; where there is none, makes it from the seed (one commit, tag v0.1.0).

        Raises:
            CorruptError: There is a repository, and it cannot be used.
            RefusedError: There is something else in its place.
        """
        if not path.exists() or not any(path.iterdir()):
            _create(path, seed)
        elif not (path / ".git").exists():
            raise RefusedError(f"{path} is in the place of the genome's repository", hint="move it away")
        return cls(path, repository.open_repository(path))

    def candidate(
        self,
        gene: str,
        source: str | bytes,
        base: str,
        evolution: str,
        message: str,
        time_ns: int,
        *,
        branch: str = "",
        trailers: Mapping[str, str] | None = None,
    ) -> str:
        """Commits a gene's new source on the branch `evolution/<id>`; the work tree stays as it is.

        The same arguments give the same revision; another source for the same id moves the branch. `branch` is another
        name than the id, for one of several; `trailers` say where it came from.

        Raises:
            UsageError: There is no such gene, or the source is what the gene already is.
        """
        path = gene_path(gene)
        content = source.encode("utf-8", "surrogateescape") if isinstance(source, str) else source
        with self._git():
            base = repository.resolve(self._repo, base)
            before = self._tree(base)
            tree = repository.build_tree(self._repo, before, {path: content})
            if tree == before.id:
                raise UsageError(f"nothing would change: the candidate is the {gene} of {base[:12]} to the byte")
            text = f"{_subject(message)}\n\nEvolution: {evolution}\nGene: {gene}\nBase: {base}\n"
            text += "".join(f"{name}: {value}\n" for name, value in (trailers or {}).items())
            revision = repository.commit(self._repo, tree, [base], text, time_ns // 1_000_000_000)
            repository.set_reference(self._repo, f"refs/heads/evolution/{branch or evolution}", revision)
        return revision

    def choose(self, evolution: str, revision: str) -> None:
        """The branch `evolution/<id>` names this one of its candidates."""
        with self._git():
            repository.set_reference(self._repo, f"refs/heads/evolution/{evolution}", revision)

    def promote(
        self, candidate: str, *, base: str, evolution: str, gene: str, title: str, lines: Sequence[str], time_ns: int
    ) -> Deployment:
        """Deploys a candidate: a commit on main with its files, the next version and the evidence in CHANGELOG.md.

        Idempotent by the evolution's id: where that was already done, or interrupted, the rest is done and the same
        deployment comes back.

        Raises:
            RefusedError: Main has moved away from `base`.
        """
        with self._git():
            if done := self.deployed(evolution):
                return self._finish(done)
            head = repository.resolve(self._repo, "head")
            if head != base:
                raise RefusedError(
                    f"stale base: made from {base[:12]}, deployed is {head[:12]}", hint="evolve it again"
                )
            heading = f"Evolution: {evolution}\nGene: {gene}\nBase: {base}"
            return self._deploy(candidate, [head, candidate], "minor", title, lines, heading, time_ns)

    def rollback(self, target: str, *, reason: str, time_ns: int, evolution: str = "") -> Deployment:
        """Deploys the files of an older version again, as a new commit on main with the next patch version.

        Args:
            target: A revision that has once been deployed.
            reason: For the changelog.
            time_ns: Now.
            evolution: The evolution that is undone; with it this is idempotent.

        Raises:
            RefusedError: `target` was never deployed, or is what runs now.
        """
        with self._git():
            target = repository.resolve(self._repo, target)
            if evolution and (done := self.rolled_back(evolution)):
                return self._finish(done)
            head = repository.resolve(self._repo, "head")
            self.check_target(target)
            heading = f"Rollback-To: {target}" + (f"\nRollback-Of: {evolution}" if evolution else "")
            title = f"Roll back to {self.version(target)}: {reason}"
            return self._deploy(target, [head], "patch", title, (), heading, time_ns)

    def check_target(self, target: str) -> None:
        """Whether one may roll back to a revision; raises RefusedError: never deployed, or what runs now."""
        with self._git():
            if all(str(commit.id) != target for commit in self._ancestors(WHOLE)):
                raise RefusedError(f"{target[:12]} has never been deployed", hint="`o-tui genome log` lists what has")
            if self.digest(target) == self.digest("head"):
                raise RefusedError(f"{target[:12]} is what runs now")

    def previous(self) -> str:
        """What a rollback goes back to: the version before the deployed one, rollbacks not counted twice.

        Raises:
            RefusedError: There is nothing before it.
        """
        with self._git():
            now = self.digest(self.head())
            commit: pygit2.Commit = self._repo[self.head()].peel(git().Commit)
            while True:
                trailers = read_trailers(commit.message)
                if "Rollback-To" in trailers:
                    commit = self._repo[trailers["Rollback-To"]].peel(git().Commit)
                if not commit.parents:
                    raise RefusedError("there is no version before this one")
                commit = commit.parents[0]
                if self.digest(str(commit.id)) != now:
                    return str(commit.id)

    def _deploy(
        self, source: str, parents: list[str], part: Part, title: str, lines: Sequence[str], heading: str, time_ns: int
    ) -> Deployment:
        head = parents[0]
        version = self._next_version(self.version(head), part)
        log = repository.read_tree(self._tree(head)).get(changelog.CHANGELOG_FILE, b"")
        entry = changelog.entry(version, time_ns, title, lines)
        changes = {
            versions.GENOME_FILE: versions.write(self.show(source, versions.GENOME_FILE), version),
            changelog.CHANGELOG_FILE: changelog.prepend(decode(changelog.CHANGELOG_FILE, log), entry),
        }
        tree = repository.build_tree(
            self._repo, self._tree(source), {path: text.encode() for path, text in changes.items()}
        )
        if digest_files(repository.read_tree(self._repo[tree].peel(git().Tree))) != self.digest(source):
            raise CorruptError(f"what would be deployed is not {source[:12]}")
        body = "\n".join(f"- {line}" for line in lines)
        text = f"{_subject(title)} ({version})\n\n{body}\n\n{heading}\n"
        revision = repository.commit(self._repo, tree, parents, text, time_ns // 1_000_000_000)
        self._keep_edits(head)
        repository.set_reference(self._repo, MAIN, revision)
        return self._finish(Deployment(revision, version, f"v{version}"))

    def _next_version(self, version: str, part: Part) -> str:
        while True:
            version = versions.bump(version, part)
            if f"refs/tags/v{version}" not in self._repo.references:
                return version

    def _finish(self, done: Deployment) -> Deployment:
        """What follows the moving of main, and may have been interrupted: the tag, and the files for the operator."""
        if f"refs/tags/{done.tag}" not in self._repo.references:
            repository.set_reference(self._repo, f"refs/tags/{done.tag}", done.revision)
        self.check_out()
        return done

    def check_out(self) -> bool:
        """Makes the work tree show the deployed files; False where the operator is on another branch, or git cannot."""
        try:
            with self._git():
                if self._repo.references["HEAD"].target != MAIN:
                    return False
                repository.check_out(self._repo)
        except CorruptError:  # a locked index, a read-only folder: the files are for show, git has the truth
            return False
        return True

    def _keep_edits(self, head: str) -> None:
        """What the operator has edited in the work tree by hand goes to a branch `kept/...` before it is replaced."""
        if self._repo.references["HEAD"].target != MAIN:
            return
        status = git().enums.FileStatus
        edited = [path for path, flags in self._repo.status().items() if flags & (status.WT_MODIFIED | status.WT_NEW)]
        changes = {path: (self.path / path).read_bytes() for path in edited if (self.path / path).is_file()}
        if not changes:
            return
        tree = repository.build_tree(self._repo, self._tree(head), changes)
        when = self._repo[head].peel(git().Commit).commit_time
        kept = repository.commit(self._repo, tree, [head], "Keep what was edited by hand\n", when)
        repository.set_reference(self._repo, f"refs/heads/kept/{kept[:12]}", kept)


def _create(path: Path, seed: Path) -> None:
    """A repository with the seed's files: made beside and renamed, so that there is never half a one."""
    fresh = path.with_name(path.name + ".new")
    shutil.rmtree(fresh, ignore_errors=True)
    files = {
        str(file.relative_to(seed)): file.read_bytes()
        for file in sorted(seed.rglob("*"))
        if file.is_file() and "__pycache__" not in file.parts
    }
    if versions.GENOME_FILE not in files:
        raise NotFoundError(f"the shipped genome is not in {seed}", hint="install O again")
    version = versions.read(files[versions.GENOME_FILE].decode())
    with repository_errors(path):
        repo = git().init_repository(str(fresh), initial_head="main")
        tree = repository.build_tree(repo, None, files)
        revision = repository.commit(repo, tree, [], f"Begin with the shipped genome ({version})\n", SEED_TIME_S)
        repository.set_reference(repo, MAIN, revision)
        repository.set_reference(repo, f"refs/tags/v{version}", revision)
        repository.check_out(repo)
        repo.free()
        repository.sync_all(fresh)
        if path.exists():
            path.rmdir()
        fresh.rename(path)
        repository.sync(path.parent)


def _subject(message: str) -> str:
    return " ".join(message.split())[:100] or "A candidate"
