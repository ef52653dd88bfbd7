"""The command line as a person and a script meet it: real processes, on a home of their own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
from pathlib import Path
from typing import Any

import pytest

from shoal import connect
from shoal.model.search import Document, DocumentKind
from tests.conftest import wait_until
from tests.fleet import SHOAL, Server, environment
from tests.services.test_search import put


class Shell:
    """Runs `shoal` in a folder with an empty home."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.home = folder / ".shoal"

    def __call__(self, *arguments: str, code: int = 0, stdin: str = "", **settings: str) -> str:
        run = subprocess.run(
            [*SHOAL, *arguments],
            input=stdin,
            capture_output=True,
            text=True,
            cwd=self.folder,
            env=environment(HOME=str(self.folder), USER="ana", LOGNAME="ana", **settings),
            timeout=60,
        )
        assert run.returncode == code, f"{arguments}: {run.returncode}\n{run.stdout}\n{run.stderr}"
        self.errors = run.stderr
        return run.stdout

    def json(self, *arguments: str) -> Any:
        envelope = json.loads(self(*arguments, "--json"))
        assert envelope["version"] == 1
        return envelope["data"]


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    shell = Shell(tmp_path)
    shell("init")
    return shell


def test_search_by_words(shell: Shell) -> None:
    shell("add", "Fix", "the", "Login")
    with connect(str(shell.home / "ledger.db")) as ledger:
        put(ledger, Document(task=1, kind=DocumentKind.BODY, text="the reset link is broken"))
    assert "Fix the Login" in shell("search", "RESET", "bro*")
    assert shell.json("search", '"reset link"', "--kind", "body")[0]["kind"] == "body"
    assert "Nothing" in shell("search", "--", "link", "-reset")
    shell("search", "?!", code=2)
    assert "no word to look for" in shell.errors


def test_prompt_of_a_task_with_sizes_as_text_and_as_json(shell: Shell) -> None:
    shell("add", "Fix", "the", "Login", "--workflow", "careful")
    shown = shell("prompt", "T1")
    assert "memory looks for: fix, the, login" in shown
    assert "no workflow 'careful'" in shell.errors
    raw = shell("prompt", "T1", "--raw")
    assert raw.startswith("<shoal_role>\n")
    assert shown.endswith(raw.partition("<shoal_time>")[0][-500:] + shown[shown.index("<shoal_time>") :])
    told = shell.json("prompt", "T1", "--way", "continuation", "--cause", "crash")
    assert (told["cause"], told["messages"][0]["part"]) == ("crash", "system")
    assert shell("prompt", "T1", "-q").strip() == told["stable_hash"]


def test_first_task_from_add_to_done(shell: Shell) -> None:
    assert shell("add", "Say", "hello", "-p", "high", "-q") == "T1\n"
    assert "Say hello" in shell("list")
    assert [task["task_id"] for task in shell.json("ready")] == ["T1"]
    assert shell("next", "--claim", "-q") == "T1\n"
    assert "T1 is completed" in shell("done", "t1", "--attempt", "1", "-m", "hello said")
    shown = shell("show", "T1")
    assert "hello said" in shown
    assert "task.completed" in shown
    assert shell.json("show", "1")["created_by"] == "ana"


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["show", "T9"], 3, "there is no task 'T9'"),
        (["add", ""], 2, "title"),
        (["add", "x", "-p", "soon"], 2, "priority"),
        (["done", "T1", "--attempt", "3"], 5, "T1 is queued"),
        (["reopen", "T1"], 4, "T1 is queued"),
        (["dep", "add", "T1", "T1"], 4, "T1 -> T1"),
        (["shw", "T1"], 2, "Did you mean show"),
        (["add", "x", "--at", "whenever"], 2, "is not a time"),
        (["events", "--kind", "odd"], 2, "kind"),
        (["import", "nothing.md"], 2, "cannot read"),
    ],
)
def test_errors_name_the_object_and_have_their_exit_code(
    shell: Shell, arguments: list[str], code: int, message: str
) -> None:
    shell("add", "x")
    assert shell(*arguments, code=code) == ""
    assert message in shell.errors
    assert "Traceback" not in shell.errors


