"""A GitHub on loopback that knows an App: it verifies signatures, times and scopes, gives and ends tokens, and can
misbehave on command. What it knows of repositories and pull requests: forge_api.py.
"""

from __future__ import annotations

import json
import re
import secrets
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.message import Message
from functools import cache
from typing import Any

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from shoal.adapters.forges.github_app import GitHubApp
from shoal.clock import Clock, SystemClock
from tests.forge_api import ForgeApi

APP_ID, CLIENT_ID = "123456", "Iv23liA1b2C3d4E5f6G7"
HOUR_MS = 3_600_000
LEVELS = {"read": 1, "write": 2, "admin": 3}
GRANTED = {"contents": "write", "pull_requests": "write", "issues": "write", "metadata": "read"}
Reply = tuple[int, dict[str, str], Any]


def private_key(name: str = "ours") -> rsa.RSAPrivateKey:
    """A key; the same name gives the same one."""
    return _made(name)


@cache
def _made(_: str) -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def pem(name: str = "ours") -> bytes:
    """A private key as GitHub gives it for an App."""
    form = serialization.PrivateFormat.TraditionalOpenSSL
    return private_key(name).private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())


@dataclass
class Installation:
    """Where the App is installed: an owner, and those of their repositories that it may reach."""

    owner: str
    repositories: list[str]
    permissions: dict[str, str] = field(default_factory=lambda: dict(GRANTED))
    suspended_at: str | None = None


@dataclass
class Issued:
    """A token that was made."""

    token: str
    installation: int
    repositories: list[str]
    permissions: dict[str, str]
    expires_at: int
    revoked: bool = False
    not_valid_yet: int = 0
    """How many uses it refuses before GitHub itself knows it."""


