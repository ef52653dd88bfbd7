"""What the code of a checkout has: make targets, npm scripts, commands, flags, variables, ports. It is read, never run.

Answers lean towards yes: where the code could have something in a way that reading does not show, it has it.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from posixpath import basename, dirname, splitext

from shoal.adapters.checks.checkout import Checkout
from shoal.adapters.checks.documents.pages import is_page
from shoal.model.path_pattern import fits

MAKEFILES = ("makefile", "gnumakefile", "bsdmakefile")
# Programs that write Makefiles, which are not there before they ran.
MAKERS = ("CMakeLists.txt", "configure", "configure.ac", "Makefile.in", "Makefile.am", "Makefile.PL", "meson.build")
INCLUDE = re.compile(r"^-?s?include[ \t]+(.+)$", re.MULTILINE)
VARIABLE = re.compile(r"\$\([^()]*\)|\$\{[^{}]*\}|\$.|%")
# Data, pictures and archives say nothing about what a program takes.
NO_CODE = frozenset(
    {
        ".7z", ".bin", ".bmp", ".bz2", ".csv", ".db", ".dll", ".doc", ".docx", ".dylib", ".eot", ".exe", ".gif", ".gz",
        ".ico", ".jar", ".jpeg", ".jpg", ".lock", ".mo", ".mov", ".mp3", ".mp4", ".o", ".otf", ".parquet", ".pdf",
        ".png", ".pyc", ".rar", ".so", ".sqlite", ".svg", ".tar", ".tgz", ".ttf", ".wasm", ".webm", ".webp", ".whl",
        ".woff", ".woff2", ".xls", ".xlsx", ".xz", ".zip", ".zst", ".rst", ".txt", ".adoc", ".map",
    }
)  # fmt: skip


# What a text must hold to be looked at, and a regular expression for what stands there then.
Form = tuple[str, str]


class Facts:
    """What a checkout's code has; each kind is read when it is first asked for."""

    def __init__(
        self,
        checkout: Checkout,
        *,
        ignore: list[str],
        commands: Iterable[str] | None = None,
        prefixes: Iterable[str] | None = None,
    ) -> None:
        """`commands` are the project's own programs; left out, pyproject.toml, package.json and Cargo.toml say."""
        self.checkout = checkout
        self._ignore = ignore
        self._given = None if commands is None else frozenset(commands)
        self._prefixes = None if prefixes is None else frozenset(prefixes)

    @cached_property
    def code(self) -> list[str]:
        """All files that are neither documents nor data."""
        return sorted(
            path
            for path in self.checkout.files
            if not is_page(path) and splitext(path)[1].lower() not in NO_CODE and not fits(path, self._ignore)
        )

    @cached_property
    def targets(self) -> re.Pattern[str] | None:
        """What any target of any Makefile looks like; None where there is none, or where reading does not tell."""
        if any(self.checkout.by_name.get(name.lower()) for name in MAKERS):
            return None
        texts = [self.checkout.text(path) for path in sorted(self.checkout.files) if _is_makefile(path)]
        names: set[str] = set()
        for text in texts:
            if "$(eval" in text or not self._has_included(text):
                return None
            names.update(_targets(text))
        patterns = {VARIABLE.sub("*", name) for name in names}
        if not patterns or "*" in patterns:
            return None
        return re.compile("|".join(re.escape(one).replace(r"\*", ".*") for one in sorted(patterns)))

    def _has_included(self, text: str) -> bool:
        names = [one for line in INCLUDE.findall(text) for one in line.split()]
        return all(basename(one).lower() in self.checkout.by_name for one in names)

    @cached_property
    def scripts(self) -> frozenset[str] | None:
        """All scripts of all package.json; None where there is none."""
        found = [_table(one, "scripts") for one in self._packages]
        return frozenset(name for scripts in found for name in scripts) if found else None

    @cached_property
    def commands(self) -> frozenset[str]:
        """The project's own programs."""
        if self._given is not None:
            return self._given
        found: set[str] = set()
        for path in self.checkout.by_name.get("pyproject.toml", ()):
            about = _toml(self.checkout.text(path))
            found.update(_table(_table(about, "project"), "scripts"))
            found.update(_table(_table(_table(about, "tool"), "poetry"), "scripts"))
        for one in self._packages:
            programs = one.get("bin")
            if isinstance(programs, dict):
                found.update(programs)
            elif isinstance(programs, str) and isinstance(one.get("name"), str):
                found.add(str(one["name"]).rpartition("/")[2])
        for path in self.checkout.by_name.get("cargo.toml", ()):
            about = _toml(self.checkout.text(path))
            programs = about.get("bin")
            if isinstance(programs, list):
                found.update(str(one["name"]) for one in programs if isinstance(one, dict) and "name" in one)
            elif self.checkout.has(f"{dirname(path)}/src/main.rs".lstrip("/")):
                found.add(str(_table(about, "package").get("name", "")))
        return frozenset(found - {""})

    @cached_property
    def prefixes(self) -> frozenset[str]:
        """What the project's own environment variables begin with: the names of its programs."""
        if self._prefixes is not None:
            return self._prefixes
        return frozenset(f"{re.sub(r'[^A-Z0-9]', '_', name.upper())}_" for name in self.commands)

    def without(self, wanted: Mapping[str, Sequence[Form]]) -> set[str]:
        """Those names that the code has in none of their forms; reads every file of it once."""
        left = {
            name: [(plain.encode(), re.compile(pattern.encode())) for plain, pattern in forms]
            for name, forms in wanted.items()
        }
        for path in self.code:
            data = self.checkout.data(path) if left else b""
            if b"\0" not in data[:1000]:
                found = [name for name, forms in left.items() if any(p in data and r.search(data) for p, r in forms)]
                for name in found:
                    del left[name]
        return set(left)

    @property
    def _packages(self) -> Iterator[dict[str, object]]:
        for path in self.checkout.by_name.get("package.json", ()):
            if not fits(path, self._ignore):
                try:
                    about = json.loads(self.checkout.text(path))
                except ValueError:
                    continue
                if isinstance(about, dict):
                    yield about


def _is_makefile(path: str) -> bool:
    name = basename(path).lower()
    return name in MAKEFILES or name.endswith((".mk", ".mak")) or name.startswith("makefile.")


def _targets(text: str) -> Iterator[str]:
    for line in text.replace("\\\n", " ").splitlines():
        names, colon, rest = line.partition(":")
        if colon and not line.startswith(("\t", " ", "#")) and "=" not in names and not rest.startswith(("=", ":=")):
            yield from names.split()
            if names.strip() == ".PHONY":
                yield from rest.split()


def _table(about: object, key: str) -> dict[str, object]:
    found = about.get(key) if isinstance(about, dict) else None
    return found if isinstance(found, dict) else {}


def _toml(text: str) -> dict[str, object]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return {}
