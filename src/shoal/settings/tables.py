"""The tables of shoal.toml: agents, workflows, repositories, channels, and what Shoal runs and asks for them."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

Whole = Annotated[int, Meta(ge=1, le=10**9)]
Dollars = Annotated[float, Meta(gt=0, le=1e9)]
Names = Annotated[list[str], Meta(max_length=100)]
MergeMethod = Literal["none", "merge", "squash", "rebase"]


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
    allowed_paths: Annotated[Names | None, Meta(description="As in [review], for this repository.")] = None
    forbidden_paths: Annotated[Names | None, Meta(description="As in [review], for this repository.")] = None
    merge: Annotated[MergeMethod | None, Meta(description="As in [review], for this repository.")] = None


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


Permission = Literal["read", "write", "admin"]
Permissions = Annotated[dict[Annotated[str, Meta(pattern=r"^[a-z_]{1,50}\Z")], Permission], Meta(max_length=100)]
RepositoryName = Annotated[
    str,
    Meta(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*/[A-Za-z0-9._*-]+\Z",
        max_length=200,
        extra={"form": "owner/name, or owner/* for all of one"},
    ),
]
_HOST = re.compile(r"([A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?", re.ASCII)


class ServiceSettings(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Something that is no task and may have tokens: `[broker.services.NAME]`."""

    repositories: Annotated[list[RepositoryName], Meta(min_length=1, description="The repositories, of one owner.")]
    permissions: Annotated[Permissions, Meta(description="What it may do there.")] = msgspec.field(
        default_factory=lambda: {"contents": "read", "metadata": "read"}
    )

    def __post_init__(self) -> None:
        owners = sorted({one.partition("/")[0].lower() for one in self.repositories})
        if len(owners) > 1:
            raise ValueError(f"a token is for one owner, and repositories names {', '.join(owners)}; make two services")


