"""Where a repository is: its name, its URL, the credentials that stood in it, and its mirror's folder."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path, PurePosixPath
from urllib.parse import SplitResult, unquote, urlsplit, urlunsplit

from msgspec import Struct

from shoal.errors import WorkspaceError

GITHUB = "https://github.com"
SCHEMES = ("https", "http", "ssh", "git", "file")
_OWNER_AND_NAME = re.compile(r"([A-Za-z0-9][A-Za-z0-9-]{0,99})/([A-Za-z0-9._-]{1,100}?)(\.git)?", re.ASCII)
_OF_SSH = re.compile(r"([\w.+-]+@)?[A-Za-z0-9][\w.-]*:[^:\s]\S*", re.ASCII)


class Address(Struct, frozen=True):
    """A repository as it may be shown and stored; `login` is (user, password), and may not."""

    name: str
    url: str
    mirror: PurePosixPath
    login: tuple[str, str] | None = None

    def __repr__(self) -> str:
        return f"Address({self.name!r}, {self.url!r})"


def address_of(name: str, url: str | None = None) -> Address:
    """Where the repository of that name is: at the URL or path given, else at what the name says.

    Raises WorkspaceError for a relative path, and for what git would not take or must not run.
    """
    known = _OWNER_AND_NAME.fullmatch(name)
    if known is not None and known[2] in {".", ".."}:
        known = None
    if url is None and known is not None:
        url = f"{GITHUB}/{known[1]}/{known[2]}.git"
    clean, login = _read(name, url or name)
    shown = name if url is not None else clean
    return Address(shown, clean, _folder(known, shown, clean), login)


def _read(name: str, given: str) -> tuple[str, tuple[str, str] | None]:
    if re.search(r"[\x00-\x20\x7f]", given) or given.startswith("-"):
        raise WorkspaceError(
            f"the address of {_shown(name)} has a space or a dash where none may be; quote it as a URL"
        )
    if "://" in given:
        return _read_url(name, given)
    path = Path(given).expanduser() if given.startswith(("/", "~/")) else None
    if path is not None and path.is_absolute():
        return str(path), None
    if _OF_SSH.fullmatch(given):
        return given, None
    raise WorkspaceError(
        f"{name} is neither owner/name nor a URL nor an absolute path; say where it is in shoal.toml: "
        f'[repositories."{name}"] url = "https://…" or "/path/to/it"'
    )


def _read_url(name: str, given: str) -> tuple[str, tuple[str, str] | None]:
    try:
        parts = urlsplit(given)
        host = parts.hostname
    except ValueError:
        raise WorkspaceError(f"the address of {_shown(name)} is no URL") from None
    if parts.scheme not in SCHEMES:
        raise WorkspaceError(f"{_shown(name)}: git is not asked for {parts.scheme}://; use one of {', '.join(SCHEMES)}")
    if parts.scheme != "file" and (not host or host.startswith("-")):
        raise WorkspaceError(f"the address of {_shown(name)} names no host")
    if parts.query or parts.fragment:
        raise WorkspaceError(
            f"the address of {_shown(name)} has a ? or #; leave out what follows, git has no use for it"
        )
    if parts.scheme == "ssh":
        user = f"{parts.username}@" if parts.username else ""
        return urlunsplit(parts._replace(netloc=user + _host(parts))), None
    login = (unquote(parts.username or ""), unquote(parts.password or "")) if "@" in parts.netloc else None
    return urlunsplit(parts._replace(netloc=_host(parts))), login


def _host(parts: SplitResult) -> str:
    return parts.netloc.rpartition("@")[2]


def _folder(known: re.Match[str] | None, name: str, url: str) -> PurePosixPath:
    if known is not None:
        return PurePosixPath(known[1], f"{known[2]}.git")
    readable = re.sub(r"[^A-Za-z0-9]+", "-", name.removesuffix(".git"), flags=re.ASCII).strip("-")[-40:].strip("-")
    # No owner on GitHub is called _, and two names that read the same differ in this.
    return PurePosixPath("_", f"{readable}-{hashlib.sha256(f'{name} {url}'.encode()).hexdigest()[:10]}.git")


def _shown(name: str) -> str:
    """A name that may hold a password, as it may be shown."""
    scheme, mark, rest = name.partition("://")
    return f"{scheme}://{rest.rpartition('@')[2].partition('?')[0]}" if mark else name
