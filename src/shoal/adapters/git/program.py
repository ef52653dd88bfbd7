"""The git program: every call bounded in time, in an environment of its own, asking nobody anything.

What people's configuration would change about bytes, hooks or signing is switched off for these calls only. A
credential travels in the environment: it is in no command line, no configuration and no log.
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path

from shoal.adapters.git import credentials
from shoal.clock import monotonic_seconds
from shoal.errors import GitError

AUTHOR = {"NAME": "Shoal", "EMAIL": "shoal@localhost"}
CONFIGURATION = {
    "advice.detachedHead": "false",
    "commit.gpgSign": "false",
    "core.autocrlf": "false",
    "core.fsmonitor": "false",
    # Without loose-object, power loss leaves commits that point at empty files; batch makes it one flush.
    "core.fsync": "committed,loose-object",
    "core.fsyncMethod": "batch",
    "core.hooksPath": os.devnull,
    "core.quotePath": "false",
    "core.untrackedCache": "true",
    "index.version": "4",
    "init.defaultBranch": "main",
    "init.defaultObjectFormat": "sha1",
    "init.defaultRefFormat": "files",
    "log.showSignature": "false",
}


class Program:
    """Git, called in one folder."""

    def __init__(
        self,
        root: Path,
        *,
        timeout_seconds: float = 120.0,
        token: str | None = None,
        login_advice: str = "set SHOAL_VAULT_TOKEN, or give git a credential helper or an SSH key",
        stop: Callable[[], bool] | None = None,
        configuration: Mapping[str, str] | None = None,
    ) -> None:
        """Calls end with a GitError when `stop` says so meanwhile. They have this configuration besides the usual."""
        self.root = root
        self._timeout = timeout_seconds
        self._token = token
        self._login_advice = login_advice
        self._stop = stop
        self.configuration = CONFIGURATION | dict(configuration or {})
        self.environment = self._make_environment()

    def run(
        self,
        *arguments: str,
        given: bytes | None = None,
        environment: Mapping[str, str] | None = None,
        codes: Iterable[int] = (0,),
    ) -> subprocess.CompletedProcess[bytes]:
        """Run git; other exit codes than these raise GitError with what git said, without credentials."""
        command = ["git", *arguments]
        try:
            process = subprocess.Popen(  # noqa: S603 - git, with arguments of ours
                command,
                cwd=self.root,
                env=self.environment | dict(environment or {}),
                stdin=subprocess.PIPE if given is not None else subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,
            )
        except FileNotFoundError:
            if self.root.is_dir():
                raise GitError("git is not on PATH; install it") from None
            raise GitError(f"there is no folder {self.root}; `shoal vault init` makes a vault") from None
        try:
            output, errors = self._communicate(process, given)
        except BaseException as error:
            os.killpg(process.pid, signal.SIGKILL)
            with suppress(subprocess.TimeoutExpired):
                process.communicate(timeout=1)  # a child that left the group may keep the pipes open
            if isinstance(error, subprocess.TimeoutExpired):
                if self._stop is not None and self._stop():
                    raise GitError(f"git {arguments[0]} in {self.root} was stopped") from None
                raise GitError(f"git {arguments[0]} took longer than {self._timeout:.0f} s in {self.root}") from None
            raise
        if process.returncode not in codes:
            raise self._error(arguments, errors.decode(errors="replace"))
        return subprocess.CompletedProcess(command, process.returncode, output, errors)

    def text(self, *arguments: str, codes: Iterable[int] = (0,)) -> str:
        """What git prints, without the last line end."""
        return self.run(*arguments, codes=codes).stdout.decode("utf-8", "surrogateescape").rstrip("\n")

    def _communicate(self, process: subprocess.Popen[bytes], given: bytes | None) -> tuple[bytes, bytes]:
        if self._stop is None:
            return process.communicate(given, timeout=self._timeout)
        deadline = monotonic_seconds() + self._timeout
        while True:
            try:
                return process.communicate(given, timeout=0.2)
            except subprocess.TimeoutExpired:
                given = None  # it is kept, and refused a second time
                if self._stop() or monotonic_seconds() > deadline:
                    raise

    def _make_environment(self) -> dict[str, str]:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
        for name in ("GIT_SSL_CAINFO", "GIT_SSH", "GIT_SSH_COMMAND", "GIT_PROXY_COMMAND", "GIT_CONFIG_GLOBAL"):
            if name in os.environ:
                environment[name] = os.environ[name]
        for number, (key, value) in enumerate(self.configuration.items()):
            environment |= {f"GIT_CONFIG_KEY_{number}": key, f"GIT_CONFIG_VALUE_{number}": value}
        for name, value in AUTHOR.items():
            environment |= {f"GIT_AUTHOR_{name}": value, f"GIT_COMMITTER_{name}": value}
        return environment | {
            "GIT_CONFIG_COUNT": str(len(self.configuration)),
            "GIT_TERMINAL_PROMPT": "0",
            "GIT_ASKPASS": "true",
            "SSH_ASKPASS": "true",
            "GIT_SSH_COMMAND": environment.get("GIT_SSH_COMMAND", "ssh -o BatchMode=yes"),
            "GIT_EDITOR": "true",
            "GIT_MERGE_AUTOEDIT": "no",
            "LC_ALL": "C",
        }

    def _error(self, arguments: tuple[str, ...], said: str) -> GitError:
        said = credentials.redacted(" ".join(said.split()))
        if "dubious ownership" in said:
            return GitError(
                f"{self.root} belongs to another user, so git refuses to work in it; if you trust it: "
                f"git config --global --add safe.directory {self.root}"
            )
        if any(word in said for word in ("Authentication failed", "could not read Username", "Permission denied")):
            said += f"; {self._login_advice}"
        return GitError(f"git {arguments[0]} in {self.root}: {said or 'failed'}")
