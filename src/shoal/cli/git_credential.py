"""`git-credential-shoal`: git asks it for what to log in with, once for each operation, so it starts fast and imports
nothing that it does not need.

It has the attempt's own key from SHOAL_TASK_ID and SHOAL_TASK_KEY, and asks the server at SHOAL_URL. Where it has
nothing to say it says nothing, and git goes on without; why a token could not be had it says to people.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Mapping
from typing import IO, Any

TRIES, REST_SECONDS = 15, 0.2  # for a server that is being restarted
TIMEOUT_SECONDS = 60.0
USAGE = "usage: git-credential-shoal get|store|erase (git calls it; `shoal broker setup` tells git about it)"


class NoToken(Exception):
    """Why there is none, for people."""


def main() -> None:
    """Answer git and end: 0 also when there is nothing to say, 1 when a token could not be had, 2 for wrong usage."""
    sys.exit(run(sys.argv[1:], sys.stdin.buffer, sys.stdout.buffer, os.environ))


def run(arguments: list[str], given: IO[bytes], answer: IO[bytes], environment: Mapping[str, str]) -> int:
    """Do what git asks for; the exit code. Operations that are not known are silently ignored, as git wants it."""
    if len(arguments) != 1:
        print(USAGE, file=sys.stderr)
        return 2
    if arguments[0] != "get":
        return 0
    try:
        found = ask(read(given), environment)
    except NoToken as error:
        print(f"git-credential-shoal: {error}", file=sys.stderr)
        return 1
    if found is not None:
        answer.write("".join(f"{name}={value}\n" for name, value in found.items()).encode())
        answer.flush()
    return 0


def read(given: IO[bytes]) -> dict[str, str]:
    """What git says until an empty line or the end; the last of several lines of a name counts."""
    found = {}
    for line in given:
        text = line.removesuffix(b"\n").removesuffix(b"\r").decode(errors="replace")
        if not text:
            break
        name, mark, value = text.partition("=")
        if mark:
            found[name] = value
    return found


def ask(place: Mapping[str, str], environment: Mapping[str, str]) -> dict[str, str] | None:
    """What to log in with to a place; None where there is nothing to say. Raises NoToken."""
    task = environment.get("SHOAL_TASK_ID")
    named = {name: place.get(name, "") for name in ("protocol", "host", "path")}
    is_plain = all(value.isprintable() for value in named.values())
    if not task or not is_plain or named["protocol"] not in {"https", "http"} or not named["host"]:
        return None
    asked = {name: value for name, value in named.items() if value}
    key = environment.get("SHOAL_TASK_KEY") or environment.get("SHOAL_ADMIN_TOKEN")
    if key:
        asked["key"] = key
    url = environment.get("SHOAL_URL", "")
    found = _over_http(url, task, asked) if url.startswith(("http://", "https://")) else _here(task, asked)
    if found.get("password") is None:
        return None
    username, password = str(found["username"]), str(found["password"])
    if not (username + password).isprintable():
        raise NoToken("the server's answer is no token")
    return {"username": username, "password": password, "password_expiry_utc": str(int(found["expires_at"]) // 1000)}


def _over_http(url: str, task: str, asked: Mapping[str, str]) -> dict[str, Any]:
    """Ask a server; the same as `tasks.credential` of a ledger, whose client takes 150 ms to import."""
    import http.client
    import json
    from contextlib import closing
    from urllib.parse import quote, urlsplit

    parts = urlsplit(url)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    path = f"{parts.path.rstrip('/')}/api/v1/tasks/{quote(task, safe='')}/credential"
    headers = {"Content-Type": "application/json", "Shoal-Actor": quote(os.environ.get("SHOAL_ACTOR", "git"))}
    for last in (*[False] * (TRIES - 1), True):
        try:
            with closing(kind(parts.hostname or "", parts.port, timeout=TIMEOUT_SECONDS)) as connection:
                connection.request("POST", path, json.dumps(asked).encode(), headers)
                response = connection.getresponse()
                status, answer = response.status, response.read()
            break
        except TimeoutError:
            raise NoToken(f"the Shoal server at {url} does not answer") from None
        except (OSError, http.client.HTTPException, ValueError) as error:
            if last or isinstance(error, ValueError):
                raise NoToken(f"no Shoal server answers at {url} ({error})") from None
        time.sleep(REST_SECONDS)
    try:
        told = json.loads(answer)
        if not isinstance(told, dict):
            raise ValueError
    except ValueError:
        raise NoToken(f"the server at {url} answered {status}, and not as a Shoal server does") from None
    if status >= 400:
        raise NoToken(str(told.get("error", f"the server answered {status}")))
    return told


def _here(task: str, asked: Mapping[str, str]) -> dict[str, Any]:
    """Ask the ledger of SHOAL_HOME, or its server where one runs."""
    from shoal import connect
    from shoal.errors import ShoalError

    try:
        with connect() as ledger:
            found = ledger.tasks.credential(task, **asked)
    except ShoalError as error:
        raise NoToken(error.message) from None
    return {"username": found.username, "password": found.password, "expires_at": found.expires_at}


if __name__ == "__main__":
    main()
