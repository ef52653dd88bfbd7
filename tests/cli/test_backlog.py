"""`shoal backlog` and `shoal item` as people and scripts type them."""

from __future__ import annotations

import json

from tests.cli.shell import Shell


def test_item_from_made_to_run(shell: Shell) -> None:
    made = shell("item", "add", "Fix", "the", "login", "-f", "src/login.py", "-l", "auth", "-e", "small")
    assert made == "W1 made: Fix the login\n"
    assert shell("item", "accept", "W1") == "W1 is triaged: Fix the login\n"
    assert shell("item", "prioritise", "W1", "P1") == "W1 is P1: Fix the login\n"
    assert shell("backlog", "next", "-q") == "W1\n"
    assert "W1 is in_progress: 1 task(s), 1 made" in shell("item", "run", "W1")
    assert "T1: no repository; `shoal edit T1 --repo owner/name`" in shell.errors
    assert shell("item", "run", "W1", "-q") == "T1\n"
    shown = shell("item", "show", "W1")
    for part in ("in_progress", "P1", "src/login.py\n", "T1", "decided by"):
        assert part in shown
    assert "item.decomposed" in shell("item", "history", "W1")
    assert "Work item: W1" in shell("body", "T1")


def test_list_filters_and_says_when_there_is_nothing(shell: Shell) -> None:
    assert "The backlog is empty." in shell("backlog", "list")
    assert "Nothing has a priority yet" in shell("backlog", "next")
    shell("item", "add", "one", "-f", "src/a.py", "--project", "web", "--severity", "warning")
    shell("backlog", "import", "-", stdin='{"id": "two", "text": "two", "source_file": "src/a.py", "source_line": 4}')
    shell("item", "add", "three", "--accept", "-p", "high")
    for options, expected in [
        (["--file", "src/a.py"], "W2 W1"),
        (["--source", "src/a.py"], "W2"),
        (["--project", "web"], "W1"),
        (["--origin", "import"], "W2"),
        (["--severity", "warning"], "W1"),
        (["--accepted"], "W3"),
        (["--undecided"], "W2 W1"),
        (["-p", "P1"], "W3"),
        (["--text", "TWO"], "W2"),
        (["-s", "triaged"], "W3"),
        (["--all", "-n", "1"], "W3 W2 W1"),
    ]:
        assert shell("backlog", "list", "-q", *options).split() == expected.split(), options
    assert shell("backlog", "list", "--check", "none") == "No such item.\n"
    page = json.loads(shell("backlog", "list", "-n", "1", "--json"))
    assert page["next"] == "3"
    shell("backlog", "list", "-s", "nonsense", code=2)


def test_new_work_is_accepted_by_a_pipe_and_questions_stay(shell: Shell) -> None:
    (shell.folder / "TODO.md").write_text("- [ ] Fix the login #web ~1h\n- [ ] Which database?\n- [ ] Mend the roof\n")
    shell("scan", "--project", "web")
    assert shell("backlog", "list", "-l", "web", "-q") == "W1\n"
    assert shell("backlog", "list", "-l", "we", "-q") == ""
    assert " question " in shell("backlog", "list", "-s", "new")
    assert shell("item", "accept", "W1", "W2", "W3", code=4) == (
        "W1 is triaged: Fix the login\nW3 is triaged: Mend the roof\n"
    )
    assert "W2 is a question, and no work" in shell.errors
    assert shell("backlog", "list", "-s", "new", "--work", "-q") == ""


def test_estimate_is_edited_and_becomes_that_of_the_task(shell: Shell) -> None:
    shell("item", "add", "Migrate", "--accept", "--estimate", "480")
    assert "480 min" in shell("item", "show", "W1")
    shell("item", "edit", "W1", "--estimate", "100")
    shell("item", "run", "W1")
    assert "100 min" in shell("show", "T1")


def test_several_items_at_once_and_refusals(shell: Shell) -> None:
    for text in ("a", "b", "c"):
        shell("item", "add", text)
    assert shell("item", "accept", "W1", "W9", "W2", code=3) == "W1 is triaged: a\nW2 is triaged: b\n"
    assert "there is no work item 'W9'" in shell.errors
    assert json.loads(shell("item", "accept", "W1", "W9", "--json", code=3))["data"][0]["item_id"] == "W1"
    assert shell("item", "run", "W8", "W9", code=3) == "No tasks.\n"
    assert ("'W8'" in shell.errors, "'W9'" in shell.errors) == (True, True)
    assert shell("item", "reject", "2", "w3", "--reason", "no", "-q").split() == ["W2", "W3"]
    assert shell("item", "undo", "W3") == "W3 is new again: c\n"
    assert shell("item", "reopen", "W2") == "W2 is new: b\n"
    assert shell("item", "edit", "W2", "W3", "-e", "large", "--severity", "none") == "W2 changed: b\nW3 changed: c\n"
    shell("item", "edit", "W2", code=2)
    assert shell("item", "depend", "W1", "--on", "W2", "--on", "W3") == "W1 waits for W2, W3: a\n"
    shell("item", "run", "W1", code=4)
    assert "W1 waits for W2 (new), W3 (new), without tasks" in shell.errors
    assert shell("item", "unlink", "W1", "--waits-for", "W3", "-q") == "W1\n"
    assert shell.json("item", "show", "W1")["blocked_by"] == ["W2"]
    assert shell("item", "merge", "W3", "--into", "W2") == "W2 is W3 as well: b\n"
    assert shell("item", "done", "W2") == "W2 is done: b\n"
    assert shell("item", "prioritise", "W1", "none") == "W1 has no priority: a\n"
    assert len(shell.json("item", "show", "W1", "W2")) == 2