class BrokerSettings(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The GitHub App whose key becomes short-lived tokens for tasks: `[broker]`."""

    app_id: Annotated[str | int | None, Meta(description="The App's id, or its client id.")] = None
    private_key: Annotated[
        str | None,
        Meta(description="The file of its private key; left out: SHOAL_GITHUB_APP_KEY holds the key in base64."),
    ] = None
    installation: Annotated[int | None, Meta(description="The installation for every owner not named below.")] = None
    installations: Annotated[dict[str, int], Meta(description="The installation of each owner.")] = {}
    permissions: Annotated[
        Permissions,
        Meta(description="What a task's token may do at most; a type's own and what is asked for narrow it."),
    ] = msgspec.field(default_factory=lambda: {"contents": "write", "pull_requests": "write", "metadata": "read"})
    types: Annotated[dict[str, Permissions], Meta(description="The same for tasks of a type.")] = {}
    repositories: Annotated[
        list[RepositoryName],
        Meta(description="The only repositories that tasks get tokens for; `acme/*` for all of one."),
    ] = []
    services: Annotated[dict[str, ServiceSettings], Meta(description="Services by name: [broker.services.NAME].")] = {}
    hosts: Annotated[
        Names, Meta(description="Hosts that tokens are for; as `git.acme.org:8443` where the port is its own.")
    ] = msgspec.field(default_factory=lambda: ["github.com"])
    registration_hours: Annotated[Whole, Meta(description="How long a registration of repositories holds.")] = 24
    audit_days: Annotated[Whole, Meta(description="How long the audit of tokens is kept.")] = 365
    open: Annotated[
        bool,
        Meta(
            description="Give tokens to callers that show neither a task's key nor SHOAL_ADMIN_TOKEN, as lobwife did."
        ),
    ] = False

    def __post_init__(self) -> None:
        for one in self.hosts:
            if not _HOST.fullmatch(one):
                host = one.rpartition("://")[2].partition("/")[0].rpartition("@")[2].lower()
                hint = f"write {host!r}" if _HOST.fullmatch(host) else "write it as 'github.com'"
                raise ValueError(f"hosts: {one!r} is not the name of a host alone; {hint}")


class ReviewSettings(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What the job `review_pull_requests` demands of the pull requests of tasks, and does with them: `[review]`."""

    repositories: Annotated[
        Names, Meta(description="The repositories it looks through; empty: those of [repositories].")
    ] = []
    allowed_paths: Annotated[
        Names, Meta(description="File patterns of the only paths that may be changed, as `src/**`.")
    ] = msgspec.field(default_factory=lambda: ["**"])
    forbidden_paths: Annotated[
        Names,
        Meta(description="File patterns of paths that may not, whatever is allowed, as of what runs the checks."),
    ] = msgspec.field(default_factory=lambda: [".github/**"])
    require_checks: Annotated[
        bool, Meta(description="Leave a commit that has no checks until it has some, and they passed.")
    ] = True
    approve: Annotated[bool, Meta(description="Approve what holds; else only say so in a comment.")] = True
    merge: Annotated[
        MergeMethod,
        Meta(description="How to merge what holds once its task is completed: none, merge, squash, rebase."),
    ] = "none"


NotificationUrl = Annotated[str, Meta(pattern=r"^[A-Za-z][A-Za-z0-9+.-]*://\S+\Z", max_length=4000)]


class ChannelSettings(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Where notifications go: `[channels.NAME]`. Its URL is a secret, and shown nowhere."""

    url: Annotated[
        NotificationUrl | None,
        Meta(description="Its address as Apprise writes it: slack://…, discord://…, mailto://…, json://…"),
    ] = None
    url_variable: Annotated[
        Variable | None,
        Meta(description="Or the variable of the environment that holds it; no agent and no job gets that one."),
    ] = None

    def __post_init__(self) -> None:
        if self.url is not None and self.url_variable is not None:
            raise ValueError("it has both url and url_variable; keep one of them")
        if self.url is None and self.url_variable is None:
            raise ValueError("say where it leads: by url, or by url_variable, the variable that holds it")

    def __repr__(self) -> str:
        return f"{type(self).__name__}(…)"

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        return []


TrackedStatus = Literal["triaged", "assessed", "in_progress", "done", "wontfix", "stale"]


class TrackerSettings(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Where `shoal backlog push NAME` makes tasks of accepted items: `[trackers.NAME]`."""

    kind: Annotated[Literal["clickup"], Meta(description="Which tracker it is.")]
    list: Annotated[
        str, Meta(pattern=r"^[A-Za-z0-9_-]{1,100}\Z", description="The id of the list that tasks are made in.")
    ]
    token_variable: Annotated[
        Variable, Meta(description="The variable of the environment with its token; no agent and no job gets that one.")
    ]
    statuses: Annotated[
        dict[TrackedStatus, Annotated[str, Meta(min_length=1, max_length=200)]],
        Meta(description="What its list calls an item's status; it is not told of those left out."),
    ] = {}
    projects: Annotated[Names, Meta(description="Only items of these projects; empty: of all.")] = []
    url: Annotated[Url, Meta(description="Its API.")] = "https://api.clickup.com/api/v2"


class ProjectSettings(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A checkout whose backlog is kept: `[projects.NAME]`."""

    path: Annotated[
        str, Meta(min_length=1, max_length=1000, description="Its folder; a relative one is meant from the home.")
    ]
    repository: Annotated[
        str | None, Meta(description="What its tasks work in, as in [repositories]; left out: none.")
    ] = None
    goals: Annotated[list[str], Meta(max_length=50, description="What matters now: words that raise a priority.")] = []


class TriageSettings(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A rule about new work items: `[triage.NAME]`. All that it names must fit; the first rule that fits decides."""

    then: Annotated[Literal["accept", "reject", "leave"], Meta(description="What becomes of what fits.")]
    projects: Annotated[Names, Meta(description="Of these projects.")] = []
    paths: Annotated[Names, Meta(description="File patterns of their files.")] = []
    labels: Annotated[Names, Meta(description="With one of these labels.")] = []
    origins: Annotated[list[Literal["scan", "check", "manual", "import"]], Meta(description="From these.")] = []
    severities: Annotated[list[Literal["info", "warning", "critical"]], Meta(description="Findings so bad.")] = []
    checks: Annotated[Names, Meta(description="Findings of these checks.")] = []
    containing: Annotated[Names, Meta(description="With one of these words, whatever the case.")] = []
    older_than_days: Annotated[Whole | None, Meta(description="First seen longer ago.")] = None
    changed_within_days: Annotated[Whole | None, Meta(description="Whose file a commit changed lately.")] = None
    queue: Annotated[bool, Meta(description="Queue the tasks of what is safe_always, too.")] = False


class BacklogSettings(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How work items are found, assessed and done: `[backlog]`."""

    todo_files: Annotated[Names, Meta(description="File patterns of what `shoal scan` reads.")] = msgspec.field(
        default_factory=lambda: ["TODO.md", "TODO", "BACKLOG.md", "ROADMAP.md", "docs/plans/**"]
    )
    ignore: Annotated[Names, Meta(description="File patterns of what no scan reads, as `vendor/**`.")] = []
    comments: Annotated[bool, Meta(description="Whether every scan reads comments in source, too.")] = False
    stale_after: Annotated[Whole, Meta(description="Scans in a row that do not see an item, until it is stale.")] = 3
    max_file_bytes: Annotated[Whole, Meta(description="Larger files are not scanned.")] = 5_000_000
    model: Annotated[str | None, Meta(description="What assesses, as `anthropic:claude-haiku-4-5`.")] = None
    base_url: Annotated[str | None, Meta(description="Where it answers, if not at its maker's.")] = None
    context_tokens: Annotated[Whole, Meta(description="How much code an assessment may read.")] = 20_000
    max_usd: Annotated[Dollars, Meta(description="What `shoal scope --batch` may spend.")] = 5.0
    queue: Annotated[str, Meta(max_length=200, description="Where the tasks of items go.")] = "default"
