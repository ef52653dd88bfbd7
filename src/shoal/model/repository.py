"""Repositories as tasks name them: owner/name, a URL or a path. A login has no place there: names are stored and shown.

Where a repository of a name really is: adapters/git/address.py.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from shoal.errors import BadInput

_URL = re.compile(r"(?:([a-z0-9+.-]+):)?//([^/?#]*)(.*)", re.IGNORECASE | re.DOTALL)
_BARE = re.compile(r"[^/@]*:[^/@]*@(.*)", re.DOTALL)  # user:password@host/path without a scheme
_HOST = re.compile(r"(\[[^\]]*\]|[^:\[\]]*)(:\d*)?")  # anything else is a password with a slash in it
_OF_SSH = frozenset({"ssh", "git+ssh", "ssh+git"})


def without_login(name: str) -> str:
    """The name as it may be stored and shown: the same, where no login, query or fragment stands in it."""
    while (clean := _stripped(name)) != name:
        name = clean
    return name


def check_repositories(names: Iterable[str]) -> None:
    """Raise BadInput for a name with a login in it; the message names the repository without it."""
    for name in names:
        clean = without_login(name)
        if clean != name:
            raise BadInput(
                f"the repository {clean} is given with a login, or with a ? or # behind its path, and that would be "
                f"stored; name it {clean}, and leave the login to git's credential helper or to `url` under "
                f'[repositories."{clean}"] in shoal.toml',
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
