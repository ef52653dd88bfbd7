"""Repositories as tasks name them: owner/name, a URL or a path. A login has no place there: names are stored and shown.

Where a repository of a name really is: adapters/git/address.py.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

from shoal.errors import BadInput

_URL = re.compile(r"(?:([a-z0-9+.-]+):)?//([^/?#]*)(.*)", re.IGNORECASE | re.DOTALL)
_BARE = re.compile(r"[^/@]*:[^/@]*@(.*)", re.DOTALL)  # user:password@host/path without a scheme
_HOST = re.compile(r"(\[[^\]]*\]|[^:\[\]]*)(:\d*)?")  # anything else is a password with a slash in it
_WITH_USER = re.compile(r"ssh://[\w.+-]+@[^@]*|[\w.+-]+@[\w.-]+:[^@]*", re.ASCII | re.IGNORECASE)  # no password in it
_ADDRESS = re.compile(r"^[a-z0-9+.-]+://([\w.+-]+@)?\[[0-9a-f:.]+\]", re.ASCII | re.IGNORECASE)  # of IPv6
_UNFIT = re.compile(r"[\s\x00-\x20\x7f-\x9f]+")
_OF_SSH = frozenset({"ssh", "git+ssh", "ssh+git"})


def without_login(name: str) -> str:
    """The name as it may be stored and shown: the same, where no login, query or fragment stands in it.

    Where it is not clear what a login would be, `…/` and what stands behind the last @.
    """
    clean = name
    while (shorter := _stripped(clean)) != clean:
        clean = shorter
    if _is_plain(clean):
        return clean
    if _is_plain(clean.strip()):
        return clean.strip()
    rest = re.split(r"[?#]", unicodedata.normalize("NFKC", clean).rpartition("@")[2], maxsplit=1)[0]
    # Not the rest alone: that would read as the name of another repository.
    return f"…/{re.sub('::+', ':', _UNFIT.sub('', rest)).lstrip('/')}"


def check_repositories(names: Iterable[str]) -> None:
    """Raise BadInput for a name with a login in it; the message names the repository without it."""
    for name in names:
        clean = without_login(name)
        if clean != name:
            name_it, named = (f"name it {clean}, and ", clean) if not clean.startswith("…/") else ("", "NAME")
            raise BadInput(
                f"the repository {clean} is given with a login, or with what may hide one and would be stored: an @ "
                "other than in ssh://user@host/path and user@host:path, a blank, ::, or a ? or # behind the path; "
                f"{name_it}leave the login to git's credential helper or to `url` under "
                f'[repositories."{named}"] in shoal.toml',
                field="repos",
            )


def _stripped(name: str) -> str:
    url = _URL.match(name.strip())
    if url is None:
        bare = _BARE.match(name)
        return bare[1] if bare else name
    scheme, place, rest = url[1], url[2], url[3]
    user, at, host = place.rpartition("@")
    if not at and "@" in rest and not _HOST.fullmatch(place):
        place, rest = rest.rpartition("@")[2], ""
    elif at and ((scheme or "").lower() not in _OF_SSH or ":" in user):
        place = host
    path = re.split(r"[?#]", rest, maxsplit=1)[0]
    clean = f"{scheme}://{place}{path}" if scheme else f"//{place}{path}"
    return name if clean == name.strip() else clean


def _is_plain(name: str) -> bool:
    """Whether a name has neither what may be a login, nor blanks, nor what git takes for a helper to run."""
    if _UNFIT.search(name) or "::" in _ADDRESS.sub("", name):
        return False
    return "@" not in unicodedata.normalize("NFKC", name) or _WITH_USER.fullmatch(name) is not None
