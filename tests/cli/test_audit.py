"""`shoal audit` as people and scripts type it."""

from __future__ import annotations

from tests.cli.shell import Shell


def test_finding_is_submitted_listed_resolved_and_opened_again(shell: Shell) -> None:
    submit = ("audit", "submit", "security", "The", "key", "is", "in", "the", "log", "-f", "src/log.py", "--line", "12")
    assert shell(*submit, "--severity", "critical") == "W1 is new: The key is in the log\n"
    assert shell(*submit, "--severity", "critical", "-q") == "W1\n"
    assert shell("audit", "submit", "style", "Too long", "--project", "web", "-q") == "W2\n"
    shell("item", "add", "Something else")
    assert shell("audit", "resolve", "W1", "W3", code=3) == "W1 is done: The key is in the log\n"
    assert "W3 was found by no audit" in shell.errors
    for options, expected in [
        ([], "W2 W1"),
        (["-t", "security"], "W1"),
        (["--severity", "warning"], "W2"),
        (["--project", "web"], "W2"),
        (["--open"], "W2"),
        (["--resolved"], "W1"),
        (["--rejected"], ""),
        (["--until", "2020-01-01"], ""),
        (["--since", "2020-01-01", "-n", "1"], "W2"),
    ]:
        assert shell("audit", "list", "-q", *options).split() == expected.split(), options
    row = next(line for line in shell("audit", "list").splitlines() if line.startswith("W1"))
    assert [part in row for part in ("done", "critical", "security", "src/log.py:12")] == [True] * 4
    assert shell("audit", "reopen", "W1") == "W1 is new: The key is in the log\n"
    assert "No audit found such a thing" in shell("audit", "list", "-t", "cost")
    shell("audit", "submit", "no such type!", "x", code=2)
    assert "type" in shell.errors