def test_errors_are_json_when_asked(shell: Shell) -> None:
    assert shell("show", "T9", "--json", code=3) == ""
    told = json.loads(shell.errors)
    assert (told["code"], told["field"]) == ("not_found", "task")


def test_costs_of_tasks_and_agents(shell: Shell) -> None:
    shell("add", "a")
    shell("add", "b")
    assert "No model call" in shell("costs")
    assert "cost " not in shell("show", "T1")
    sonnet = ("--provider", "anthropic", "--model", "claude-sonnet-4-5")
    tokens = ("--input", "100", "--output", "10", "--cache-read", "1000", "--cache-write", "200")
    assert shell("costs", "add", "T1", *sonnet, "--key", "k1", *tokens) == "counted\n"
    assert "known already" in shell("costs", "add", "T1", *sonnet, "--key", "k1", *tokens)
    shell("costs", "add", "t2", *sonnet, "--key", "k2", "--agent", "bo", "--usd-micros", "2500000", "--at", "9d")
    shell("costs", "add", "T1", "--provider", "mine", "--model", "m", "--key", "k3", "--attempt", "1", code=2)
    assert "T1 has had 0 attempts" in shell.errors
    shell("costs", "add", "T1", "--provider", "mine", "--model", "m", "--key", "k3", "--input", "100")

    [_, _, t2, t1] = shell("costs").splitlines()
    assert t2.split() == ["T2", "1", "0", "0", "2.50"]
    assert t1.split() == ["T1", "2", "1400", "71", "%", "10", "0.0015", "1"]
    assert [one["key"] for one in shell.json("costs", "--by", "agent", "--since", "7d")] == ["ana"]
    assert shell("costs", "--by", "model", "-n", "1", "-q") == "claude-sonnet-4-5\n"
    assert len(shell.json("costs", "--by", "day")) == 2
    of_task = shell("costs", "task", "T1")
    assert "0.0015 list" in of_task
    assert "unknown" in of_task
    assert "T1: 0.0015 USD in 2 calls, 1 without a known price; 1400 tokens in, 10 out, 71 %" in of_task
    told = shell.json("costs", "task", "T1", "--limit", "1", "--all")
    assert ([one["request_key"] for one in told["calls"]], told["sum"]["cost_usd_micros"]) == (["k1", "k3"], 1500)
    assert "cost         0.0015 USD in 2 calls" in shell("show", "T1")
    shell("costs", "task", "T9", code=3)


@pytest.mark.parametrize("width", [40, 60, 120])
def test_no_figure_of_the_costs_is_cut_in_a_narrow_terminal(shell: Shell, width: int) -> None:
    shell("add", "a")
    sonnet = ("--provider", "anthropic", "--model", "claude-sonnet-4-5", "--key", "k1")
    shell("costs", "add", "T1", *sonnet, "--input", "123456", "--output", "98765", "--cache-read", "1000")
    for command in (("costs",), ("costs", "--by", "model"), ("costs", "task", "T1"), ("list",), ("events",)):
        shown = shell(*command, COLUMNS=str(width))
        table = [line for line in shown.splitlines() if not line.startswith("T1: ")]
        assert max(map(len, table)) <= width, command
        whole = "".join(shown.split())
        assert "T1" in whole or "claude-sonnet-4-5" in whole
        if command[0] == "costs":
            assert {"124456", "98765", "1.852143"} <= set(shown.split())


