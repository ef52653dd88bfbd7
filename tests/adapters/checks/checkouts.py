"""Checkouts that tests write, and what the checks find in them."""

from __future__ import annotations

import subprocess
import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from shoal.adapters.checks import convention_scan, doc_health
from shoal.adapters.checks.check import Context
from shoal.model.check import Finding


def write(root: Path, files: Mapping[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text).lstrip("\n"), encoding="utf-8", errors="surrogateescape")
    return root


def git(root: Path, *arguments: str) -> None:
    named = ("-c", "user.name=Ada", "-c", "user.email=ada@localhost", "-c", "init.defaultBranch=main")
    subprocess.run(["git", *named, *arguments], cwd=root, check=True, capture_output=True)


def commit(root: Path, message: str = "Change", *, at: str = "2026-01-01T00:00:00Z") -> None:
    if not (root / ".git").exists():
        git(root, "init", "-q")
    git(root, "add", "-A")
    named = ("-c", "user.name=Ada", "-c", "user.email=ada@localhost")
    environment = {"GIT_AUTHOR_DATE": at, "GIT_COMMITTER_DATE": at, "PATH": "/usr/bin:/bin:/usr/local/bin"}
    subprocess.run(["git", *named, "commit", "-qm", message], cwd=root, check=True, env=environment)


def documents(folder: Path, **options: Any) -> list[Finding]:
    given = msgspec.convert(options, doc_health.Options)
    return list(doc_health.run(Context(root=folder, options=given)))


def conventions(folder: Path, warned: list[str] | None = None, **options: Any) -> list[Finding]:
    given = msgspec.convert(options, convention_scan.Options)
    warn = (warned if warned is not None else []).append
    return list(convention_scan.run(Context(root=folder, options=given, warn=warn)))


def told(findings: list[Finding]) -> list[str]:
    """Where and by which rule, in order: what a person reads first."""
    return [f"{one.file}:{one.line} {one.rule}" for one in findings]
