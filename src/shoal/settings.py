"""The one configuration: where the home is, and every setting with its default and meaning.

A setting comes from SHOAL_<NAME> in the environment, else from shoal.toml in the home, else from here.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from shoal.errors import BadInput, StoreMissing
from shoal.mistakes import explain, line_of, nearest

CONFIG_FILE = "shoal.toml"
DATABASE_FILE = "ledger.db"
# What Shoal itself logs in with. No agent gets these, unless its `env` asks for one by name.
GITHUB_TOKEN, VAULT_TOKEN = "SHOAL_GITHUB_TOKEN", "SHOAL_VAULT_TOKEN"
Whole = Annotated[int, Meta(ge=1, le=10**9)]
# Relative, of plain names: nothing that a setting says leads out of the vault or into its git, or breaks a wikilink.
_NAME = r"[^\x00-\x1f/\\|#^\[\].][^\x00-\x1f/\\|#^\[\]]*"
FOLDER = Meta(pattern=rf"^{_NAME}(/{_NAME})*\Z", max_length=200)


Dollars = Annotated[float, Meta(gt=0, le=1e9)]
Names = Annotated[list[str], Meta(max_length=100)]


class AgentSettings(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """An agent that workers run: `[agents.NAME]`. It takes the tasks whose model, workflow or type it lists."""

    kind: Annotated[Literal["claude", "codex", "command"], Meta(description="Claude Code, Codex, or any program.")] = (
        "claude"
    )
    program: Annotated[list[str], Meta(description="What is started; empty for the kind's own program.")] = []
    model: Annotated[str | None, Meta(description="The model it is told to use; a task's own goes before.")] = None
    args: Annotated[list[str], Meta(description="Further arguments.")] = []
    env: Annotated[dict[str, str], Meta(description="Further environment; $NAME takes the worker's own.")] = {}
    models: Annotated[Names, Meta(description="Tasks with one of these models are this agent's.")] = []
    types: Annotated[Names, Meta(description="Tasks of these types are this agent's.")] = []
    workflows: Annotated[Names, Meta(description="Tasks with one of these workflows are this agent's.")] = []
    max_turns: Annotated[Whole | None, Meta(description="Turns that a session may take.")] = None
    max_usd: Annotated[Dollars | None, Meta(description="Dollars that a session may cost.")] = None
    max_tokens: Annotated[Whole | None, Meta(description="Tokens that a session may use, all kinds together.")] = None
    max_memory_mb: Annotated[Whole | None, Meta(description="Memory of each of its processes.")] = None
    max_open_files: Annotated[Whole | None, Meta(description="Open files of each of its processes.")] = None
    timeout_seconds: Annotated[Whole | None, Meta(description="Wall time of a run; a task's own goes before.")] = None


class WorkflowSettings(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a workflow lays over every agent: `[workflows.NAME]`. The workflow `default` needs none."""

    instructions: Annotated[str, Meta(description="Added to what an agent is told.")] = ""
    allowed_tools: Annotated[list[str] | None, Meta(description="The only tools it may use; left out: all.")] = None
    env: Annotated[dict[str, str], Meta(description="Further environment.")] = {}


