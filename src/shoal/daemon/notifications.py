"""Notifications to the channels of a home: `[channels.NAME]` in shoal.toml. Errors name the channel, never its URL."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from shoal.adapters.notifiers import channel
from shoal.errors import ChannelError, NotConfigured, NotFound, ShoalError
from shoal.mistakes import nearest
from shoal.settings import Settings

AT_ONCE = 8


def notify(settings: Settings, name: str, *, title: str, body: str) -> None:
    """Send markdown to a channel, and wait until its service has taken it.

    Raises NotFound for an unknown channel, NotConfigured when something is missing, ChannelError when it was not taken.
    """
    reason = channel.send(_url(settings, name), title=title, body=body)
    if reason is not None:
        again = f"`shoal notify {name}` tries it again"
        advice = f"mend it in [channels.{name}] of shoal.toml" if reason == channel.UNREADABLE else again
        raise ChannelError(f"channel {name}: {reason}; {advice}")


def notify_all(settings: Settings, names: Sequence[str], *, title: str, body: str) -> dict[str, ShoalError]:
    """Send it to several at the same time; those that did not get it, and why."""

    def attempt(name: str) -> ShoalError | None:
        try:
            notify(settings, name, title=title, body=body)
        except ShoalError as error:
            return error
        return None

    names = list(dict.fromkeys(names))
    if not names:
        return {}
    with ThreadPoolExecutor(min(AT_ONCE, len(names)), thread_name_prefix="shoal-notify") as pool:
        failed = zip(names, pool.map(attempt, names), strict=True)
        return {name: error for name, error in failed if error is not None}


def _url(settings: Settings, name: str) -> str:
    found = settings.channels.get(name)
    if found is None:
        known = ", ".join(sorted(settings.channels)) or "none"
        raise NotFound(
            f"there is no [channels.{name}] in shoal.toml{nearest(name, settings.channels)} (there are: {known})"
        )
    if found.url is not None:
        return found.url
    assert found.url_variable is not None  # noqa: S101 - one of both is there
    url = os.environ.get(found.url_variable, "").strip()
    if not url:
        raise NotConfigured(f"channel {name}: the variable {found.url_variable} is empty; it is to hold the URL")
    return url
