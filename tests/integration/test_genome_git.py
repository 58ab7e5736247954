"""The genome's repository, on real git repositories."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from o_tui.evolution import diffs
from o_tui.evolution.genome import SEED_TIME_S, Genome
from o_tui.evolution.history import Deployment
from o_tui.protocol.errors import CorruptError, NotFoundError, RefusedError, UsageError
from tests.support.patience import PATIENCE_S

NOW = 1_760_000_000_000_000_000
RECALL = "def recall(query, search, k, now_ns):\n    return search.lexical(query, k)\n"
FASTER = "def recall(query, search, k, now_ns):\n    return search.recent(k)\n"


def test_git_needs_no_certificates_and_leaves_the_environment_as_it_was(tmp_path: Path) -> None:
    program = (
        "import os; before = dict(os.environ); from o_tui.evolution.repository import git; git();"
        "assert dict(os.environ) == before"
    )
    (tmp_path / "empty.pem").write_text("no certificate")
    for file in (tmp_path / "empty.pem", tmp_path / "missing.pem"):
        environment = os.environ | {"SSL_CERT_FILE": str(file), "SSL_CERT_DIR": str(tmp_path / "missing")}
        subprocess.run([sys.executable, "-c", program], env=environment, check=True, timeout=PATIENCE_S)


@pytest.fixture
def seed(tmp_path: Path) -> Path:
    folder = tmp_path / "seed"
    files = {
        "genome.toml": '# the genome\nname = "test"\nversion = "0.1.0"  # three numbers\n',
        "recall.py": RECALL,
        "respond.py": "def respond(request, context):\n    yield\n",
        "tools/dates.py": "def dates():\n    return ''\n",
        "prompts/system.md": "Be brief — really.\n",
        "tests/test_recall.py": "",
        ".gitignore": "__pycache__/\n",
    }
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
    (folder / "__pycache__").mkdir()
    (folder / "__pycache__" / "x.pyc").write_bytes(b"\0")
    return folder


@pytest.fixture
def genome(tmp_path: Path, seed: Path) -> Genome:
    return Genome.open(tmp_path / "genome", seed)


def candidate(genome: Genome, source: str = FASTER, evolution: str = "e1") -> str:
    return genome.candidate("recall", source, genome.head(), evolution, "Try recent ones", NOW)


def promote(genome: Genome, evolution: str = "e1", source: str = FASTER) -> Deployment:
    base = genome.head()
    revision = candidate(genome, source, evolution)
    return genome.promote(
        revision, base=base, evolution=evolution, gene="recall", title="recall: faster", lines=["-10 %"], time_ns=NOW
    )


def git(genome: Genome, *arguments: str) -> str:
    if shutil.which("git") is None:
        pytest.skip("git itself is not here to look from outside")
    command = ["git", "-c", f"safe.directory={genome.path}", "-C", str(genome.path), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def test_the_seed_becomes_one_commit_that_is_the_same_everywhere(tmp_path: Path, seed: Path, genome: Genome) -> None:
    twin = Genome.open(tmp_path / "twin", seed)
    assert twin.head() == genome.head()
    assert genome.version("head") == "0.1.0"
    (row,) = genome.log()
    assert row["kind"] == "seed" and row["tags"] == ["v0.1.0"] and row["time_ns"] == SEED_TIME_S * 10**9
    assert (genome.path / "recall.py").read_text() == RECALL
    assert not (genome.path / "__pycache__").exists()
    assert git(genome, "status", "--porcelain") == ""
    assert git(genome, "log", "-1", "--format=%an <%ae>").strip() == "O <o@localhost>"


def test_opening_again_changes_nothing(tmp_path: Path, seed: Path, genome: Genome) -> None:
    promoted = promote(genome)
    again = Genome.open(genome.path, seed)
    assert again.head() == promoted.revision
    assert again.genes("head") == ["recall", "respond", "tools/dates"]


def test_an_interrupted_creation_is_begun_again(tmp_path: Path, seed: Path) -> None:
    (tmp_path / "genome.new" / ".git").mkdir(parents=True)
    (tmp_path / "genome").mkdir()
    assert Genome.open(tmp_path / "genome", seed).version("head") == "0.1.0"
    assert not (tmp_path / "genome.new").exists()


def test_files_are_what_an_instance_loads(genome: Genome) -> None:
    files = genome.files("head")
    assert sorted(files) == ["genome.toml", "prompts/system.md", "recall.py", "respond.py", "tools/dates.py"]
    assert files["prompts/system.md"] == "Be brief — really.\n"


def test_a_genome_beyond_the_limits_is_refused(tmp_path: Path, seed: Path) -> None:
    (seed / "prompts" / "large.md").write_text("x" * (256 * 1024 + 1))
    with pytest.raises(RefusedError, match=r"too large at prompts/large\.md"):
        Genome.open(tmp_path / "genome", seed).files("head")


def test_a_candidate_is_a_commit_beside_the_work_tree(genome: Genome) -> None:
    head = genome.head()
    revision = candidate(genome)
    assert genome.head() == head
    assert (genome.path / "recall.py").read_text() == RECALL
    assert genome.show(revision, "recall.py") == FASTER
    assert genome.resolve("evolution/e1") == revision == genome.resolve(revision[:9])
    assert candidate(genome) == revision, "the same candidate is the same commit"
    assert candidate(genome, FASTER + "\n") != revision


def test_a_candidate_may_be_a_new_tool(genome: Genome) -> None:
    revision = genome.candidate("tools/dice", "x = 1\n", "head", "e2", "A new tool", NOW)
    assert genome.source("head", "tools/dice") == ""
    assert genome.source(revision, "tools/dice") == "x = 1\n"
    assert "tools/dates.py" in genome.files(revision)
    (file,) = diffs.parse(genome.diff("head", revision))
    assert (file.old_path, file.new_path, file.added) == ("", "tools/dice.py", 1)


@pytest.mark.parametrize("gene", ["../respond", "genome", "tools/../recall", "tools/A", "", "recall.py"])
def test_a_candidate_for_no_gene_is_refused(genome: Genome, gene: str) -> None:
    with pytest.raises(UsageError, match="is not a gene"):
        genome.candidate(gene, "x = 1\n", "head", "e1", "", NOW)


def test_a_candidate_without_a_change_is_refused(genome: Genome) -> None:
    with pytest.raises(UsageError, match="nothing would change"):
        candidate(genome, RECALL)


def test_the_diffs_digest_is_of_its_exact_bytes_and_stays(tmp_path: Path, seed: Path, genome: Genome) -> None:
    revision = candidate(genome)
    diff = genome.diff("head", revision)
    assert "-    return search.lexical(query, k)\n+    return search.recent(k)\n" in diff
    twin = Genome.open(tmp_path / "twin", seed)
    other = candidate(twin)
    assert diffs.digest(twin.diff("head", other)) == diffs.digest(diff)
    spaced = candidate(genome, FASTER.replace("k)\n", "k) \n"))
    assert diffs.digest(genome.diff("head", spaced)) != diffs.digest(diff)


def test_the_operators_git_settings_change_no_diff(genome: Genome, monkeypatch: pytest.MonkeyPatch) -> None:
    home = genome.path.parent / "home"
    home.mkdir()
    (home / ".gitconfig").write_text("[diff]\n noprefix = true\n mnemonicPrefix = true\n context = 0\n")
    diff = genome.diff("head", candidate(genome))
    monkeypatch.setenv("HOME", str(home))
    assert Genome.open(genome.path, genome.path).diff("head", "evolution/e1") == diff
    assert "--- a/recall.py\n+++ b/recall.py\n" in diff


def test_a_promotion_is_a_version_with_a_tag_and_its_evidence(genome: Genome) -> None:
    base = genome.head()
    done = promote(genome)
    assert (done.version, done.tag) == ("0.2.0", "v0.2.0")
    assert genome.head() == done.revision == genome.resolve("v0.2.0") == genome.resolve("0.2.0")
    assert (genome.path / "recall.py").read_text() == FASTER, "the operator sees the files"
    assert 'version = "0.2.0"  # three numbers' in (genome.path / "genome.toml").read_text()
    assert (genome.path / "CHANGELOG.md").read_text() == (
        "# Changelog\n\n## 0.2.0 - 2025-10-09\n\nrecall: faster\n\n- -10 %\n"
    )
    assert git(genome, "status", "--porcelain") == ""
    assert genome.resolve("evolution/e1"), "the branch stays"
    newest, oldest = genome.log()
    assert (newest["kind"], newest["evolution"], newest["gene"], newest["parent"]) == (
        "promotion",
        "e1",
        "recall",
        base,
    )
    assert oldest["kind"] == "seed"
    git(genome, "fsck", "--strict")


def test_what_is_deployed_has_the_digest_of_what_was_tried(genome: Genome) -> None:
    before = genome.digest("head")
    revision = candidate(genome)
    done = promote(genome)
    assert genome.digest(done.revision) == genome.digest(revision) != before


def test_promoting_twice_is_promoting_once(genome: Genome, seed: Path) -> None:
    base = genome.head()
    done = promote(genome)
    revision = genome.resolve("evolution/e1")
    arguments = {"base": base, "evolution": "e1", "gene": "recall", "title": "", "lines": [], "time_ns": NOW + 1}
    assert genome.promote(revision, **arguments) == done  # type: ignore[arg-type]
    assert Genome.open(genome.path, seed).promote(revision, **arguments) == done  # type: ignore[arg-type]
    assert len(genome.log()) == 2


def test_an_interrupted_promotion_is_finished(genome: Genome, monkeypatch: pytest.MonkeyPatch) -> None:
    """Main has moved; the power went before the tag was there and the files were checked out."""
    base = genome.head()
    with monkeypatch.context() as patch:
        patch.setattr(Genome, "_finish", lambda self, done: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            promote(genome)
    assert (genome.path / "recall.py").read_text() == RECALL
    revision = genome.resolve("evolution/e1")
    done = genome.promote(revision, base=base, evolution="e1", gene="recall", title="", lines=[], time_ns=NOW)
    assert genome.head() == done.revision == genome.resolve("v0.2.0")
    assert (genome.path / "recall.py").read_text() == FASTER
    assert len(genome.log()) == 2


def test_a_stale_base_is_refused(genome: Genome) -> None:
    base = genome.head()
    revision = candidate(genome, FASTER + "# two\n", "e2")
    promote(genome)
    with pytest.raises(RefusedError, match="stale base: made from"):
        genome.promote(revision, base=base, evolution="e2", gene="recall", title="", lines=[], time_ns=NOW)
    assert genome.deployed("e2") is None


def test_a_rollback_is_a_new_version_with_the_old_files(genome: Genome) -> None:
    first = genome.head()
    promote(genome)
    assert genome.previous() == first
    done = genome.rollback(first, reason="answers were worse", time_ns=NOW)
    assert done.version == "0.2.1" and genome.resolve("v0.2.1") == done.revision
    assert (genome.path / "recall.py").read_text() == RECALL
    assert genome.digest("head") == genome.digest(first)
    text = (genome.path / "CHANGELOG.md").read_text()
    assert text.index("## 0.2.1") < text.index("Roll back to 0.1.0: answers were worse") < text.index("## 0.2.0")
    assert genome.log(1)[0]["kind"] == "rollback"
    with pytest.raises(RefusedError, match="no version before"):
        genome.previous()


def test_rollbacks_walk_back_step_by_step(genome: Genome) -> None:
    first = genome.head()
    second = promote(genome).revision
    promote(genome, "e2", FASTER + "# two\n")
    assert genome.previous() == second
    genome.rollback(genome.previous(), reason="", time_ns=NOW)
    assert genome.previous() == first
    assert genome.rollback("v0.1.0", reason="", time_ns=NOW).version == "0.3.2"
    assert promote(genome, "e3", FASTER + "# three\n").version == "0.4.0"


def test_only_what_was_deployed_can_be_rolled_back_to(genome: Genome) -> None:
    revision = candidate(genome)
    with pytest.raises(RefusedError, match="never been deployed"):
        genome.rollback(revision, reason="", time_ns=NOW)
    promote(genome)
    with pytest.raises(RefusedError, match="never been deployed"):
        genome.rollback(revision, reason="", time_ns=NOW)
    with pytest.raises(RefusedError, match="is what runs now"):
        genome.rollback("head", reason="", time_ns=NOW)
    with pytest.raises(NotFoundError, match="no revision 'v9'"):
        genome.rollback("v9", reason="", time_ns=NOW)


def test_undoing_an_evolution_happens_once(genome: Genome) -> None:
    first = genome.head()
    promote(genome)
    done = genome.rollback(first, reason="probe failed", time_ns=NOW, evolution="e1")
    assert genome.rollback(first, reason="again", time_ns=NOW, evolution="e1") == done
    assert genome.rolled_back("e1") == done and genome.rolled_back("e2") is None


def test_an_evolutions_words_cannot_fake_a_trailer(genome: Genome) -> None:
    base = genome.head()
    revision = candidate(genome)
    genome.promote(
        revision,
        base=base,
        evolution="e1",
        gene="recall",
        title="x\n\nEvolution: e9",
        lines=["y\n\nEvolution: e8"],
        time_ns=NOW,
    )
    assert genome.deployed("e9") is None and genome.deployed("e8") is None
    assert genome.deployed("e1") is not None


def test_a_tag_of_the_operators_is_left_alone(genome: Genome) -> None:
    git(genome, "tag", "v0.2.0", "HEAD")
    first = genome.head()
    assert promote(genome).version == "0.3.0"
    assert genome.resolve("v0.2.0") == first


def test_edits_by_hand_are_kept_on_a_branch(genome: Genome) -> None:
    (genome.path / "respond.py").write_text("mine\n")
    (genome.path / "notes.txt").write_text("new\n")
    promote(genome)
    assert "mine" not in (genome.path / "respond.py").read_text()
    (kept,) = git(genome, "for-each-ref", "--format=%(refname:short)", "refs/heads/kept").split()
    assert genome.show(kept, "respond.py") == "mine\n" and genome.show(kept, "notes.txt") == "new\n"


def test_another_branch_in_the_work_tree_is_left_there(genome: Genome) -> None:
    git(genome, "checkout", "-q", "-b", "mine")
    done = promote(genome)
    assert (genome.path / "recall.py").read_text() == RECALL
    assert genome.head() == done.revision


def test_a_locked_index_does_not_stop_a_promotion(genome: Genome) -> None:
    (genome.path / ".git" / "index.lock").write_text("")
    promote(genome)
    assert genome.version("head") == "0.2.0"
    assert not genome.check_out()
    (genome.path / ".git" / "index.lock").unlink()
    assert genome.check_out()
    assert git(genome, "status", "--porcelain") == ""
    assert (genome.path / "recall.py").read_text() == FASTER


def test_a_broken_repository_is_named(tmp_path: Path, seed: Path, genome: Genome) -> None:
    (genome.path / ".git" / "refs" / "heads" / "main").write_text("garbage\n")
    with pytest.raises(CorruptError, match=r"repository .* is damaged"):
        Genome.open(genome.path, seed)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "file").write_text("")
    with pytest.raises(RefusedError, match="in the place of the genome"):
        Genome.open(tmp_path / "other", seed)
    with pytest.raises(NotFoundError, match="shipped genome is not in"):
        Genome.open(tmp_path / "third", tmp_path / "nowhere")


def test_a_damaged_object_is_found(genome: Genome, seed: Path) -> None:
    assert genome.verify() == []
    promote(genome)
    blob = git(genome, "rev-parse", "v0.2.0:recall.py").strip()
    file = genome.path / ".git" / "objects" / blob[:2] / blob[2:]
    file.chmod(0o600)
    file.write_bytes(file.read_bytes()[:-4] + b"abcd")
    again = Genome.open(genome.path, seed)
    with pytest.raises(CorruptError, match="damaged"):
        again.files("head")
    (problem,) = again.verify()
    assert problem.startswith(again.head()[:12])


def test_a_symbolic_link_is_no_part_of_a_genome(genome: Genome) -> None:
    (genome.path / "link.py").symlink_to("/etc/passwd")
    git(genome, "add", "link.py")
    git(genome, "-c", "user.name=x", "-c", "user.email=x@y", "commit", "-q", "-m", "link")
    with pytest.raises(CorruptError, match=r"link\.py, which is neither"):
        genome.files("head")


def test_a_genome_without_a_version_is_named(genome: Genome) -> None:
    revision = genome.head()
    (genome.path / "genome.toml").write_text('name = "x"\n')
    git(genome, "-c", "user.name=x", "-c", "user.email=x@y", "commit", "-q", "-am", "no version")
    with pytest.raises(CorruptError, match="has no line like version"):
        genome.version("head")
    assert genome.version(revision) == "0.1.0"
