"""Git in the environment of an agent whose worker has a person's configuration."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

from shoal.adapters.git import credentials
from shoal.model.task import Claim
from tests.fleet import environment
from tests.vaults import git

KEY_OF_EVERYTHING = "ghp_opens_everything"
Run = Callable[..., "subprocess.CompletedProcess[str]"]


def persons_configuration(folder: Path, url: str) -> Path:
    """A configuration whose own helper knows a key that opens everything at a URL."""
    store, config = folder / "git-credentials", folder / "gitconfig"
    store.write_text(f"{url.replace('://', f'://me:{KEY_OF_EVERYTHING}@')}\n")
    for key, value in (
        ("credential.helper", f"store --file={store}"),
        ("user.email", "ana@example.org"),
        ("user.name", "ana"),
    ):
        git(folder, "config", "--file", str(config), key, value)
    return config


def as_agent(
    claim: Claim, *arguments: str, folder: Path, config: Path, url: str, hosts: list[str], stdin: str = ""
) -> subprocess.CompletedProcess[str]:
    """Run git with the helper of an agent, for these hosts."""
    given = credentials.variables(credentials.helped(hosts, credentials.helper_command()), 0)
    own = {
        "GIT_CONFIG_GLOBAL": str(config),
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_ASKPASS": "",
        "SHOAL_URL": url,
        "SHOAL_TASK_ID": claim.task.task_id,
        "SHOAL_TASK_KEY": claim.key,
    }
    return subprocess.run(
        ["git", *arguments],
        cwd=folder,
        env=environment(**given, **own),
        input=stdin,
        capture_output=True,
        text=True,
        timeout=60,
    )
