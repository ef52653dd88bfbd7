"""Tokens out of an App's key, from a GitHub on loopback that verifies what it is asked and can misbehave."""

from __future__ import annotations

import base64
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from shoal.adapters.forges.github_app import GitHubApp, configured
from shoal.errors import ForgeError, ForgeUnreachable, NotConfigured
from shoal.settings import APP_KEY, BrokerSettings
from tests.conftest import FakeClock, wait_until
from tests.github_app import APP_ID, CLIENT_ID, HOUR_MS, AppApi, pem, private_key

WRITE = {"contents": "write", "metadata": "read"}
MAKE, CHECK, END = "POST .*/access_tokens", "GET /installation/repositories", "DELETE /installation/token"


@pytest.fixture
def api(clock: FakeClock) -> Iterator[AppApi]:
    api = AppApi(clock)
    yield api
    api.close()


@pytest.fixture
def app(api: AppApi) -> GitHubApp:
    return api.source()


def test_token_is_for_the_named_repositories_and_permissions_alone(
    api: AppApi, app: GitHubApp, clock: FakeClock
) -> None:
    made = app.issue(["acme/web"], {"contents": "read"})
    assert (made.repositories, made.permissions) == (["acme/web"], {"contents": "read", "metadata": "read"})
    assert made.expires_at == clock.now + HOUR_MS
    assert api.allows(made.token, "acme/web", "contents", "read")
    assert not api.allows(made.token, "acme/web", "contents", "write")
    assert not api.allows(made.token, "acme/api", "contents", "read")
    assert not api.allows(made.token, "other/web", "contents", "read")


def test_client_id_signs_as_well(api: AppApi) -> None:
    assert api.source(app=CLIENT_ID).issue(["acme/web"], WRITE).token in api.tokens


def test_owner_and_name_are_both_honoured(api: AppApi, app: GitHubApp) -> None:
    assert app.issue(["other/web"], WRITE).token
    assert [(one.installation, one.repositories) for one in api.tokens.values()] == [(8, ["other/web"])]
    assert app.issue(["Acme/WEB"], WRITE).token
    with pytest.raises(ForgeError, match="of one owner, not of acme, other"):
        app.issue(["acme/web", "other/web"], WRITE)
    with pytest.raises(ForgeError, match=r"no installation for stranger; .*broker.installations"):
        app.issue(["stranger/web"], WRITE)
    assert len(api.tokens) == 2


def test_default_installation_gives_nothing_for_another_owner(api: AppApi) -> None:
    app = api.source(installations={}, installation=7)
    assert app.issue(["acme/web"], WRITE).token
    with pytest.raises(ForgeError, match="installation 7 of the GitHub App is acme's, not other's"):
        app.issue(["other/web"], WRITE)
    assert [one.repositories for one in api.tokens.values()] == [["acme/web"]]


@pytest.mark.parametrize(
    ("lie", "said"),
    [
        ({"repositories": [{"full_name": "other/web"}]}, "a token for other/web, not for acme/web"),
        ({"repositories": []}, "a token for nothing, not for acme/web"),
        ({"permissions": {"contents": "write", "administration": "write"}}, r"more .* \(administration\)"),
        ({"permissions": {"contents": "admin"}}, r"more .* \(contents\)"),
    ],
)
def test_token_for_something_else_is_ended_at_once(api: AppApi, app: GitHubApp, lie: dict[str, Any], said: str) -> None:
    api.lie = lambda made: made.update(lie)
    with pytest.raises(ForgeError, match=said):
        app.issue(["acme/web"], WRITE)
    assert len(api.tokens) == 1
    assert api.alive == []


def test_repositories_are_looked_at_where_the_answer_leaves_them_out(api: AppApi, app: GitHubApp) -> None:
    def lie(made: dict[str, Any]) -> None:
        del made["repositories"]
        api.tokens[made["token"]].repositories = ["acme/web", "acme/api"]

    api.lie = lie
    with pytest.raises(ForgeError, match="a token for acme/api, acme/web, not for acme/web"):
        app.issue(["acme/web"], WRITE)
    assert api.alive == []


def test_what_may_pass_is_tried_again(api: AppApi, app: GitHubApp) -> None:
    api.next_time(MAKE, 401, 500, 502)
    assert app.issue(["acme/web"], WRITE).token
    assert len([one for one in api.asked if "access_tokens" in one]) == 4


