"""The key of a GitHub App, and the tokens that GitHub makes out of it: each for some repositories of one owner."""

from __future__ import annotations

import base64
import binascii
import contextlib
import hashlib
import itertools
import re
import threading
import time
from collections.abc import Callable, Mapping
from datetime import datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct

from shoal.adapters.forges.rest import Answer, Rest, decoded, said
from shoal.clock import Clock, SystemClock, monotonic_seconds
from shoal.errors import ForgeError, ForgeUnreachable, NotConfigured
from shoal.model.grant import LEVELS, Token
from shoal.settings import APP_KEY, BrokerSettings

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

ISSUED_BEFORE_SECONDS, VALID_SECONDS = 60, 540  # GitHub allows ten minutes, and its clock may be behind ours
TRIES = 5
PATIENCE_SECONDS = 20.0  # after which nothing is tried again: whoever asked waits
SHORT_WAIT_SECONDS = 3.0
SKEW_MS = 5000
_TOKEN = re.compile(r"[A-Za-z0-9_.~+/=-]{10,1000}")


class _Account(Struct):
    login: str


class _Installation(Struct):
    account: _Account
    suspended_at: str | None = None


class _Repository(Struct):
    full_name: str


class _Made(Struct):
    token: str
    expires_at: str
    permissions: dict[str, str]
    repositories: list[_Repository] | None = None

    def __repr__(self) -> str:
        return "_Made()"


class _Reach(Struct):
    total_count: int
    repositories: list[_Repository]


