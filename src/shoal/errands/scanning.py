"""One scan of a project: its files are read where they lie, and the ledger is told what was found. Here or far away.

Which files: adapters/git/files.py and adapters/scanners/tree.py. What becomes of what was found: services/scans.py.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from shoal.adapters.git.files import Listing, Note, look, real
from shoal.adapters.git.renames import renamed_since
from shoal.adapters.scanners import markdown_files, tree
from shoal.clock import SystemClock
from shoal.errands.changed_files import changed_in
from shoal.errands.projects import is_project, place_meant, project_of
from shoal.errors import BadInput, Refused
from shoal.model.found import FoundFile, Scanned, ScanReport
from shoal.model.item import Form
from shoal.model.path_pattern import fits
from shoal.settings import Settings

if TYPE_CHECKING:
    from shoal.ledger import Ledger
    from shoal.settings import Home

MARKDOWN, COMMENTS = "markdown", "comments"
CREDITED_AT_ONCE = 500  # lines of which git is asked who ticked them
PAGE = 1000
LOOKS = 8  # until other scans leave one its turn: each of so many at once gets it
Tell = Callable[[str, int], None]


@dataclass(frozen=True, slots=True)
class Ask:
    """What is to be scanned: a project, the folder that is its root, and in it all or only some paths. `named` when
    somebody said that the folder is this project's, and not only its name.
    """

    project: str
    root: Path
    under: tuple[str, ...] = ()
    markdown: bool = False
    scanner: str = MARKDOWN
    named: bool = False


@dataclass(frozen=True, slots=True)
class Done:
    """What came of one: what the ledger made of it, and what was left out."""

    ask: Ask
    report: ScanReport
    notes: list[Note] = field(default_factory=list)
    read: int = 0
    unchanged: int = 0
    credited: int = 0


def asks(
    home: Home, settings: Settings, paths: Sequence[Path], project: str | None, *, markdown: bool, comments: bool
) -> list[Ask]:
    """What people mean by paths, each with the project that it belongs to (projects.py).

    Raises BadInput for what is not there, is outside of a project that was named, or belongs to none.
    """
    meant: dict[tuple[str, Path], list[str]] = {}
    for path in paths or [place_meant(home, settings, project)]:
        if not path.exists():
            raise BadInput(f"there is no {path}", field="path")
        name, root = project_of(home, settings, path, project)
        if project is None and not is_project(home, settings, root):
            raise BadInput(
                f"{root} is in no repository, and in no [projects.NAME] of shoal.toml; if you mean it, say what its "
                "items belong to: --project NAME",
                field="project",
            )
        inner = path.resolve().relative_to(root).as_posix()
        meant.setdefault((name, root), []).append(inner)
    found = []
    for (name, root), places in meant.items():
        under = () if "." in places else tuple(dict.fromkeys(places))
        named = project is not None or name in settings.projects
        found.append(Ask(name, root, under, markdown, named=named))
        if comments or settings.backlog.comments:
            found.append(Ask(name, root, under, scanner=COMMENTS, named=named))
    return found


def scan(
    ledger: Ledger,
    settings: Settings,
    ask: Ask,
    *,
    asked: bool = True,
    dry_run: bool = False,
    tell: Tell | None = None,
) -> Done:
    """Look, and tell the ledger. Nothing is written with `dry_run`. `tell` hears of progress: what, and how much.

    What is not seen counts towards `stale_after` only in a look that somebody `asked` for. A look is begun anew when
    another scan came between. Raises GitError when git cannot read the repository, Refused when that happens again and
    again, or when the project is another repository's.
    """
    for _ in range(LOOKS - 1):
        try:
            return _scan(ledger, settings, ask, asked, dry_run, tell)
        except Refused as error:
            if error.field != "since":
                raise
    return _scan(ledger, settings, ask, asked, dry_run, tell)


def _scan(ledger: Ledger, settings: Settings, ask: Ask, asked: bool, dry_run: bool, tell: Tell | None) -> Done:
    before = ledger.items.scanned(project=ask.project, scanner=ask.scanner)
    listed, ignored = _without_ignored(settings, look(ask.root, ask.under))
    repository = tree.repository(listed, before.repository)
    if before.repository not in (None, repository) and not ask.named:
        raise Refused(
            f"{ask.project} is the project of another repository ({before.repository}) than {listed.root}; "
            "name this one with --project, or by [projects.NAME] in shoal.toml",
            field="project",
        )
    files: list[FoundFile] = []
    unchanged: list[str] = []
    notes = [*listed.notes, *(Note(path, "is in `ignore` of [backlog]") for path in ask.under if path in ignored)]
    for number, seen in enumerate(_seen(settings, ask, listed, before.files), start=1):
        if isinstance(seen, FoundFile):
            files.append(seen)
        elif why := getattr(seen, "why", None):
            notes.append(Note(seen.path, why))
            if seen.path in before.files:
                unchanged.append(seen.path)  # what could not be read now says nothing about its items
        else:
            unchanged.append(seen.path)
        if tell is not None and number % 100 == 0:
            tell(ask.project, number)
    now = {*unchanged, *(one.path for one in files)}
    changed = changed_in(settings, listed.root) if files and not dry_run else None
    report = ledger.items.scan(
        project=ask.project,
        scanner=ask.scanner,
        files=files,
        unchanged=unchanged,
        renamed=_renamed(listed.root, before, now) if listed.in_git else {},
        complete=not ask.under and bool(listed.paths),  # no file at all: a disk that is not mounted
        asked=asked,
        head=listed.head,
        since=before.number,
        changed=None if changed is None else {one.path: changed[one.path] for one in files if one.path in changed},
        repository=repository,
        dry_run=dry_run,
    )
    credited = _credit(ledger, settings, listed.root, report) if listed.in_git and not dry_run else 0
    return Done(ask, report, notes, len(files), len(unchanged), credited)


def _renamed(root: Path, before: Scanned, now: Collection[str]) -> dict[str, str]:
    """The files that got another name since the scan before, new to old; of those that were read both times."""
    if before.head is None or before.files.keys() <= set(now):
        return {}
    moves = renamed_since(root, before.head)
    return {new: old for new, old in moves.items() if old in before.files and new in now}


def _without_ignored(settings: Settings, listed: Listing) -> tuple[Listing, set[str]]:
    """The files without those that [backlog] ignores, and these."""
    patterns = settings.backlog.ignore
    ignored = {path for path in listed.paths if fits(path, patterns)}
    return replace(listed, paths=[path for path in listed.paths if path not in ignored]), ignored


def _seen(settings: Settings, ask: Ask, listed: Listing, known: Mapping[str, str]) -> Iterator[Any]:
    """What each scanner has for the files that it reads: a FoundFile, that it is unchanged, or a note."""
    most = settings.backlog.max_file_bytes
    if ask.scanner == COMMENTS:
        from shoal.adapters.scanners import comment_files
        from shoal.adapters.scanners.stats import Stats

        stats = Stats(_cache(ask), listed.root, now_ms=SystemClock().now_ms())
        return comment_files.scan_files(listed.root, listed.paths, known, stats=stats, max_bytes=most)
    # A file that is named on the command line is read whatever its name.
    asked_for = {*known, *ask.under}
    paths = tree.wanted(listed.paths, settings.backlog.todo_files, markdown=ask.markdown, known=asked_for)
    return markdown_files.scan_files(listed.root, paths, known, max_bytes=most)


def _cache(ask: Ask) -> Path:
    from platformdirs import user_cache_path

    name = hashlib.sha256(f"{ask.root}\0{ask.project}".encode("utf-8", "surrogateescape")).hexdigest()[:32]
    return user_cache_path("shoal", appauthor=False) / "scans" / f"{name}.msgpack"


def _credit(ledger: Ledger, settings: Settings, root: Path, report: ScanReport) -> int:
    """Tell which commit ticked what was found ticked now, and was open before."""
    if report.scanner != MARKDOWN:
        return 0
    lines: dict[str, dict[int, str]] = {}
    for change in [one for one in report.changes if one.became == "done"][:CREDITED_AT_ONCE]:
        if change.item_id is not None and change.line is not None:
            lines.setdefault(change.path, {})[change.line] = change.item_id
    commits: dict[str, str] = {}
    for path, items in lines.items():
        from shoal.adapters.scanners.credit import commits_of

        ticked = commits_of(root, path, items, settings.backlog.max_file_bytes)
        commits |= {items[line]: commit for line, commit in ticked.items()}
    if commits:
        ledger.items.credit(commits=commits)
    return len(commits)


def write_back(
    ledger: Ledger, settings: Settings, done: Done, *, dry_run: bool = False
) -> tuple[list[str], list[Note]]:
    """Tick the boxes of the items of a project that are done; which were, and why others were not.

    To be called after a scan, which knows the lines. With `dry_run` nothing is written, and all are told that would be
    tried.
    """
    items: dict[str, dict[str, tuple[int, str]]] = {}
    cursor: str | None = None
    while True:
        page = ledger.items.list(project=done.ask.project, status="done", cursor=cursor, limit=PAGE)
        for one in page:
            if one.form in (Form.BOX, Form.QUESTION) and one.source_file is not None and one.source_line is not None:
                items.setdefault(one.source_file, {})[one.item_id] = (one.source_line, one.text)
        cursor = page.next
        if cursor is None:
            break
    ticked: list[str] = []
    notes: list[Note] = []
    if items:
        from shoal.adapters.scanners.ticking import tick
    for path, those in sorted(items.items()):
        if _is_under(path, done.ask.under):
            made, said = tick(real(done.ask.root), path, those, settings.backlog.max_file_bytes, dry_run=dry_run)
            ticked += made
            notes += said
    return ticked, notes


def _is_under(path: str, under: Sequence[str]) -> bool:
    return not under or any(path == one or path.startswith(f"{one}/") for one in under)


def watch(settings: Settings, asks: Sequence[Ask]) -> Iterator[None]:
    """Once for each time that files changed which a scan would read; until KeyboardInterrupt.

    What else changes, the ledger's own file among it, is nothing to look at.
    """
    from watchfiles import Change, DefaultFilter
    from watchfiles import watch as changes

    usual = DefaultFilter()

    def matters(change: Change, path: str) -> bool:
        return usual(change, path) and any(_is_read(settings, ask, path) for ask in asks)

    for _ in changes(*{real(one.root) for one in asks}, watch_filter=matters, debounce=1000, step=200):
        yield None


def _is_read(settings: Settings, ask: Ask, changed: str) -> bool:
    try:
        path = Path(changed).relative_to(real(ask.root)).as_posix()
    except ValueError:
        return False
    if not _is_under(path, ask.under) or fits(path, settings.backlog.ignore):
        return False
    if ask.scanner == COMMENTS:
        from shoal.adapters.scanners.languages import may_be_source

        return may_be_source(path)
    return bool(tree.wanted([path], settings.backlog.todo_files, markdown=True, known=ask.under))
