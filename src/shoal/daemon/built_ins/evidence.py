"""What stands against a change of files: paths that it must not touch, and secrets that it adds."""

from __future__ import annotations

import hashlib

import msgspec
from msgspec import Struct

from shoal.adapters.forges.forge import ChangedFile
from shoal.adapters.screens import paths, secrets
from shoal.adapters.screens.hit import Hit, shown

RULES = 2  # grows when the same commit may be judged otherwise than before


class Terms(Struct, frozen=True):
    """What holds for one repository."""

    allowed: list[str]
    forbidden: list[str]
    merge: str
    base: str | None

    @property
    def rules(self) -> str:
        """Names these terms: under others a commit is judged anew."""
        return digest([RULES, self.allowed, self.forbidden])


class Evidence(Struct):
    """What stands against a pull request, what is waited for, and what is said beside that."""

    findings: list[str]
    waits: list[str]
    notes: list[str]


def look_into(files: list[ChangedFile], terms: Terms, evidence: Evidence) -> None:
    """Paths and secrets. A name that holds a secret itself is not shown."""
    named = [name for one in files for name in (one.path, one.before) if name is not None]
    telling = {name: found[0].kind for name in named if (found := _in_name(name))}
    hidden = {
        name: f"file {number} (its name is not shown)" for number, name in enumerate(named, start=1) if name in telling
    }
    evidence.findings += [f"{hidden[name]}: {kind} in its name" for name, kind in telling.items()]
    found = paths.scan(named, allowed=terms.allowed, forbidden=terms.forbidden)
    for one in files:
        found += secrets.scan(one.path, one.added)
        if not one.is_whole:
            found.append(Hit(one.path, 0, "is too large to be looked into"))
        if one.is_binary:
            evidence.notes.append(f"{hidden.get(one.path) or shown(one.path)}: is binary and was not looked into")
    for finding in found:
        told = str(msgspec.structs.replace(finding, path=hidden.get(finding.path, finding.path)))
        if finding.allowed:
            evidence.notes.append(f"{told}, which a comment there declares to be harmless")
        else:
            evidence.findings.append(told)


def _in_name(name: str) -> list[Hit]:
    return [one for one in secrets.scan("", [(1, name)]) if one.kind != secrets.DRAWN]


def digest(what: object) -> str:
    """A short name for something, the same for what is the same."""
    return hashlib.sha256(msgspec.json.encode(what)).hexdigest()[:16]
