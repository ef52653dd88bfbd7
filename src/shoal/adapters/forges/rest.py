"""One way to ask a forge's REST API: an answer within bounds, what a refusal says, how long it asks to wait.

What is asked, and what an answer means, is in github.py and github_app.py. Tokens are in no error and no repr.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

import msgspec
from msgspec import Struct

from shoal.clock import Clock, SystemClock, monotonic_seconds
from shoal.errors import ForgeError, ForgeUnreachable
from shoal.model.veil import veiled

if TYPE_CHECKING:
    import httpx2

VERSION = "2022-11-28"
LOOPBACK = ("127.0.0.1", "::1", "localhost")
REQUEST_SECONDS = 10.0  # without a byte
ANSWER_SECONDS = 30.0  # for all of it
ANSWER_BYTES = 20 * 1024 * 1024
WAIT_SECONDS = 60.0  # where it asks to wait and does not say how long
LONGEST_WAIT_SECONDS = 3600.0
T = TypeVar("T")


class _Refusal(Struct):
    message: str = ""
    errors: Any = None


class Answer(Struct):
    """What a forge answered. The body may hold a token."""

    status: int
    headers: Any
    body: bytes
    url: str

    def __repr__(self) -> str:
        return f"Answer({self.status}, {self.url!r})"


class Rest:
    """A REST API at an address."""

    def __init__(self, url: str, *, clock: Clock | None = None) -> None:
        """Raises ForgeError when it is no address, or a token would travel there unencrypted."""
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.username or parts.password:
            raise ForgeError("github_url is not the address of an API such as https://api.github.com")
        if parts.scheme == "http" and parts.hostname not in LOOPBACK:
            raise ForgeError(f"{parts.hostname} is not encrypted, so the token is not sent there; use https")
        self.address = url.rstrip("/")
        self.origin = (parts.scheme, parts.netloc)
        self.host = parts.hostname.removeprefix("api.")
        self._clock = clock or SystemClock()
        self._lock = threading.Lock()
        self._client: httpx2.Client | None = None

    def send(
        self, method: str, url: str, *, token: str, query: dict[str, str] | None = None, given: Any = None
    ) -> Answer:
        """One request, redirects not followed. Raises ForgeUnreachable without a whole answer."""
        import httpx2

        deadline = monotonic_seconds() + ANSWER_SECONDS
        body = bytearray()
        headers = {"Authorization": f"Bearer {token}"}
        try:
            with self._opened().stream(method, url, params=query, json=given, headers=headers) as response:
                for part in response.iter_bytes():
                    body += part
                    if len(body) > ANSWER_BYTES or monotonic_seconds() > deadline:
                        raise ForgeUnreachable(f"{self.address} does not come to an end of its answer")
                return Answer(response.status_code, response.headers, bytes(body), str(response.url))
        except (httpx2.HTTPError, httpx2.InvalidURL, OSError) as error:
            raise ForgeUnreachable(f"{self.address} does not answer: {type(error).__name__}: {error}") from None

    def wait(self, answer: Answer) -> float | None:
        """The seconds to wait when a limit is reached: GitHub says so by 403 or 429 and a header, or only in words."""
        if answer.status not in (403, 429, 503):
            return None
        headers = answer.headers
        wait: float | None = None
        if (after := headers.get("retry-after")) is not None:
            wait = float(after) if after.isdecimal() else WAIT_SECONDS
        elif headers.get("x-ratelimit-remaining") == "0":
            reset = headers.get("x-ratelimit-reset", "")
            wait = int(reset) - self._clock.now_ms() / 1000 if reset.isdecimal() else WAIT_SECONDS
        elif answer.status == 429 or "rate limit" in said(answer).lower():
            wait = WAIT_SECONDS
        return None if wait is None else min(max(wait, 1.0), LONGEST_WAIT_SECONDS)

    def close(self) -> None:
        """Let go of connections."""
        with self._lock:
            if self._client is not None:
                self._client.close()
                self._client = None

    def _opened(self) -> httpx2.Client:
        import httpx2

        with self._lock:
            if self._client is None:
                self._client = httpx2.Client(
                    timeout=REQUEST_SECONDS,
                    follow_redirects=False,
                    headers={
                        "Accept": "application/vnd.github+json",
                        "User-Agent": "shoal",
                        "X-GitHub-Api-Version": VERSION,
                    },
                )
            return self._client


def decoded(answer: Answer, kind: type[T]) -> T:
    """The body as what it should be. Raises ForgeUnreachable."""
    try:
        return msgspec.json.decode(answer.body, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ForgeUnreachable(f"{urlsplit(answer.url).netloc} answers with something else: {error}") from None


def said(answer: Answer) -> str:
    """What GitHub says about a refusal, on one line."""
    try:
        refusal = msgspec.json.decode(answer.body, type=_Refusal)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return f"status {answer.status}"
    errors = refusal.errors if isinstance(refusal.errors, list) else []
    more = [str(one.get("message") or one.get("code")) if isinstance(one, dict) else str(one) for one in errors]
    return veiled(" ".join("; ".join([refusal.message, *more]).split()))[:300] or f"status {answer.status}"
