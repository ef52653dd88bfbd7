"""The built-in job status_report: what it tells, its file in a real vault, its channels, and what it refuses."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from shoal import Ledger
from shoal.daemon.job_runner import JobRunner
from shoal.daemon.scheduler import Scheduler
from shoal.daemon.vault_sync import VaultSync
from shoal.errors import BadInput
from shoal.ledger.connect import open_ledger
from shoal.ledger.embedded import EmbeddedEngine
from shoal.model.job import Run
from shoal.settings import ChannelSettings, Home, Settings
from tests.conftest import FakeClock, wait_until
from tests.daemon.test_views import EVIL, tables
from tests.inbox import SECRET, Inbox
from tests.vaults import edit, git, push

DAY, HOUR = 86_400, 3600
FILE = "040-fleet/status.md"


class Reporter:
    """Runs the job as a server does."""

    def __init__(self, ledger: Ledger, folder: Path) -> None:
        assert isinstance(ledger.engine, EmbeddedEngine)
        self.ledger = ledger
        self.engine = ledger.engine
        self._runner = JobRunner(self.engine, Home(folder))
        self._scheduler = Scheduler(self.engine, self._runner)

    def __call__(self, **options: Any) -> Run:
        jobs = self.ledger.jobs
        name = f"report-{len(jobs.list())}"
        jobs.create(
            name=name, schedule="@yearly", action={"kind": "built_in", "name": "status_report", "options": options}
        )
        made = jobs.trigger(name)
        self._scheduler.tick()
        wait_until(lambda: self.ledger.runs.get(made.id).finished_at is not None)
        jobs.remove(name)
        return self.ledger.runs.get(made.id)

    def close(self) -> None:
        self._runner.stop(20)


@pytest.fixture
def reporter(tmp_path: Path) -> Iterator[Callable[[Ledger], Reporter]]:
    made: list[Reporter] = []

    def make(ledger: Ledger) -> Reporter:
        made.append(Reporter(ledger, tmp_path / "home"))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture
def report(ledger: Ledger, reporter: Callable[[Ledger], Reporter]) -> Reporter:
    return reporter(ledger)


@pytest.fixture
def inbox() -> Iterator[Inbox]:
    inbox = Inbox()
    yield inbox
    inbox.close()


def fill(ledger: Ledger, clock: FakeClock) -> None:
    """Something of everything: T1 fails, T2 completes, T3 is at work, T4 in review, T5 held, T6 and T7 ready."""
    for title in ("Fails", "Ends", "At work", "For review"):
        ledger.tasks.create(title=title, max_attempts=1)
    ledger.tasks.create(title="Held", hold_reason="ask Bea")
    ledger.tasks.create(title="Waits for long")
    clock.advance(2 * DAY)
    ledger.tasks.create(title="Waits elsewhere", queue="night")
    claims = ledger.tasks.claim(worker="w", agent="claude-1", limit=4).claims
    attempts = {claim.task.id: claim.attempt for claim in claims}
    ledger.tasks.fail(1, attempt=attempts[1], error="no tests\nat all")
    ledger.tasks.complete(2, attempt=attempts[2])
    ledger.tasks.submit(4, attempt=attempts[4])
    call = {"provider": "p", "model": "m", "agent": "claude-1"}
    ledger.costs.record(
        costs=[
            call | {"task": 2, "request_key": "a", "cost_usd_micros": 1_250_000},
            call | {"task": 2, "request_key": "b", "cost_usd_micros": 2_000_000, "at": clock.now - 3 * DAY * 1000},
            call | {"task": 2, "request_key": "c", "cost_usd_micros": 9_000_000, "at": clock.now - 9 * DAY * 1000},
            call | {"task": 2, "request_key": "d", "provider": "nobody", "model": "x", "input_tokens": 5},
        ]
    )
    clock.advance(HOUR)


def rows(output: str | None) -> dict[str, list[list[str]]]:
    """The tables of a report by their headings."""
    parts = str(output).split("\n## ")[1:]
    return {part.partition("\n")[0]: (tables(part) or [[]])[0][1:] for part in parts}


def test_report_tells_counts_ages_failures_and_spending(ledger: Ledger, clock: FakeClock, report: Reporter) -> None:
    fill(ledger, clock)
    ledger.jobs.create(name="sweep", schedule="@yearly", action={"kind": "program", "command": ["/nowhere/sweep"]})
    ledger.jobs.trigger("sweep")
    run = report()
    wait_until(lambda: not [one for one in ledger.runs.list() if one.status in ("waiting", "running")])
    run = report(days=7)
    assert run.status == "success"
    found = rows(run.output)
    assert found["Tasks"] == [
        ["all", "2", "0", "1", "1", "1", "1", "1", "0"],
        ["default", "1", "0", "1", "1", "1", "1", "1", "0"],
        ["night", "1", "0", "0", "0", "0", "0", "0", "0"],
    ]
    assert "In the last 24 hours: 1 completed, 1 failed, 0 cancelled" in str(run.output)
    assert found["At work (1)"] == [["[[T3]]", "1h", "claude-1", "1", "At work"]]
    assert found["Ready (2)"] == [
        ["[[T6]]", "2d 1h", "default", "Waits for long"],
        ["[[T7]]", "1h", "night", "Waits elsewhere"],
    ]
    assert found["Waiting for a person"] == [
        ["[[T4]]", "1h", "review", "For review", ""],
        ["[[T5]]", "2d 1h", "blocked", "Held", "ask Bea"],
    ]
    assert found["Failed in the last 24 hours (1)"] == [["[[T1]]", "1h", "1", "Fails", "no tests at all"]]
    assert "$1.25 and 1 call without a price today, $3.25 and 1 call without a price in 7 days" in str(run.output)
    assert found["Spending"] == [["claude-1", "3", "3.25", "1"]]
    [[job, _, status, _, reason]] = found["Jobs whose last run was bad"]
    assert (job, status, reason) == ("sweep", "error", "/nowhere/sweep cannot be started: there is no /nowhere/sweep")


def test_what_is_old_is_not_told_as_of_today(ledger: Ledger, clock: FakeClock, report: Reporter) -> None:
    fill(ledger, clock)
    clock.advance(2 * DAY)
    run = report(days=2)
    assert "In the last 24 hours: 0 completed, 0 failed" in str(run.output)
    assert rows(run.output)["Failed in the last 24 hours (0)"] == []
    assert "$0.00 today, $0.00 in 2 days" in str(run.output)


def test_empty_ledger_has_a_report_too(report: Reporter) -> None:
    run = report(file="", channels=[])
    assert run.status == "success"
    assert "## Ready (0)" in str(run.output)
    assert "Written" not in str(run.output)


def test_file_is_in_the_vault_and_the_next_sync_commits_it(
    ledger: Ledger, clock: FakeClock, report: Reporter, vault: Path, sync: Callable[..., Any]
) -> None:
    fill(ledger, clock)
    sync()
    run = report()
    assert f"Written to {FILE} in the vault; the next sync commits it, within 300 s." in str(run.output)
    text = (vault / FILE).read_text()
    front = next(yaml.safe_load_all(text))
    assert (front["kind"], front["view"], front["queued"], front["failed_in_a_day"]) == (
        "shoal-view",
        "status report",
        2,
        1,
    )
    assert "what is changed here is overwritten" in text
    assert sync().commit is not None
    assert git(vault, "show", f"HEAD:{FILE}") == text.strip()

    (vault / FILE).write_text(text + "by hand\n")
    clock.advance(60)
    assert report().status == "success"
    sync()
    assert "by hand" not in git(vault, "show", f"HEAD:{FILE}")
    assert git(vault, "status", "--porcelain") == ""
    assert git(vault, "fsck") == ""


@pytest.mark.parametrize("step", ["edits", "tasks", "views", "commit"])
def test_report_in_the_middle_of_a_sync_is_committed_and_breaks_nothing(
    ledger: Ledger, clock: FakeClock, report: Reporter, vault: Path, step: str
) -> None:
    fill(ledger, clock)
    told: list[Run] = []
    cycle = VaultSync(report.engine, on_step=lambda at: told.append(report()) if at == step and not told else None)
    cycle.run()
    assert told[0].status == "success"
    cycle.run()
    assert git(vault, "show", f"HEAD:{FILE}") == (vault / FILE).read_text().strip()
    assert git(vault, "status", "--porcelain") == ""


def test_reports_of_two_servers_with_a_clone_each_never_become_one(
    ledger: Ledger, clock: FakeClock, report: Reporter, vault: Path, person: Path, sync: Callable[..., Any]
) -> None:
    report()
    sync()
    git(person, "pull", "--quiet")
    edit(person / FILE, "queued: 0", "queued: 7")
    edit(person / FILE, "None.", "Something else.")
    push(person)
    fill(ledger, clock)
    report()
    assert sync().conflicts == []
    text = (vault / FILE).read_text()
    assert next(yaml.safe_load_all(text))["queued"] == 2
    assert "Something else." not in text
    git(person, "pull", "--quiet")
    assert (person / FILE).read_text() == text
    assert report().status == "success"


@pytest.mark.parametrize(
    "text", ["my note\n", "---\nkind: note\n---\n", "---\nkind: [\n", "---\nkind: shoal-view\nview: fleet\n---\n"]
)
def test_file_of_somebody_else_is_never_written_over(
    ledger: Ledger, report: Reporter, vault: Path, sync: Callable[..., Any], text: str
) -> None:
    sync()
    (vault / "mine.md").write_text(text)
    run = report(file="mine.md")
    assert run.status == "failed"
    assert "mine.md in the vault is not a report of Shoal's" in str(run.reason)
    assert "# Status report" in str(run.output)
    assert (vault / "mine.md").read_text() == text


def test_no_link_leads_a_report_out_of_the_vault_or_into_its_git(
    report: Reporter, vault: Path, sync: Callable[..., Any], tmp_path: Path
) -> None:
    sync()
    (tmp_path / "elsewhere").mkdir()
    (vault / "out").symlink_to(tmp_path / "elsewhere")
    (vault / "git").symlink_to(vault / ".git")
    (vault / "link.md").symlink_to(tmp_path / "elsewhere" / "target.md")
    for file in ("out/status.md", "out/new/status.md", "git/refs/heads/status.md", "link.md"):
        run = report(file=file)
        assert run.status == "failed"
        assert file in str(run.reason)
    assert list((tmp_path / "elsewhere").iterdir()) == []
    assert not (vault / ".git/refs/heads/status.md").exists()


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"fille": "x.md"}, "option fille of status_report: there is no such option; did you mean file?"),
        ({"days": "many"}, "option days of status_report: Expected `int`, got `str`"),
        ({"days": 0}, "option days of status_report: Expected `int` >= 1"),
        ({"channels": "team"}, 'option channels of status_report: it is a list, as ["…"]'),
        *(
            ({"file": file}, "option file of status_report: ")
            for file in ("../x.md", "/etc/x.md", ".git/x.md", "a/../x.md", "a//x.md", "status.txt", "a.md/b", "x.md\n")
        ),
    ],
)
def test_option_that_cannot_be_is_refused_when_the_job_is_made(
    report: Reporter, options: dict[str, Any], reason: str
) -> None:
    with pytest.raises(BadInput) as caught:
        report(**options)
    assert caught.value.message.startswith(reason)


def test_file_where_the_sync_writes_is_refused(report: Reporter, vault: Path) -> None:
    run = report(file="010-tasks/active/T9.md")
    assert (run.status, run.output) == ("failed", "")
    assert run.reason == "option file of status_report: 010-tasks is for what the sync writes; choose another folder"
    assert not vault.exists()


def test_channels_get_it_in_short_and_one_that_fails_keeps_nothing_else_back(
    open_at: Callable[..., Ledger],
    reporter: Callable[[Ledger], Reporter],
    clock: FakeClock,
    inbox: Inbox,
    vault: Path,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    pytest.importorskip("apprise")
    caplog.set_level(0)
    urls = {"team": inbox.url(), "gone": inbox.url("refused")}
    ledger = open_at(channels={name: ChannelSettings(url=url) for name, url in urls.items()})
    fill(ledger, clock)
    run = reporter(ledger)(channels=["gone", "team", "taem"])
    assert run.status == "failed"
    assert "channel gone: it answered 404 Not Found" in str(run.reason)
    assert "no [channels.taem]" in str(run.reason)
    assert str(run.output).endswith("Sent to team.")
    assert (vault / FILE).exists()
    [told] = [told for path, told in inbox.got if path == f"/{SECRET}"]
    assert told["title"] == "Shoal at 2027-01-17 09:00 UTC"
    assert told["message"].splitlines() == [
        "- **2 queued, 1 blocked, 1 active, 1 review**; 1 worker",
        "- In the last 24 hours: 1 completed, 1 failed, 0 cancelled",
        "- Ready for 2d 1h: T6 `Waits for long`",
        "- At work for 1h: T3 `At work`, `claude-1`, attempt 1",
        "- In review: T4 (1h) `For review`",
        "- Held: T5 `ask Bea`",
        "- Failed: T1 `no tests at all`",
        "- Spent: $1.25 and 1 call without a price today, $3.25 and 1 call without a price in 7 days",
    ]
    kept = "".join(path.read_text() for path in (tmp_path / "home").rglob("*.log"))
    shown = "".join(capfd.readouterr()) + caplog.text
    for text in (str(run), kept, shown, str(ledger.events.list(limit=1000)), (vault / FILE).read_text()):
        assert SECRET not in text


def test_without_a_vault_it_says_so_and_still_goes_to_channels(
    tmp_path: Path, reporter: Callable[[Ledger], Reporter], clock: FakeClock, inbox: Inbox
) -> None:
    pytest.importorskip("apprise")
    settings = Settings(channels={"team": ChannelSettings(url=inbox.url())})
    with open_ledger(str(tmp_path / "own.db"), settings=settings, actor="ana", create=True, clock=clock) as ledger:
        run = reporter(ledger)(channels=["team"])
    assert run.status == "success"
    assert "There is no vault, so no file was written.\nSent to team." in str(run.output)
    assert len(inbox.got) == 1


def test_trouble_of_the_vault_is_told(ledger: Ledger, report: Reporter, vault: Path) -> None:
    vault.mkdir()
    (vault / "040-fleet").write_text("in the way")
    with pytest.raises(Exception, match="must be a folder"):
        VaultSync(report.engine).run()
    run = report(file="status.md")
    assert "## Trouble\n\n- the last sync of the vault failed: " in str(run.output)


@pytest.mark.parametrize("text", EVIL)
def test_nothing_that_people_write_breaks_the_page_or_the_message(
    open_at: Callable[..., Ledger], reporter: Callable[[Ledger], Reporter], inbox: Inbox, text: str
) -> None:
    ledger = open_at(channels={"team": ChannelSettings(url=inbox.url())})
    ledger.tasks.create(title=text)
    ledger.tasks.create(title="x", hold_reason=text)
    run = reporter(ledger)(channels=["team"])
    assert run.status == "success"
    found = rows(run.output)
    assert len(found["Ready (1)"]) == len(found["Waiting for a person"]) == 1
    [(_, told)] = inbox.got
    assert len(told["message"].splitlines()) == 5
    assert all(line.count("`") in (0, 2) for line in told["message"].splitlines())
