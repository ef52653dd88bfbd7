"""What editors and type checkers know of a ledger: every verb, with its input and its answer."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

from shoal.services import VERBS

ROOT = Path(__file__).parents[2]
STUB = ROOT / "src" / "shoal" / "ledger" / "nouns.pyi"

RIGHT = """
from typing import assert_type

import shoal
from shoal.model.event import Event
from shoal.model.lock import LockOutcome
from shoal.model.page import Page
from shoal.model.task import ClaimOutcome, NewTask, Status, Task

ledger = shoal.connect("ledger.db")
made = ledger.tasks.create(title="x", priority="high", depends_on=["T1"], labels=["a"])
assert_type(made, Task)
assert_type(ledger.tasks.create_many(tasks=[{"title": "x"}, NewTask(title="y")]), list[Task])
outcome = ledger.tasks.claim(worker="w", limit=10)
assert_type(outcome, ClaimOutcome)
for claim in outcome.claims:
    assert_type(ledger.tasks.complete(claim.task.id, attempt=claim.attempt, result={"pr": 7}), Task)
assert_type(ledger.tasks.update("T1", title="y").title, str)
assert_type(ledger.events.list(after=7, kind="task.created"), Page[Event])
assert_type(ledger.locks.acquire("name", owner="me"), LockOutcome)
assert_type(ledger.tasks.list(status="queued")[0].status, Status)
"""

WRONG = {
    "ledger.tasks.create(titel='x')": "call-arg",
    "ledger.tasks.create()": "call-arg",
    "ledger.tasks.create(title=7)": "arg-type",
    "ledger.tasks.claim(worker='w', limit='many')": "arg-type",
    "ledger.tasks.claim('w')": "call-arg",
    "ledger.tasks.complete('T1', attempt=None, summary=7)": "arg-type",
    "ledger.tasks.get('T1').titel": "attr-defined",
    "ledger.tasks.explode('T1')": "attr-defined",
    "ledger.events.list(after='now')": "arg-type",
    "ledger.locks.acquire('name')": "call-arg",
}


def mypy(folder: Path, program: str) -> str:
    (folder / "program.py").write_text(program)
    command = [sys.executable, "-m", "mypy", "--strict", "--config-file=", "--no-error-summary", "program.py"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False).stdout


def test_every_verb_has_its_types() -> None:
    tree = ast.parse(STUB.read_text(encoding="utf-8"))
    typed = {
        f"{noun.name.lower()}.{verb.name.rstrip('_')}"
        for noun in tree.body
        if isinstance(noun, ast.ClassDef)
        for verb in noun.body
        if isinstance(verb, ast.FunctionDef)
    }
    assert typed == set(VERBS), "python hatch_build.py writes them anew"


def test_types_are_those_of_the_verbs_as_they_are_now() -> None:
    command = [sys.executable, "-c", "import hatch_build; print(hatch_build.stub(), end='')"]
    now = subprocess.run(
        command, cwd=ROOT, env={**os.environ, "PYTHONPATH": "src"}, capture_output=True, text=True, check=True
    ).stdout
    assert STUB.read_text(encoding="utf-8") == now, "python hatch_build.py writes them anew"


@pytest.mark.timeout(300)
def test_right_program_is_accepted_and_each_wrong_line_refused(tmp_path: Path) -> None:
    assert mypy(tmp_path, RIGHT) == ""
    lines = ["import shoal", "ledger = shoal.connect('ledger.db')", *WRONG]
    told = mypy(tmp_path, "\n".join(lines))
    for number, (line, code) in enumerate(WRONG.items(), start=3):
        assert any(one.startswith(f"program.py:{number}:") and f"[{code}]" in one for one in told.splitlines()), (
            f"{line}\n{told}"
        )
