"""What the tests of prompts are made of: settings, the sections of a prompt, the past of a session."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from hypothesis import HealthCheck, settings

from shoal import Ledger
from shoal.daemon.vault_sync import VaultSync
from shoal.model.prompt import Part, Prompt
from shoal.settings import AgentSettings, WorkflowSettings

Open = Callable[..., Ledger]
WORKFLOWS = {
    "careful": WorkflowSettings(instructions="Change one thing at a time.", allowed_tools=["Bash", "Read", "Edit"]),
    "research": WorkflowSettings(instructions="Cite what you read.", allowed_tools=["Read", "WebFetch"]),
}
CONFIGURED: dict[str, Any] = {"agents": {"fast": AgentSettings(), "claude-1": AgentSettings()}, "workflows": WORKFLOWS}
TAG = re.compile(r"<(/?)shoal_([a-z_]+)((?: [a-z]+=\"[^\"<>]*\")*)>")
ON_ONE_LEDGER = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def sections(prompt: Prompt, part: Part = Part.DYNAMIC) -> dict[str, str]:
    """The sections of a part by name, as a reader of tags finds them; their texts, where there are several, joined."""
    text = "\n".join(message.text for message in prompt.messages if message.part is part)
    found: dict[str, str] = {}
    opened: tuple[str, int] | None = None
    for tag in TAG.finditer(text):
        if opened is None:
            assert not tag[1], f"{tag[0]} closes nothing"
            opened = tag[2], tag.end()
        else:
            assert (tag[1], tag[2]) == ("/", opened[0]), f"{tag[0]} within {opened[0]}"
            found[opened[0]] = found.get(opened[0], "") + text[opened[1] : tag.start()]
            opened = None
    assert opened is None
    return found


def write_session(ledger: Ledger, task: int, lines: list[dict[str, Any]], *, agent: str = "fast") -> int:
    """A session with a transcript, as the rows of its tables."""
    branches = '[{"repository":"o/r","branch":"shoal/T1-fix","base":"1111111111111111","head":"22","commits":2}]'

    def write(tx: Any) -> int:
        tx.store.all("test.session", task=task, agent=agent, branches=branches)
        [(session,)] = tx.store.all("test.last")
        for number, line in enumerate(lines):
            values = {"text": None, "tool_name": None, "arguments": None, "result": None, "error": None, **line}
            tx.store.all("test.line", session=session, at=number, **({"key": str(number)} | values))
        return int(session)

    return ledger.engine.write(write)  # type: ignore[attr-defined, no-any-return]


def tell(ledger: Ledger, task: int, text: str, *, actor: str = "ana", at: int = 0, delivered: bool = False) -> None:
    values = {"task": task, "at": at, "actor": actor, "text": text, "delivered_at": at if delivered else None}
    ledger.engine.write(lambda tx: tx.store.all("test.tell", **values))  # type: ignore[attr-defined]


def sync(ledger: Ledger) -> None:
    VaultSync(ledger.engine).run()  # type: ignore[arg-type]


BODY = """# Fix the login

## Objective

People behind a proxy cannot log in.
The reset link is broken too.

More about it.

## Notes

## Result
"""


def prepare(ledger: Ledger) -> int:
    """A task with everything that a prompt can tell of, and a ledger around it."""
    tasks = ledger.tasks
    tasks.create(title="Login redirects twice behind the proxy")
    tasks.complete(1, summary="The proxy doubled the redirect; X-Forwarded-Proto is read now.")
    tasks.feedback(1, quality=4, notes="Ask for a test of the redirect next time.")
    tasks.create(title="Measure the proxy")
    tasks.complete(2, summary="It adds 3 ms.")
    tasks.create(
        title="Fix the login behind the proxy",
        body=BODY,
        depends_on=[2],
        repos=["o/r"],
        labels=["web"],
        estimate_minutes=30,
        workflow="careful",
        priority="high",
        success_criteria=[{"criterion": "tests pass", "measurable": "make test"}, {"criterion": "it reads well"}],
    )
    folder = ledger.engine.settler.root / "030-knowledge"  # type: ignore[attr-defined]
    (folder / "lessons").mkdir(parents=True)
    (folder / "proxies.md").write_text(
        "# Proxies\n\nThe stage's proxy drops the port.\n\nThe login behind it must not.\n"
    )
    (folder / "lessons" / "hosts.md").write_text("---\ntitle: Hosts\n---\nNever trust a proxy's Host at login.\n")
    sync(ledger)
    fast = ledger.acting_as("fast")
    claim = fast.tasks.claim(worker="w1", task=3).claims[0]
    fast.tasks.share(3, attempt=claim.attempt, key="api", value={"limit": 60, "base": "/v1"})
    fast.tasks.note(3, text="the reset link is made in mail.py")
    ledger.acting_as("other").tasks.note(3, text="a secret of somebody else")
    ledger.acting_as("other").tasks.discover(3, text="staging answers at 10.0.0.2")
    ledger.tasks.comment(3, message="Mind the reset link.")
    return 3