def test_cost_without_a_known_price_is_unknown_and_not_nothing(shell: Shell) -> None:
    shell("add", "a")
    told = shell("costs", "add", "T1", "--provider", "opanai", "--model", "gpt-5", "--key", "k", "--input", "7")
    assert told.startswith("counted\nno list price of opanai/gpt-5 is known")
    assert shell("costs").splitlines()[-1].split() == ["T1", "1", "7", "0", "%", "0", "unknown", "1"]
    assert "T1: an unknown price, 1 call; 7 tokens in" in shell("costs", "task", "T1")
    shell("costs", "add", "T1", "--provider", "openai", "--model", "gpt-5", "--key", "k2", "--usd-micros", "0")
    assert "0.00" in shell("costs")


def test_every_verb_of_people_has_a_command(shell: Shell) -> None:
    shell("add", "a", "--requires-qa", "--criterion", "tests pass => make test", "--repo", "o/r", "--deadline", "3d")
    shell("add", "b", "-d", "T1")
    shell("hold", "T2", "later")
    assert "held: later" in shell("ready", "--explain", "T2")
    shell("unhold", "T2")
    shell("comment", "T1", "careful")
    shell("join", "T1", "--role", "qa")
    shell("leave", "T1")
    shell("claim", "T1", "--worker", "w")
    shell("start", "T1", "--attempt", "1")
    shell("progress", "T1", "50", "--attempt", "1", "-m", "half")
    assert "1 held" in shell("beat", "w", "--task", "T1=1")
    shell("done", "T1", "--attempt", "1", "--result", '{"pr": 7}')
    shell("review", "T1", "--reject", "-m", "again", code=0)
    shell("claim", "T1", "--worker", "w")
    shell("done", "T1", "--attempt", "2")
    shell("review", "T1", "--approve")
    shell("feedback", "T1", "--quality", "5")
    assert shell.json("show", "T2")["status"] == "queued"
    shell("edit", "T2", "-p", "urgent", "--clear", "parent", "--estimate", "30")
    shell("release", "T2", code=5)
    shell("fail", "T2", "no")
    shell("reopen", "T2")
    shell("cancel", "T2")
    shell("dep", "add", "T2", "T1", "--kind", "related")
    assert "related" in shell("dep", "list", "T2")
    assert "graph LR" in shell("dep", "graph", "T1", "--format", "mermaid")
    shell("dep", "remove", "T2", "T1", "--kind", "related")
    shell("queue", "pause", "default", "--reason", "deploy")
    assert "deploy" in shell("queue", "list")
    shell("queue", "limit", "default", "2")
    shell("queue", "resume", "default")
    assert shell("lock", "acquire", "l", "--owner", "a", "-q") == "1\n"
    shell("lock", "acquire", "l", "--owner", "b", code=4)
    assert "l" in shell("lock", "list")
    shell("lock", "renew", "l", "--owner", "a", "--fence", "1")
    shell("lock", "release", "l", "--owner", "a", "--fence", "1")
    assert shell("lock", "run", "l", "--", "sh", "-c", "echo $SHOAL_LOCK_FENCE; exit 3", code=3) == "2\n"
    shell("broadcast", "lunch")
    assert shell.json("watch", "--agent", "bo")["events"][-1]["kind"] == "broadcast"
    assert "all" in shell("stats")
    assert "Nothing is due." in shell("supervision")
    assert "ok" in shell("doctor")
    assert "complete" in shell("completion", "bash")
    assert next(event["kind"] for event in shell.json("events", "--task", "T2", "--after", "0")) == "task.created"


def test_lists_are_paged_and_whole(shell: Shell) -> None:
    lines = "".join(f'{{"title": "t{number}"}}\n' for number in range(120))
    shell("import", "-", "--format", "jsonl", stdin=lines)
    first = json.loads(shell("list", "--limit", "100", "--json"))
    assert (len(first["data"]), len(shell.json("list", "--cursor", first["next"]))) == (100, 20)
    assert len(shell("list", "--all", "-q").split()) == 120


