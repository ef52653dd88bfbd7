"""openapi.json is true: schemathesis calls every route with what it allows and what it does not, on both databases."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.fleet import Server, environment


@pytest.mark.timeout(600)
@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_schemathesis_finds_nothing(kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    options = [] if kind == "sqlite" else ["--db", request.getfixturevalue("postgres_url")]
    server = Server(tmp_path / "home", *options)
    try:
        # One worker: `ast.parse` counts its depth per process in CPython 3.11.7 and before (python/cpython#106905), and
        # hypothesis parses lambdas in every thread.
        run = subprocess.run(
            [
                *(sys.executable, "-m", "schemathesis.cli", "run", f"{server.url}/openapi.json"),
                *("--phases", "coverage,fuzzing", "--max-examples", "8", "--workers", "1", "--seed", "1"),
                *("--request-timeout", "60"),  # ten seconds, its own, are not enough for a busy machine
                *("--exclude-path", "/api/v1/events/stream", "--exclude-path", "/api/v1/events/wait"),
                *("--exclude-checks", "positive_data_acceptance"),
                "--no-color",
            ],
            capture_output=True,
            text=True,
            cwd=tmp_path,
            env=environment(),
            timeout=560,
        )
    finally:
        server.stop()
    assert run.returncode == 0, run.stdout[-6000:] + run.stderr[-2000:]
