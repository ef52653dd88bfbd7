"""The objects of a cluster, kept and checked as the real API server does it: names, versions, owners, histories."""

from __future__ import annotations

import base64
import copy
import functools
import json
import re
import threading
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import kubernetes_validate
import kubernetes_validate.utils

KINDS = {
    ("batch/v1", "jobs"): "Job",
    ("v1", "pods"): "Pod",
    ("v1", "secrets"): "Secret",
    ("v1", "configmaps"): "ConfigMap",
    ("v1", "persistentvolumeclaims"): "PersistentVolumeClaim",
}
VERSION = "1.34"
SUBDOMAIN = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*"
LABEL_VALUE = r"(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?"
LABEL_KEY = rf"({SUBDOMAIN}/)?([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]"
QUANTITY = r"[+-]?([0-9]+|[0-9]+\.[0-9]*|\.[0-9]+)(m|k|Ki|M|Mi|G|Gi|T|Ti|P|Pi|E|Ei)?"
VARIABLE = r"[-._a-zA-Z][-._a-zA-Z0-9]*"

# The schemas are megabytes; reading them for every object would be most of the time.
kubernetes_validate.utils.schema_contents = functools.cache(kubernetes_validate.utils.schema_contents)

Object = dict[str, Any]


class Problem(Exception):
    """An answer that is not a success, as the API server words it."""

    def __init__(self, code: int, reason: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.status = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": message,
            "reason": reason,
            "code": code,
        }


def now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