class GitHubApp:
    """A source of tokens. Safe for threads."""

    def __init__(
        self,
        url: str,
        *,
        app: str,
        key: RSAPrivateKey,
        installations: Mapping[str, int],
        installation: int | None = None,
        clock: Clock | None = None,
        backoff_seconds: float = 0.4,
    ) -> None:
        """`installations` are by owner, `installation` is for every other one. Raises ForgeError for a wrong URL."""
        self._rest = Rest(url, clock=clock)
        self._app = app
        self._key = key
        self._installations = {owner.lower(): number for owner, number in installations.items()}
        self._installation = installation
        self._clock = clock or SystemClock()
        self._backoff_seconds = backoff_seconds
        self._lock = threading.Lock()
        self._owners: dict[int, str] = {}
        self._unseen: set[str] = set()
        self._waits: dict[int, tuple[float, str]] = {}
        self._skew_ms = 0

    def __repr__(self) -> str:
        return f"GitHubApp({self._app!r} at {self._rest.address!r})"

    def issue(self, repositories: list[str], permissions: dict[str, str]) -> Token:
        """A token for repositories of one owner, "owner/name" each, with these permissions and no others.

        It works when it is given out: one that GitHub does not know itself yet is waited for. Raises ForgeUnreachable
        when GitHub cannot be asked now, and ForgeError when it refuses or gives something else than was asked for.
        """
        deadline = monotonic_seconds() + PATIENCE_SECONDS
        owner = _owner(repositories)
        number = self._installation_of(owner, deadline)
        given = {"repositories": [name.partition("/")[2] for name in repositories], "permissions": permissions}
        path = f"/app/installations/{number}/access_tokens"
        answer = self._ask(number, "POST", path, deadline, given=given, accepted=(201,), about=", ".join(repositories))
        made = decoded(answer, _Made)
        if not _TOKEN.fullmatch(made.token):
            raise ForgeUnreachable(f"{self._rest.address} answers with something that is no token")
        token = Token(made.token, _moment(made.expires_at), repositories, made.permissions)
        with self._lock:
            self._unseen.add(_hash(token.token))
        try:
            _check_permissions(made.permissions, permissions)
            if made.repositories is not None:
                _check_repositories([one.full_name for one in made.repositories], repositories)
            self._wait_until_valid(token, deadline, checked=made.repositories is not None)
        except Exception:
            self._end_quietly(token.token)
            raise
        return token

    def revoke(self, token: str) -> None:
        """End a token now; one that is dead already is no error. Raises ForgeUnreachable, ForgeError."""
        deadline = monotonic_seconds() + PATIENCE_SECONDS
        hashed = _hash(token)
        url = f"{self._rest.address}/installation/token"

        def ask() -> Answer:
            answer = self._rest.send("DELETE", url, token=token)
            if answer.status == 204 or (answer.status == 401 and hashed not in self._unseen):
                return answer
            if answer.status == 401:
                raise ForgeUnreachable(f"{self._rest.address} does not know the token yet that is to be revoked")
            raise self._refusal(answer, "DELETE /installation/token")

        self._patiently(ask, deadline)
        with self._lock:
            self._unseen.discard(hashed)

    def close(self) -> None:
        """Let go of connections."""
        self._rest.close()

    def _installation_of(self, owner: str, deadline: float) -> int:
        """The installation of an owner, after GitHub has said that it is theirs.

        Names of repositories go to GitHub without their owner, so the wrong installation would give another one's.
        """
        number = self._installations.get(owner.lower(), self._installation)
        if number is None:
            raise ForgeError(
                f"the GitHub App has no installation for {owner}; install it there and add it to [broker.installations]"
            )
        if self._owners.get(number) == owner.lower():
            return number
        answer = self._ask(number, "GET", f"/app/installations/{number}", deadline, about=f"installation {number}")
        found = decoded(answer, _Installation)
        if found.suspended_at is not None:
            raise ForgeError(f"installation {number} of the GitHub App is suspended; {owner} can lift that on GitHub")
        if found.account.login.lower() != owner.lower():
            raise ForgeError(
                f"installation {number} of the GitHub App is {found.account.login}'s, not {owner}'s; "
                f"add the one of {owner} to [broker.installations]"
            )
        self._owners[number] = owner.lower()
        return number

    def _wait_until_valid(self, token: Token, deadline: float, *, checked: bool) -> None:
        """Use the token once: GitHub's own servers may not know it in its first moments, and git would give up."""
        url = f"{self._rest.address}/installation/repositories"

        def ask() -> Answer:
            answer = self._rest.send("GET", url, token=token.token, query={"per_page": "100"})
            if answer.status == 401:
                raise ForgeUnreachable(f"{self._rest.address} does not take its own new token yet; ask again")
            if answer.status != 200:
                raise self._refusal(answer, "GET /installation/repositories")
            return answer

        try:
            reach = decoded(self._patiently(ask, deadline), _Reach)
        except ForgeError as error:
            if checked and "new token" not in error.message:
                return  # the token has been made and is for what was asked: only this look at it failed
            raise
        with self._lock:
            self._unseen.discard(_hash(token.token))
        if reach.total_count == len(reach.repositories):
            _check_repositories([one.full_name for one in reach.repositories], token.repositories)
        elif reach.total_count != len(token.repositories):
            raise ForgeError(f"GitHub made a token for {reach.total_count} repositories, not {len(token.repositories)}")

    def _ask(
        self,
        installation: int,
        method: str,
        path: str,
        deadline: float,
        *,
        about: str,
        given: object = None,
        accepted: tuple[int, ...] = (200,),
    ) -> Answer:
        """A request as the App; after a limit was reached, nothing is asked before it is over."""
        until, why = self._waits.get(installation, (0.0, ""))
        if (left := until - monotonic_seconds()) > 0:
            raise ForgeUnreachable(f"{why}; asked again in {left:.0f} s")

        def ask() -> Answer:
            answer = self._rest.send(method, self._rest.address + path, token=self._jwt(), given=given)
            if answer.status in accepted:
                return answer
            if (wait := self._rest.wait(answer)) is not None:
                why = f"{self._rest.address} asks to wait: {said(answer)}"
                if wait > SHORT_WAIT_SECONDS:
                    self._waits[installation] = (monotonic_seconds() + wait, why)
                raise _Later(f"{why}; asked again in {wait:.0f} s", wait)
            if answer.status == 401:
                self._learn_skew(answer)
                raise _Unsigned(
                    f"{self._rest.address} does not take the App's key: {said(answer)}; "
                    "check broker.app_id, broker.private_key and this machine's clock"
                )
            raise self._refusal(answer, about)

        try:
            return self._patiently(ask, deadline)
        except _Unsigned as error:
            raise ForgeError(error.message) from None

    def _patiently(self, ask: Callable[[], Answer], deadline: float) -> Answer:
        """Ask again after what may pass, a few times and not for long."""
        for tried in itertools.count(1):
            try:
                return ask()
            except ForgeUnreachable as error:
                wait = min(self._backoff_seconds * 2 ** (tried - 1), SHORT_WAIT_SECONDS)
                if isinstance(error, _Later):
                    wait = error.seconds
                if tried == TRIES or wait > SHORT_WAIT_SECONDS or monotonic_seconds() + wait > deadline:
                    raise
                time.sleep(wait)
        raise AssertionError

    def _refusal(self, answer: Answer, about: str) -> ForgeError:
        """What a status means, and whether it may pass."""
        words = said(answer).rstrip(" .")
        where = self._rest.address
        if (wait := self._rest.wait(answer)) is not None:
            return _Later(f"{where} asks to wait: {words}; asked again in {wait:.0f} s", wait)
        if answer.status >= 500:
            return ForgeUnreachable(f"{where} answers {answer.status}: {words}")
        if answer.status == 404:
            return ForgeError(f"{where} knows no {about}: {words}; check [broker.installations] and broker.app_id")
        if answer.status == 422:
            return ForgeError(
                f"{where} makes no token for {about}: {words}; check which repositories the App is installed on and "
                "which permissions it has"
            )
        return ForgeError(f"{where} answers {answer.status} for {about}: {words}")

    def _jwt(self) -> str:
        import jwt

        now = (self._clock.now_ms() + self._skew_ms) // 1000
        claims = {"iat": now - ISSUED_BEFORE_SECONDS, "exp": now + VALID_SECONDS, "iss": self._app}
        return jwt.encode(claims, self._key, algorithm="RS256")

    def _learn_skew(self, answer: Answer) -> None:
        """After a 401: GitHub refuses a signature from its future or from long ago, and says what time it has."""
        with contextlib.suppress(TypeError, ValueError):
            theirs = int(parsedate_to_datetime(answer.headers.get("date", "")).timestamp() * 1000)
            skew = theirs - self._clock.now_ms()
            self._skew_ms = skew if abs(skew) > SKEW_MS else 0

    def _end_quietly(self, token: str) -> None:
        """End a token that nobody gets. Where that fails, it lives for its hour, known to nobody."""
        with contextlib.suppress(ForgeError):
            self._rest.send("DELETE", f"{self._rest.address}/installation/token", token=token)
        with self._lock:
            self._unseen.discard(_hash(token))