class AppApi(ForgeApi):
    """The server. Replies that were ordered by `next_time` come first, each once."""

    def __init__(self, clock: Clock | None = None) -> None:
        self.clock = clock or SystemClock()
        self.ahead_ms = 0
        self.installations = {
            7: Installation("acme", ["acme/web", "acme/api"]),
            8: Installation("other", ["other/web"]),
        }
        self.tokens: dict[str, Issued] = {}
        self.not_valid_yet = 0
        self.lie: Callable[[dict[str, Any]], None] = lambda _: None
        self._ordered: list[tuple[re.Pattern[str], Reply]] = []
        self._sources: list[GitHubApp] = []
        self._held: list[tuple[re.Pattern[str], threading.Event, threading.Event]] = []
        super().__init__()

    @property
    def alive(self) -> list[Issued]:
        """The tokens that work now."""
        return [one for one in self.tokens.values() if not one.revoked and one.expires_at > self.now]

    @property
    def now(self) -> int:
        return self.clock.now_ms() + self.ahead_ms

    def time(self) -> float:
        return self.now / 1000

    def source(self, **given: Any) -> GitHubApp:
        """The adapter, with our key and both installations, in a hurry."""
        app = GitHubApp(
            self.url,
            **{
                "app": APP_ID,
                "key": private_key(),
                "installations": {"acme": 7, "other": 8},
                "clock": self.clock,
                "backoff_seconds": 0.01,
            }
            | given,
        )
        self._sources.append(app)
        return app

    def close(self) -> None:
        for app in self._sources:
            app.close()
        super().close()

    def next_time(self, pattern: str, *replies: int | Reply) -> None:
        """Answer the next requests whose "METHOD /path" fits with these, one after the other."""
        for reply in replies:
            whole = (reply, {}, {"message": "told to misbehave"}) if isinstance(reply, int) else reply
            self._ordered.append((re.compile(pattern), whole))

    def hold(self, pattern: str) -> tuple[threading.Event, threading.Event]:
        """Let the next request that fits wait after its work was done: (it is there, let it go)."""
        events = (threading.Event(), threading.Event())
        self._held.append((re.compile(pattern), *events))
        return events

    def allows(self, token: str | None, repository: str, permission: str, level: str) -> bool:
        """Whether a token may do this to a repository, as GitHub would decide when it is used."""
        issued = self._used(token or "")
        if issued is None or repository.lower() not in [name.lower() for name in issued.repositories]:
            return False
        return LEVELS.get(issued.permissions.get(permission, ""), 0) >= LEVELS[level]

    def respond(self, method: str, path: str, headers: Message, body: bytes) -> tuple[int, dict[str, str], bytes]:
        if self.broken is not None:
            return self.broken
        asked = f"{method} {path}"
        with self.lock:
            ordered = next((one for one in self._ordered if one[0].search(asked)), None)
            if ordered is not None:
                self._ordered.remove(ordered)
        if ordered is not None:
            status, told, found = ordered[1]
        else:
            _, _, credential = (headers.get("Authorization") or "").partition(" ")
            with self.lock:
                status, told, found = self._route(method, path.partition("?")[0], credential, body)
        with self.lock:
            held = next((one for one in self._held if one[0].search(asked)), None)
            if held is not None:
                self._held.remove(held)
        if held is not None:
            held[1].set()
            held[2].wait(30)
        return status, told, b"" if found is None else json.dumps(found).encode()

    def _route(self, method: str, path: str, credential: str, body: bytes) -> Reply:
        if path.startswith("/app/installations/"):
            if (refusal := self._unsigned(credential)) is not None:
                return 401, {}, {"message": refusal}
            pieces = path.split("/")
            number = int(pieces[3]) if pieces[3].isdecimal() else 0
            installation = self.installations.get(number)
            if installation is None:
                return 404, {}, {"message": "Not Found"}
            if method == "GET" and len(pieces) == 4:
                account = {"login": installation.owner}
                return 200, {}, {"id": number, "account": account, "suspended_at": installation.suspended_at}
            if method == "POST" and pieces[4:] == ["access_tokens"]:
                return self._make(number, installation, json.loads(body))
        issued = self._used(credential)
        if issued is None:
            return 401, {}, {"message": "Bad credentials"}
        if (method, path) == ("DELETE", "/installation/token"):
            issued.revoked = True
            return 204, {}, None
        if (method, path) == ("GET", "/installation/repositories"):
            listed = [{"full_name": name} for name in issued.repositories]
            return 200, {}, {"total_count": len(listed), "repositories": listed}
        return 404, {}, {"message": "Not Found"}

    def _unsigned(self, credential: str) -> str | None:
        """Why a signature of the App is refused."""
        unchecked = {"verify_exp": False, "verify_iat": False, "require": ["iat", "exp", "iss"]}
        try:
            claims = jwt.decode(credential, private_key().public_key(), algorithms=["RS256"], options=unchecked)
        except jwt.InvalidTokenError:
            return "A JSON web token could not be decoded"
        now = self.now // 1000
        if claims["iss"] not in (APP_ID, CLIENT_ID):
            return "Integration not found"
        if claims["iat"] > now:
            return "'Issued at' claim ('iat') must be an Integer representing the time that the assertion was issued"
        if claims["exp"] <= now:
            return "'Expiration time' claim ('exp') must be a numeric value representing the future time"
        if claims["exp"] > now + 600:
            return "'Expiration time' claim ('exp') is too far in the future"
        return None

    def _make(self, number: int, installation: Installation, given: dict[str, Any]) -> Reply:
        if installation.suspended_at:
            return 403, {}, {"message": "This installation has been suspended"}
        owned = {name.partition("/")[2].lower(): name for name in installation.repositories}
        names = given.get("repositories", list(owned))
        if not all(name.lower() in owned for name in names):
            words = (
                "There is at least one repository that does not exist or is not accessible to the parent installation."
            )
            return 422, {}, {"message": words}
        permissions = {"metadata": "read"} | given.get("permissions", installation.permissions)
        if any(
            LEVELS[level] > LEVELS.get(installation.permissions.get(name, ""), 0) for name, level in permissions.items()
        ):
            return 422, {}, {"message": "The permissions requested are not granted to this installation."}
        token = f"ghs_{secrets.token_hex(18)}"
        reached = [owned[name.lower()] for name in names]
        expires_at = self.now + HOUR_MS
        self.tokens[token] = Issued(token, number, reached, permissions, expires_at, not_valid_yet=self.not_valid_yet)
        made = {
            "token": token,
            "expires_at": datetime.fromtimestamp(expires_at / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "permissions": permissions,
            "repository_selection": "selected",
            "repositories": [{"full_name": name, "name": name.partition("/")[2]} for name in reached],
        }
        self.lie(made)
        return 201, {}, made

    def _used(self, token: str) -> Issued | None:
        issued = self.tokens.get(token)
        if issued is None or issued.revoked or issued.expires_at <= self.now:
            return None
        if issued.not_valid_yet:
            issued.not_valid_yet -= 1
            return None
        return issued