def test_export_and_import_of_a_file(shell: Shell) -> None:
    (shell.folder / "plan.md").write_text("- [ ] One\n  - [x] Two\n- [?] Odd\n")
    assert "2 created" in shell("import", "plan.md", code=2)
    assert "plan.md:3: [?]" in shell.errors
    assert "0 created, 2 were there already" in shell("import", "plan.md", code=2)
    assert "  - [x] Two" in shell("export", "--format", "markdown")
    assert "2 tasks written" in shell("export", "-o", "out.csv")
    (shell.folder / "latin.csv").write_bytes(b"title\ncaf\xe9\n")
    shell("import", "latin.csv", code=2)
    assert "not UTF-8: line 2" in shell.errors


def test_home_is_found_upwards_and_never_made_anew(shell: Shell) -> None:
    shell("add", "x")
    below = shell.folder / "a" / "b"
    below.mkdir(parents=True)
    deeper = Shell(below)
    deeper.folder = below
    assert "x" in deeper("list")

    shell("backup")
    (shell.home / "ledger.db").unlink()
    shell("list", code=6)
    assert "has vanished" in shell.errors
    assert "shoal restore" in shell.errors
    assert not (shell.home / "ledger.db").exists()
    [backup] = (shell.home / "backups").glob("*.db")
    shell("restore", str(backup))
    assert "x" in shell("list")


def test_restore_keeps_what_was_there_and_waits_for_those_who_use_it(shell: Shell) -> None:
    shell("add", "before")
    shell("backup")
    shell("add", "after")
    [backup] = (shell.home / "backups").glob("*.db")
    with connect(shell.home / "ledger.db"):
        shell("restore", str(backup), code=4)
        assert "open in another process" in shell.errors
    assert "after" in shell("list")
    shell("restore", str(backup))
    assert "after" not in shell("list")
    [kept] = shell.home.glob("ledger.db.before-restore-*")
    with connect(kept) as ledger:
        assert [task.title for task in ledger.tasks.list()] == ["after", "before"]


def test_folder_without_a_home_is_said_so(tmp_path: Path) -> None:
    shell = Shell(tmp_path)
    shell("list", code=6)
    assert "shoal init" in shell.errors


@pytest.mark.parametrize("content", [b"not a database at all" * 100, b"SQLite format 3\x00" + b"\xff" * 5000])
def test_wrong_file_is_said_so(shell: Shell, content: bytes) -> None:
    for path in shell.home.glob("ledger.db*"):
        path.unlink()
    (shell.home / "ledger.db").write_bytes(content)
    shell("list", code=6)
    assert "damaged or not a Shoal database" in shell.errors
    assert (shell.home / "ledger.db").read_bytes() == content
    assert "bad" in shell("doctor", code=6)


def test_bad_configuration_is_said_so(shell: Shell) -> None:
    (shell.home / "shoal.toml").write_text("lease_seconds = 'long'\n")
    shell("list", code=2)
    assert "lease_seconds" in shell.errors
    (shell.home / "shoal.toml").write_text("colour = 'red'\n")
    shell("list", code=2)
    assert "colour" in shell.errors


@pytest.mark.parametrize(
    ("written", "told"),
    [
        ("[agents.fast]\nknid = 'codex'", "[agents.fast] knid: there is no such field; did you mean kind?"),
        ("[agents.fast]\nkind = 'codx'", "[agents.fast] kind: 'codx' is not one of claude, codex, command"),
        ("[agents.fast]\nmax_usd = 'all'", "[agents.fast] max_usd: Expected"),
        ("[agents.good]\n[agents.'a b']\nenv = {A = []}", '[agents."a b"] env'),
        ("[agent.fast]\nkind = 'codex'", "[agent.fast] there is no such table; did you mean agents?"),
        ("[workflow]\nx = 1", "did you mean workflows?"),
        ("[agents]\nkind = 'codex'", "agents: it is written as a table, [agents.NAME]"),
        ("[[kubernetes]]", "kubernetes: it is written as a table, [kubernetes]"),
        ("[repositories.'o/r']\npush = 'perhaps'", '[repositories."o/r"] push: Expected'),
        ("[dispatch]\nexecutor = 'k8s'", "[dispatch] executor: 'k8s' is not one of"),
        ("[kubernetes]\nimagee = 'x'", "[kubernetes] imagee: there is no such field; did you mean image?"),
        ("lease_second = 5", "lease_second: there is no such setting; did you mean lease_seconds?"),
        ("lease_seconds = 'long'", "lease_seconds: Expected `int`"),
    ],
)
def test_mistake_in_the_settings_is_named_with_its_table(shell: Shell, written: str, told: str) -> None:
    (shell.home / "shoal.toml").write_text(written + "\n")
    shell("list", code=2)
    assert told in shell.errors


