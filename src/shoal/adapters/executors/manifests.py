"""What the cluster is asked for: the Job of an attempt and the Secret with its claim. Nothing here speaks to a cluster.

The Secret belongs to the Job and goes with it; the Job waits (`suspend`) until it has its Secret.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from typing import Any

from shoal.adapters.executors.executor import carried, worker_name
from shoal.model.task import Claim
from shoal.settings import KubernetesSettings

NAME_LIMIT = 63
DIGEST_LENGTH = 6
CONTAINER = "attempt"
HOME = "/shoal"
GRACE_SECONDS = 20  # for an agent that must end
END_SECONDS = 90  # for all of it: the agent, keeping and pushing what it did, the report
MANAGED_BY = {"app.kubernetes.io/managed-by": "shoal"}
Manifest = dict[str, Any]


def job_name(claim: Claim) -> str:
    """`shoal-swe-t42-a1`: one DNS label, and another one for each attempt, whatever the type is called."""
    end = f"-{claim.task.task_id.lower()}-a{claim.attempt}"
    return f"shoal-{_fitting(claim.task.type, r'[^a-z0-9-]', NAME_LIMIT - len('shoal-') - len(end))}{end}"


def ledger_label(url: str) -> str:
    """What tells the Jobs of one ledger from those of another in the same namespace."""
    return hashlib.sha256(url.rstrip("/").encode()).hexdigest()[:16]


def selector(url: str) -> dict[str, str]:
    """The labels of everything that is this ledger's."""
    return MANAGED_BY | {"shoal/ledger": ledger_label(url)}


def labels(claim: Claim, url: str) -> dict[str, str]:
    """The labels of an attempt's Job, pod and Secret."""
    return selector(url) | {
        "shoal/task": claim.task.task_id,
        "shoal/attempt": str(claim.attempt),
        "shoal/type": _fitting(claim.task.type, r"[^A-Za-z0-9_.-]", NAME_LIMIT, lower=False),
        "shoal/worker": worker_name(claim),
    }


def secret(claim: Claim, job: Manifest, *, url: str) -> Manifest:
    """The Secret with the claim and its key; the cluster removes it with the Job."""
    owner = {"apiVersion": "batch/v1", "kind": "Job", "name": job["metadata"]["name"], "uid": job["metadata"]["uid"]}
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": job_name(claim), "labels": labels(claim, url), "ownerReferences": [owner]},
        "type": "Opaque",
        "stringData": {"SHOAL_CLAIM": carried(claim), "SHOAL_TASK_KEY": claim.key},
    }


def job(
    claim: Claim, settings: KubernetesSettings, *, url: str, arguments: Sequence[str], environment: Mapping[str, str]
) -> Manifest:
    """The Job of an attempt, not yet let go. One pod, once: it is the ledger that tries again."""
    marked = labels(claim, url)
    pod: Manifest = {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": END_SECONDS,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": settings.user,
            "runAsGroup": settings.user,
            "fsGroup": settings.user,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [_container(claim, settings, url=url, arguments=arguments, environment=environment)],
        "volumes": _volumes(settings),
    }
    if settings.volume:
        # Or every pod would wait until all files of all attempts had been looked at.
        pod["securityContext"]["fsGroupChangePolicy"] = "OnRootMismatch"
    if settings.service_account:
        pod["serviceAccountName"] = settings.service_account
    if settings.node_selector:
        pod["nodeSelector"] = dict(settings.node_selector)
    if settings.pull_secrets:
        pod["imagePullSecrets"] = [{"name": name} for name in settings.pull_secrets]
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": job_name(claim),
            "labels": marked,
            "annotations": {"shoal/title": claim.task.title},
        },
        "spec": {
            "suspend": True,
            "backoffLimit": 0,
            "completions": 1,
            "parallelism": 1,
            # Otherwise a pod that is being evicted has a second one beside it.
            "podReplacementPolicy": "Failed",
            "activeDeadlineSeconds": settings.deadline_seconds,
            "ttlSecondsAfterFinished": settings.ttl_seconds,
            "template": {"metadata": {"labels": marked}, "spec": pod},
        },
    }


def _container(
    claim: Claim, settings: KubernetesSettings, *, url: str, arguments: Sequence[str], environment: Mapping[str, str]
) -> Manifest:
    ours = {"SHOAL_URL": url, "SHOAL_HOME": HOME, "SHOAL_EPHEMERAL": "false" if settings.volume else "true"}
    home: Manifest = {"name": "home", "mountPath": HOME}
    if settings.volume:
        home["subPath"] = ledger_label(url)  # every ledger has a T42
    named = {"HOME": HOME, "PYTHONUNBUFFERED": "1"} | settings.env | dict(environment) | ours
    container: Manifest = {
        "name": CONTAINER,
        "image": settings.image,
        "command": ["shoal", "run-attempt", "--echo", "--grace", str(GRACE_SECONDS), *map(_literally, arguments)],
        "env": [{"name": name, "value": _literally(value)} for name, value in named.items()],
        # The last one wins: no other Secret may put a claim in the place of this one.
        "envFrom": [{"secretRef": {"name": name}} for name in [*settings.secrets, job_name(claim)]],
        "workingDir": HOME,
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": settings.read_only_root,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": [home, {"name": "tmp", "mountPath": "/tmp"}],  # noqa: S108
    }
    if settings.config:
        container["volumeMounts"].append(
            {"name": "config", "mountPath": f"{HOME}/shoal.toml", "subPath": "shoal.toml", "readOnly": True}
        )
    amounts = {
        "requests": {"cpu": settings.cpu_request, "memory": settings.memory_request},
        "limits": {"cpu": settings.cpu_limit, "memory": settings.memory_limit},
    }
    resources = {
        kind: {name: amount for name, amount in given.items() if amount}
        for kind, given in amounts.items()
        if any(given.values())
    }
    if resources:
        container["resources"] = resources
    return container


def _volumes(settings: KubernetesSettings) -> list[Manifest]:
    home: Manifest = {"persistentVolumeClaim": {"claimName": settings.volume}} if settings.volume else {"emptyDir": {}}
    volumes: list[Manifest] = [{"name": "home", **home}, {"name": "tmp", "emptyDir": {}}]
    if settings.config:
        volumes.append({"name": "config", "configMap": {"name": settings.config}})
    return volumes


def _fitting(text: str, unfit: str, length: int, *, lower: bool = True) -> str:
    """Text as a label takes it; what had to be changed keeps a digest, so that two names stay two."""
    plain = text.lower() if lower else text
    fit = re.sub(unfit, "-", plain)
    fit = re.sub(r"^[^A-Za-z0-9]+|[^A-Za-z0-9]+$", "", fit)
    if fit == text and len(fit) <= length:
        return fit
    digest = hashlib.sha256(text.encode()).hexdigest()[:DIGEST_LENGTH]
    fit = re.sub(r"[^A-Za-z0-9]+$", "", fit[: length - DIGEST_LENGTH - 1])
    return f"{fit}-{digest}" if fit else digest


def _literally(text: str) -> str:
    """Text that the cluster shall not look for its own variables in, such as $(date) or a shell's $$."""
    return text.replace("$", "$$")
