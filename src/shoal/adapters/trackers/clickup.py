"""ClickUp, by its REST API v2. What it is asked for: tracker.py. Tokens are in no error and no repr."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote, urlsplit

import msgspec
from msgspec import Struct

from shoal.adapters.trackers.tracker import NewTicket, Ticket
from shoal.clock import Clock, SystemClock
from shoal.errors import TrackerError, TrackerUnreachable

if TYPE_CHECKING:
    import httpx2

LOOPBACK = ("127.0.0.1", "::1", "localhost")
REQUEST_SECONDS = 30.0
ANSWER_BYTES = 50 * 1024 * 1024
PAGES = 1000
TRIES = 3
WAIT_SECONDS = 5.0  # where it asks to wait and does not say how long
LONGEST_WAIT_SECONDS = 70.0  # its limits are per minute
TITLE_LENGTH = 500
_MARKER = re.compile(r"shoal:[^\s:]+:W\d+")
T = TypeVar("T")


class _Task(Struct):
    id: str
    url: str | None = None
    description: str | None = None
    text_content: str | None = None


class _Tasks(Struct):
    tasks: list[_Task]
    last_page: bool = False


class _Refusal(Struct):
    err: str = ""
    ECODE: str = ""


class _Answer(Struct):
    status: int
    headers: Any
    body: bytes


class ClickUp:
    """One list of ClickUp, with one token."""

    def __init__(
        self,
        url: str,
        token: str,
        list_id: str,
        *,
        clock: Clock | None = None,
        wait: Callable[[float], None] = time.sleep,
    ) -> None:
        """Raises TrackerError when the token could not be sent, or would travel unencrypted."""
        parts = urlsplit(url)
        if parts.scheme == "http" and parts.hostname not in LOOPBACK:
            raise TrackerError(f"{parts.hostname} is not encrypted, so the token is not sent there; use https")
        if not token.isascii() or not token.isprintable() or " " in token:
            raise TrackerError("the token of ClickUp has spaces, or characters that no token has")
        self._address = url.rstrip("/")
        self._list = list_id
        # A person's own token is sent as it is; one of an app is a bearer's.
        self._authorization = token if token.startswith("pk_") else f"Bearer {token}"
        self._clock = clock or SystemClock()
        self._wait = wait
        self._client: httpx2.Client | None = None

    def __repr__(self) -> str:
        return f"ClickUp({self._address!r}, list {self._list})"

    def known(self) -> dict[str, Ticket]:
        """The tickets of the list that were made of items, by their markers; closed and archived ones too."""
        found: dict[str, Ticket] = {}
        for archived in ("false", "true"):
            for page in range(PAGES):
                query = {"page": str(page), "archived": archived, "include_closed": "true", "subtasks": "true"}
                answer = self._ask("GET", f"/list/{quote(self._list)}/task", query=query)
                tasks = _decoded(answer, _Tasks)
                for one in tasks.tasks:
                    last = (one.description or one.text_content or "").rstrip().rpartition("\n")[2].strip()
                    if _MARKER.fullmatch(last):
                        found.setdefault(last, Ticket(one.id, one.url))
                if tasks.last_page or not tasks.tasks:
                    break
            else:
                raise TrackerError(f"list {self._list} of ClickUp has more than {PAGES} pages")
        return found

    def create(self, new: NewTicket) -> Ticket:
        """Make a task in the list."""
        # A mark in the text itself would be the last line as soon as somebody takes ours away.
        text = _MARKER.sub(lambda mark: mark[0].replace(":", ": ", 1), new.text)
        given: dict[str, Any] = {"name": new.title[:TITLE_LENGTH], "description": f"{text}\n\n{new.marker}"}
        if new.priority is not None:
            given["priority"] = new.priority + 1  # 1 is urgent, 4 low
        if new.due_at is not None:
            given["due_date"] = new.due_at
        if new.status is not None:
            given["status"] = new.status
        made = _decoded(self._ask("POST", f"/list/{quote(self._list)}/task", given=given), _Task)
        return Ticket(made.id, made.url)

    def set_status(self, id: str, status: str) -> bool:
        """Say how far a task is; False when it is not there any more."""
        return self._ask("PUT", f"/task/{quote(id)}", given={"status": status}, accepted=(200, 404)).status == 200

    def close(self) -> None:
        """Let go of connections."""
        if self._client is not None:
            self._client.close()
            self._client = None

    def _ask(
        self,
        method: str,
        path: str,
        *,
        query: dict[str, str] | None = None,
        given: Any = None,
        accepted: tuple[int, ...] = (200,),
    ) -> _Answer:
        """One request. It waits where it is asked to, and asks again; what makes something is not repeated blindly."""
        for left in reversed(range(TRIES)):
            try:
                answer = self._send(method, path, query, given)
            except TrackerUnreachable:
                if method == "POST" or not left:
                    raise
                self._wait(1.0)
                continue
            if answer.status in accepted:
                return answer
            seconds = self._seconds(answer) if left else None
            if seconds is None or (answer.status >= 500 and method == "POST"):
                raise self._refusal(answer, f"{method} {path}")
            self._wait(seconds)
        raise AssertionError("the last try gives an answer or an error")

    def _send(self, method: str, path: str, query: dict[str, str] | None, given: Any) -> _Answer:
        import httpx2

        body = bytearray()
        headers = {"Authorization": self._authorization}
        try:
            with self._opened().stream(
                method, self._address + path, params=query, json=given, headers=headers
            ) as response:
                for part in response.iter_bytes():
                    body += part
                    if len(body) > ANSWER_BYTES:
                        raise TrackerUnreachable(f"{self._address} does not come to an end of its answer")
                return _Answer(response.status_code, response.headers, bytes(body))
        except (httpx2.HTTPError, httpx2.InvalidURL, OSError) as error:
            raise TrackerUnreachable(f"{self._address} does not answer: {type(error).__name__}: {error}") from None

    def _opened(self) -> httpx2.Client:
        import httpx2

        if self._client is None:
            self._client = httpx2.Client(
                timeout=REQUEST_SECONDS, follow_redirects=False, headers={"User-Agent": "shoal"}
            )
        return self._client

    def _seconds(self, answer: _Answer) -> float | None:
        """How long to wait before asking again; None when that makes no sense."""
        if answer.status >= 500:
            return 1.0
        if answer.status != 429:
            return None
        seconds = WAIT_SECONDS
        if (after := answer.headers.get("retry-after", "")).isdecimal():
            seconds = float(after)
        elif (reset := answer.headers.get("x-ratelimit-reset", "")).isdecimal():
            seconds = int(reset) - self._clock.now_ms() / 1000
        return max(seconds, 0.0) if seconds <= LONGEST_WAIT_SECONDS else None

    def _refusal(self, answer: _Answer, asked: str) -> TrackerError:
        words = _said(answer)
        if answer.status == 401:
            return TrackerUnreachable(f"ClickUp does not take the token: {words}; set the variable token_variable")
        if answer.status == 403:
            return TrackerUnreachable(f"the token may not do this in ClickUp: {words}")
        if answer.status == 404:
            return TrackerUnreachable(f"ClickUp has no list {self._list} for this token: {words}; see [trackers]")
        if answer.status == 429:
            return TrackerUnreachable(f"ClickUp asks to wait: {words}; push again later")
        if answer.status >= 500 or answer.status < 400:
            return TrackerUnreachable(f"ClickUp answers {answer.status} to {asked}: {words}")
        return TrackerError(f"ClickUp answers {answer.status} to {asked}: {words}")


def _decoded(answer: _Answer, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(answer.body, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise TrackerUnreachable(f"ClickUp answers with something else: {error}") from None


def _said(answer: _Answer) -> str:
    """What ClickUp says about a refusal, on one line."""
    try:
        refusal = msgspec.json.decode(answer.body, type=_Refusal)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return f"status {answer.status}"
    code = f" ({refusal.ECODE})" if refusal.ECODE else ""
    return f"{' '.join(refusal.err.split())[:300]}{code}" if refusal.err else f"status {answer.status}"
