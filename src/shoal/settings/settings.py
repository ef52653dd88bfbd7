"""Every setting with its default and meaning."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from shoal.settings.tables import (
    AgentSettings,
    BacklogSettings,
    BrokerSettings,
    ChannelSettings,
    DispatchSettings,
    KubernetesSettings,
    ProjectSettings,
    RepositorySettings,
    ReviewSettings,
    TrackerSettings,
    TriageSettings,
    Whole,
    WorkflowSettings,
)

# What Shoal itself logs in with. No agent gets these, unless its `env` asks for one by name.
GITHUB_TOKEN, VAULT_TOKEN = "SHOAL_GITHUB_TOKEN", "SHOAL_VAULT_TOKEN"
APP_KEY, ADMIN_TOKEN = "SHOAL_GITHUB_APP_KEY", "SHOAL_ADMIN_TOKEN"
SECRETS = frozenset({GITHUB_TOKEN, VAULT_TOKEN, APP_KEY, ADMIN_TOKEN})
# Relative, of plain names: nothing that a setting says leads out of the vault or into its git, or breaks a wikilink.
_NAME = r"[^\x00-\x1f/\\|#^\[\].][^\x00-\x1f/\\|#^\[\]]*"
FOLDER = Meta(pattern=rf"^{_NAME}(/{_NAME})*\Z", max_length=200)


class Settings(Struct, frozen=True, forbid_unknown_fields=True):
    """All settings of a home. The comments of the documentation are the descriptions here."""

    host: Annotated[str, Meta(description="Address that `shoal serve` listens on.")] = "127.0.0.1"
    port: Annotated[int, Meta(ge=0, le=65535, description="Port of `shoal serve`; 0 takes a free one.")] = 7465
    db: Annotated[
        str | None,
        Meta(description="Database: a path, sqlite:///path or postgresql://host/name; default ledger.db in the home."),
    ] = None
    prefix: Annotated[
        str,
        Meta(pattern=r"^[A-Za-z]{1,8}\Z", description="Letters before a task's number, fixed when the ledger is made."),
    ] = "T"
    lease_seconds: Annotated[Whole, Meta(description="How long a claim lasts without a beat.")] = 300
    retry_base_seconds: Annotated[Whole, Meta(description="Wait after the first failure; doubles with each one.")] = 10
    retry_cap_seconds: Annotated[Whole, Meta(description="The longest wait between attempts.")] = 3600
    release_limit: Annotated[
        Whole, Meta(description="Releases of one task in a row after which the next one counts as a failure.")
    ] = 100
    patience_seconds: Annotated[Whole, Meta(description="How long a write waits for a busy or absent database.")] = 30
    unreachable_seconds: Annotated[
        list[Annotated[int, Meta(ge=1, le=3600)]],
        Meta(
            min_length=1,
            max_length=20,
            description="How long a worker waits before it asks a silent server again, time after time; then the last.",
        ),
    ] = msgspec.field(default_factory=lambda: [10, 30, 60])
    reap_seconds: Annotated[Whole, Meta(description="How often due tasks and expired leases are looked for.")] = 1
    backup_seconds: Annotated[Whole, Meta(description="How often `shoal serve` makes a backup.")] = 3600
    backups_kept: Annotated[Whole, Meta(description="How many backups are kept.")] = 24
    prune_seconds: Annotated[Whole, Meta(description="How often old events are pruned.")] = 600
    event_days: Annotated[Whole, Meta(description="How long events are kept; tasks are kept for ever.")] = 90
    checkpoint_seconds: Annotated[Whole, Meta(description="How often SQLite's write-ahead log is folded in.")] = 30
    stop_seconds: Annotated[Whole, Meta(description="How long a stopping server waits for requests to finish.")] = 10
    body_limit_bytes: Annotated[Whole, Meta(description="Largest request body.")] = 8 * 1024 * 1024
    agent: Annotated[str | None, Meta(description="The agent for tasks that none claims by what it lists.")] = None
    episodes: Annotated[
        Whole, Meta(description="How often an agent is run in one attempt until the success criteria hold.")
    ] = 5
    qa_tasks: Annotated[
        bool, Meta(description="Make a task of type qa for work in review; its result's verdict counts.")
    ] = False
    workspace_days: Annotated[
        int, Meta(ge=0, le=36500, description="Days for which the folder of a failed attempt is kept.")
    ] = 7
    ephemeral: Annotated[
        bool, Meta(description="This home goes with its attempt, as a pod's: what was done in it is pushed at once.")
    ] = False
    warn_minutes: Annotated[Whole, Meta(description="An attempt is warned of so long after its estimate.")] = 15
    fail_factor: Annotated[float, Meta(ge=1, le=1e6, description="It fails at so many times its estimate.")] = 2.0
    warn_unestimated_minutes: Annotated[Whole, Meta(description="Warned of after, without an estimate.")] = 45
    fail_unestimated_minutes: Annotated[Whole, Meta(description="Failed after, without an estimate.")] = 90
    stale_queued_days: Annotated[Whole, Meta(description="A task queued for longer is reported once.")] = 7
    stale_active_hours: Annotated[Whole, Meta(description="One active without an event for longer too.")] = 48
    supervise_seconds: Annotated[Whole, Meta(description="How often attempts are looked after.")] = 30
    github_url: Annotated[str, Meta(description="GitHub's API.")] = "https://api.github.com"
    jobs: Annotated[
        str,
        Meta(description="Manifest of the jobs: a file, folder or git URL; empty: jobs.toml or jobs.yaml of the home."),
    ] = ""
    jobs_fetch_seconds: Annotated[Whole, Meta(description="How often a manifest at a git URL is fetched.")] = 180
    jobs_at_once: Annotated[Whole, Meta(description="Runs of jobs that one server has at once.")] = 10
    run_lease_seconds: Annotated[Whole, Meta(description="How long a run of a job outlives its server.")] = 30
    run_days: Annotated[Whole, Meta(description="How long runs of jobs and their logs are kept.")] = 90
    vault: Annotated[
        str, Meta(description="Folder of the vault, a relative one is meant from the home; empty for none.")
    ] = "vault"
    vault_sync_seconds: Annotated[Whole, Meta(description="How often the vault is synced at least.")] = 300
    vault_sync_delay_seconds: Annotated[
        float, Meta(ge=0, le=3600, description="How long a sync waits for further changes after one.")
    ] = 1.0
    vault_git_seconds: Annotated[Whole, Meta(description="How long one call of git may take.")] = 120
    vault_archive_days: Annotated[
        int, Meta(ge=0, le=36500, description="Days after which a finished task's files are archived; 0 for never.")
    ] = 0
    tasks_folder: Annotated[str, FOLDER, Meta(description="The vault's folder of tasks.")] = "010-tasks"
    logs_folder: Annotated[str, FOLDER, Meta(description="The vault's folder of agents' logs.")] = "020-logs"
    knowledge_folder: Annotated[str, FOLDER, Meta(description="The vault's folder of knowledge.")] = "030-knowledge"
    fleet_folder: Annotated[str, FOLDER, Meta(description="The vault's folder about the fleet.")] = "040-fleet"
    context_folder: Annotated[str, FOLDER, Meta(description="The vault's folder of shared context.")] = "050-context"
    notes_folder: Annotated[str, FOLDER, Meta(description="The vault's folder of agents' private notes.")] = "060-notes"
    audits_folder: Annotated[str, FOLDER, Meta(description="The vault's folder of audit reports.")] = "070-audits"
    views_folder: Annotated[str, FOLDER, Meta(description="The vault's folder of views.")] = "080-views"
    archive_folder: Annotated[str, FOLDER, Meta(description="The vault's folder of archived tasks.")] = "090-archive"
    agents: Annotated[dict[str, AgentSettings], Meta(description="Agents by name: [agents.NAME].")] = {}
    workflows: Annotated[dict[str, WorkflowSettings], Meta(description="Workflows by name: [workflows.NAME].")] = {}
    repositories: Annotated[
        dict[str, RepositorySettings], Meta(description='Repositories by name: [repositories."owner/name"].')
    ] = {}
    channels: Annotated[
        dict[str, ChannelSettings], Meta(description="Where notifications go, by name: [channels.NAME].")
    ] = {}
    dispatch: Annotated[DispatchSettings, Meta(description="What is run by an executor: [dispatch].")] = (
        DispatchSettings()
    )
    kubernetes: Annotated[
        KubernetesSettings, Meta(description="The Jobs of the executor kubernetes: [kubernetes].")
    ] = KubernetesSettings()
    broker: Annotated[BrokerSettings, Meta(description="Tokens for tasks: [broker].")] = BrokerSettings()
    projects: Annotated[
        dict[str, ProjectSettings], Meta(description="Checkouts whose backlog is kept: [projects.NAME].")
    ] = {}
    triage: Annotated[dict[str, TriageSettings], Meta(description="Rules about new items: [triage.NAME].")] = {}
    backlog: Annotated[BacklogSettings, Meta(description="The backlog: [backlog].")] = BacklogSettings()
    trackers: Annotated[
        dict[str, TrackerSettings], Meta(description="Where accepted items are pushed, by name: [trackers.NAME].")
    ] = {}
    review: Annotated[ReviewSettings, Meta(description="Reviews of pull requests: [review].")] = ReviewSettings()

    @property
    def secrets(self) -> frozenset[str]:
        """The variables of the environment that no agent and no job gets."""
        urls = {one.url_variable for one in self.channels.values() if one.url_variable is not None}
        return SECRETS | urls | {one.token_variable for one in self.trackers.values()}


# In shoal.toml only.
TABLES: dict[str, type[Struct]] = {
    "agents": AgentSettings,
    "workflows": WorkflowSettings,
    "repositories": RepositorySettings,
    "channels": ChannelSettings,
    "dispatch": DispatchSettings,
    "kubernetes": KubernetesSettings,
    "broker": BrokerSettings,
    "projects": ProjectSettings,
    "triage": TriageSettings,
    "backlog": BacklogSettings,
    "trackers": TrackerSettings,
    "review": ReviewSettings,
}
SINGLE_TABLES = frozenset(name for name in TABLES if isinstance(getattr(Settings(), name), Struct))  # [NAME]


def setting_descriptions() -> dict[str, tuple[Any, str]]:
    """Each setting's default and meaning, for the reference; those of a table as `agents.NAME.kind`."""
    import msgspec.inspect as inspect

    def describe(struct: type[Struct], before: str) -> Iterator[tuple[str, tuple[Any, str]]]:
        described = inspect.type_info(struct)
        assert isinstance(described, inspect.StructType)  # noqa: S101 - narrows the type
        for field in described.fields:
            kind: Any = field.type
            meaning = ""
            while isinstance(kind, inspect.Metadata):
                meaning = meaning or (kind.extra_json_schema or {}).get("description", "")
                kind = kind.type
            default = field.default if field.default_factory is msgspec.NODEFAULT else field.default_factory()
            is_table = isinstance(kind, inspect.StructType)
            yield before + field.name, (None if is_table else default, meaning)
            if isinstance(kind, inspect.StructType):
                yield from describe(kind.cls, f"{before}{field.name}.")
            if isinstance(kind, inspect.DictType) and isinstance(kind.value_type, inspect.StructType):
                yield from describe(kind.value_type.cls, f"{before}{field.name}.NAME.")

    return dict(describe(Settings, ""))
