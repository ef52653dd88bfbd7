"""What strangers write as JSON and YAML is read or refused, and never a surprise."""

from __future__ import annotations

import json
from typing import Any

import pytest

from shoal.adapters.importers import lobwife
from shoal.adapters.importers.reading import DEEPEST, is_deep, json_of, yaml_of
from shoal.errors import BadInput

HOSTILE = [None, True, -1, 10**400, float("nan"), float("inf"), "", "\x00\ud83d", [], {}, [[10**400]], {"\ud83d": {}}]


def deep(levels: int) -> str:
    return "[" * levels + "]" * levels


def test_depth_ends_where_it_says() -> None:
    assert not is_deep(json.loads(deep(DEEPEST)))
    assert is_deep(json.loads(deep(DEEPEST + 1)))
    assert is_deep(json.loads('{"a": [' * DEEPEST + "]}" * DEEPEST))


@pytest.mark.parametrize(
    "text", ["", "[", "1" * 5000, '{"a":', deep(31), deep(900), deep(100_000), b"\xff\xfe\xfa", "nul"]
)
def test_what_is_no_json_is_refused(text: str | bytes) -> None:
    with pytest.raises(BadInput, match=r"the file is no JSON|the file is nested too deeply"):
        json_of(text, "the file")


@pytest.mark.parametrize("text", ["a: [", "a: *b", "&a [*a]", "!!int ''", "!!python/name:os.system", "\x00", deep(31)])
def test_what_is_no_yaml_is_refused(text: str) -> None:
    with pytest.raises(BadInput, match="the file"):
        yaml_of(text, "the file")


@pytest.mark.parametrize("file", [lobwife.JOBS, lobwife.REGISTRATIONS, lobwife.AUDIT])
def test_row_of_lobwife_is_read_as_far_as_it_goes_whatever_stands_in_it(file: str) -> None:
    names = (
        "name",
        "task_id",
        "repos",
        "last_run",
        "last_duration",
        "run_count",
        "status",
        "action",
        "timestamp",
        "id",
    )
    row: dict[str, Any] = {"name": "a", "task_id": "T1", "repos": ["o/r"], "action": "x", "timestamp": "2026-01-01"}
    rows: list[Any] = [row | {name: value} for name in names for value in HOSTILE] + HOSTILE
    text = json.dumps(rows if file == lobwife.AUDIT else {f"{at}\ud83d": one for at, one in enumerate(rows)})
    assert len(lobwife.json_rows(file, text.encode())) == len(rows)
    for levels in (40, 500, 950, 990):
        with pytest.raises(BadInput, match=r"nested too deeply|is no"):
            lobwife.json_rows(file, f'{{"a": {deep(levels)}}}'.encode())
