"""What must not be told or stored in clear, in texts that others wrote: tokens, keys, and who logs in by a URL."""

from __future__ import annotations

import re

HIDDEN = "[hidden]"
_TOKEN = re.compile(
    r"gh[pousr]_[A-Za-z0-9_.-]{16,}|github_pat_[A-Za-z0-9_]{16,}|eyJ[\w-]{10,}(?:\.[\w-]*){1,2}"
    r"|(?<=://)[^\s/@]{1,500}@"
    r"|(?<=[Bb]earer )\S{8,}|(?<=[Bb]asic )[A-Za-z0-9+/_=-]{8,}"
)
_KEY = re.compile(r"(?<![0-9A-Za-z])[0-9a-fA-F]{40}(?![0-9A-Za-z])")  # of an attempt


def veiled(text: str) -> str:
    """A text without what looks like a token of GitHub, an authorization, or the name and password in a URL."""
    return _TOKEN.sub(lambda found: f"{HIDDEN}@" if found[0].endswith("@") else HIDDEN, text)


def veiled_name(name: str | int) -> str:
    """The same of what somebody calls a thing, which may be an attempt's key by mistake."""
    return _KEY.sub(HIDDEN, veiled(str(name)))