class Objects:
    """Every object, by kind, namespace and name."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.changed = threading.Condition(self.lock)
        self._objects: dict[tuple[str, str, str], Object] = {}
        self._version = 0
        self.history: list[tuple[int, str, str, str, Object]] = []  # version, type, kind, namespace, object

    def get(self, kind: str, namespace: str, name: str) -> Object:
        with self.lock:
            found = self._objects.get((kind, namespace, name))
            if found is None:
                raise Problem(404, "NotFound", f'{kind.lower()}s "{name}" not found')
            return copy.deepcopy(found)

    def list(self, kind: str, namespace: str | None = None) -> list[Object]:
        with self.lock:
            return [
                copy.deepcopy(one)
                for (of, where, _), one in sorted(self._objects.items())
                if of == kind and namespace in (None, where)
            ]

    @property
    def version(self) -> str:
        return str(self._version)

    def create(self, kind: str, namespace: str, given: Object) -> Object:
        with self.lock:
            made = copy.deepcopy(given)
            if made.get("kind") != kind:
                raise Problem(400, "BadRequest", f"the object is of kind {made.get('kind')}, not {kind}")
            metadata = made.setdefault("metadata", {})
            if "generateName" in metadata and "name" not in metadata:
                metadata["name"] = metadata["generateName"] + uuid.uuid4().hex[:5]
            if metadata.setdefault("namespace", namespace) != namespace:
                raise Problem(400, "BadRequest", "the namespace of the object does not match the request")
            _store_secret(made)
            validate(made)
            name = metadata["name"]
            if (kind, namespace, name) in self._objects:
                raise Problem(409, "AlreadyExists", f'{kind.lower()}s "{name}" already exists')
            metadata |= {"uid": str(uuid.uuid4()), "creationTimestamp": now(), "generation": 1}
            made.setdefault("status", {})
            if kind == "Job":
                marks = {
                    "batch.kubernetes.io/controller-uid": metadata["uid"],
                    "batch.kubernetes.io/job-name": name,
                    "job-name": name,
                }
                made["spec"]["selector"] = {"matchLabels": {"batch.kubernetes.io/controller-uid": metadata["uid"]}}
                made["spec"]["template"].setdefault("metadata", {}).setdefault("labels", {}).update(marks)
                made["spec"].setdefault("suspend", False)
            return self._put("ADDED", kind, namespace, made)

    def patch(self, kind: str, namespace: str, name: str, change: Object, *, status: bool = False) -> Object:
        with self.lock:
            before = self.get(kind, namespace, name)
            change = {key: value for key, value in change.items() if (key == "status") == status or key == "metadata"}
            after = _merged(before, change)
            _store_secret(after)
            validate(after)
            if kind == "Job" and after["spec"]["template"] != before["spec"]["template"]:
                raise Problem(422, "Invalid", f'Job.batch "{name}" is invalid: spec.template: field is immutable')
            return before if after == before else self._put("MODIFIED", kind, namespace, after)

    def replace(self, kind: str, namespace: str, name: str, given: Object) -> Object:
        with self.lock:
            before = self.get(kind, namespace, name)
            version = given.get("metadata", {}).get("resourceVersion")
            if version not in (None, before["metadata"]["resourceVersion"]):
                raise Problem(
                    409, "Conflict", f'Operation cannot be fulfilled on {kind} "{name}": it has been modified'
                )
            return self.patch(kind, namespace, name, given)

    def delete(self, kind: str, namespace: str, name: str, options: Object) -> Object:
        """As for a Job created by its REST interface: dependents are orphaned unless told otherwise."""
        with self.lock:
            found = self.get(kind, namespace, name)
            uid = found["metadata"]["uid"]
            wanted = options.get("preconditions", {}).get("uid")
            if wanted not in (None, uid):
                raise Problem(409, "Conflict", f"the UID in the precondition ({wanted}) is not that of {name} ({uid})")
            if kind == "Pod" and not options.get("force"):
                if "deletionTimestamp" not in found["metadata"]:
                    found["metadata"]["deletionTimestamp"] = now()
                    self._put("MODIFIED", kind, namespace, found)
                return found
            policy = options.get("propagationPolicy") or ("Orphan" if kind == "Job" else "Background")
            del self._objects[kind, namespace, name]
            self._tell("DELETED", kind, namespace, found)
            for (of, where, _), one in list(self._objects.items()):
                owners = one["metadata"].get("ownerReferences") or []
                if where == namespace and any(owner["uid"] == uid for owner in owners):
                    if policy == "Orphan":
                        one["metadata"]["ownerReferences"] = [owner for owner in owners if owner["uid"] != uid]
                    else:
                        self.delete(of, where, one["metadata"]["name"], {"propagationPolicy": policy})
            return found

    def collect_garbage(self) -> None:
        """Remove what belongs to objects that are gone: made too late to go with them."""
        with self.lock:
            living = {one["metadata"]["uid"] for one in self._objects.values()}
            for (kind, namespace, name), one in list(self._objects.items()):
                owners = one["metadata"].get("ownerReferences") or []
                if owners and not any(owner["uid"] in living for owner in owners):
                    self.delete(kind, namespace, name, {"propagationPolicy": "Background"})

    def update_status(self, kind: str, namespace: str, name: str, change: Callable[[Object], None]) -> None:
        with self.lock:
            found = self.get(kind, namespace, name)
            before = json.dumps(found["status"])
            change(found["status"])
            if json.dumps(found["status"]) != before:
                self._put("MODIFIED", kind, namespace, found)

    def _put(self, how: str, kind: str, namespace: str, one: Object) -> Object:
        self._tell(how, kind, namespace, one)
        self._objects[kind, namespace, one["metadata"]["name"]] = one
        return copy.deepcopy(one)

    def _tell(self, how: str, kind: str, namespace: str, one: Object) -> None:
        self._version += 1
        one["metadata"]["resourceVersion"] = str(self._version)
        self.history.append((self._version, how, kind, namespace, copy.deepcopy(one)))
        self.changed.notify_all()


def selected(one: Object, selector: str) -> bool:
    """Whether an object's labels fit a selector: `a=b`, `a==b`, `a!=b`, `a`, `!a`."""
    labels = one["metadata"].get("labels") or {}
    for part in filter(None, selector.split(",")):
        name, unequal, value = part.partition("!=")
        if unequal:
            if labels.get(name) == value:
                return False
        elif "=" in part:
            name, _, value = part.replace("==", "=").partition("=")
            if labels.get(name) != value:
                return False
        elif part.startswith("!") == (part.lstrip("!") in labels):
            return False
    return True


