"""Credentials of a remote: given to git by its environment, kept out of its configuration and of messages."""

from __future__ import annotations

import base64
import os
import re
import shlex
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from shoal.errors import GitError

LOOPBACK = ("127.0.0.1", "::1", "localhost")
_PASSWORD = re.compile(r"(?<=://)[^/\s]*(?=@)|(?<=[?&])[^=\s]*(?:token|password|secret|key)[^=\s]*=[^&\s'\"]+", re.I)


def environment(
    remote: str, token: str | None, settings: int, *, user: str = "x-access-token", alone: bool = False
) -> dict[str, str]:
    """The token as a header for this remote's host and no other, behind so many settings that git is given already.

    `alone`: with nothing else for that host, whatever git's configuration has, also when there is no token.
    Raises GitError when it would travel unencrypted.
    """
    url = urlsplit(remote)
    if not (token or alone) or not url.scheme.startswith("http") or not url.hostname:
        return {}
    if token and url.scheme == "http" and url.hostname not in LOOPBACK:
        raise GitError(f"the remote {url.hostname} is not encrypted, so the token is not sent there; use https")
    place = f"{url.scheme}://{url.netloc.rpartition('@')[2]}"
    given = _cleared(place) if alone else []
    if token:
        basic = base64.b64encode(f"{user}:{token}".encode()).decode()
        given.append((f"http.{place}/.extraHeader", f"Authorization: Basic {basic}"))
    return variables([*given, ("http.followRedirects", "false")], settings)


def helped(hosts: Iterable[str], command: str) -> list[tuple[str, str]]:
    """Settings of git by which this helper alone is asked for these hosts, and told of the repository."""
    found = []
    for place in places(hosts):
        found += [
            *_cleared(place),
            (f"credential.{place}.helper", command),
            (f"credential.{place}.useHttpPath", "true"),
        ]
    return found


def places(hosts: Iterable[str]) -> list[str]:
    """The addresses at which tokens may be used: encrypted, or on this machine."""
    found = []
    for host in hosts:
        found.append(f"https://{host}")
        if urlsplit(f"//{host}").hostname in LOOPBACK:
            found.append(f"http://{host}")
    return found


def helper_command() -> str:
    """How git starts `git-credential-shoal`: that of this installation, wherever PATH leads."""
    script = Path(sys.executable).with_name("git-credential-shoal")
    if os.access(script, os.X_OK):
        return shlex.quote(str(script))
    # -P: not what lies in the repository that git is working in.
    return f"!{shlex.quote(sys.executable)} -P -m shoal.cli.git_credential"


def variables(given: Sequence[tuple[str, str]], settings: int) -> dict[str, str]:
    """Settings of git as variables, behind so many that it is given already."""
    found = {"GIT_CONFIG_COUNT": str(settings + len(given))}
    for number, (key, value) in enumerate(given, settings):
        found |= {f"GIT_CONFIG_KEY_{number}": key, f"GIT_CONFIG_VALUE_{number}": value}
    return found


def _cleared(place: str) -> list[tuple[str, str]]:
    """Nothing that was set before holds for this place: no helper, no header."""
    return [(f"credential.{place}.helper", ""), (f"http.{place}/.extraHeader", "")]


def redacted(text: str) -> str:
    """Text without the passwords of the URLs in it."""
    return _PASSWORD.sub("***", text)


def without_credentials(url: str) -> str:
    """A remote's URL as it may be stored."""
    parts = urlsplit(url)
    if not parts.scheme.startswith("http") or "@" not in parts.netloc:
        return url
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