def test_links_are_made_and_taken_away(shell: Shell) -> None:
    shell("item", "add", "a", "--ref", "jira=A-1")
    shell("item", "add", "b")
    shell("item", "link", "W1", "-f", "x.py", "-f", "y.py", "--ref", "beads=bd-1", "--parent", "W2")
    found = shell.json("item", "show", "W1")
    assert (found["refs"], found["parent"]) == ({"jira": "A-1", "beads": "bd-1"}, 2)
    assert [one["path"] for one in found["files"]] == ["x.py", "y.py"]
    shell("item", "unlink", "W1", "-f", "x.py", "--ref", "jira", "--parent")
    found = shell.json("item", "show", "W1")
    assert (found["refs"], found["parent"], len(found["files"])) == ({"beads": "bd-1"}, None, 1)
    shell("item", "unlink", "W1", "--ref", "jira", code=2)
    shell("item", "unlink", "W1", "-f", "x.py", code=3)
    shell("item", "link", "W1", code=2)
    shell("item", "link", "W1", "--ref", "nonsense", code=2)


def test_priorities_by_rules_are_explained(shell: Shell) -> None:
    assert "Nothing is assessed yet" in shell("backlog", "prioritise")
    shell("item", "add", "broken link", "--severity", "critical")
    shell("item", "add", "typo", "--severity", "info", "-p", "P1")
    dry = shell("backlog", "prioritise", "--explain", "--dry-run")
    assert "critical: P0" in dry
    assert "yours stays; else: info: P3" in dry
    assert "1 would change, 1 stay" in dry
    assert "1 changed, 1 stay" in shell("backlog", "prioritise")
    assert shell.json("item", "show", "W1")["prioritised_by"] == "rules"


def test_what_a_model_would_be_asked_is_shown_and_nobody_asked(shell: Shell) -> None:
    shell("backlog", "prioritise", "--ask-model", "--dry-run", code=4)
    shell("item", "add", "Mend the ostrich", "--accept")
    (shell.home / "form.json").write_text('{"effort": "small"}')
    shell("scope", "W1", "--from", str(shell.home / "form.json"))
    shown = shell("backlog", "prioritise", "--ask-model", "--dry-run")
    assert shown.startswith("anthropic:claude-haiku-4-5 would be asked about 1 items: ")
    assert "USD at most\n" in shown
    assert "Mend the ostrich" in shown
    told = shell.json("backlog", "prioritise", "--model", "mine:own", "--dry-run")
    assert (told["items"], told["most_usd_micros"], shell.json("costs")) == (["W1"], None, [])


def test_backlog_is_exported_and_imported(shell: Shell) -> None:
    shell("item", "add", "Größe 文字", "--accept", "-p", "P0")
    assert "1 items written to" in shell("backlog", "export", "-o", "b.md")
    assert "- [ ] **W1 P0** Größe 文字" in (shell.folder / "b.md").read_text()
    text = shell("backlog", "export")
    (shell.folder / "b.jsonl").write_text(text)
    same = "1 items of shoal: 0 taken, 0 updated, 1 the same, 0 refused\n"
    assert shell("backlog", "import", "b.jsonl") == same
    assert shell("backlog", "import", "-", stdin=text) == same
    (shell.folder / "c.jsonl").write_text(text.replace('"id":"', '"id":"x') + "nonsense\n")
    assert "nothing was changed" in shell("backlog", "import", "c.jsonl", "--dry-run", code=2)
    assert "1 taken, 0 updated, 0 the same, 1 refused" in shell("backlog", "import", "c.jsonl", code=2)
    assert "c.jsonl:2: not taken: it is no JSON" in shell.errors
    assert shell("backlog", "export", "--format", "csv").startswith("item_id,project,status")
    shell("backlog", "import", "none.jsonl", code=2)
    assert "2 items, 2 open" in shell("backlog", "stats")
    assert shell.json("backlog", "stats")["by_priority"] == {"P0": 2}


def test_consolidation_without_anything_shared_says_so(shell: Shell) -> None:
    assert "Nothing to propose" in shell("backlog", "consolidate")
    shell("backlog", "consolidate", "--apply", "1", code=2)
    shell("backlog", "consolidate", "--ask", code=2)


def test_narrow_terminal_and_long_words_lose_nothing(shell: Shell) -> None:
    shell("item", "add", "x" * 100, "-f", "y")
    assert "x" * 100 in "".join(shell("backlog", "list", COLUMNS="40").split())
    assert "\x1b" not in shell("item", "show", "W1", COLUMNS="40")


def test_text_of_anybodys_file_does_not_move_the_terminal(shell: Shell) -> None:
    shell("backlog", "import", "-", stdin='{"id": "a", "text": "a\\u001b[2Jb\\nc\\u009bd", "owner": "x\\u202ey"}')
    for shown in (shell("backlog", "list"), shell("item", "show", "W1"), shell("item", "accept", "W1")):
        assert not {"\x1b", "\x9b", "\u202e"} & set(shown)
