"""What a task keeps as its result always fits into the ledger."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec

from shoal.model.session import Branch
from shoal.services.outcomes import stored_result
from shoal.worker.result import RESULT_BYTES, read_result, whole_result


def test_largest_result_with_many_branches_fits_into_the_ledger(tmp_path: Path) -> None:
    file = tmp_path / "result.json"
    file.write_text(json.dumps({"text": "x" * (RESULT_BYTES - 12)}))
    given, problems = read_result(file)
    assert problems == []
    branches = [Branch("acme/" + "p" * 300, f"shoal/T{n}-" + "b" * 200, "0" * 40, "1" * 40) for n in range(50)]
    result = whole_result(given, branches, exit_code=0, log=Path("/" + "l" * 4090))
    assert len(stored_result(result) or "") > RESULT_BYTES
    assert len(result["branches"]) + result["further_branches"] == 50
    assert result["branches"][0] == msgspec.to_builtins(branches[0])


def test_what_is_read_is_whole_or_nothing(tmp_path: Path) -> None:
    file = tmp_path / "result.json"
    assert read_result(file) == (None, [])
    file.write_text('[{"a": 1}]')
    assert read_result(file) == ([{"a": 1}], [])
    assert whole_result([1], [], exit_code=None, log=Path("l")) == {"exit_code": None, "log": "l", "value": [1]}
