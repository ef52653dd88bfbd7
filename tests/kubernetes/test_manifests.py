"""What the cluster is asked for is valid in every version of it, whatever a task or the settings are called."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import kubernetes_validate
import msgspec
import pytest
import yaml
from hypothesis import given, settings

from shoal.adapters.executors import manifests
from shoal.adapters.executors.executor import carried
from shoal.model.task import Claim, Status, Task
from shoal.settings import KubernetesSettings
from shoal.worker.processes import KEEP_SECONDS
from shoal.worker.single import REPORT_SECONDS
from tests.kubernetes import objects

VERSIONS = ["1.28", "1.30", "1.32", "1.34", "1.37"]
URL = "http://shoal.tools.svc:7465"
NAMES = st.text(min_size=1, max_size=200).filter(lambda text: text.isprintable() and text.strip())
DNS = st.from_regex(r"[a-z0-9]([-a-z0-9]{0,20}[a-z0-9])?", fullmatch=True)
LABEL = st.from_regex(r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,20}[A-Za-z0-9])?", fullmatch=True)
QUANTITIES = st.none() | st.from_regex(r"[1-9][0-9]{0,3}(\.[0-9])?(m|Mi|Gi)?", fullmatch=True)
TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=50)


def a_claim(number: int = 42, attempt: int = 1, *, prefix: str = "T", **fields: Any) -> Claim:
    empty: dict[str, Any] = dict.fromkeys(Task.__struct_fields__)
    empty |= {name: [] for name in ("labels", "repos", "success_criteria", "participants")}
    empty |= {"id": number, "title": "x", "type": "swe", "status": Status.ACTIVE, "priority": 2, "queue": "default"}
    empty |= {
        "attempt": attempt,
        "task_id": f"{prefix}{number}",
        "created_by": "ana",
        "run_at": 0,
        "requires_qa": False,
    }
    empty |= dict.fromkeys(("failures", "releases", "blockers", "dependents", "created_at", "updated_at"), 0)
    return Claim(Task(**empty | {"max_attempts": 3} | fields), attempt, "kubernetes:0123456789abcdef", 0, "k" * 40)


CLAIMS = st.builds(
    a_claim,
    st.integers(1, 2**63 - 1),
    st.integers(1, 2**31),
    prefix=st.from_regex(r"[A-Za-z]{1,8}", fullmatch=True),
    type=NAMES,
    title=NAMES,
)
SETTINGS = st.builds(
    KubernetesSettings,
    image=st.just("registry.local/shoal:1"),
    url=st.just(URL),
    service_account=st.none() | DNS,
    config=st.none() | DNS,
    volume=st.none() | DNS,
    node_selector=st.dictionaries(LABEL, LABEL, max_size=3),
    pull_secrets=st.lists(DNS, max_size=2),
    secrets=st.lists(DNS, max_size=2),
    env=st.dictionaries(st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,9}", fullmatch=True), TEXT, max_size=3),
    cpu_request=QUANTITIES,
    cpu_limit=QUANTITIES,
    memory_request=QUANTITIES,
    memory_limit=QUANTITIES,
    deadline_seconds=st.integers(1, 10**9),
    ttl_seconds=st.integers(0, 10**9),
)


def make(claim: Claim, given: KubernetesSettings, *arguments: str) -> dict[str, Any]:
    return manifests.job(claim, given, url=URL, arguments=arguments, environment={"SHOAL_ACTOR": "ana"})


@given(CLAIMS, SETTINGS, st.lists(TEXT, max_size=3))
@settings(max_examples=60, deadline=None)
def test_manifests_are_valid(claim: Claim, given: KubernetesSettings, arguments: list[str]) -> None:
    # What can be configured is what shoal.toml lets through.
    msgspec.convert(msgspec.to_builtins(given), KubernetesSettings)
    job = make(claim, given, *arguments)
    made = {"metadata": {"name": job["metadata"]["name"], "uid": "u-1"}}
    for manifest in (job, manifests.secret(claim, made, url=URL)):
        for version in VERSIONS:
            kubernetes_validate.validate(manifest, version, strict=True)
    objects.validate(job)


@given(st.lists(CLAIMS, min_size=2, max_size=2))
@settings(deadline=None)
def test_names_are_labels_and_one_for_each_attempt(claims: list[Claim]) -> None:
    names = [manifests.job_name(claim) for claim in claims]
    for name in names:
        assert re.fullmatch(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?", name), name
    attempts = {(claim.task.task_id.lower(), claim.attempt) for claim in claims}
    assert len(set(names)) >= len(attempts)


@pytest.mark.parametrize(
    ("type", "begins"),
    [
        ("swe", "shoal-swe-t42-a1"),
        ("Größe", "shoal-gr--e-"),
        ("SWE", "shoal-swe-"),
        ("—", "shoal-"),
        ("x" * 200, "shoal-xxx"),
    ],
)
def test_name_says_the_type_and_the_attempt(type: str, begins: str) -> None:
    name = manifests.job_name(a_claim(type=type))
    assert name.startswith(begins)
    assert name.endswith("-t42-a1")
    assert len(name) <= 63


def test_types_that_differ_by_case_or_sign_alone_have_labels_of_their_own() -> None:
    types = ["a b", "a/b", "a-b", "a b ", "é", "ê", "x" * 64, "x" * 65]
    assert len({manifests.labels(a_claim(type=one), URL)["shoal/type"] for one in types}) == len(types)


def test_pod_is_safe_by_default() -> None:
    pod = make(a_claim(), KubernetesSettings(image="i", url=URL))["spec"]["template"]["spec"]
    assert pod["automountServiceAccountToken"] is False
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["containers"][0]["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }


def test_one_try_with_a_deadline_and_no_key_in_the_open() -> None:
    job = make(a_claim(), KubernetesSettings(image="i", url=URL))
    spec = job["spec"]
    assert (spec["backoffLimit"], spec["template"]["spec"]["restartPolicy"]) == (0, "Never")
    assert (spec["activeDeadlineSeconds"], spec["ttlSecondsAfterFinished"]) == (7200, 3600)
    assert "kkkk" not in repr(job)


def test_pod_that_must_end_has_time_to_bring_its_work_to_safety() -> None:
    pod = make(a_claim(), KubernetesSettings(image="i", url=URL))["spec"]["template"]["spec"]
    command = pod["containers"][0]["command"]
    grace = float(command[command.index("--grace") + 1])
    assert pod["terminationGracePeriodSeconds"] >= grace + KEEP_SECONDS + 2 * REPORT_SECONDS


def test_home_is_the_pods_own_and_said_to_go_with_it() -> None:
    home, mount, variables = home_of(KubernetesSettings(image="i", url=URL))
    assert (home, mount) == ({"name": "home", "emptyDir": {}}, {"name": "home", "mountPath": "/shoal"})
    assert variables["SHOAL_EPHEMERAL"] == "true"


def test_home_on_a_volume_stays_and_is_another_one_for_each_ledger() -> None:
    homes = [home_of(KubernetesSettings(image="i", url=url, volume="agents")) for url in (URL, "http://other:7465")]
    assert homes[0][0] == {"name": "home", "persistentVolumeClaim": {"claimName": "agents"}}
    assert homes[0][2]["SHOAL_EPHEMERAL"] == "false"
    assert len({mount["subPath"] for _, mount, _ in homes}) == 2


def home_of(given: KubernetesSettings) -> tuple[dict[str, Any], dict[str, Any], dict[str, str]]:
    assert given.url is not None
    job = manifests.job(a_claim(), given, url=given.url, arguments=(), environment={})
    pod = job["spec"]["template"]["spec"]
    container = pod["containers"][0]
    variables = {one["name"]: one["value"] for one in container["env"]}
    return pod["volumes"][0], container["volumeMounts"][0], variables


def test_claim_fits_into_the_environment_whatever_its_task_holds() -> None:
    long = "ä" * 20_000
    claim = a_claim(
        title="ä" * 500, summary=long, last_error=long, result=long, progress_message=long, hold_reason=long
    )
    assert len(carried(claim).encode()) < 100_000
    assert msgspec.json.decode(carried(claim), type=Claim).task.title == "ä" * 500


def test_manifests_of_the_guide_are_valid_and_grant_what_is_used() -> None:
    guide = (Path(__file__).parents[2] / "docs/guides/kubernetes.md").read_text()
    blocks = re.findall(r"```yaml\n(.*?)```", guide, re.DOTALL)
    found = [one for block in blocks for one in yaml.safe_load_all(block)]
    for one in found:
        for version in VERSIONS:
            kubernetes_validate.validate(one, version, strict=True)
    (role,) = [one for one in found if one["kind"] == "Role"]
    granted = {(resource, verb) for rule in role["rules"] for resource in rule["resources"] for verb in rule["verbs"]}
    assert granted == {
        *(("jobs", verb) for verb in ("create", "delete", "get", "list", "patch")),
        *(("pods", verb) for verb in ("list",)),
        *(("pods/log", verb) for verb in ("get",)),
        *(("secrets", verb) for verb in ("create", "patch")),
    }
    (table,) = re.findall(r"```toml\n(.*?)```", guide, re.DOTALL)[:1]
    import tomllib

    msgspec.convert(tomllib.loads(table)["kubernetes"], KubernetesSettings)
