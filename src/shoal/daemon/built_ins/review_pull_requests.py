"""The built-in job `review_pull_requests`: judges the open pull requests of tasks, and merges where it is told to.

Each commit is judged once, however often this runs: what was said is in the ledger, and under a mark at the forge.
When a task's work counts as done: criteria.py.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack

import msgspec
from msgspec import Struct

from shoal.adapters.forges.forge import Forge, PullRequest, Review, Verdict, is_branch_of
from shoal.adapters.screens.hit import shown
from shoal.daemon.built_ins.context import Context
from shoal.daemon.built_ins.criteria import Left, Standing, standing
from shoal.daemon.built_ins.evidence import Evidence, Terms, digest, look_into
from shoal.daemon.supervisor import forge_of
from shoal.errors import ForgeError, ForgeUnreachable, NotConfigured, NotFound, Refused
from shoal.ledger import Ledger
from shoal.model.event import Event, Kind
from shoal.model.task import FINISHED, Status, Task
from shoal.services.reviews import Judgement
from shoal.settings import GITHUB_TOKEN, RepositorySettings, Settings

MARK = "<!-- shoal review"
LOCK, LOCK_TTL_SECONDS = "review-pull-requests", 60
FILES_LIMIT = 2000
FINDINGS_TOLD = 50
UNREACHABLE_LIMIT = 3
EVENTS_LOOKED_AT = 50
SESSIONS_LOOKED_AT = 20
_BRANCH = re.compile(r"shoal/([A-Za-z]{1,8}[0-9]{1,18})(-.*)?", re.DOTALL)


class Case(Struct, frozen=True):
    """A pull request, the task that it is of, and what holds for it."""

    pull: PullRequest
    task: Task
    terms: Terms
    left: list[Left]


class Outcome(Struct, frozen=True):
    """What came of one pull request, in a word, and what there is to say."""

    word: str
    said: list[str] = []


def run(context: Context) -> str:
    """Judge the open pull requests of tasks: approve, comment, and merge where the settings say so."""
    settings = context.engine.settings
    forge, why = forge_of(settings)
    if forge is None:
        reason = why if os.environ.get(GITHUB_TOKEN) else f"set ${GITHUB_TOKEN}, which it reads and answers them by"
        raise NotConfigured(f"pull requests cannot be reviewed: {reason}")
    try:
        return review(context.ledger, forge, settings, stopping=context.stopping.is_set)
    finally:
        forge.close()


def review(ledger: Ledger, forge: Forge, settings: Settings, *, stopping: Callable[[], bool] = lambda: False) -> str:
    """Judge every open pull request of a task in the configured repositories; a report.

    `stopping` is asked before each.

    Raises NotConfigured without repositories, ForgeUnreachable when the forge could not be asked about all of them, and
    ForgeError when it refused all of them; both with the report so far.
    """
    with ExitStack() as stack:
        try:
            stack.enter_context(ledger.lock(LOCK, ttl_seconds=LOCK_TTL_SECONDS, quiet=True))
        except Refused:
            return "another review is under way; nothing was done"
        return _Round(ledger, forge, settings, stopping).run()


class _Round:
    """One look through all repositories."""

    def __init__(self, ledger: Ledger, forge: Forge, settings: Settings, stopping: Callable[[], bool]) -> None:
        self._ledger = ledger
        self._stopping = stopping
        self._forge = forge
        self._settings = settings
        self._lines: list[str] = []
        self._counts: Counter[str] = Counter()
        self._unreachable: list[ForgeUnreachable] = []

    def run(self) -> str:
        places = self._places()
        if not places:
            raise NotConfigured(
                "there are no repositories to look through; name some in shoal.toml: repositories in [review], "
                'or [repositories."owner/name"]'
            )
        refused = 0
        for place, terms in places.items():
            if len(self._unreachable) >= UNREACHABLE_LIMIT or self._stopping():
                break
            try:
                # One bad answer keeps no other from being looked at; a forge that is away is asked no more.
                for pull in self._forge.all_open_pull_requests(place):
                    if len(self._unreachable) < UNREACHABLE_LIMIT and not self._stopping():
                        self._look_at(pull, terms)
            except ForgeUnreachable as error:
                self._note_unreachable(place, error)
            except ForgeError as error:
                refused += 1
                self._lines.append(f"{place}: {error.message}")
        if self._unreachable:
            raise ForgeUnreachable(self._report())
        if refused == len(places):
            raise ForgeError(self._report())
        return self._report()

    def _places(self) -> dict[str, Terms]:
        """The repositories as the forge calls them."""
        review = self._settings.review
        found = {}
        for name in review.repositories or self._settings.repositories:
            own = self._settings.repositories.get(name, RepositorySettings())
            place = self._forge.place(name, own.url)
            if place is None:
                self._lines.append(f"{shown(name)}: is not on {self._forge.address}")
                continue
            found[place] = Terms(
                allowed=review.allowed_paths if own.allowed_paths is None else own.allowed_paths,
                forbidden=review.forbidden_paths if own.forbidden_paths is None else own.forbidden_paths,
                merge=own.merge or review.merge,
                base=own.base,
            )
        return found

    def _look_at(self, pull: PullRequest, terms: Terms) -> None:
        name = f"{pull.repository}#{pull.number} {shown(pull.branch)}"
        try:
            case = self._case(pull, terms)
            if case is None:
                return
            outcome = self._outcome(case)
        except ForgeUnreachable as error:
            self._note_unreachable(name, error)
            return
        except ForgeError as error:
            outcome = Outcome("refused", [error.message])
        self._counts[outcome.word] += 1
        self._lines += [f"{name}: {outcome.word}", *(f"  {one}" for one in outcome.said)]

    def _note_unreachable(self, name: str, error: ForgeUnreachable) -> None:
        self._unreachable.append(error)
        self._lines.append(f"{name}: {error.message}")

    def _report(self) -> str:
        counted = ", ".join(f"{number} {word}" for word, number in sorted(self._counts.items()))
        return "\n".join([f"pull requests of tasks: {counted or 'none'}", *self._lines])

    def _case(self, pull: PullRequest, terms: Terms) -> Case | None:
        """What is to be judged; None when the branch is no task's, or of a task that has no work in this repository."""
        named = _BRANCH.fullmatch(pull.branch)
        if named is None:
            return None
        try:
            task = self._ledger.tasks.get(named[1])
        except (NotFound, Refused):
            return None
        if not is_branch_of(task.task_id, pull.branch):
            return None
        sessions = self._ledger.tasks.sessions(task.id, limit=SESSIONS_LOOKED_AT)
        left = [
            Left(session.attempt, one)
            for session in sessions
            for one in session.branches
            if self._place(one.repository) == pull.repository
        ]
        # Ledgers that share a repository may have tasks of the same number.
        if not left and pull.repository not in map(self._place, task.repos):
            return None
        return Case(pull, task, terms, left)

    def _place(self, repository: str) -> str | None:
        own = self._settings.repositories.get(repository)
        return self._forge.place(repository, None if own is None else own.url)

    def _outcome(self, case: Case) -> Outcome:
        pull, task = case.pull, case.task
        if pull.is_draft:
            return Outcome("left", ["it is a draft"])
        earlier = self._earlier(case)
        held = bool(earlier) and bool(earlier[0].data["holds"])
        if task.status not in FINISHED | {Status.REVIEW}:
            reason = f"{task.task_id} is {task.status.value}"
            return self._say(case, Evidence([reason], [], []), earlier) if held else Outcome("left", [reason])
        if held and case.terms.merge == "none":  # what the commit changes is the same: only what is said of it is not
            since = Evidence([], [], [])
            self._look_at_standing(case, since)
            if not since.findings:
                return Outcome("left", since.waits) if since.waits else Outcome("judged before")
            return self._say(case, since, earlier)
        fresh = self._forge.pull_request(pull.repository, pull.number)
        evidence = None
        if (fresh.head, fresh.state) == (pull.head, "open"):
            case = msgspec.structs.replace(case, pull=fresh)
            evidence = self._evidence(case)
        if evidence is None:
            return Outcome("left", ["it has changed meanwhile"])
        if not evidence.findings and evidence.waits:
            return Outcome("left", evidence.waits + evidence.notes)
        outcome = self._say(case, evidence, earlier)
        if evidence.findings or case.terms.merge == "none" or outcome.word == "left":
            return outcome
        return self._merge(case, outcome)

    def _earlier(self, case: Case) -> list[Event]:
        """What was said of this commit under the same rules, the newest first."""
        told = self._ledger.events.list(task=case.task.id, kind=Kind.PULL_REQUEST_REVIEWED, limit=EVENTS_LOOKED_AT)
        pull = case.pull
        wanted = {"repository": pull.repository, "number": pull.number, "head": pull.head, "rules": case.terms.rules}
        return [one for one in told if wanted.items() <= one.data.items()]

    def _evidence(self, case: Case) -> Evidence | None:
        """All that speaks for and against a commit; None when it is not the newest any more."""
        fresh = case.pull
        evidence = Evidence([], [], [])
        if (fresh.files or 0) > FILES_LIMIT:
            evidence.findings.append(
                f"it changes {fresh.files} files, and more than {FILES_LIMIT} are not looked through"
            )
        else:
            files = self._forge.changed_files(fresh)
            if files is None:
                return None
            look_into(files, case.terms, evidence)
        self._look_at_standing(case, evidence)
        return evidence

    def _look_at_standing(self, case: Case, evidence: Evidence) -> None:
        """What may change while a commit stays the same: its checks, and what became of its task."""
        pull = case.pull
        checks = self._forge.checks(pull.repository, pull.head)
        if checks.pending:  # with all that have failed it is told once, when the last one has ended
            evidence.waits.append(f"checks are under way: {_listed(checks.pending)}")
        elif checks.failed:
            evidence.findings.append(f"checks failed: {_listed(checks.failed)}")
        elif not checks.count and self._settings.review.require_checks:
            evidence.waits.append("its commit has no checks yet")
        found: Standing = standing(self._ledger, case.task, case.left, pull.branch, pull.head)
        evidence.findings += found.findings
        evidence.waits += found.waits

    def _say(self, case: Case, evidence: Evidence, earlier: list[Event]) -> Outcome:
        """Review it, unless this was the last that was said of this commit; what was said otherwise is withdrawn."""
        pull, holds = case.pull, not evidence.findings
        findings = [one[:500] for one in evidence.findings[:FINDINGS_TOLD]]
        if (more := len(evidence.findings) - FINDINGS_TOLD) > 0:
            findings.append(f"and {more} more")
        last = earlier[0].data if earlier else {"holds": None, "findings": []}
        if (last["holds"], last["findings"]) == (holds, findings):
            return Outcome("judged before", findings + evidence.notes)
        mark = f"{MARK} {digest([pull.head, case.terms.rules, holds, findings])} -->"
        own = [one for one in self._forge.reviews(pull) if MARK in one.text]
        here = [one for one in own if one.head == pull.head]
        withdrawn, refused = self._withdraw(pull, own, holds=holds)
        notes = evidence.notes + withdrawn + refused
        if here and mark in here[-1].text and here[-1].state != "dismissed":
            # whoever gave it did not come to telling the ledger
            judgement = "approved" if here[-1].state == "approved" else "commented"
        else:
            text = _text(case, findings, notes, mark)
            verdict = Verdict.REQUEST_CHANGES if refused and not holds else Verdict.COMMENT
            if holds and self._settings.review.approve:
                verdict = Verdict.APPROVE
            judgement = self._forge.submit_review(pull, verdict, text=text)
        said = Judgement.APPROVED if judgement == "approved" else Judgement.COMMENTED
        self._tell(case, said, holds=holds, findings=findings, rules=case.terms.rules)
        return Outcome(said.value, findings + notes)

    def _withdraw(self, pull: PullRequest, own: list[Review], *, holds: bool) -> tuple[list[str], list[str]]:
        """Take back earlier reviews that say otherwise and count still: what was, and what the forge keeps."""
        state, name = ("changes_requested", "request for changes") if holds else ("approved", "approval")
        withdrawn, refused = [], []
        for one in own:
            if one.state != state:
                continue
            why = self._forge.dismiss_review(pull, one, "Shoal has looked again: this does not hold any more.")
            if why is None:
                withdrawn.append(f"the {name} of {one.head[:12]} is withdrawn")
            else:
                refused.append(f"the {name} of {one.head[:12]} could not be withdrawn: {why}")
        return withdrawn, refused

    def _merge(self, case: Case, outcome: Outcome) -> Outcome:
        """Merge what holds, unless something is still to be waited for."""
        pull, task = case.pull, case.task
        reason = self._objection(case) or self._forge.merge(pull, case.terms.merge)
        if reason is not None:
            return Outcome(outcome.word, [*outcome.said, f"not merged: {reason}"])
        self._tell(case, Judgement.MERGED)
        return Outcome(
            "merged", [*outcome.said, f"{task.task_id} is completed, and {pull.head[:12]} is in {shown(pull.base)}"]
        )

    def _objection(self, case: Case) -> str | None:
        """Why it is not merged although it holds."""
        pull, task = case.pull, case.task
        if task.status is not Status.COMPLETED:
            return f"{task.task_id} awaits its verdict"
        base = case.terms.base or pull.default_branch
        if pull.base != base:
            return f"it goes into {shown(pull.base)}, and not into {shown(base)}"
        states = {
            one.author: one.state for one in self._forge.reviews(pull) if one.state not in ("commented", "pending")
        }
        asking = [shown(author) for author, state in states.items() if state == "changes_requested"]
        return f"{', '.join(asking)} asked for changes" if asking else None

    def _tell(
        self,
        case: Case,
        judgement: Judgement,
        *,
        holds: bool = True,
        findings: list[str] | None = None,
        rules: str | None = None,
    ) -> None:
        pull = case.pull
        self._ledger.tasks.judged(
            case.task.id,
            repository=pull.repository,
            number=pull.number,
            url=pull.url,
            head=pull.head,
            judgement=judgement,
            holds=holds,
            findings=findings or [],
            rules=rules,
        )


def _text(case: Case, findings: list[str], notes: list[str], mark: str) -> str:
    """The review as people read it."""
    about = f"Shoal looked at {case.pull.head[:12]} for {case.task.task_id}"
    lines = (
        [f"{about}. This stands against it:", ""]
        if findings
        else [f"{about}: paths, secrets, checks and criteria hold."]
    )
    lines += [f"- {one}" for one in findings]
    if notes:
        kept = notes[:FINDINGS_TOLD]
        lines += ["", "To know besides:", "", *(f"- {one}" for one in kept)]
        lines += [f"- and {len(notes) - len(kept)} more"] if len(notes) > len(kept) else []
    return "\n".join([*lines, "", mark])


def _listed(names: list[str]) -> str:
    more = len(names) - 10
    return ", ".join(map(shown, names[:10])) + (f" and {more} more" if more > 0 else "")