class RepositorySettings(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A repository that tasks name: `[repositories."owner/name"]`. One that is not here is taken from GitHub."""

    url: Annotated[str | None, Meta(description="Where it is cloned from: a URL or a path.")] = None
    base: Annotated[str | None, Meta(description="The branch that work begins at; else the remote's own.")] = None
    push: Annotated[bool, Meta(description="Push a task's branch when an attempt ends.")] = False
    setup: Annotated[list[str], Meta(description="Shell commands before the agent begins, in its folder.")] = []
    teardown: Annotated[list[str], Meta(description="Shell commands after it has ended.")] = []


class DispatchSettings(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What `shoal serve` lets an executor run: `[dispatch]`; the defaults of `shoal dispatch`."""

    executor: Annotated[
        Literal["local", "kubernetes"] | None,
        Meta(description="Where `shoal serve` runs tasks: processes beside it, or Jobs; left out: nowhere."),
    ] = None
    queues: Annotated[Names, Meta(min_length=1, description="The queues it takes from, in order of preference.")] = (
        msgspec.field(default_factory=lambda: ["default"])
    )
    limit: Annotated[Whole, Meta(description="Attempts at once, those of an earlier start among them.")] = 10
    actor: Annotated[str | None, Meta(description="Who does the work; left out: whoever dispatches.")] = None
    command: Annotated[list[str], Meta(description="The program that works on a task, as after `shoal work --`.")] = []
    lease_seconds: Annotated[Whole, Meta(description="How long a dispatched attempt may be out of touch.")] = 120
    start_seconds: Annotated[
        Whole, Meta(description="How long an attempt may take to begin: images are pulled meanwhile.")
    ] = 900
    poll_seconds: Annotated[
        float, Meta(gt=0, le=3600, description="How often the executor and the queues are looked at.")
    ] = 2.0


_DNS = r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?"
_LABEL = r"[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?"
Image = Annotated[str, Meta(min_length=1, max_length=1000)]
Url = Annotated[str, Meta(pattern=r"^https?://[^\s]+\Z", max_length=1000)]
DnsName = Annotated[str, Meta(pattern=rf"^{_DNS}(\.{_DNS})*\Z", max_length=253)]
Quantity = Annotated[str, Meta(pattern=r"^[0-9]{1,12}(\.[0-9]{1,3})?(m|k|Ki|M|Mi|G|Gi|T|Ti)?\Z")]
Variable = Annotated[str, Meta(pattern=r"^[A-Za-z_][A-Za-z0-9_]*\Z", max_length=200)]
LabelKey = Annotated[str, Meta(pattern=rf"^({_DNS}(\.{_DNS})*/)?(?=.{{1,63}}\Z){_LABEL}\Z", max_length=253)]
LabelValue = Annotated[str, Meta(pattern=rf"^({_LABEL})?\Z", max_length=63)]


class KubernetesSettings(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The Jobs that attempts run in: `[kubernetes]`."""

    image: Annotated[Image | None, Meta(description="The pods' image, with Shoal and the agents in it.")] = None
    url: Annotated[Url | None, Meta(description="Where the pods reach Shoal; it stands for the ledger, too.")] = None
    namespace: Annotated[
        str, Meta(pattern=rf"^{_DNS}\Z", max_length=63, description="The namespace of Jobs, pods and Secrets.")
    ] = "default"
    context: Annotated[str | None, Meta(description="A context of the kubeconfig; left out: its current one.")] = None
    kubeconfig: Annotated[
        str | None, Meta(description="The kubeconfig; left out: $KUBECONFIG, ~/.kube/config, or the pod's own account.")
    ] = None
    config: Annotated[DnsName | None, Meta(description="A ConfigMap whose shoal.toml holds the pods' settings.")] = None
    service_account: Annotated[DnsName | None, Meta(description="The pods' service account.")] = None
    node_selector: Annotated[
        dict[LabelKey, LabelValue], Meta(description="Labels of the nodes that may run them.")
    ] = {}
    pull_secrets: Annotated[list[DnsName], Meta(max_length=100, description="Secrets to pull the image with.")] = []
    secrets: Annotated[
        list[DnsName], Meta(max_length=100, description="Secrets whose keys become the pods' environment.")
    ] = []
    env: Annotated[dict[Variable, str], Meta(description="Further environment.")] = {}
    volume: Annotated[
        DnsName | None,
        Meta(description="A PersistentVolumeClaim (ReadWriteMany) for the pods' home, which then stays."),
    ] = None
    cpu_request: Annotated[Quantity | None, Meta(description="Processors that a pod is sure of, as 500m.")] = None
    cpu_limit: Annotated[Quantity | None, Meta(description="Processors that it may use.")] = None
    memory_request: Annotated[Quantity | None, Meta(description="Memory that a pod is sure of, as 2Gi.")] = None
    memory_limit: Annotated[Quantity | None, Meta(description="Memory at which it is ended.")] = None
    user: Annotated[
        int, Meta(ge=1, le=2**31 - 1, description="The user and group that pods run as; root is not possible.")
    ] = 1000
    read_only_root: Annotated[
        bool, Meta(description="Let pods write to their home and /tmp only, and not to the image's files.")
    ] = True
    deadline_seconds: Annotated[Whole, Meta(description="How long a Job may take before the cluster ends it.")] = 7200
    ttl_seconds: Annotated[
        int, Meta(ge=0, le=10**9, description="How long the cluster keeps an ended Job that nobody cleared away.")
    ] = 3600


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
    fail_factor: Annotated[float, Meta(ge=1, description="It fails at so many times its estimate.")] = 2.0
    warn_unestimated_minutes: Annotated[Whole, Meta(description="Warned of after, without an estimate.")] = 45
    fail_unestimated_minutes: Annotated[Whole, Meta(description="Failed after, without an estimate.")] = 90
    stale_queued_days: Annotated[Whole, Meta(description="A task queued for longer is reported once.")] = 7
    stale_active_hours: Annotated[Whole, Meta(description="One active without an event for longer too.")] = 48
    supervise_seconds: Annotated[Whole, Meta(description="How often attempts are looked after.")] = 30
    github_url: Annotated[str, Meta(description="GitHub's API.")] = "https://api.github.com"
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
    dispatch: Annotated[DispatchSettings, Meta(description="What is run by an executor: [dispatch].")] = (
        DispatchSettings()
    )
    kubernetes: Annotated[
        KubernetesSettings, Meta(description="The Jobs of the executor kubernetes: [kubernetes].")
    ] = KubernetesSettings()


# In shoal.toml only.
TABLES: dict[str, type[Struct]] = {
    "agents": AgentSettings,
    "workflows": WorkflowSettings,
    "repositories": RepositorySettings,
    "dispatch": DispatchSettings,
    "kubernetes": KubernetesSettings,
}


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


def _dotted(*names: str) -> str:
    """The beginning of a table's name as TOML writes it."""
    shown = (re.sub(r"//[^/@]*@", "//", name) for name in names[:2])  # a repository's name may be a URL with a password
    return ".".join(name if re.fullmatch(r"[\w-]+", name, re.ASCII) else f'"{name}"' for name in shown)


class Home:
    """A folder that holds one ledger: its database, configuration, backups and logs."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.absolute()
        self.config = self.folder / CONFIG_FILE
        self.database = self.folder / DATABASE_FILE
        self.backups = self.folder / "backups"
        self.logs = self.folder / "logs"
        self.server_file = self.folder / "server.json"

    def __str__(self) -> str:
        return str(self.folder)

    @property
    def exists(self) -> bool:
        """Whether `shoal init` or `shoal serve` has been here."""
        return self.config.exists()

    def settings(self, **given: Any) -> Settings:
        """The settings in force here; what is given and not None goes before everything else."""
        values: dict[str, Any] = {}
        try:
            written = self.config.read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            written = b""
        except OSError as error:
            raise BadInput(f"{self.config} cannot be read ({error.strerror}); check its owner and mode") from None
        if written:
            import tomllib

            try:
                values = tomllib.loads(written.decode())
            except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
                raise BadInput(f"{self.config} is not valid TOML: {error}", field=CONFIG_FILE) from None
        text = written.decode()
        self._check(values, text)
        names = set(Settings.__struct_fields__) - set(TABLES)
        variables = {name: os.environ.get(f"SHOAL_{name.upper()}") for name in names}
        # Elsewhere an empty variable is one that was not set; here it says: no vault.
        values |= {name: text for name, text in variables.items() if text or (text == "" and name == "vault")}
        values |= {name: value for name, value in given.items() if value is not None}
        try:
            return msgspec.convert(values, Settings, strict=False)
        except msgspec.ValidationError as error:
            field, message = explain(error, Settings)
            if field in values and not variables.get(field) and given.get(field) is None:
                raise self._wrong(f"{field}: {message}", text, field) from None
            raise BadInput(f"{self.config} or the environment: {field}: {message}", field=CONFIG_FILE) from None

    def _check(self, written: dict[str, Any], text: str) -> None:
        """Refuse what shoal.toml cannot mean, table by table, so that the message names the one that is wrong."""

        for name, value in written.items():
            kind = TABLES.get(name)
            if kind is None and isinstance(value, dict):
                raise self._wrong(
                    f"[{_dotted(name, *value)}] there is no such table{nearest(name, TABLES)}", text, name
                )
            if kind is None and name not in Settings.__struct_fields__:
                near = nearest(name, Settings.__struct_fields__)
                raise self._wrong(f"{name}: there is no such setting{near}", text, name)
            if kind is None:
                continue
            is_one = name in ("dispatch", "kubernetes")
            if not isinstance(value, dict) or not (is_one or all(isinstance(one, dict) for one in value.values())):
                form = f"[{name}]" if is_one else f"[{name}.NAME]"
                raise self._wrong(f"{name}: it is written as a table, {form}", text, name)
            for place, table in [((name,), value)] if is_one else [((name, part), one) for part, one in value.items()]:
                try:
                    msgspec.convert(table, kind, strict=False)
                except msgspec.ValidationError as error:
                    field, message = explain(error, kind)
                    key = re.split(r"[.\[]", field or "", maxsplit=1)[0]
                    raise self._wrong(f"[{_dotted(*place)}] {field}: {message}", text, *place, key) from None

    def _wrong(self, what: str, text: str, *path: str) -> BadInput:
        line = line_of(text, path)
        return BadInput(f"{self.config}{f', line {line}' if line else ''}: {what}", field=CONFIG_FILE)

    def database_address(self, settings: Settings) -> str:
        """The database that these settings name; a relative path is meant from the home."""
        if settings.db is None:
            return str(self.database)
        if "://" in settings.db:
            return settings.db
        return str(self.folder / settings.db)

    def vault(self, settings: Settings) -> Path | None:
        """The vault's folder, if there is to be one."""
        return self.folder / Path(settings.vault).expanduser() if settings.vault else None

    def create(self) -> None:
        """Make the folder and its configuration; what is there already stays as it is."""
        self.folder.mkdir(parents=True, exist_ok=True)
        if not self.config.exists():
            self.config.write_text(
                "# Settings of this Shoal home; each one, with its default: shoal reference settings\n",
                encoding="utf-8",
            )

    def expect_database(self, address: str) -> None:
        """Refuse to go on when the database of an existing home has vanished."""
        if "://" in address or Path(address).exists() or not self.exists:
            return
        backups = sorted(self.backups.glob("*.db"), reverse=True) if self.backups.is_dir() else []
        if backups:
            raise StoreMissing(
                f"{address} has vanished; restore the newest of {len(backups)} backups with "
                f"`shoal restore {backups[0]}`, or `shoal init --new-database` to begin again empty"
            )
        raise StoreMissing(
            f"{address} has vanished and {self.backups} holds no backup; bring the file back, "
            "or `shoal init --new-database` to begin again empty"
        )


def find_home(given: str | os.PathLike[str] | None = None) -> Home:
    """The home: given, else $SHOAL_HOME, else the nearest .shoal upwards, else the user's data folder."""
    chosen = given or os.environ.get("SHOAL_HOME")
    if chosen:
        return Home(Path(chosen).expanduser())
    here = Path.cwd()
    for folder in [here, *here.parents]:
        if (folder / ".shoal" / CONFIG_FILE).exists():
            return Home(folder / ".shoal")
    import platformdirs

    return Home(Path(platformdirs.user_data_dir("shoal")))