def test_value_that_is_none_of_those_allowed_is_said_with_them(shell: Shell) -> None:
    shell("list", "-s", "complete", code=2)
    assert "status: 'complete' is not one of queued, scheduled" in shell.errors
    assert "did you mean completed?" in shell.errors


def test_criterion_is_a_text_and_a_check(shell: Shell) -> None:
    told = " ".join(shell("add", "--help").split())
    checks = {
        "tests pass": "make test",
        "enough tests": "result.tests.passed >= 10",
        "it looks well": "manual",
    }
    given = [f"{text} => {check}" for text, check in checks.items()]
    assert [one for one in given if f"'{one}'" not in told] == []
    shell("add", "x", *(word for one in given for word in ("--criterion", one)))
    criteria = shell.json("show", "T1")["success_criteria"]
    assert {one["criterion"]: one["measurable"] for one in criteria} == checks


def test_output_without_colour_in_a_pipe(shell: Shell) -> None:
    shell("add", "x")
    assert "\x1b" not in shell("list")
    assert "\x1b" not in shell("show", "T1", NO_COLOR="1")


def test_commands_use_the_running_server_of_the_home(shell: Shell) -> None:
    server = Server(shell.home)
    shell("add", "through the server")
    assert server.url in shell("doctor")
    second = subprocess.run(
        [*SHOAL, "--home", str(shell.home), "serve", "--port", "0"],
        capture_output=True,
        text=True,
        env=environment(),
        timeout=30,
    )
    assert second.returncode == 4
    assert f"pid {server.process.pid} at {server.url}" in second.stderr
    shell("restore", str(shell.home / "shoal.toml"), code=4)
    assert server.stop() == 0
    assert "through the server" in shell("list")


def test_listening_beyond_this_machine_is_refused(shell: Shell) -> None:
    shell("serve", "--host", "0.0.0.0", code=2)
    assert "--insecure" in shell.errors


def test_events_follow_across_processes(shell: Shell) -> None:
    follower = subprocess.Popen(
        [*SHOAL, "events", "--follow", "--json"],
        stdout=subprocess.PIPE,
        text=True,
        cwd=shell.folder,
        env=environment(HOME=str(shell.folder)),
    )
    seen: list[dict[str, Any]] = []
    reader = threading.Thread(target=lambda: seen.extend(json.loads(line) for line in follower.stdout or []))
    reader.start()
    for number in range(3):
        shell("add", f"t{number}")
    wait_until(lambda: len(seen) == 3)
    follower.send_signal(signal.SIGINT)
    assert follower.wait(10) == 0
    reader.join()
    assert follower.stdout is not None
    follower.stdout.close()
    assert [event["task_id"] for event in seen] == ["T1", "T2", "T3"]


def test_help_and_ready_start_quickly(shell: Shell) -> None:
    def cpu_seconds(*arguments: str) -> float:
        before = os.times()
        shell(*arguments)
        after = os.times()
        return (after.children_user - before.children_user) + (after.children_system - before.children_system)

    # Twice what is promised: this machine may be busy with other tests. `make bench` measures the promise.
    assert min(cpu_seconds("--help") for _ in range(3)) < 0.24
    assert min(cpu_seconds("ready", "--json") for _ in range(3)) < 0.40
