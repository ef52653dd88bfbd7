"""What tests of services share beside the ledger: a GitHub with an App, and a ledger that asks it for tokens."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from shoal import Ledger
from shoal.settings import ADMIN_TOKEN
from tests.conftest import FakeClock
from tests.github_app import AppApi
from tests.services.broker import ADMIN, Open, open_broker


@pytest.fixture
def api(clock: FakeClock) -> Iterator[AppApi]:
    api = AppApi(clock)
    yield api
    api.close()


@pytest.fixture
def broker(api: AppApi, open_at: Open, monkeypatch: pytest.MonkeyPatch) -> Ledger:
    """A ledger on each database, with an App and an administrator."""
    monkeypatch.setenv(ADMIN_TOKEN, ADMIN)
    return open_broker(open_at, api)
