"""Credentials of a remote: given to git by its environment, kept out of its configuration and of messages."""

from __future__ import annotations

import base64
import re
from urllib.parse import urlsplit, urlunsplit

from shoal.errors import GitError

LOOPBACK = ("127.0.0.1", "::1", "localhost")
_PASSWORD = re.compile(r"(?<=://)[^/\s]*(?=@)|(?<=[?&])[^=\s]*(?:token|password|secret|key)[^=\s]*=[^&\s'\"]+", re.I)


def environment(remote: str, token: str | None, settings: int, *, user: str = "x-access-token") -> dict[str, str]:
    """The token as a header for this remote's host and no other, behind so many settings that git is given already.

    Raises GitError when it would travel unencrypted.
    """
    url = urlsplit(remote)
    if not token or not url.scheme.startswith("http") or not url.hostname:
        return {}
    if url.scheme == "http" and url.hostname not in LOOPBACK:
        raise GitError(f"the remote {url.hostname} is not encrypted, so the token is not sent there; use https")
    basic = base64.b64encode(f"{user}:{token}".encode()).decode()
    host = url.netloc.rpartition("@")[2]
    given = {
        f"http.{url.scheme}://{host}/.extraHeader": f"Authorization: Basic {basic}",
        "http.followRedirects": "false",
    }
    found = {"GIT_CONFIG_COUNT": str(settings + len(given))}
    for number, (key, value) in enumerate(given.items(), settings):
        found |= {f"GIT_CONFIG_KEY_{number}": key, f"GIT_CONFIG_VALUE_{number}": value}
    return found


def redacted(text: str) -> str:
    """Text without the passwords of the URLs in it."""
    return _PASSWORD.sub("***", text)


def without_credentials(url: str) -> str:
    """A remote's URL as it may be stored."""
    parts = urlsplit(url)
    if not parts.scheme.startswith("http") or "@" not in parts.netloc:
        return url
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
