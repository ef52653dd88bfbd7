"""`shoal costs`: whole figures, however narrow the terminal."""

from __future__ import annotations

import pytest

from shoal import connect
from tests.cli.shell import Shell


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
    assert ([one["request_key"] for one in told["calls"]], told["sums"][0]["cost_usd_micros"]) == (["k1", "k3"], 1500)
    assert "cost         0.0015 USD in 2 calls" in shell("show", "T1")
    shell("costs", "task", "T9", code=3)


def test_costs_of_what_is_no_task(shell: Shell) -> None:
    shell("item", "add", "Mend the login", "--accept")
    assert " cost" not in shell("item", "show", "W1")
    haiku = {"provider": "anthropic", "model": "claude-haiku-4-5"}
    with connect(str(shell.home / "ledger.db"), actor="ana") as ledger:
        ledger.items.assess(1, model="m", calls=[haiku | {"request_key": "a", "cost_usd_micros": 1500}])
        ledger.items.run(1)
        ledger.costs.record(
            costs=[
                haiku | {"request_key": "b", "cost_usd_micros": 2_000_000, "task": 1},
                haiku | {"request_key": "c", "cost_usd_micros": 4, "purpose": "prioritise", "project": "web"},
            ]
        )
    assert [one["key"] for one in shell.json("costs")] == ["T1", "W1", "prioritise web"]
    assert [one["key"] for one in shell.json("costs", "--by", "purpose")] == ["work", "scope", "prioritise"]
    assert "prioritise web" in shell("costs")
    shown = shell("item", "show", "W1")
    assert "scope cost   0.0015 USD in 1 call" in shown
    assert "work cost    2.00 USD in 1 call" in shown
    of_item = shell("costs", "item", "W1")
    assert "W1: 0.0015 USD in 1 call" in of_item
    assert "T1: 2.00 USD in 1 call" in of_item
    assert [one["request_key"] for one in shell.json("costs", "item", "W1")["calls"]] == ["a"]
    shell("costs", "item", "W9", code=3)


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
