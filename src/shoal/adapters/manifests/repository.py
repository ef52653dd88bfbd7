"""A git repository of manifests: cloned into the home, fetched at each look, read without a checkout."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Hashable
from pathlib import Path

from shoal.adapters.git import credentials
from shoal.adapters.git.address import address_of
from shoal.adapters.git.program import Program
from shoal.adapters.manifests.files import DEFAULTS
from shoal.adapters.manifests.written import LIMIT_BYTES, SUFFIXES, Text
from shoal.adapters.processes import lock
from shoal.clock import monotonic_seconds
from shoal.errors import BadInput, GitError
from shoal.settings import GITHUB_TOKEN

SECONDS = 60.0  # for a fetch
REF = "refs/shoal/manifest"
_OF_SSH = re.compile(r"([\w.+-]+@)[\w.-]+:\S+")


def is_repository(setting: str) -> bool:
    """Whether the setting means a git repository: a URL, host:path with a user, or what ends with .git."""
    url, _, _ = setting.partition("#")
    return "://" in url or url.endswith(".git") or _OF_SSH.fullmatch(url) is not None


class Repository:
    """`URL#BRANCH:PATH`; without a branch its HEAD; without a path jobs.toml, jobs.yaml, the folder jobs, or all."""

    def __init__(self, home: Path, setting: str, fetch_seconds: int) -> None:
        url, _, rest = setting.partition("#")
        branch, _, path = rest.partition(":")
        if not re.fullmatch(r"([\w./+-]+)?", branch) or branch.startswith("-"):
            raise BadInput(f"jobs: {branch!r} cannot name a branch; write URL#BRANCH:PATH", field="jobs")
        self._address = address_of(url)
        self._path = path.strip("/")
        self._branch = branch or "HEAD"
        self._fetch_seconds = fetch_seconds
        self._began = monotonic_seconds()
        self._folder = home / "manifests" / self._address.mirror
        self._around = {"GIT_DIR": str(self._folder)}
        self._git: Program | None = None

    def mark(self) -> Hashable:
        """Another one each time that a fetch is due."""
        return int((monotonic_seconds() - self._began) / self._fetch_seconds)

    def read(self) -> tuple[list[Text], str]:
        """Fetch, then the files and their commit. Raises GitError when it cannot be fetched, BadInput without any."""
        self._folder.mkdir(parents=True, exist_ok=True)
        # Two servers of one home would trip over each other.
        with lock.held(self._folder.with_name(f"{self._folder.name}.lock"), SECONDS) as ours:
            if not ours:
                raise GitError(f"{self._address.name} is fetched by another process for too long")
            commit = self._fetch()
            texts = [Text(name, self._run("cat-file", "blob", blob)) for name, blob in self._listed(commit)]
        if not texts:
            where = f"{self._path} in {self._address.name}" if self._path else self._address.name
            raise BadInput(
                f"there is no manifest at {where} (commit {commit[:10]}); jobs stay as they are, and an empty one has "
                "none",
                field="jobs",
            )
        return texts, commit

    def _fetch(self) -> str:
        self._git = Program(
            self._folder, timeout_seconds=SECONDS, login_advice="give git a credential helper, or set $" + GITHUB_TOKEN
        )
        if self._git.run("rev-parse", "--git-dir", environment=self._around, codes=(0, 128)).returncode:
            for left in self._folder.iterdir():
                shutil.rmtree(left) if left.is_dir() else left.unlink()
            self._run("init", "--quiet", "--bare")
        self._run(
            *("fetch", "--quiet", "--force", "--depth=1", "--no-tags", "--no-write-fetch-head"),
            *("--no-recurse-submodules", self._address.url, f"+{self._branch}:{REF}"),
            environment=self._login(),
        )
        return self._run("rev-parse", f"{REF}^{{commit}}").decode().strip()

    def _listed(self, commit: str) -> list[tuple[str, str]]:
        """The names and blobs of the files that count."""
        found: dict[str, str] = {}
        for line in self._run("ls-tree", "-r", "-z", "--full-tree", "-l", commit).decode().split("\0"):
            about, mark, name = line.partition("\t")
            if not mark:
                continue
            mode, _, blob, size = about.split()
            is_hidden = any(part.startswith(".") for part in name.split("/"))
            if mode.startswith("100") and name.endswith(SUFFIXES) and not is_hidden:
                if int(size) > LIMIT_BYTES and self._counts(name):
                    raise BadInput(f"{name} has {size} bytes, a manifest {LIMIT_BYTES} at most", field="jobs")
                found[name] = blob
        counting = [name for name in found if self._counts(name)]
        if not self._path:
            own = [name for name in found if name in DEFAULTS] or [name for name in found if name.startswith("jobs/")]
            counting = own or counting
        return [(name, found[name]) for name in sorted(counting)]

    def _counts(self, name: str) -> bool:
        return not self._path or name == self._path or name.startswith(f"{self._path}/")

    def _login(self) -> dict[str, str]:
        assert self._git is not None  # noqa: S101 - made before
        user, password = self._address.login or ("", "")
        token = password or user
        if not token and self._address.url.startswith("https://github.com/"):
            token = os.environ.get(GITHUB_TOKEN, "")
        return credentials.environment(
            self._address.url, token, len(self._git.configuration), user=user if password else "x-access-token"
        )

    def _run(self, *arguments: str, environment: dict[str, str] | None = None) -> bytes:
        assert self._git is not None  # noqa: S101 - made before
        return self._git.run(*arguments, environment=self._around | (environment or {})).stdout
