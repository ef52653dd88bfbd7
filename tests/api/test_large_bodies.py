"""What may be larger than other requests, and what is heard by whoever sends too much."""

from __future__ import annotations

import hashlib
import http.client
from urllib.parse import urlsplit

import msgspec
import pytest

from shoal import Ledger
from shoal.api import openapi
from shoal.errors import TooLarge
from shoal.model.check import Finding
from shoal.model.found import Found, FoundFile
from shoal.services import VERBS
from shoal.settings import Settings
from tests.fleet import Server

USUAL = Settings().body_limit_bytes


def test_large_scan_passes_through_a_server(remote: Ledger) -> None:
    files = [
        FoundFile(path=f"{'folder/' * 12}{number}.py", hash=hashlib.sha256(b"%d" % number).hexdigest())
        for number in range(50_000)
    ]
    files[7] = msgspec.structs.replace(files[7], found=[Found(line=1, text="Oil the pump")])
    assert len(msgspec.json.encode(files)) > USUAL
    report = remote.items.scan(project="pump", scanner="comments", files=files)
    assert report.counts["new"] == 1
    assert len(remote.items.scanned(project="pump", scanner="comments").files) == 50_000


def test_all_findings_of_a_check_pass_through_a_server(remote: Ledger) -> None:
    findings = [Finding(rule="long", message=f"{number} {'x' * 3900}") for number in range(2200)]
    assert len(msgspec.json.encode(findings)) > USUAL
    assert len(remote.checks.record(check="words", findings=findings).new) == 2200


@pytest.mark.parametrize(("verb", "advice"), [("items.scan", "shoal scan src"), ("checks.record", "look at less")])
def test_what_is_beyond_that_is_refused_with_a_way_out(server: Server, verb: str, advice: str) -> None:
    limit = VERBS[verb].body_limit_bytes
    assert limit is not None
    assert limit > USUAL
    connection = http.client.HTTPConnection(urlsplit(server.url).netloc, timeout=30)
    connection.request("POST", f"/api/v1{VERBS[verb].path}", b" " * (limit + 1), {"Content-Type": "application/json"})
    with connection.getresponse() as response:
        told = msgspec.json.decode(response.read())
    connection.close()
    assert (response.status, told["code"]) == (413, "too_large")
    assert f"the limit is {limit:,} bytes; " in told["error"]
    assert advice in told["error"]
    described = openapi.document()["paths"][f"/api/v1{VERBS[verb].path}"]["post"]["requestBody"]["description"]
    assert f"{limit:,} bytes" in described


def test_whoever_sends_too_much_hears_why(remote: Ledger) -> None:
    with pytest.raises(TooLarge, match=f"the limit is {USUAL:,} bytes"):
        remote.tasks.create_many(tasks=[{"title": "x", "body": "x" * 900_000}] * 10)