class _Later(ForgeUnreachable):
    """A limit is reached, and GitHub says for how long."""

    def __init__(self, message: str, seconds: float = 0.0) -> None:
        super().__init__(message)
        self.seconds = seconds


class _Unsigned(ForgeUnreachable):
    """The App's signature was not taken; another try may help, with GitHub's own time."""


def configured(
    url: str,
    broker: BrokerSettings,
    folder: Path,
    environment: Mapping[str, str],
    *,
    clock: Clock | None = None,
) -> GitHubApp:
    """The App of the settings; a relative path of its key is meant from `folder`.

    Raises NotConfigured, which names the settings that are missing.
    """
    missing = []
    if broker.app_id is None or not str(broker.app_id).strip():
        missing.append("broker.app_id")
    if not broker.installations and broker.installation is None:
        missing.append("broker.installation (or [broker.installations])")
    if broker.private_key is None and not environment.get(APP_KEY, "").strip():
        missing.append(f"broker.private_key (or ${APP_KEY})")
    if missing:
        raise NotConfigured(f"there is no GitHub App to ask for tokens; set {', '.join(missing)}")
    key = _key(broker.private_key, folder, environment.get(APP_KEY, ""))
    app = str(broker.app_id).strip()
    return GitHubApp(
        url, app=app, key=key, installations=broker.installations, installation=broker.installation, clock=clock
    )


def _key(path: str | None, folder: Path, encoded: str) -> RSAPrivateKey:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    if path is not None:
        setting = "broker.private_key"
        file = folder / Path(path).expanduser()
        try:
            pem = file.read_bytes()
        except OSError as error:
            raise NotConfigured(f"{setting}: {file} cannot be read: {error.strerror}") from None
    else:
        setting = f"${APP_KEY}"
        text = encoded.strip()
        try:
            pem = text.encode() if text.startswith("-----") else base64.b64decode("".join(text.split()), validate=True)
        except (binascii.Error, ValueError):
            raise NotConfigured(f"{setting} is not base64; make it with `base64 -w0 KEY.pem`") from None
    try:
        key = load_pem_private_key(pem, password=None)
    except (ValueError, TypeError):
        key = None
    except Exception as error:  # cryptography has its own for what it does not support
        raise NotConfigured(f"{setting} cannot be used: {type(error).__name__}") from None
    if not isinstance(key, RSAPrivateKey):
        raise NotConfigured(f"{setting} is not an RSA private key in PEM, as GitHub gives it for an App")
    return key


def _owner(repositories: list[str]) -> str:
    owners = {name.partition("/")[0].lower(): name.partition("/")[0] for name in repositories}
    if len(owners) != 1:
        raise ForgeError(f"a token is for repositories of one owner, not of {', '.join(sorted(owners)) or 'none'}")
    return next(iter(owners.values()))


def _check_permissions(got: dict[str, str], asked: dict[str, str]) -> None:
    # GitHub adds the reading of metadata by itself.
    allowed = {"metadata": "read"} | asked
    wider = [name for name, level in got.items() if LEVELS.get(level, 9) > LEVELS.get(allowed.get(name, ""), 0)]
    if wider:
        raise ForgeError(f"GitHub made a token that may do more than was asked for ({', '.join(wider)}); it was ended")


def _check_repositories(got: list[str], asked: list[str]) -> None:
    if {name.lower() for name in got} != {name.lower() for name in asked}:
        raise ForgeError(
            f"GitHub made a token for {', '.join(sorted(got)) or 'nothing'}, not for {', '.join(sorted(asked))}; "
            "it was ended. A repository that was renamed has to be called by its new name"
        )


def _moment(text: str) -> int:
    try:
        return int(datetime.fromisoformat(text).timestamp() * 1000)
    except ValueError:
        raise ForgeUnreachable("GitHub answers with a token whose expiry is no time") from None


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
