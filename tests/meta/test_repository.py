"""The project's rules about itself."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "shoal"
# Built from pieces, so that this file does not match itself.
HOSTS = "|".join(["py" + "pi", "np" + "mjs", "pythonhos" + "ted", "registry" + r"\."])
PLACES = "|".join(["/" + "work/", "/" + "root/", "/" + "home/[a-z]"])


def tracked() -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return [path for name in listed.stdout.splitlines() if (path := ROOT / name).is_file()]


def test_no_source_file_is_too_large() -> None:
    large = {str(path): n for path in SOURCE.rglob("*.py") if (n := len(path.read_text().splitlines())) > 400}
    assert large == {}


def test_no_registry_host_and_no_path_of_a_machine() -> None:
    found = []
    for path in tracked():
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        for number, line in enumerate(text.splitlines(), start=1):
            if re.search(rf"https?://[^\s)\"']*({HOSTS})|index[-]url|({PLACES})", line):
                found.append(f"{path.relative_to(ROOT)}:{number}: {line.strip()[:100]}")
    assert found == []


@pytest.mark.parametrize(
    "service", sorted(path.stem for path in (SOURCE / "services").glob("*.py")), ids=lambda name: name
)
def test_every_service_with_verbs_has_its_test(service: str) -> None:
    if "@verb(" in (SOURCE / "services" / f"{service}.py").read_text() and service != "verb":
        assert (ROOT / "tests" / "services" / f"test_{service}.py").exists()


def test_contracts_name_every_kind_of_adapter() -> None:
    """A new kind knows no other, and the worker does not know it, until somebody decides otherwise."""
    kinds = {f"shoal.adapters.{path.parent.name}" for path in (SOURCE / "adapters").glob("*/__init__.py")}
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    [apart] = [one for one in contracts if one["name"].startswith("Kinds of adapters")]
    [hidden] = [one for one in contracts if one.get("source_modules") == ["shoal.worker"]]
    used = {f"shoal.adapters.{kind}" for kind in ("agents", "git", "processes")}
    assert kinds - set(apart["modules"]) == {"shoal.adapters.git", "shoal.adapters.processes"}
    assert kinds - set(hidden["forbidden_modules"]) == used


def test_every_query_has_a_purpose_and_is_used() -> None:
    code = "".join(path.read_text() for path in SOURCE.rglob("*.py"))
    for path in (SOURCE / "store" / "queries").glob("*.sql"):
        text = path.read_text()
        names = re.findall(r"^-- name: (\w+)$", text, re.MULTILINE)
        assert len(names) == len(re.findall(r"^-- name: \w+\n-- \S.+", text, re.MULTILINE)), path.name
        for name in names:
            assert f'"{path.stem}.{name}"' in code, f"{path.stem}.{name} is used nowhere"


def test_no_test_waits_on_the_clock() -> None:
    for path in (ROOT / "tests").rglob("*.py"):
        waits = [line for line in path.read_text().splitlines() if re.search(r"time\.sleep\(", line)]
        assert not waits or path.name in {"conftest.py", Path(__file__).name}, (path, waits)


def test_services_need_nothing_but_what_builds_them() -> None:
    # The build reads the verbs from them (`build-system.requires`, pyproject.toml), and every command starts with them.
    script = "import shoal.services, sys; print({'yaml', 'genai_prices', 'httpx2', 'structlog'} & sys.modules.keys())"
    said = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert said == "set()\n"
