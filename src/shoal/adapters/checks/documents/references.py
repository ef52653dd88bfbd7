"""What a page says of the code, and the code does not have: files, commands, flags, targets, variables, ports.

Where it is not sure, it says nothing: a page may speak of another project, or of files that its reader is to write.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from posixpath import dirname, join, normpath, splitext

from msgspec import Struct

from shoal.adapters.checks.documents.facts import Facts, Form
from shoal.adapters.checks.documents.page import Page
from shoal.adapters.checks.documents.statements import Statement, statements
from shoal.model.check import Finding
from shoal.model.item import Severity

ENDINGS = frozenset(
    {
        ".bash", ".c", ".cc", ".cfg", ".cjs", ".cpp", ".cs", ".css", ".ex", ".exs", ".go", ".h", ".hpp", ".html",
        ".ini", ".java", ".js", ".json", ".jsx", ".kt", ".lua", ".md", ".mjs", ".php", ".proto", ".py", ".rb", ".rs",
        ".scss", ".sh", ".sql", ".svelte", ".swift", ".tf", ".toml", ".ts", ".tsx", ".vue", ".yaml", ".yml", ".zig",
    }
)  # fmt: skip
PATH = re.compile(r"(?:\./)?[\w@.-]+(?:/[\w@.-]+)+/?")
# Names that stand for one of the reader's.
STANDS_FOR = re.compile(
    r"(?:^|[/_.-])(?:x+|n+|y{3,}|foo|bar|baz|my|your|some|path|example\w*|name|todo|nnnn)(?:[/_.-]|$)", re.I
)
RUNNERS = frozenset({"python", "python3", "bash", "sh", "zsh", "node", "ruby", "perl", "source", "."})
BUILDERS = frozenset({"make", "npm", "pnpm", "yarn", "bun"})
# A page that tells how to begin a project of one's own.
BEGINS = re.compile(
    r"\b(?:npm|yarn|pnpm|bun|cargo|uv|go mod|git|poetry)\s+(?:init|create|new)\b|\bnpx\s+(?:\S*create|degit)"
)
WORD = re.compile(r"[a-z][a-z0-9]*(?:[-_][a-z0-9]+)*")
TARGET = re.compile(r"[A-Za-z0-9][\w-]*")
FLAG = re.compile(r"--([a-z][a-z0-9]*(?:-[a-z0-9]+)*)(?:=.*)?")
PORT = re.compile(r"(?<![\w.])(?:localhost|127\.0\.0\.1|0\.0\.0\.0|\[::1?\]):(\d{2,5})(?!\d)")
# Of programs that people know; a page may speak of them and the code not.
KNOWN_PORTS = frozenset(
    {
        22, 25, 53, 80, 443, 1025, 2375, 2379, 3306, 4317, 4318, 5432, 5672, 6379, 9000, 9090, 9092, 9200, 11211,
        11434, 27017,
    }
)  # fmt: skip
HAS_SUBCOMMANDS = "code that makes commands of commands"
SUBCOMMANDS = [(word, word) for word in ("add_parser", ".command", ".group", "add_command", "AddCommand", "ubcommand")]


class Reference(Struct, frozen=True):
    """Something that a page names."""

    rule: str
    page: str
    line: int
    name: str
    said: str

    def finding(self, *, drift: bool) -> Finding:
        """What people are told of it; `drift` says that agents go by the page."""
        return Finding(
            rule="instruction-drift" if drift else self.rule,
            severity=Severity.WARNING if drift else Severity.INFO,
            message=self.said,
            file=self.page,
            line=self.line,
            key=self.name[:200],
        )


class References:
    """All that pages name of the code, gathered first, so that the code is read once."""

    def __init__(self, facts: Facts) -> None:
        """Nothing yet."""
        self._facts = facts
        self._found: list[tuple[Reference, str | None]] = []
        self._wanted: dict[str, list[Form]] = {}
        known = "|".join(re.escape(one) for one in sorted({*BUILDERS, *RUNNERS - {"."}, *facts.commands}))
        self._programs = re.compile(rf"(?:(?<![\w-])(?:{known})|\.?/?[\w@.-]+/[\w@./-]+)(?![\w-])")

    def add(self, path: str, page: Page) -> None:
        """Take in what a page names."""
        shown = "\n".join(code.text for code in page.codes)
        begins = BEGINS.search(shown) is not None
        for statement in statements(page.codes, self._programs):
            for reference in (*self._target(path, statement), *self._script(path, statement)):
                # What the page itself makes is there for whoever follows it.
                if not begins and not re.search(rf"[\"']?\b{re.escape(reference.name)}[\"']?\s*:(?!\w)", shown):
                    self._found.append((reference, None))
            self._found += [(one, None) for one in self._program(path, statement)]
            self._add_arguments(path, statement)
        self._found += [(one, None) for one in self._files(path, page)]
        self._add_variables(path, page)
        self._add_ports(path, page)

    def add_vanished(self, path: str, names: Iterable[tuple[int, str]]) -> None:
        """Take in names of files and folders that git had once."""
        known = {(one.page, one.line, one.name) for one, _ in self._found}
        for line, name in names:
            if (path, line, _plain(name)) not in known:
                said = f"{name} does not exist any more"
                self._found.append((Reference("missing-file", path, line, _plain(name), said), None))

    def missing(self) -> Iterator[Reference]:
        """Those that the code does not have."""
        without = self._facts.without(self._wanted | {HAS_SUBCOMMANDS: SUBCOMMANDS} if self._wanted else {})
        # A kind of which nothing is found in the code is one that reading the code does not show.
        kinds = {key.partition(" ")[0] for key in self._wanted if key not in without}
        ignored = self._facts.checkout.ignored(
            [one.name for one, key in self._found if key is None and one.rule in ("missing-file", "missing-command")]
        )
        for one, key in self._found:
            if key is None:
                if one.name not in ignored:
                    yield one
            elif (
                key in without
                and key.partition(" ")[0] in kinds
                and (one.rule != "missing-command" or HAS_SUBCOMMANDS not in without)
            ):
                yield one

    def _want(self, reference: Reference, key: str, forms: list[Form]) -> None:
        self._wanted.setdefault(key, forms)
        self._found.append((reference, key))

    def _target(self, path: str, statement: Statement) -> Iterator[Reference]:
        name, *arguments = statement.words
        if name != "make" or len(arguments) > 6 or {"-C", "-f", "--directory", "--file"} & set(arguments):
            return
        targets = self._facts.targets
        for word in arguments:
            if targets is None or set(word) & set("<>[]…"):
                return
            is_name = TARGET.fullmatch(word) and word != word.upper() and not _stands_for(word)
            if is_name and not targets.fullmatch(word) and not self._facts.checkout.has(word):
                yield Reference("missing-target", path, statement.line, word, f"no Makefile has a target {word}")

    def _script(self, path: str, statement: Statement) -> Iterator[Reference]:
        words = [word for word in statement.words if not word.startswith("-")]
        scripts = self._facts.scripts
        if scripts is None or len(words) < 3 or words[0] not in BUILDERS - {"make"}:
            return
        if (
            words[1] in ("run", "run-script")
            and re.fullmatch(r"[a-z][\w:.-]*", words[2])
            and words[2] not in scripts
            and not _stands_for(words[2])
        ):
            said = f"no package.json has a script {words[2]}"
            yield Reference("missing-script", path, statement.line, words[2], said)

    def _program(self, path: str, statement: Statement) -> Iterator[Reference]:
        words = [word for word in statement.words if not word.startswith("-")]
        named = words[1] if len(words) > 1 and words[0] in RUNNERS else words[0] if words else ""
        if not statement.alone and self._is_gone(path, named):
            yield Reference("missing-command", path, statement.line, _plain(named), f"{named} does not exist")

    def _files(self, path: str, page: Page) -> Iterator[Reference]:
        for code in page.codes:
            named = code.text.strip()
            if code.language is None and splitext(named)[1].lower() in ENDINGS and self._is_gone(path, named):
                yield Reference("missing-file", path, code.line, _plain(named), f"{named} does not exist")

    def _is_gone(self, page: str, named: str) -> bool:
        """Whether a path is one of this checkout, and nothing is there: it once was, or its folder is there."""
        if not PATH.fullmatch(named) or _stands_for(named) or named.startswith(("../", ".../")):
            return False
        checkout, plain = self._facts.checkout, _plain(named)
        beside = normpath(join(dirname(page), plain))
        if plain in checkout.tails or checkout.has(plain) or checkout.has(beside):
            return False
        if plain in checkout.deleted or beside in checkout.deleted:
            return True
        folder = dirname(plain)
        return bool(folder) and splitext(plain)[1].lower() in ENDINGS and folder in checkout.folders

    def _add_arguments(self, path: str, statement: Statement) -> None:
        command, *arguments = statement.words
        command = command.rpartition("/")[2]
        if command not in self._facts.commands:
            return
        if arguments and WORD.fullmatch(arguments[0]) and not _stands_for(arguments[0]):
            name = arguments[0]
            said = f"{command} has no command {name}"
            reference = Reference("missing-command", path, statement.line, f"{command} {name}", said)
            self._want(reference, f"command {command} {name}", _forms_of_command(name))
        for word in arguments:
            flag = FLAG.fullmatch(word)
            if word == "--":
                return
            if flag and flag[1] not in ("help", "version"):
                said = f"no code takes --{flag[1]}, which {command} is said to"
                reference = Reference("missing-flag", path, statement.line, f"{command} --{flag[1]}", said)
                self._want(reference, f"flag --{flag[1]}", _forms_of_flag(flag[1]))

    def _add_variables(self, path: str, page: Page) -> None:
        prefixes = [one for one in self._facts.prefixes if len(one) > 3]
        if not prefixes:
            return
        pattern = re.compile(rf"(?<![\w.-])(?:{'|'.join(prefixes)})[A-Z0-9_]*[A-Z0-9](?![\w*<{{-])")
        for code in page.codes:
            for found in pattern.finditer(code.text):
                line = code.line + code.text.count("\n", 0, found.start())
                said = f"no code reads the environment variable {found[0]}"
                reference = Reference("missing-variable", path, line, found[0], said)
                prefix = next(one for one in prefixes if found[0].startswith(one))
                self._want(reference, f"variable {found[0]}", _forms_of_variable(found[0], prefix))

    def _add_ports(self, path: str, page: Page) -> None:
        shown = "\n".join(PORT.sub("", code.text) for code in page.codes)
        for code in page.codes:
            for found in PORT.finditer(code.text):
                number = found[1]
                if int(number) in KNOWN_PORTS or re.search(rf"(?<!\d){number}(?!\d)", shown):
                    continue
                line = code.line + code.text.count("\n", 0, found.start())
                said = f"no code or configuration names port {number}"
                grouped = rf"(?<![\w.]){number[:-3]}_?{number[-3:]}(?!\d)"
                self._want(
                    Reference("missing-port", path, line, number, said), f"port {number}", [(number[-3:], grouped)]
                )


def _stands_for(name: str) -> bool:
    return len(name) == 1 or STANDS_FOR.search(name) is not None


def _plain(named: str) -> str:
    return normpath(named)


def _forms_of_command(name: str) -> list[Form]:
    lower = name.replace("-", "_")
    camel = "".join(part.capitalize() for part in re.split("[-_]", name))
    return [
        (name, rf"[\"'`]{name}[\"'`\s]"),
        (lower, rf"\b(?:def|fn|func|function)\s+(?:\w+_)?{lower}(?:_\w+)?\b"),
        (camel, rf"\b{camel}\b"),
        (name, rf"(?m:^[ \t]*(?:[\w-]+\|)*{name}(?:\|[\w-]+)*\))"),
    ]


def _forms_of_flag(name: str) -> list[Form]:
    bare = name.removeprefix("no-")
    lower = bare.replace("-", "_")
    forms = [(bare, rf"--(?:no-|\[no-\])?{bare}(?![\w-])"), (bare, rf"[\"'`]{bare}[\"'`]")]
    return [*forms, (lower, rf"\b{lower}\b")] if "-" in bare else forms


def _forms_of_variable(name: str, prefix: str) -> list[Form]:
    """As it is, or put together of a part that the code has and the rest."""
    rest = name.removeprefix(prefix)
    begun, forms = prefix, [(name, rf"(?<!\w){name}(?!\w)"), (rest.lower(), rf"(?<!\w){rest.lower()}(?!\w)")]
    for part in rest.split("_")[:-1]:
        begun += f"{part}_"
        forms.append((begun, rf"(?<!\w){begun}[\"'`{{$%]"))
    return forms
