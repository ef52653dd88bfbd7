"""A repository that tries to run programs: every way that git has, by its files, its configuration and its objects."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from tests.adapters.test_tree import git

ATTRIBUTES = """\
* merge=local
*.md diff=local filter=local
MINE.md diff=mine filter=mine
docs/*.md diff=mine filter=mine
*.txt filter=process
*.ini diff=included
*.cfg diff=worktree
"""
# What they name is set in the user's own configuration, so that only the repository's part of it is hostile.
OF_THE_USER = (
    "diff.external",
    "diff.mine.textconv",
    "diff.mine.command",
    "filter.mine.clean",
    "filter.mine.smudge",
    "gpg.program",
)
PROGRAMS = (
    *("core.fsmonitor", "core.pager", "core.editor", "core.sshCommand", "core.gitProxy", "core.askPass"),
    *("core.alternateRefsCommand", "credential.helper", "sequence.editor", "interactive.diffFilter"),
    *("diff.external", "diff.local.command", "diff.local.textconv"),
    *("filter.local.clean", "filter.local.smudge", "filter.process.process", "merge.local.driver"),
    *("gpg.program", "gpg.x509.program", "gpg.ssh.program", "uploadpack.packObjectsHook", "remote.origin.uploadpack"),
    *("alias.{0}", "pager.{0}"),
)
COMMANDS = ("log", "diff", "show", "blame", "grep", "ls-files", "rev-parse", "status", "cat-file", "check-ignore")
HOOKS = (
    *("post-index-change", "pre-auto-gc", "post-checkout", "pre-commit", "post-commit", "reference-transaction"),
    *("fsmonitor-watchman", "post-rewrite", "pre-push", "prepare-commit-msg", "commit-msg"),
)
SIGNATURE = "gpgsig -----BEGIN PGP SIGNATURE-----\n \n bm8=\n -----END PGP SIGNATURE-----\n"


class HostileRepository:
    """A repository in `root`, all traps set. `fell` says which of them ran something."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "pond"
        self._ran = folder / "ran"
        self._programs = folder / "programs"
        for one in (self.root, self._ran, self._programs):
            one.mkdir()
        user = folder / ".gitconfig"
        for name in OF_THE_USER:
            git(folder, "config", "--file", str(user), name, str(self._program(f"user.{name}")))
        git(folder, "config", "--file", str(user), "log.showSignature", "true")
        git(self.root, "init", "-q", "-b", "main")
        self._harmless = (self.root / ".git/config").read_bytes()

    @property
    def fell(self) -> set[str]:
        """The traps that somebody fell into."""
        return {one.name for one in self._ran.iterdir()}

    def commit(self, **files: str) -> str:
        """Commit what is there, with these files, by a signature that nobody made; it disarms while it does so."""
        self._disarm()
        for name, text in files.items():
            path = self.root / name.replace("__", "/").replace("_", ".")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        self._git("add", "-A")
        self._git("commit", "-qm", "On")
        head, _, message = self._git("cat-file", "commit", "HEAD").partition("\n\n")
        signed = f"{head}\n{SIGNATURE}\n{message}\n"
        made = self._git("hash-object", "-t", "commit", "-w", "--stdin", given=signed)
        self._git("update-ref", "HEAD", made)
        self.arm()
        return made

    def rename(self, old: str, new: str) -> None:
        """Give a file another name, in the index too."""
        self._disarm()
        self._git("mv", old, new)
        self.arm()

    def lose(self, revision: str) -> None:
        """Take an object away, as it is in a clone that fetches it when it is asked for."""
        name = self._git("rev-parse", revision)
        (self.root / ".git/objects" / name[:2] / name[2:]).unlink()

    def arm(self) -> None:
        """Set every trap, and make git look at every file anew."""
        inner = self.root / ".git"
        for place in (inner, self.root / "sub/.git"):
            if place.is_dir():
                self._arm(place)
        (inner / "info").mkdir(exist_ok=True)
        (inner / "info/attributes").write_text("*.rst diff=local filter=local\n")
        for path in self.root.rglob("*"):
            if path.is_file() and inner not in path.parents:
                os.utime(path)

    def _arm(self, place: Path) -> None:
        config = place / "config"
        values = {
            "core.attributesFile": str(self._write("attributes", "*.py diff=local filter=local\n")),
            "core.hooksPath": str(self._hooks("configured")),
            "core.repositoryformatversion": "1",
            "diff.submodule": "log",
            "extensions.partialClone": "origin",
            "extensions.worktreeConfig": "true",
            "gc.auto": "1",
            "include.path": str(
                self._write("included.config", f'[diff "included"]\n\ttextconv = {self._program("included")}\n')
            ),
            "log.showSignature": "true",
            "protocol.ext.allow": "always",
            "remote.origin.fetch": "+refs/heads/*:refs/remotes/origin/*",
            "remote.origin.promisor": "true",
            "remote.origin.url": str(self.root),
            "status.submoduleSummary": "true",
            "submodule.recurse": "true",
        }
        for name in PROGRAMS:
            for one in (name.format(each) for each in COMMANDS) if "{" in name else (name,):
                bang = "!" if one.startswith(("alias.", "credential.")) else ""
                values[one] = f"{bang}{self._program(one)}"
        lines = (f"[{_section(name)}]\n\t{name.rpartition('.')[2]} = {value}\n" for name, value in values.items())
        config.write_bytes(self._harmless + "".join(lines).encode())
        (place / "config.worktree").write_text(f'[diff "worktree"]\n\ttextconv = {self._program("worktree")}\n')
        shutil.copytree(self._hooks("own"), place / "hooks", dirs_exist_ok=True)

    def _git(self, *arguments: str, given: str = "") -> str:
        """Git, without what the user has configured."""
        who = {
            f"GIT_{role}_{name}": "ana@example.org" for role in ("AUTHOR", "COMMITTER") for name in ("NAME", "EMAIL")
        }
        ran = subprocess.run(
            ["git", *arguments],
            cwd=self.root,
            input=given,
            env=os.environ | who | {"GIT_CONFIG_GLOBAL": os.devnull},
            capture_output=True,
            text=True,
            check=True,
        )
        return ran.stdout.strip()

    def _disarm(self) -> None:
        for place in (self.root / ".git", self.root / "sub/.git"):
            if place.is_dir():
                (place / "config").write_bytes(self._harmless)
                shutil.rmtree(place / "hooks", ignore_errors=True)

    def _hooks(self, name: str) -> Path:
        folder = self._programs / f"hooks-{name}"
        folder.mkdir(exist_ok=True)
        for hook in HOOKS:
            shutil.copy2(self._program(f"{name} hook {hook}"), folder / hook)
        return folder

    def _program(self, name: str) -> Path:
        file = self._write(name.replace(" ", "-"), f"#!/bin/sh\n: > '{self._ran}/{name}'\nexit 1\n")
        file.chmod(0o755)
        return file

    def _write(self, name: str, text: str) -> Path:
        file = self._programs / name
        file.write_text(text)
        return file


def _section(name: str) -> str:
    first, _, rest = name.partition(".")
    inner = rest.rpartition(".")[0]
    return f'{first} "{inner}"' if inner else first