def test_short_limit_is_waited_for_and_a_long_one_is_told(api: AppApi, app: GitHubApp, clock: FakeClock) -> None:
    limited = {"message": "You have exceeded a secondary rate limit"}
    api.next_time(MAKE, (403, {"Retry-After": "1"}, limited))
    assert app.issue(["acme/web"], WRITE).token
    reset = str(clock.now // 1000 + 90)
    api.next_time(MAKE, (403, {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": reset}, limited))
    with pytest.raises(ForgeUnreachable, match=r"asks to wait: You have exceeded .* in 90 s"):
        app.issue(["acme/web"], WRITE)
    asked = len(api.asked)
    with pytest.raises(ForgeUnreachable, match="asks to wait"):
        app.issue(["acme/web"], WRITE)
    assert len(api.asked) == asked, "nothing is asked before the limit is over"
    assert app.issue(["other/web"], WRITE).token, "another installation has limits of its own"


@pytest.mark.parametrize(
    ("status", "error", "said"),
    [
        (401, ForgeError, "does not take the App's key: told to misbehave; check broker.app_id, broker.private_key"),
        (403, ForgeError, "answers 403 for acme/web: told to misbehave"),
        (404, ForgeError, r"knows no acme/web: .*\[broker.installations\]"),
        (422, ForgeError, "makes no token for acme/web: .*installed on"),
        (503, ForgeUnreachable, "answers 503: told to misbehave"),
    ],
)
def test_refusals_are_clear_errors(
    api: AppApi, app: GitHubApp, status: int, error: type[ForgeError], said: str
) -> None:
    app.issue(["acme/web"], WRITE)
    api.next_time(MAKE, *[status] * 5)
    with pytest.raises(error, match=said) as raised:
        app.issue(["acme/web"], WRITE)
    assert type(raised.value) is error
    tries = len([one for one in api.asked if "access_tokens" in one]) - 1
    assert tries == (5 if status in {401, 503} else 1)


def test_wrong_key_installation_and_suspension(api: AppApi) -> None:
    with pytest.raises(ForgeError, match=r"could not be decoded; check broker.app_id, broker.private_key"):
        api.source(key=private_key("another")).issue(["acme/web"], WRITE)
    with pytest.raises(ForgeError, match="Integration not found"):
        api.source(app="1").issue(["acme/web"], WRITE)
    with pytest.raises(ForgeError, match="knows no installation 9"):
        api.source(installations={"acme": 9}).issue(["acme/web"], WRITE)
    api.installations[7].suspended_at = "2026-01-01T00:00:00Z"
    with pytest.raises(ForgeError, match="installation 7 of the GitHub App is suspended"):
        api.source().issue(["acme/web"], WRITE)
    with pytest.raises(ForgeError, match="permissions requested are not granted"):
        api.source().issue(["other/web"], {"administration": "write"})


@pytest.mark.parametrize("minutes", [-30, -2, 2, 30])
def test_clock_that_differs_from_theirs_is_made_up_for(api: AppApi, app: GitHubApp, minutes: int) -> None:
    api.ahead_ms = minutes * 60_000
    assert app.issue(["acme/web"], WRITE).token
    app.issue(["acme/web"], WRITE)
    refused = [one for one in api.asked if "/app/" in one]
    assert len(refused) <= 4, "the difference is learned once"


def test_token_that_is_not_valid_yet_is_waited_for(api: AppApi, app: GitHubApp) -> None:
    api.not_valid_yet = 3
    made = app.issue(["acme/web"], WRITE)
    assert api.allows(made.token, "acme/web", "contents", "write"), "it works when it is given out"
    api.not_valid_yet = 99
    with pytest.raises(ForgeUnreachable, match="does not take its own new token yet"):
        app.issue(["acme/web"], WRITE)


def test_look_at_a_new_token_that_fails_takes_nothing_away(api: AppApi, app: GitHubApp) -> None:
    api.next_time(CHECK, *[500] * 5)
    assert app.issue(["acme/web"], WRITE).token
    assert len(api.alive) == 1


def test_revoked_token_is_dead_and_a_dead_one_is_no_error(api: AppApi, app: GitHubApp) -> None:
    made = app.issue(["acme/web"], WRITE)
    app.revoke(made.token)
    assert api.alive == []
    app.revoke(made.token)
    app.revoke("ghs_never_there")


def test_revocation_of_a_token_that_has_not_spread_is_tried_again(api: AppApi, app: GitHubApp) -> None:
    api.next_time(CHECK, *[500] * 5)
    made = app.issue(["acme/web"], WRITE)
    api.tokens[made.token].not_valid_yet = 3
    app.revoke(made.token)
    assert api.alive == []
    api.next_time(CHECK, *[500] * 5)
    made = app.issue(["acme/web"], WRITE)
    api.tokens[made.token].not_valid_yet = 9
    with pytest.raises(ForgeUnreachable, match="does not know the token yet"):
        app.revoke(made.token)
    app.revoke(made.token)
    assert api.alive == []


def test_revocation_that_fails_says_so(api: AppApi, app: GitHubApp) -> None:
    made = app.issue(["acme/web"], WRITE)
    api.next_time(END, 500, 500, 500, 500, 500)
    with pytest.raises(ForgeUnreachable, match="answers 500"):
        app.revoke(made.token)
    api.next_time(END, 500)
    app.revoke(made.token)
    assert api.alive == []


def test_nobody_at_the_address() -> None:
    app = GitHubApp(
        "http://127.0.0.1:9", app=APP_ID, key=private_key(), installations={"acme": 7}, backoff_seconds=0.01
    )
    with pytest.raises(ForgeUnreachable, match="does not answer"):
        app.issue(["acme/web"], WRITE)
    app.close()
    with pytest.raises(ForgeError, match="is not encrypted"):
        GitHubApp("http://github.example", app=APP_ID, key=private_key(), installations={})


@pytest.mark.parametrize("body", [b"", b"[]", b'{"token": 7}', b'{"token": "a b\\n"}', b"\xff"])
def test_nonsense_is_no_token(api: AppApi, app: GitHubApp, body: bytes) -> None:
    app.issue(["acme/web"], WRITE)
    api.broken = (201, {}, body)
    with pytest.raises(ForgeUnreachable, match="answers with something"):
        app.issue(["acme/web"], WRITE)


def test_token_is_in_no_repr_no_error_and_no_log(api: AppApi, app: GitHubApp, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    made = app.issue(["acme/web"], WRITE)
    api.lie = lambda answer: answer.update(permissions={"contents": "admin"})
    with pytest.raises(ForgeError) as raised:
        app.issue(["acme/web"], WRITE)
    wait_until(lambda: len(api.tokens) == 2)
    shown = f"{made!r} {made} {made.__rich_repr__()} {app!r} {vars(app)!r} {raised.value!r} {caplog.text}"
    assert not any(token in shown for token in api.tokens)


def test_key_by_path_and_by_environment(api: AppApi, tmp_path: Path) -> None:
    (tmp_path / "app.pem").write_bytes(pem())
    installed = {"app_id": int(APP_ID), "installations": {"acme": 7}}
    encoded = base64.encodebytes(pem()).decode()
    for broker, environment in [
        (BrokerSettings(private_key="app.pem", **installed), {}),
        (BrokerSettings(**installed), {APP_KEY: encoded}),
        (BrokerSettings(**installed), {APP_KEY: pem().decode()}),
    ]:
        app = configured(api.url, broker, tmp_path, environment, clock=api.clock)
        assert app.issue(["acme/web"], WRITE).token
        app.close()


def test_what_is_missing_is_named(api: AppApi, tmp_path: Path) -> None:
    def problem(environment: dict[str, str] | None = None, **broker: Any) -> str:
        with pytest.raises(NotConfigured) as raised:
            configured(api.url, BrokerSettings(**broker), tmp_path, environment or {})
        return raised.value.message

    nothing = problem()
    assert all(name in nothing for name in ("broker.app_id", "broker.installation", "broker.private_key", APP_KEY))
    there = {"app_id": "1", "installation": 7}
    assert "app_id" not in problem(**there)
    assert "gone.pem cannot be read: No such file" in problem(private_key="gone.pem", **there)
    (tmp_path / "bad.pem").write_text("-----BEGIN RSA PRIVATE KEY-----\nc2VjcmV0\n-----END RSA PRIVATE KEY-----\n")
    bad = problem(private_key="bad.pem", **there)
    assert "broker.private_key is not an RSA private key" in bad
    assert "c2Vj" not in bad
    assert f"${APP_KEY} is not base64" in problem({APP_KEY: "!!"}, **there)
    assert f"${APP_KEY} is not an RSA private key" in problem({APP_KEY: "c2VjcmV0"}, **there)
