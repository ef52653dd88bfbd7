"""Channels: what a service gets, what is told when it does not take it, and that its URL is told nowhere."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from shoal import live_settings
from shoal.adapters.notifiers import channel
from shoal.daemon import notifications
from shoal.errors import BadInput, ChannelError, NotConfigured, NotFound
from shoal.settings import ChannelSettings, Home, Settings
from tests.fleet import SHOAL, environment
from tests.inbox import SECRET, Inbox

pytest.importorskip("apprise")


@pytest.fixture
def inbox() -> Iterator[Inbox]:
    inbox = Inbox()
    yield inbox
    inbox.close()


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = Home(tmp_path / "home")
    home.create()
    return home


def send(url: str) -> str | None:
    return channel.send(url, title="Shoal", body="**3** queued\n\n- a `b|c`\n")


def shoal(home: Home, *arguments: str, given: str | None = None, **variables: str) -> subprocess.CompletedProcess[str]:
    command = [*SHOAL, "--home", str(home), *arguments]
    where = {"stdin": subprocess.DEVNULL} if given is None else {"input": given}
    return subprocess.run(command, env=environment(**variables), capture_output=True, text=True, check=False, **where)


def test_service_gets_title_and_markdown(inbox: Inbox) -> None:
    assert send(inbox.url()) is None
    [(path, told)] = inbox.got
    assert path == f"/{SECRET}"
    assert (told["title"], told["message"]) == ("Shoal", "**3** queued\n\n- a `b|c`")


def test_markdown_becomes_html_where_a_service_shows_that(inbox: Inbox) -> None:
    assert send(inbox.url() + "&format=html") is None
    assert "<strong>3</strong> queued" in inbox.got[0][1]["message"]


@pytest.mark.parametrize(
    ("answer", "reason"),
    [(404, "it answered 404 Not Found"), (500, "it answered 500 Internal Server Error"), (599, "it answered 599")],
)
def test_refusal_is_told_with_what_was_answered(inbox: Inbox, answer: int, reason: str) -> None:
    inbox.answer = answer
    assert send(inbox.url()) == reason


def test_nobody_there_and_no_such_kind_of_address_are_told_apart(inbox: Inbox) -> None:
    inbox.close()
    assert send(inbox.url()) == channel.UNREACHABLE
    assert send(f"carrier-pigeon://{SECRET}") == channel.UNREADABLE
    assert send(f"json://{SECRET}:port/[") == channel.UNREADABLE


def test_service_that_drips_its_answer_is_ended(inbox: Inbox) -> None:
    inbox.drips = True
    assert channel.send(inbox.url(), title="t", body="b", seconds=1) == "it did not take it within 1 s"


def test_without_apprise_the_extra_is_named(inbox: Inbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(channel.importlib.util, "find_spec", lambda _: None)
    with pytest.raises(NotConfigured, match=r"pip install 'shoal\[notify\]'"):
        send(inbox.url())


def test_those_that_fail_keep_no_other_from_being_told(inbox: Inbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEAM_URL", inbox.url())
    settings = Settings(
        channels={
            "team": ChannelSettings(url_variable="TEAM_URL"),
            "gone": ChannelSettings(url=inbox.url("refused")),
            "unset": ChannelSettings(url_variable="NOBODY_SET_THIS"),
        }
    )
    failed = notifications.notify_all(settings, ["gone", "unset", "taem", "team", "team"], title="t", body="b")
    assert {name: type(error) for name, error in failed.items()} == {
        "gone": ChannelError,
        "unset": NotConfigured,
        "taem": NotFound,
    }
    assert sorted(path for path, _ in inbox.got) == ["/refused", f"/{SECRET}"]
    told = "\n".join(error.message for error in failed.values())
    assert "channel gone: it answered 404 Not Found" in told
    assert "variable NOBODY_SET_THIS is empty" in told
    assert "no [channels.taem] in shoal.toml; did you mean team?" in told
    assert SECRET not in told


@pytest.mark.parametrize(
    "table",
    ["", f'url = "json://{SECRET}"\nurl_variable = "X"\n', f'url = "{SECRET}"\n', f'url_variable = "{SECRET} x"\n'],
)
def test_channel_without_exactly_one_address_is_refused_by_its_name(home: Home, table: str) -> None:
    home.config.write_text(f"[channels.team]\n{table}")
    with pytest.raises(BadInput, match=r"shoal.toml, line \d: \[channels.team\] ") as caught:
        home.settings()
    assert SECRET not in caught.value.message


def test_settings_show_no_url_and_keep_its_variable_from_agents_and_jobs() -> None:
    from rich.pretty import pretty_repr

    settings = Settings(
        channels={"a": ChannelSettings(url=f"json://{SECRET}"), "b": ChannelSettings(url_variable="TEAM_URL")}
    )
    assert SECRET not in repr(settings) + str(settings) + pretty_repr(settings)
    assert "TEAM_URL" in settings.secrets


def test_changed_channel_holds_at_once_and_is_told_by_its_name(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_settings, "SETTLED_MS", 0)
    monkeypatch.setattr(live_settings, "LOOK_SECONDS", 0)
    changes: list[live_settings.Change] = []
    live = live_settings.LiveSettings(home, on_change=changes.append)
    home.config.write_text(f'[channels.team]\nurl = "json://{SECRET}"\n')
    assert live().channels["team"].url == f"json://{SECRET}"
    assert changes == [live_settings.Change(["channels.team"])]


def test_command_sends_and_ends_as_others_do(home: Home, inbox: Inbox) -> None:
    home.config.write_text('[channels.team]\nurl_variable = "TEAM_URL"\n')
    done = shoal(home, "notify", "team", "hello *there*", "--json", TEAM_URL=inbox.url())
    assert json.loads(done.stdout)["data"] == {"channel": "team", "sent": True}
    assert shoal(home, "notify", "team", TEAM_URL=inbox.url()).returncode == 0
    assert [told["message"] for _, told in inbox.got] == ["hello *there*", "A test of this channel: **it works**."]
    for given, code in (("by a pipe", 0), ("", 2)):
        for text in ([], ["-"]):
            done = shoal(home, "notify", "team", *text, given=given, TEAM_URL=inbox.url())
            assert (done.returncode, "the text is empty" in done.stderr) == (code, code == 2)
    assert [told["message"] for _, told in inbox.got[2:]] == ["by a pipe"] * 2
    wrong: dict[tuple[str, str], tuple[int, str]] = {
        ("taem", inbox.url()): (3, "did you mean team?"),
        ("team", ""): (6, "TEAM_URL is empty"),
        ("team", inbox.url("refused")): (1, "channel team: it answered 404 Not Found"),
        ("team", f"nope://{SECRET}"): (1, f"{channel.UNREADABLE}; mend it in [channels.team] of shoal.toml"),
    }
    for (name, url), (code, told) in wrong.items():
        done = shoal(home, "notify", name, TEAM_URL=url)
        assert (done.returncode, done.stdout) == (code, "")
        assert told in done.stderr
        assert SECRET not in done.stderr


def test_url_stands_on_no_command_line_and_nothing_is_logged(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []
    monkeypatch.setattr(channel.subprocess, "run", lambda command, **given: seen.append((command, given)) or _done())
    url = f"json://{SECRET}"
    assert channel.send(url, title="t", body="b") is None
    [(command, given)] = seen
    assert SECRET not in " ".join(command)
    assert given["stderr"] == subprocess.DEVNULL


def _done() -> subprocess.CompletedProcess[bytes]:
    return subprocess.CompletedProcess([], 0, stdout=b"null")