def validate(one: Object) -> None:
    """Raise what the API server answers to an object that it does not take: by its schema, then by its rules."""
    bare = {key: value for key, value in one.items() if key != "status"}
    try:
        kubernetes_validate.validate(bare, VERSION, strict=True)
    except kubernetes_validate.ValidationError as error:
        where = ".".join(map(str, error.path))
        raise Problem(400, "BadRequest", f"{one.get('kind')} in version {VERSION}: {where}: {error.message}") from None
    problems = list(_broken_rules(one))
    if problems:
        name = one["metadata"].get("name")
        raise Problem(422, "Invalid", f'{one["kind"]} "{name}" is invalid: ' + ", ".join(problems))


def _broken_rules(one: Object) -> Any:
    metadata = one["metadata"]
    name = metadata.get("name", "")
    if not re.fullmatch(SUBDOMAIN, name) or len(name) > (63 if one["kind"] == "Job" else 253):
        yield f"metadata.name: {name!r} is not a lowercase RFC 1123 subdomain"
    yield from _broken_labels(metadata, "metadata")
    for owner in metadata.get("ownerReferences") or []:
        if not owner.get("uid"):
            yield "metadata.ownerReferences.uid: must not be empty"
    if one["kind"] == "Secret":
        size = sum(len(base64.b64decode(value)) for value in (one.get("data") or {}).values())
        if size > 1024 * 1024:
            yield "data: Too long: must have at most 1048576 bytes"
        for key in one.get("data") or {}:
            if not re.fullmatch(r"[-._a-zA-Z0-9]+", key):
                yield f"data[{key}]: a valid config key consists of alphanumeric characters"
    if one["kind"] in {"Job", "Pod"}:
        template = one["spec"]["template"] if one["kind"] == "Job" else one
        yield from _broken_labels(template.get("metadata", {}), "spec.template.metadata")
        yield from _broken_pod(template["spec"], of_job=one["kind"] == "Job")


def _broken_labels(metadata: Object, where: str) -> Any:
    for key, value in (metadata.get("labels") or {}).items():
        if not re.fullmatch(LABEL_KEY, key) or len(key.rpartition("/")[2]) > 63:
            yield f"{where}.labels: {key!r} is not a qualified name"
        if not re.fullmatch(LABEL_VALUE, value) or len(value) > 63:
            yield f"{where}.labels: {value!r} is not a label value"


def _broken_pod(spec: Object, *, of_job: bool) -> Any:
    if of_job and spec.get("restartPolicy") not in {"Never", "OnFailure"}:
        yield 'spec.template.spec.restartPolicy: Required value: valid values: "OnFailure", "Never"'
    volumes = {volume["name"] for volume in spec.get("volumes") or []}
    for key, value in (spec.get("nodeSelector") or {}).items():
        if not re.fullmatch(LABEL_KEY, key) or not re.fullmatch(LABEL_VALUE, value) or len(value) > 63:
            yield f"spec.template.spec.nodeSelector: {key}={value} is not a label"
    for container in spec["containers"]:
        yield from _broken_container(container, volumes)


def _broken_container(container: Object, volumes: set[str]) -> Any:
    if not container.get("image"):
        yield "spec.template.spec.containers[0].image: Required value"
    for variable in container.get("env") or []:
        if not re.fullmatch(VARIABLE, variable["name"]):
            yield f"spec.template.spec.containers[0].env: {variable['name']!r} is not a name"
    for mount in container.get("volumeMounts") or []:
        if mount["name"] not in volumes:
            yield f"spec.template.spec.containers[0].volumeMounts: {mount['name']!r} not found"
    for kind, amounts in (container.get("resources") or {}).items():
        for name, amount in amounts.items():
            if not re.fullmatch(QUANTITY, str(amount)):
                yield f"spec.template.spec.containers[0].resources.{kind}[{name}]: {amount!r} is no quantity"


def _store_secret(one: Object) -> None:
    if one.get("kind") == "Secret":
        data = one.setdefault("data", {})
        for key, value in (one.pop("stringData", None) or {}).items():
            data[key] = base64.b64encode(value.encode()).decode()


def _merged(before: Any, change: Any) -> Any:
    """RFC 7386."""
    if not isinstance(change, dict):
        return change
    after = dict(before) if isinstance(before, dict) else {}
    for key, value in change.items():
        if value is None:
            after.pop(key, None)
        else:
            after[key] = _merged(after.get(key), value)
    return after
