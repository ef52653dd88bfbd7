"""Sends a notification to an address as Apprise writes it, by a process of its own that Apprise is loaded into.

So a service that never answers is ended for certain, and nothing that Apprise or what it is built on logs gets
anywhere: the address is a secret. What is told of a failure is said in words of this file, never in theirs.
"""

from __future__ import annotations

import importlib.util
import logging
import re
import signal
import subprocess
import sys
from http import HTTPStatus

import msgspec
from msgspec import Struct

from shoal.errors import NotConfigured

SECONDS = 20
START_SECONDS = 30  # a busy machine takes long to load Apprise
UNREADABLE = "its URL is none that Apprise can use"
UNREACHABLE = "it cannot be reached, or does not answer"
_CODE = re.compile(r"error\s*[=:]\s*([1-5]\d\d)\b", re.IGNORECASE)
_CONNECTION = re.compile(r"connection error|socket|timed? ?out|could not connect", re.IGNORECASE)


class Message(Struct, frozen=True):
    """What is sent, and where; the body is markdown, and becomes what the service shows."""

    url: str
    title: str
    body: str
    seconds: int


def send(url: str, *, title: str, body: str, seconds: int = SECONDS) -> str | None:
    """Why a notification did not get there, as far as that can be told; None when the service took it.

    Raises NotConfigured when Apprise is not installed.
    """
    if importlib.util.find_spec("apprise") is None:
        raise NotConfigured("notifications need what is not installed (apprise); pip install 'shoal[notify]'")
    given = msgspec.json.encode(Message(url, title, body, seconds))
    # By its standard input: everybody on this machine can read a command line.
    command = [sys.executable, "-P", "-m", __name__]
    try:
        done = subprocess.run(  # noqa: S603
            command,
            input=given,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=START_SECONDS + seconds,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return UNREACHABLE
    if done.returncode == -signal.SIGALRM:
        return f"it did not take it within {seconds} s"
    if done.returncode != 0:
        return f"Apprise failed with it (exit {done.returncode})"
    reason: str | None = msgspec.json.decode(done.stdout, type=str | None)
    return reason


class _Heard(logging.Handler):
    """What Apprise complains of."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.text = ""

    def emit(self, record: logging.LogRecord) -> None:
        self.text += record.getMessage() + "\n"


def _deliver(message: Message) -> str | None:
    import apprise

    heard = _Heard()
    logging.getLogger("apprise").addHandler(heard)
    service = apprise.Apprise.instantiate(message.url)
    if service is None:
        return UNREADABLE
    to = apprise.Apprise()
    to.add(service)
    signal.alarm(message.seconds)
    taken = to.notify(body=message.body, title=message.title, body_format=apprise.NotifyFormat.MARKDOWN)
    signal.alarm(0)
    return None if taken else _reason(heard.text)


def _reason(complaint: str) -> str:
    if found := _CODE.search(complaint):
        phrase = next((one.phrase for one in HTTPStatus if one == int(found[1])), "")
        return f"it answered {found[1]} {phrase}".rstrip()
    return UNREACHABLE if _CONNECTION.search(complaint) else "it did not take it"


if __name__ == "__main__":
    told = _deliver(msgspec.json.decode(sys.stdin.buffer.read(), type=Message))
    sys.stdout.buffer.write(msgspec.json.encode(told))
