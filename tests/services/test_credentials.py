"""Credentials: what git logs in with, and where there is nothing to say."""

from __future__ import annotations

import pytest

from shoal import Ledger
from shoal.errors import BadInput, Forbidden, NotConfigured, NotFound, WrongStatus
from shoal.model.grant import answers_for
from tests.conftest import FakeClock
from tests.github_app import HOUR_MS, AppApi
from tests.services.broker import ADMIN, Open, at_work, audited, open_broker


def test_credential_is_the_tasks_token(broker: Ledger, api: AppApi, clock: FakeClock) -> None:
    claim = at_work(broker, "acme/web")
    found = broker.tasks.credential("T1", host="github.com", path="acme/web.git", key=claim.key)
    assert found.username == "x-access-token"
    assert found.password == broker.tasks.token("T1", key=claim.key).token
    assert found.expires_at == clock.now + HOUR_MS
    assert found.password not in repr(found)
    assert broker.tasks.credential("T1", host="github.com", key=ADMIN) == found
    assert len(api.tokens) == 1


def test_there_is_nothing_for_what_is_not_the_tasks_and_a_try_is_in_the_audit(broker: Ledger, clock: FakeClock) -> None:
    claim = at_work(broker, "acme/web")
    for asked in (
        {"path": "acme/api.git"},
        {"path": "other/web"},
        {"host": "gitlab.com", "path": "acme/web"},
        {"host": "github.com:8443", "path": "acme/web"},
        {"protocol": "http", "path": "acme/web"},
    ):
        found = broker.tasks.credential("T1", key=claim.key, **{"host": "github.com"} | asked)
        assert (found.username, found.password, found.expires_at) == (None, None, None)
    assert audited(broker) == ["refused"] * 2
    newest, oldest = broker.grants.audit(task="T1")
    assert (newest.repositories, oldest.repositories) == (["other/web"], ["acme/api"])
    assert newest.reason == "git asked to log in to github.com/other/web, which is none of the task's"
    for _ in range(3):
        broker.tasks.credential("T1", key=claim.key, host="github.com", path="Other/Web.git")
    assert len(audited(broker)) == 2
    clock.advance(61)
    broker.tasks.credential("T1", key=claim.key, host="github.com", path="other/web")
    assert len(audited(broker)) == 3
    with pytest.raises(NotFound):
        broker.tasks.credential("T9", host="github.com")
    with pytest.raises(BadInput):
        broker.tasks.credential("T1", host="github.com\nhost=evil.com")


def test_without_a_path_the_only_repository_is_meant(broker: Ledger) -> None:
    one, two = at_work(broker, "acme/web", "/somewhere/on/disk"), at_work(broker, "acme/web", "acme/api")
    assert broker.tasks.credential(one.task.id, host="github.com", key=one.key).password
    assert broker.tasks.credential(two.task.id, host="github.com", key=two.key).password is None


def test_registration_decides_what_is_the_tasks(broker: Ledger) -> None:
    claim = at_work(broker, "acme/web")
    broker.tasks.register("T1", repositories=["other/web"], key=ADMIN)
    given = {"host": "github.com", "key": claim.key}
    assert broker.tasks.credential("T1", path="acme/web", **given).password is None
    assert broker.tasks.credential("T1", path="other/web", **given).password


def test_only_the_attempt_at_work_gets_one(broker: Ledger) -> None:
    claim = at_work(broker, "acme/web")
    asked = {"host": "github.com", "path": "acme/web"}
    for key in (None, "wrong"):
        with pytest.raises(Forbidden):
            broker.tasks.credential("T1", key=key, **asked)
    broker.tasks.complete(1, attempt=1)
    with pytest.raises(WrongStatus):
        broker.tasks.credential("T1", key=claim.key, **asked)
    assert audited(broker) == ["refused"] * 3


def test_broker_that_is_not_set_up_says_so(ledger: Ledger) -> None:
    claim = at_work(ledger, "acme/web")
    with pytest.raises(NotConfigured):
        ledger.tasks.credential("T1", host="github.com", key=claim.key)


def test_host_with_a_port_of_its_own_is_named_with_it(open_at: Open, api: AppApi) -> None:
    broker = open_broker(open_at, api, hosts=["Git.Acme.org:8443", "github.com"])
    claim = at_work(broker, "https://git.acme.org:8443/acme/web.git", "https://git.acme.org/acme/api")
    assert broker.tasks.token("T1", key=claim.key).repositories == ["acme/web"]
    assert broker.tasks.credential("T1", host="git.acme.org:8443", path="acme/web", key=claim.key).password
    assert broker.tasks.credential("T1", host="git.acme.org", path="acme/web", key=claim.key).password is None
    assert broker.grants.status().hosts == ["Git.Acme.org:8443", "github.com"]


def test_tokens_go_to_encrypted_places_and_to_this_machine() -> None:
    hosts = ["github.com", "127.0.0.1:8000", "[::1]:8000"]
    assert answers_for(hosts, "https", "GitHub.com")
    assert answers_for(hosts, "https", "github.com:443")
    assert answers_for(hosts, "http", "127.0.0.1:8000")
    assert answers_for(hosts, "http", "[::1]:8000")
    for protocol, host in (
        ("http", "github.com"),
        ("https", "github.com:444"),
        ("https", "me@github.com"),
        ("https", "github.com/x"),
        ("https", "github.com:x"),
        ("https", "[github.com"),
        ("ssh", "github.com"),
        ("http", "127.0.0.1"),
        ("https", ""),
    ):
        assert not answers_for(hosts, protocol, host), (protocol, host)
